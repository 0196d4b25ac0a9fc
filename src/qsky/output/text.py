"""Answers as CSV, TSV and JSON, batch by batch, so that an answer of any size needs the memory of one batch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from qsky.output.cells import as_text, plain

_ROWS_AT_ONCE = 50_000


def write_delimited(schema: pa.Schema, batches: Iterable[pa.RecordBatch], sink: IO[bytes], delimiter: str) -> None:
    """A header and a line per row (RFC 4180 quoting). NULL is nothing between delimiters, an empty text is `""`."""
    header = [_quoted(pa.array([name]), delimiter)[0].as_py() for name in schema.names]
    sink.write((delimiter.join(header) + "\n").encode())
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            sink.write(_lines(batch.slice(start, _ROWS_AT_ONCE), delimiter))
            sink.write(b"\n")


def _lines(batch: pa.RecordBatch, delimiter: str) -> memoryview:
    """Lines without the end of the last; not copied, which would cost a fifth of everything."""
    cells = [_cells(column, delimiter) for column in batch.columns]
    lines = pc.binary_join_element_wise(*cells, delimiter, null_handling="replace", null_replacement="")
    whole = pa.LargeListArray.from_arrays(pa.array([0, len(lines)], pa.int64()), lines)
    return memoryview(pc.binary_join(whole, "\n")[0].as_buffer())


def _cells(column: pa.Array, delimiter: str) -> pa.Array:
    text = as_text(column)
    kind = column.type
    safe = pa.types.is_primitive(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
    return text if safe else _quoted(text, delimiter)


def _quoted(text: pa.Array, delimiter: str) -> pa.Array:
    """The texts that need quotes in quotes: empty ones, and those with a delimiter, a quote or the end of a line."""
    needs = pc.match_substring_regex(text, f'^$|[{delimiter}"\r\n]')
    if not pc.any(needs, min_count=0).as_py():
        return text
    doubled = pc.replace_substring(text, '"', '""')
    return pc.if_else(needs, pc.binary_join_element_wise('"', doubled, '"', ""), text)


def write_json_lines(schema: pa.Schema, batches: Iterable[pa.RecordBatch], sink: IO[bytes]) -> None:
    """One JSON object per row and line."""
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            rows = _objects(schema, batch.slice(start, _ROWS_AT_ONCE))
            sink.write(("\n".join(rows) + "\n").encode())


def write_json(schema: pa.Schema, batches: Iterable[pa.RecordBatch], sink: IO[bytes]) -> None:
    """One JSON array with an object per row."""
    between = b"[\n"
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            sink.write(between + ",\n".join(_objects(schema, batch.slice(start, _ROWS_AT_ONCE))).encode())
            between = b",\n"
    sink.write(b"[]\n" if between == b"[\n" else b"\n]\n")


def _objects(schema: pa.Schema, batch: pa.RecordBatch) -> list[str]:
    columns = [column.to_pylist() for column in batch.columns]
    names = schema.names
    return [
        json.dumps({name: plain(value) for name, value in zip(names, row, strict=True)}, ensure_ascii=False)
        for row in zip(*columns, strict=True)
    ]
