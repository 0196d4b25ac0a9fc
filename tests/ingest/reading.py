"""Reading files the way a load does, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from qsky.config import Settings
from qsky.events import Listener, silent
from qsky.ingest.read import SourceSchema, find_sources, read_batches, read_schema
from qsky.ingest.rejects import RejectsWriter
from qsky.ingest.source import ReadOptions

SETTINGS = Settings(threads=2)


@dataclass(frozen=True)
class Reading:
    """What came of reading some files."""

    table: pa.Table
    schema: SourceSchema
    rejects: RejectsWriter
    batches: list[pa.RecordBatch]

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    def values(self, column: str) -> list[Any]:
        values: list[Any] = self.table[column].to_pylist()
        return values


def read(
    inputs: Sequence[Path | str],
    scratch: Path,
    *,
    rejects_max: int = 0,
    settings: Settings = SETTINGS,
    listener: Listener = silent,
    format: str | None = None,  # noqa: A002
    **options: Any,
) -> Reading:
    """Find, describe and read; positions are required unless the options say otherwise."""
    options.setdefault("position_required", True)
    asked = ReadOptions(**options)
    sources = find_sources([str(one) for one in inputs], scratch / "scratch", settings, listener, format=format)
    schema = read_schema(sources, asked, settings)
    with RejectsWriter(scratch / "rejects.csv", rejects_max, settings.rejects_shown) as rejects:
        batches = list(read_batches(sources, schema, asked, settings, rejects, listener))
    for batch in batches:
        batch.validate(full=True)
    return Reading(pa.Table.from_batches(batches, schema.arrow), schema, rejects, batches)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
