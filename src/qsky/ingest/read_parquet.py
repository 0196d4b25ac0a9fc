"""Parquet files, batch by batch. Called by `ingest.read`."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from qsky.ingest.source import RawBatch, RawColumn, RawTable, ReadOptions, SourceFile, corrupt, numbered_rows


def scan(source: SourceFile, options: ReadOptions) -> RawTable:
    """The columns and rows a file says it has. Raises corrupt-file."""
    try:
        file = pq.ParquetFile(source.unpacked())
    except (pa.ArrowException, OSError) as error:
        raise corrupt(source.name, _why(error)) from error
    columns = [_column(field) for field in file.schema_arrow if field.name not in source.drop]
    return RawTable(tuple(columns), file.metadata.num_rows)


def _why(error: Exception) -> str:
    said = str(error).splitlines()[0].rstrip(" .:")
    return "it is no Parquet file or its end is missing" if "magic bytes" in said else f"it is damaged ({said})"


def _column(field: pa.Field) -> RawColumn:
    said = {key.decode().lower(): value.decode(errors="replace") for key, value in (field.metadata or {}).items()}
    known = None if pa.types.is_null(field.type) else field.type
    return RawColumn(field.name, known, said.get("unit", ""), said.get("ucd", ""), said.get("description", ""))


def batches(source: SourceFile, table: RawTable, options: ReadOptions, rows: int) -> Iterator[RawBatch]:
    """The rows. Raises corrupt-file."""
    names = [column.name for column in table.columns]
    first = 0
    try:
        file = pq.ParquetFile(source.unpacked())
        for batch in file.iter_batches(rows, columns=names):
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            yield RawBatch(columns, batch.num_rows, numbered_rows(columns, first))
            first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise corrupt(source.name, _why(error)) from error
