"""Pieces as the answer: its schema, and batches of exactly that, after OFFSET and up to LIMIT. Called by `engine`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa

from qsky.catalog.types import arrow_type
from qsky.plan.model import Plan
from qsky.sql.query import Query

BATCH_ROWS: Final = 100_000


def schema_named(columns: Iterable[tuple[str, str]]) -> pa.Schema:
    """The Arrow schema of (name, type) pairs; a bare NULL has Arrow's null type."""
    return pa.schema([pa.field(name, pa.null() if kind == "NULL" else arrow_type(kind)) for name, kind in columns])


def schema_of(plan: Plan, query: Query) -> pa.Schema:
    """The schema of the answer; unit, ucd and description of bare columns are metadata of the fields."""
    fields = []
    for shape, item in zip(schema_named(plan.columns), query.items, strict=True):
        about = {"unit": item.unit, "ucd": item.ucd, "description": item.description}
        said = {key: value for key, value in about.items() if value}
        fields.append(shape.with_metadata(said) if said else shape)
    return pa.schema(fields)


def limited(tables: Iterator[pa.Table], plan: Plan, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Pieces in order as batches of the answer, after OFFSET and up to LIMIT."""
    skip, left = plan.offset, plan.limit
    for table in tables:
        dropped = min(skip, table.num_rows)
        skip -= dropped
        table = table.slice(dropped)
        if left is not None:
            table = table.slice(0, left)
            left -= table.num_rows
        yield from as_schema(table, schema).to_batches(BATCH_ROWS)
        if left == 0:
            return


def as_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table's columns, by place, under the names and of the types of the answer."""
    columns = [
        column if column.type == spec.type else column.cast(spec.type)
        for column, spec in zip(table.columns[: len(schema)], schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def with_first(first: pa.RecordBatch | None, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    if first is not None:
        yield first
        yield from rest
