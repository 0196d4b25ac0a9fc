"""CAST: the types a user may name, in each language's words. Pure; expression calls it."""

from __future__ import annotations

from typing import Any, Final

from sqlglot import exp

from qsky.sql.operators import Mismatch, cast
from qsky.sql.query import Expression
from qsky.sql.types import family, is_number, is_text, is_time

_TYPES: Final[dict[Any, str]] = {
    exp.DataType.Type.TINYINT: "TINYINT",
    exp.DataType.Type.SMALLINT: "SMALLINT",
    exp.DataType.Type.INT: "INTEGER",
    exp.DataType.Type.BIGINT: "BIGINT",
    exp.DataType.Type.FLOAT: "FLOAT",
    exp.DataType.Type.DOUBLE: "DOUBLE",
    exp.DataType.Type.CHAR: "VARCHAR",
    exp.DataType.Type.VARCHAR: "VARCHAR",
    exp.DataType.Type.TEXT: "VARCHAR",
    exp.DataType.Type.DATE: "DATE",
    exp.DataType.Type.DATETIME: "TIMESTAMP",
    exp.DataType.Type.TIMESTAMP: "TIMESTAMP",
    exp.DataType.Type.TIMESTAMPNTZ: "TIMESTAMP",
    exp.DataType.Type.BOOLEAN: "BOOLEAN",
}


def cast_to(operand: Expression, wanted: Any) -> Expression:
    """The operand as the type a CAST names. Raises Mismatch."""
    kind = _decimal(wanted) or _TYPES.get(wanted.this)
    if kind is None or (wanted.expressions and not kind.startswith("DECIMAL")):
        hint = "Known: SIGNED, BIGINT, INTEGER, DOUBLE, FLOAT, DECIMAL(p,s), CHAR, DATE, DATETIME."
        raise Mismatch(f"CAST to {wanted.sql().upper()} is not supported.", hint)
    _check(operand, kind)
    return cast(operand, kind)


def _decimal(wanted: Any) -> str | None:
    """DECIMAL, DECIMAL(p) and DECIMAL(p,s); DuckDB holds 38 digits."""
    if wanted.this is not exp.DataType.Type.DECIMAL:
        return None
    numbers = [int(p.name) if p.name.isdecimal() else -1 for p in wanted.expressions]
    precision, scale = [*numbers, *(10, 0)[len(numbers) :]]
    if not 0 <= scale <= precision <= 38 or precision == 0:
        raise Mismatch(
            f"DECIMAL({precision},{scale}) is no type.", "The first number is at most 38, the second no more."
        )
    return f"DECIMAL({precision},{scale})"


def _check(operand: Expression, kind: str) -> None:
    """Numbers, texts and times become each other as far as that has a meaning."""
    source = operand.type
    fits = (
        source in ("NULL", kind)
        or is_text(kind)
        or (is_text(source) and (is_number(kind) or is_time(kind)))
        or (is_number(source) and (is_number(kind) or kind == "BOOLEAN"))
        or (source == "BOOLEAN" and is_number(kind))
        or (is_time(source) and is_time(kind))
    )
    if not fits:
        raise Mismatch(f"CAST cannot make {kind} of {family(source)}.")
