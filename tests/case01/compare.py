"""Whether two answers are the same: names, kinds and values of columns, to 1e-9 of a number's own size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
from pymysql.constants import FIELD_TYPE

from tests.mariadb import Rows

TOLERANCE: Final = 1e-9

Row = tuple[Any, ...]

_INTEGERS: Final = {FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG}


def rows_of(table: pa.Table) -> list[Row]:
    """The rows, also where two columns have one name."""
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def columns(wanted: Rows) -> list[tuple[Any, ...]]:
    """The values of each column."""
    return list(zip(*wanted.rows, strict=True)) or [() for _ in wanted.names]


def assert_same_columns(table: pa.Table, wanted: Rows) -> None:
    """The names of the columns, and whether they hold integers, other numbers, text or bytes."""
    assert tuple(table.schema.names) == wanted.names
    for field, code, values in zip(table.schema, wanted.types, columns(wanted), strict=True):
        assert _kind(field.type) in _kinds(code, values), field


def assert_same_rows(rows: Sequence[Row], wanted: Sequence[Row]) -> None:
    """One by one, in order. Texts, bytes, integers and NULLs must be equal."""
    assert len(rows) == len(wanted)
    for number, (row, want) in enumerate(zip(rows, wanted, strict=True)):
        assert len(row) == len(want)
        assert all(same(a, b) for a, b in zip(row, want, strict=True)), f"row {number} is {row}, not {want}"


def assert_same_multiset(rows: Sequence[Row], wanted: Sequence[Row]) -> None:
    """The same rows as often as there, in any order."""
    assert_same_rows(sorted(rows, key=_place), sorted(wanted, key=_place))


def assert_some_of(rows: Sequence[Row], wanted: Sequence[Row], count: int) -> None:
    """What LIMIT without ORDER BY may give: `count` of the wanted rows, or all if there are fewer, none twice."""
    assert len(rows) == min(count, len(wanted))
    left = list(wanted)
    for row in rows:
        found = [one for one in left if all(same(a, b) for a, b in zip(row, one, strict=True))]
        assert found, f"there is no row {row}"
        left.remove(found[0])


def same(a: Any, b: Any) -> bool:
    """NULL is equal to NULL, an integer to itself, any other number to one within 1e-9 of the larger."""
    if isinstance(a, float | Decimal) or isinstance(b, float | Decimal):
        return a is not None and b is not None and math.isclose(float(a), float(b), rel_tol=TOLERANCE, abs_tol=0.0)
    return type(a) is type(b) and bool(a == b)


def _place(row: Row) -> tuple[Any, ...]:
    """A key to sort by: exact values first, because rounding must not change the place of a row."""
    exact = [(value is not None, value) for value in row if not isinstance(value, float | Decimal)]
    inexact = [float(value) for value in row if isinstance(value, float | Decimal)]
    return ([(known, value if known else 0) for known, value in exact], inexact)


def _kind(arrow: pa.DataType) -> str:
    if pa.types.is_integer(arrow):
        return "integer"
    if pa.types.is_floating(arrow) or pa.types.is_decimal(arrow):
        return "number"
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return "text"
    if pa.types.is_timestamp(arrow):
        return "time"
    return "bytes" if pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) else str(arrow)


def _kinds(code: int, values: Sequence[Any]) -> set[str]:
    """MariaDB calls text and bytes by one code, but PyMySQL tells their values apart."""
    if code in _INTEGERS:
        return {"integer"}
    if code in (FIELD_TYPE.DOUBLE, FIELD_TYPE.NEWDECIMAL):
        return {"number"}
    if code in (FIELD_TYPE.TIMESTAMP, FIELD_TYPE.DATETIME):
        return {"time"}
    known = [value for value in values if value is not None]
    return {"bytes" if isinstance(value, bytes) else "text" for value in known} or {"bytes", "text"}
