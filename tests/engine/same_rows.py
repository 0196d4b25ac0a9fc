"""When two answers are the same: the same multiset of rows, floating values within 1e-9 of their size."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pyarrow as pa


def rows_of(table: pa.Table, *, ordered: bool) -> list[tuple[Any, ...]]:
    columns = [[_plain(value) for value in column.to_pylist()] for column in table.columns]
    rows = list(zip(*columns, strict=True))
    return rows if ordered else sorted(rows, key=_sort_key)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _sort_key(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple((value is None, str(type(value)) if isinstance(value, str) else "", _rounded(value)) for value in row)


def _rounded(value: Any) -> Any:
    if value is None:
        return 0
    return round(value, 6) if isinstance(value, float) else value


def assert_same(ours: pa.Table, theirs: pa.Table, *, ordered: bool = False) -> None:
    one, other = rows_of(ours, ordered=ordered), rows_of(theirs, ordered=ordered)
    assert len(one) == len(other), f"{len(one)} rows, {len(other)} by the oracle"
    for mine, yours in zip(one, other, strict=True):
        assert len(mine) == len(yours)
        assert all(_close(a, b) for a, b in zip(mine, yours, strict=True)), f"{mine} is not {yours}"


def _close(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return bool(one == other)
