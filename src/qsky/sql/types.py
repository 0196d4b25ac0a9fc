"""The types of expressions: which may meet, and what comes of it. Pure rules on the names of catalog.types.

Integers and exact decimals without a scale are one family, floating numbers another; a decimal with a scale is
computed as DOUBLE. docs/semantics.md says where that differs from MySQL.
"""

from __future__ import annotations

from typing import Final

from qsky.catalog.types import FLOATS, INTEGERS

NULL: Final = "NULL"
HUGE: Final = "DECIMAL(38,0)"
TIMES: Final = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
_ORDER: Final = {name: rank for rank, name in enumerate(INTEGERS)}


def is_exact(kind: str) -> bool:
    """Integers of any width, and decimals without a scale."""
    return kind in INTEGERS or (kind.startswith("DECIMAL(") and kind.endswith(",0)"))


def is_float(kind: str) -> bool:
    return kind in FLOATS


def is_number(kind: str) -> bool:
    return kind in INTEGERS or kind in FLOATS or kind.startswith("DECIMAL(")


def is_text(kind: str) -> bool:
    return kind == "VARCHAR"


def is_time(kind: str) -> bool:
    return kind in TIMES


def is_wide(kind: str) -> bool:
    """Exact and wider than 64 bits."""
    return is_exact(kind) and kind not in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")


def arithmetic(left: str, right: str) -> str:
    """The type in which numbers are added, subtracted and multiplied: BIGINT, HUGEINT or DOUBLE."""
    if is_exact(left) and is_exact(right):
        return "HUGEINT" if is_wide(left) or is_wide(right) else "BIGINT"
    return "DOUBLE"


def together(left: str, right: str) -> str | None:
    """The type that holds values of both, as CASE and COALESCE need it; None if there is none."""
    if left == right or right == NULL:
        return left
    if left == NULL:
        return right
    if "BOOLEAN" in (left, right):
        other = right if left == "BOOLEAN" else left
        return other if is_exact(other) else None
    if is_number(left) and is_number(right):
        return _number_together(left, right)
    if is_time(left) and is_time(right):
        return max(left, right, key=TIMES.index)
    return None


def _number_together(left: str, right: str) -> str:
    if is_exact(left) and is_exact(right):
        return HUGE if is_wide(left) or is_wide(right) else max(left, right, key=lambda kind: _ORDER[kind])
    return "DOUBLE"


def sum_type(kind: str) -> str:
    """What SUM gives: wide enough never to overflow on rows that exist."""
    if kind in ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER"):
        return "BIGINT"
    if is_exact(kind):
        return HUGE
    return f"DECIMAL(38,{kind[8:-1].split(',')[1]})" if kind.startswith("DECIMAL(") else "DOUBLE"


def family(kind: str) -> str:
    """The word for a type in messages."""
    if kind == "BOOLEAN":
        return "a truth value"
    if is_number(kind):
        return "a number"
    if is_text(kind):
        return "text"
    if is_time(kind):
        return "a time"
    return f"a value of type {kind}"
