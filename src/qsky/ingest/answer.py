"""The answer to a query as what a load reads: asked for when the load is ready, written to a file, then read as any other.

Called by `ingest.load`. The rows pass through a file in the load's scratch folder, so that they are never held whole and
query and load do not share memory. It knows no query: whoever makes an `Answer` hands in how to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from qsky.catalog.model import RESERVED_COLUMNS
from qsky.catalog.types import stored_type
from qsky.errors import QskyError
from qsky.ingest.source import SourceFile
from qsky.result import Result
from qsky.storage.store import io_errors

_FILE: Final = "answer.parquet"
_GROUP_BYTES: Final = 16 << 20


@dataclass(frozen=True)
class Answer:
    """A query to be loaded: its text, the language and database it is asked in, and `ask`, which starts it."""

    text: str
    lang: str
    database: str | None
    ask: Callable[[], Result]

    def written(self, scratch: Path) -> SourceFile:
        """Ask, and write the rows to a file. Raises bad-columns, empty-load, disk-full, and what the query raises."""
        result = self.ask()
        check_columns(result.schema)
        file = scratch / _FILE
        with io_errors("the answer"), closing(result.batches()) as batches:
            scratch.mkdir(parents=True, exist_ok=True)
            rows = _write(result.schema, batches, file)
        if rows == 0:
            raise QskyError("empty-load", "The query has no rows, so there is nothing to save.")
        reads = dict(result.facts.revisions)
        said = {"name": self.text, "format": "sql", "lang": self.lang, "database": self.database or "", "reads": reads}
        return SourceFile("the answer", file, "parquet", False, file.stat().st_size, scratch, provenance=said)


def check_columns(schema: pa.Schema) -> None:
    """Refuse, before a row is read, columns that no table can have. Raises bad-columns."""
    seen: dict[str, str] = {}
    for place, field in enumerate(schema, 1):
        name = field.name
        if not name.strip():
            raise _refused(f"Column {place} of the query has no name", "Give it one with AS.")
        if "\0" in name:
            raise _refused(f"The name of column {place} of the query holds a character NUL", "Give it another with AS.")
        if name.casefold() in RESERVED_COLUMNS:
            raise _refused(f"The query has a column {name}, a name that Qsky keeps for itself", "Rename it with AS.")
        if name.casefold() in seen:
            one = seen[name.casefold()]
            said = (
                f"two columns called {name}"
                if one == name
                else f"columns {one} and {name}, which SQL cannot tell apart"
            )
            raise _refused(f"The query has {said}", "Rename one with AS.")
        seen[name.casefold()] = name
        _check_type(field)


def _check_type(field: pa.Field) -> None:
    try:
        stored_type(field.type)
    except QskyError as error:
        sentence = f"The column {field.name} of the query is of the type {field.type}, which Qsky does not store"
        raise _refused(sentence, "Convert it with CAST, or leave it out.") from error


def _refused(sentence: str, hint: str) -> QskyError:
    return QskyError("bad-columns", f"{sentence}.", hint=hint)


def _write(schema: pa.Schema, batches: Iterable[pa.RecordBatch], file: Path) -> int:
    """The rows as a Parquet file; how many there are."""
    rows = 0
    with pq.ParquetWriter(file, schema, compression="lz4") as writer:
        for group in _groups(batches):
            writer.write_table(group)
            rows += group.num_rows
    return rows


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Small batches together, so that the file has few row groups."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held += [batch] if batch.num_rows else []
        if sum(each.nbytes for each in held) >= _GROUP_BYTES:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)
