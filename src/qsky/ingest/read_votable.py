"""VOTables, through astropy, which holds a table whole; a file above `votable_bytes_max` is refused. Called by `ingest.read`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.ingest.source import RawBatch, RawColumn, RawTable, ReadOptions, SourceFile, corrupt, numbered_rows
from qsky.storage.store import io_errors


def scan(source: SourceFile, options: ReadOptions, settings: Settings) -> RawTable:
    """The fields and rows of the table. Raises corrupt-file, bad-format, limit-source."""
    table = _parsed(source, options, settings)
    arrays = _columns(table)
    columns = [_described(*column) for column in zip(arrays, arrays.values(), table.fields, strict=True)]
    _spill(source, options, arrays)
    return RawTable(tuple(columns), len(table.array))


def _described(name: str, array: pa.Array, field: Any) -> RawColumn:
    arrow = None if pa.types.is_null(array.type) else array.type
    return RawColumn(name, arrow, str(field.unit or ""), str(field.ucd or ""), str(field.description or ""))


def batches(source: SourceFile, table: RawTable, options: ReadOptions, rows: int) -> Iterator[RawBatch]:
    """The rows, from what `scan` left in scratch."""
    with pa.memory_map(str(_spilled(source, options))) as file:
        whole = pa.ipc.open_file(file).read_all()
        first = 0
        for batch in whole.to_batches(max_chunksize=rows):
            part = dict(zip(batch.schema.names, batch.columns, strict=True))
            yield RawBatch(part, batch.num_rows, numbered_rows(part, first))
            first += batch.num_rows


def _spilled(source: SourceFile, options: ReadOptions) -> Path:
    return source.scratch_file(f".table{options.table or 0}.arrow")


def _spill(source: SourceFile, options: ReadOptions, arrays: dict[str, pa.Array]) -> None:
    """Parsing takes long; leave its result in scratch for the rows to be read from."""
    source.scratch.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_arrays(list(arrays.values()), names=list(arrays))
    with (
        io_errors(source.name),
        pa.OSFile(str(_spilled(source, options)), "wb") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table)


def _parsed(source: SourceFile, options: ReadOptions, settings: Settings) -> Any:
    from astropy.io.votable import parse
    from astropy.io.votable.exceptions import VOTableSpecError

    path = source.unpacked()
    if path.stat().st_size > settings.votable_bytes_max:
        raise QskyError(
            "limit-source",
            f"The VOTable {source.name} is larger than votable_bytes_max ({settings.votable_bytes_max} bytes); "
            "it would have to be held in memory whole.",
            hint="Convert it to FITS or Parquet, or raise QSKY_VOTABLE_BYTES_MAX.",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = parse(path, verify="ignore")
            tables = list(document.iter_tables())
    except (OSError, ValueError, TypeError, IndexError, KeyError, EOFError, VOTableSpecError) as error:
        raise corrupt(source.name, _why(error)) from error
    at = options.table or 0
    if at >= len(tables):
        raise QskyError(
            "bad-format",
            f"The VOTable {source.name} has no table {at}.",
            hint=f"It has {len(tables)}, counted from 0.",
        )
    return tables[at]


def _why(error: Exception) -> str:
    """What the parser says, with its `line:column:` in words."""
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    place = re.match(r"(\d+):\d+: (.*)", said)
    return f"its XML is damaged or cut off in line {place[1]} ({place[2]})" if place else said


def _columns(table: Any) -> dict[str, pa.Array]:
    """The columns in the order of the fields, under names of their own."""
    converted = table.to_table(use_names_over_ids=False)
    names = _unique([field.name or field.ID for field in table.fields])
    return {name: _arrow(converted[column]) for name, column in zip(names, converted.colnames, strict=True)}


def _unique(names: list[str]) -> list[str]:
    """A VOTable may use a name twice, in the same case or another; the later ones get _2, _3, ..."""
    taken = {name.casefold() for name in names}
    seen: set[str] = set()
    made = []
    for name in names:
        other, number = name, 2
        while other.casefold() in seen or (other != name and other.casefold() in taken):
            other, number = f"{name}_{number}", number + 1
        seen.add(other.casefold())
        made.append(other)
    return made


def _arrow(column: Any) -> pa.Array:
    values = np.asarray(column)
    mask = np.asarray(getattr(column, "mask", np.zeros(values.shape, dtype=bool)))
    if values.dtype.kind in "SUO" or values.ndim > 1:
        return _objects(values, mask)
    if values.dtype.byteorder not in ("=", "|"):
        values = values.astype(values.dtype.newbyteorder("="))
    return pa.array(np.ascontiguousarray(values), mask=np.broadcast_to(mask, values.shape))


def _objects(values: Any, mask: Any) -> pa.Array:
    """Texts and arrays, value by value; blank text is NULL."""
    whole = mask if mask.ndim == 1 else mask.reshape(len(mask), -1).all(axis=1)
    cells = [None if gone else _plain(cell) for cell, gone in zip(values, whole, strict=True)]
    return pa.array(cells)


def _plain(cell: Any) -> Any:
    if isinstance(cell, bytes):
        cell = cell.decode(errors="replace")
    if isinstance(cell, str):
        return cell.rstrip(" \0") or None
    if isinstance(cell, np.ma.MaskedArray):
        return [None if value is np.ma.masked else value for value in cell.tolist()]
    return cell.tolist() if hasattr(cell, "tolist") else cell
