"""CAST: the types a user may name, in each language's words. Pure; expression calls it."""

from __future__ import annotations

from typing import Any, Final

from sqlglot import exp

from qsky.sql.operators import Mismatch, as_text, by_bytes, cast, number, time_literal
from qsky.sql.query import Call, Expression, Literal_
from qsky.sql.types import family, is_exact, is_number, is_text, is_time

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
    exp.DataType.Type.TIMESTAMPTZ: "TIMESTAMP",
    exp.DataType.Type.BOOLEAN: "BOOLEAN",
}
_BYTES: Final = frozenset({exp.DataType.Type.BINARY, exp.DataType.Type.VARBINARY})
_UNSIGNED: Final = frozenset({exp.DataType.Type.UBIGINT, exp.DataType.Type.UINT})


def cast_to(operand: Expression, wanted: Any) -> Expression:
    """The operand as the type a CAST names. Raises Mismatch."""
    if wanted.this in _BYTES and is_text(operand.type) and not wanted.expressions:
        return by_bytes(operand)
    if wanted.this in _UNSIGNED:
        return _unsigned(operand)
    kind = _decimal(wanted) or _TYPES.get(wanted.this)
    if kind is None or (wanted.expressions and not kind.startswith(("DECIMAL", "VARCHAR", "TIMESTAMP"))):
        hint = "Known: SIGNED, UNSIGNED, BIGINT, INTEGER, DOUBLE, FLOAT, DECIMAL(p,s), CHAR(n), DATE, DATETIME."
        raise Mismatch(f"CAST to {wanted.sql().upper()} is not supported.", hint)
    _check(operand, kind)
    if is_time(kind) and isinstance(operand, Literal_) and is_text(operand.type):
        return cast(time_literal(str(operand.value), kind), kind)
    if is_text(kind):
        return _shortened(as_text(operand), wanted)
    return cast(operand, kind)


def read_time(operand: Expression) -> Expression:
    """A text in quotes as the date or time it says; anything else as it is. Raises Mismatch."""
    if isinstance(operand, Literal_) and is_text(operand.type):
        return time_literal(str(operand.value), "DATE")
    return operand


def _shortened(text: Expression, wanted: Any) -> Expression:
    """CHAR(n) keeps the first n characters."""
    if not wanted.expressions:
        return text
    return Call(type="VARCHAR", function="LEFT", arguments=(text, number(int(wanted.expressions[0].name))))


def _unsigned(operand: Expression) -> Expression:
    """MySQL's UNSIGNED: a negative number counts from 2**64."""
    _check(operand, "HUGEINT")
    if is_number(operand.type) and not is_exact(operand.type):
        return Call(type="HUGEINT", function="UNSIGNED_OF_DECIMAL", arguments=(operand,))
    return Call(type="HUGEINT", function="UNSIGNED", arguments=(cast(operand, "HUGEINT"),))


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
