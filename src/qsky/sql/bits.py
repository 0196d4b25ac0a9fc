"""The operators on bits: & | ^ << >> ~ of 64-bit integers. Pure.

DuckDB's own are signed. MySQL's are unsigned: a negative number counts from 2**64, what a shift pushes out is lost, and a
number with a fraction is rounded first. Where nothing can be negative both are the same, and the signed form is used,
which is faster and prunes.
"""

from __future__ import annotations

from typing import Final

from qsky.sql.operators import Mismatch, as_value, cast, number
from qsky.sql.query import Binary, Call, Cast, Expression, Literal_, Unary
from qsky.sql.types import NULL, family, is_exact, is_number, is_wide

_SHIFTS: Final = {"<<": "SHIFT_LEFT", ">>": "SHIFT_RIGHT"}
_SIGNED_MAX: Final = (1 << 63) - 1


def bitwise(operator: str, left: Expression, right: Expression) -> Expression:
    """As signed integers, where a shift that cannot be held is an error. Raises Mismatch."""
    for side in (left, right):
        if not (is_exact(side.type) or side.type in ("BOOLEAN", NULL)):
            raise Mismatch(f"The operator {operator} needs integers, not {family(side.type)}.")
    if right.type == "BOOLEAN":
        right = cast(right, "INTEGER")
    return Binary(type="BIGINT", operator=operator, left=cast(left, "BIGINT"), right=right)


def complement(operand: Expression) -> Expression:
    """~ of a signed integer. Raises Mismatch."""
    if not (is_exact(operand.type) or operand.type in ("BOOLEAN", NULL)):
        raise Mismatch(f"The operator ~ needs integers, not {family(operand.type)}.")
    return Unary(type="BIGINT", operator="~", operand=cast(operand, "BIGINT"))


def bitwise_unsigned(operator: str, left: Expression, right: Expression) -> Expression:
    """As MySQL has it: BIGINT where the result has 63 bits by the look of it, else HUGEINT. Raises Mismatch."""
    left, right = _integer(operator, left), _integer(operator, right)
    if operator in _SHIFTS:
        return _shift(operator, left, right)
    known = (_never_negative(left), _never_negative(right))
    narrow = not (is_wide(left.type) or is_wide(right.type))
    if all(known) or (operator == "&" and any(known) and narrow):
        return bitwise(operator, left, right)
    return Binary(type="HUGEINT", operator=operator, left=_unsigned(left), right=_unsigned(right))


def _shift(operator: str, left: Expression, right: Expression) -> Expression:
    places = right.value if isinstance(right, Literal_) and isinstance(right.value, int) else None
    if places is not None and 0 <= places <= 63:
        if operator == ">>" and _never_negative(left):
            return bitwise(operator, left, right)
        if operator == ">>" and places and not is_wide(left.type):
            # the sign bit that >> pulls after itself is cut off
            return bitwise("&", bitwise(operator, left, right), number(_SIGNED_MAX >> (places - 1)))
        if isinstance(left, Literal_) and isinstance(left.value, int) and 0 <= left.value << places <= _SIGNED_MAX:
            return number(left.value << places)
    return Call(type="HUGEINT", function=_SHIFTS[operator], arguments=(_unsigned(left), cast(right, "HUGEINT")))


def complement_unsigned(operand: Expression) -> Expression:
    """~ as MySQL has it: all 64 bits of an unsigned number. Raises Mismatch."""
    all_bits = number((1 << 64) - 1)
    return Binary(type="HUGEINT", operator="-", left=all_bits, right=_unsigned(_integer("~", operand)))


def _integer(operator: str, side: Expression) -> Expression:
    side = as_value(side)
    if side.type in ("BOOLEAN", NULL) or is_exact(side.type):
        return cast(side, "BIGINT") if side.type in ("BOOLEAN", NULL) else side
    if is_number(side.type):
        return Call(type="HUGEINT", function="ROUND_TO_BITS", arguments=(side,))
    raise Mismatch(f"The operator {operator} needs numbers, not {family(side.type)}.")


def _never_negative(side: Expression) -> bool:
    """Known from how it is written, and within 63 bits."""
    if isinstance(side, Literal_):
        return isinstance(side.value, int) and 0 <= side.value <= _SIGNED_MAX
    if isinstance(side, Cast):
        return side.operand.type == "BOOLEAN"
    if not isinstance(side, Binary) or side.type != "BIGINT":
        return False
    known = (_never_negative(side.left), _never_negative(side.right))
    return any(known) if side.operator == "&" else side.operator in ("|", "^") and all(known)


def _unsigned(side: Expression) -> Expression:
    if _never_negative(side):
        return cast(side, "HUGEINT")
    return Call(type="HUGEINT", function="UNSIGNED", arguments=(cast(side, "HUGEINT"),))
