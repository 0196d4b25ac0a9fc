"""Numbers that a query spells out, also as a sum, product or quotient: `1.0/3600` is as good as 0.000277. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from qsky.catalog.types import INTEGERS
from qsky.sql.query import Binary, Cast, Expression, Literal_, Unary

_INT64_MAX: Final = (1 << 63) - 1


def constant(expression: Expression) -> float | int | None:
    """The number an expression of literals is, as DuckDB works it out; None for anything else."""
    if isinstance(expression, Literal_):
        value = expression.value
        if isinstance(value, Decimal):
            return float(value)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(expression, Unary) and expression.operator == "-":
        inside = constant(expression.operand)
        return None if inside is None else -inside
    if isinstance(expression, Cast) and expression.type in ("DOUBLE", "FLOAT"):
        inside = constant(expression.operand)
        return None if inside is None or expression.type == "FLOAT" else float(inside)
    return _worked_out(expression) if isinstance(expression, Binary) else None


def _worked_out(expression: Binary) -> float | int | None:
    """In the type of the whole: integers within 64 bits, or DOUBLE."""
    left, right = constant(expression.left), constant(expression.right)
    if left is None or right is None:
        return None
    if expression.type == "DOUBLE":
        return _arithmetic(expression.operator, float(left), float(right))
    if expression.type in INTEGERS and isinstance(left, int) and isinstance(right, int) and expression.operator != "/":
        value = _arithmetic(expression.operator, left, right)
        return value if value is not None and -_INT64_MAX - 1 <= value <= _INT64_MAX else None
    return None


def _arithmetic(operator: str, left: float, right: float) -> float | None:
    if operator == "/":
        return left / right if right else None
    if operator == "*":
        return left * right
    if operator == "+":
        return left + right
    return left - right if operator == "-" else None
