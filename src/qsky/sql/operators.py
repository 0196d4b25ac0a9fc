"""Typed operators: what bind builds for arithmetic, comparison and logic, in the one shape that plan looks for.

Constants stand right of a comparison and are folded; numbers meet in a type that loses nothing; a truth value is never
compared with 1. Pure. A `Mismatch` says what does not fit; bind adds the place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final

from qsky.sql.query import (
    Between,
    Binary,
    Call,
    Case,
    Cast,
    ColumnRef,
    Expression,
    InList,
    IsNull,
    Like,
    Literal_,
    Unary,
)
from qsky.sql.types import NULL, arithmetic, family, is_exact, is_float, is_number, is_text, is_time, together

_MIRRORED: Final = {"=": "=", "<>": "<>", "<=>": "<=>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_EXACT_DOUBLE: Final = 1 << 53
_TIME_TEXT: Final = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d*))?)?Z?)?")


class Mismatch(Exception):
    """Types that do not go together: the sentence, and what the user may do."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


# -- literals


def integer_type(value: int) -> str:
    """The narrowest of INTEGER, BIGINT and HUGEINT that holds the value; DOUBLE beyond."""
    for name, bits in (("INTEGER", 31), ("BIGINT", 63), ("HUGEINT", 126)):
        if -(1 << bits) <= value < 1 << bits:
            return name
    return "DOUBLE"


def number(value: int | float) -> Literal_:
    """A number as a literal of its narrowest type."""
    if isinstance(value, float):
        return Literal_(type="DOUBLE", value=value)
    kind = integer_type(value)
    return Literal_(type=kind, value=float(value) if kind == "DOUBLE" else value)


def truth(value: bool | None) -> Literal_:
    return Literal_(type="BOOLEAN", value=value)


def null(kind: str = NULL) -> Literal_:
    return Literal_(type=kind, value=None)


def is_literal_number(expression: Expression) -> bool:
    """A number that is there, not NULL."""
    return isinstance(expression, Literal_) and is_number(expression.type) and expression.value is not None


# -- types


def cast(expression: Expression, kind: str) -> Expression:
    """The expression as another type; a number literal is changed itself."""
    if expression.type == kind:
        return expression
    if isinstance(expression, Literal_):
        if expression.value is None:
            return null(kind)
        if is_literal_number(expression) and kind == "DOUBLE":
            return Literal_(type="DOUBLE", value=float(expression.value))
        if is_exact(expression.type) and is_exact(kind):
            return Literal_(type=kind, value=expression.value)
    return Cast(type=kind, operand=expression)


def to_number(expression: Expression, what: str) -> Expression:
    """A number as it is, a truth value as 0 or 1, NULL as NULL; else a Mismatch."""
    if is_number(expression.type) or expression.type == NULL:
        return expression
    if expression.type == "BOOLEAN":
        return cast(expression, "INTEGER")
    hint = "Write CAST(... AS DOUBLE) if the text holds numbers." if is_text(expression.type) else ""
    raise Mismatch(f"{what} needs numbers, not {family(expression.type)}.", hint)


def to_predicate(expression: Expression) -> Expression:
    """Any condition as a truth value: a number is true unless it is 0, as in MySQL."""
    if expression.type == "BOOLEAN":
        return expression
    if expression.type == NULL:
        return truth(None)
    if is_literal_number(expression):
        return truth(bool(expression.value))  # type: ignore[attr-defined]
    if is_number(expression.type):
        in_region = getattr(expression, "function", "").startswith("scisql_s2PtIn")
        return compare("=", expression, number(1)) if in_region else compare("<>", expression, number(0))
    raise Mismatch(f"A condition must be true or false, not {family(expression.type)}.")


def as_value(expression: Expression) -> Expression:
    """A condition where a value is shown, grouped or summed: 1 or 0, as in MySQL. A stored BOOLEAN stays one."""
    if expression.type == "BOOLEAN" and not isinstance(expression, ColumnRef | Literal_ | Case):
        return cast(expression, "INTEGER")
    return expression


def as_text(expression: Expression) -> Expression:
    """Any value as text, a truth value as 1 or 0."""
    if expression.type == "BOOLEAN":
        expression = cast(expression, "INTEGER")
    if isinstance(expression, Literal_) and isinstance(expression.value, int):
        return Literal_(type="VARCHAR", value=str(expression.value))
    if expression.type == "DOUBLE":
        return Call(type="VARCHAR", function="TEXT_OF_DOUBLE", arguments=(expression,))
    return cast(expression, "VARCHAR")


def unify(expressions: Sequence[Expression], what: str) -> tuple[Expression, ...]:
    """All expressions in their common type."""
    kind: str | None = NULL
    for expression in expressions:
        common = together(kind, expression.type) if kind is not None else None
        if common is None:
            words = f"{family(str(kind))} and {family(expression.type)}"
            raise Mismatch(f"{what} mixes {words}.", "Use CAST to make them alike.")
        kind = common
    return tuple(expression if kind == NULL else cast(expression, str(kind)) for expression in expressions)


# -- arithmetic


def calculate(operator: str, left: Expression, right: Expression) -> Expression:
    """+ - * / DIV % of numbers; constants are folded."""
    what = f"The operator {operator}"
    left, right = to_number(left, what), to_number(right, what)
    folded = _folded(operator, left, right)
    if folded is not None:
        return folded
    kinds = [e.type if e.type != NULL else "INTEGER" for e in (left, right)]
    kind = "DOUBLE" if operator == "/" else arithmetic(*kinds)
    if kind != "BIGINT":
        # FLOAT would compute in 32 bits, a decimal in its own way
        left, right = cast(left, kind), cast(right, kind)
    elif "BIGINT" not in kinds:
        left = cast(left, "BIGINT")
    result = "BIGINT" if operator == "DIV" and kind == "DOUBLE" else kind
    return Binary(type=result, operator=operator, left=left, right=right)


def _folded(operator: str, left: Expression, right: Expression) -> Literal_ | None:
    """The value of + - * / on two number literals, if it is an ordinary one."""
    if not (is_literal_number(left) and is_literal_number(right)) or operator not in "+-*/":
        return None
    a, b = left.value, right.value  # type: ignore[attr-defined]
    try:
        if operator == "/":
            return null("DOUBLE") if b == 0 else _finite(a / b)
        value = a + b if operator == "+" else a - b if operator == "-" else a * b
    except OverflowError:
        return None
    if isinstance(value, float):
        return _finite(value)
    return number(value) if -(1 << 63) <= value < 1 << 63 else None


def _finite(value: float) -> Literal_ | None:
    return number(float(value)) if math.isfinite(value) else None


def negate(operand: Expression) -> Expression:
    """Unary minus; a constant is folded."""
    operand = to_number(operand, "A minus sign")
    if is_literal_number(operand):
        return number(-operand.value)  # type: ignore[attr-defined]
    kind = arithmetic(operand.type if operand.type != NULL else "INTEGER", "INTEGER")
    return Unary(type=kind, operator="-", operand=cast(operand, kind))


def is_decimal(expression: Expression) -> bool:
    """Whether MySQL would compute the number as an exact decimal: nothing floating goes into it but written numbers."""
    if isinstance(expression, Literal_):
        return True
    if isinstance(expression, ColumnRef):
        return not is_float(expression.type)
    if isinstance(expression, Unary | Binary | Case):
        return all(is_decimal(part) for part in expression.children() if part.type != "BOOLEAN")
    if isinstance(expression, Cast) and expression.type == "DOUBLE":
        return is_decimal(expression.operand)
    return not is_float(expression.type)


# -- comparison


def compare(operator: str, left: Expression, right: Expression) -> Expression:
    """= <> < <= > >= <=> in canonical shape: a constant on the right, both sides of kinds that compare exactly."""
    if isinstance(left, Literal_) and not isinstance(right, Literal_):
        return compare(_MIRRORED[operator], right, left)
    known = _truth_against_constant(operator, left, right)
    if known is not None:
        return known
    left, right = comparable(left, right)
    return Binary(type="BOOLEAN", operator=operator, left=left, right=right, collation=collation_of(left, right))


def _truth_against_constant(operator: str, left: Expression, right: Expression) -> Expression | None:
    """`condition = 1` is the condition itself, `condition = 0` its opposite."""
    if left.type != "BOOLEAN" or isinstance(left, Literal_) or operator not in ("=", "<>"):
        return None
    if not isinstance(right, Literal_) or right.value not in (0, 1) or is_text(right.type):
        return None
    return left if bool(right.value) == (operator == "=") else negation(left)


def comparable(left: Expression, right: Expression) -> tuple[Expression, Expression]:
    """Both sides so that DuckDB compares them as we mean it; a Mismatch if they do not compare."""
    if NULL in (left.type, right.type) or left.type == right.type == "BOOLEAN":
        return left, right
    if "BOOLEAN" in (left.type, right.type):
        left, right = to_number(left, "The comparison"), to_number(right, "The comparison")
    left, right = _unquoted(left, right.type), _unquoted(right, left.type)
    if is_number(left.type) and is_number(right.type):
        right = _number_like(right, left.type)
        return _number_like(left, right.type), right
    if is_time(left.type) or is_time(right.type):
        left, right = _time_like(left, right.type), _time_like(right, left.type)
    if (is_time(left.type) and is_time(right.type)) or (left.type == right.type and left.type in ("VARCHAR", "BLOB")):
        return left, right
    hint = ""
    if {is_number(left.type), is_number(right.type)} == {True, False}:
        hint = "Remove the quotes from the number, or use CAST to say what is meant."
    raise Mismatch(f"{family(left.type).capitalize()} cannot be compared with {family(right.type)}.", hint)


def _unquoted(expression: Expression, other: str) -> Expression:
    """A number in quotes beside a number is one, as in MySQL; a text that is none stays and will not compare."""
    if not (isinstance(expression, Literal_) and is_text(expression.type) and is_number(other)):
        return expression
    text = str(expression.value).strip(" ")
    if re.fullmatch(r"[+-]?\d{1,38}", text):
        return number(int(text))
    return number(float(text)) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", text) else expression


def _number_like(expression: Expression, other: str) -> Expression:
    """A constant becomes the kind of the other side where that is exact; FLOAT meets anything else as DOUBLE."""
    if is_literal_number(expression):
        value: Any = expression.value  # type: ignore[attr-defined]
        if not is_exact(other) and is_exact(expression.type):
            return cast(expression, "DOUBLE")
        if is_exact(other) and isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_DOUBLE:
            return number(int(value))
        return expression
    narrow = expression.type == "FLOAT" and not is_float(other)
    scaled = expression.type.startswith("DECIMAL(") and is_float(other)
    return cast(expression, "DOUBLE") if narrow or scaled else expression


def _time_like(expression: Expression, other: str) -> Expression:
    """A text constant beside a time is read as one."""
    if not (isinstance(expression, Literal_) and is_text(expression.type) and is_time(other)):
        return expression
    return time_literal(str(expression.value), other)


def time_literal(text: str, kind: str) -> Literal_:
    """A DATE or TIMESTAMP from its text; a DATE only where no time of day is written. Raises Mismatch."""
    written = _TIME_TEXT.fullmatch(text.strip())
    try:
        if written is None:
            raise ValueError
        day = date(*(int(part) for part in written.group(1, 2, 3)))
        if kind == "DATE" and written[4] is None:
            return Literal_(type="DATE", value=day)
        hour, minute, second = (int(part or 0) for part in written.group(4, 5, 6))
        fraction = int((written[7] or "").ljust(6, "0")[:6])
        return Literal_(type="TIMESTAMP", value=datetime(day.year, day.month, day.day, hour, minute, second, fraction))
    except ValueError:
        raise Mismatch(
            f"{text!r} is not a date or time.", "Write it as '2026-11-22' or '2026-11-22 20:15:00'."
        ) from None


_ANY_CASE: Final = "ANY_CASE"


def collation_of(*expressions: Expression) -> str:
    """ "ci" if one of them is a column that compares without case, or was told to."""
    return "ci" if any(_in_any_case(e) for e in expressions) else ""


def _in_any_case(e: Expression) -> bool:
    if isinstance(e, Call):
        return e.function == _ANY_CASE
    return isinstance(e, ColumnRef) and e.collation == "ci"


def in_any_case(expression: Expression) -> Expression:
    """The text compared without case, whatever its column says."""
    return Call(type="VARCHAR", function=_ANY_CASE, arguments=(expression,))


def lowered(expression: Expression) -> Expression:
    """Text without its case."""
    return Call(type="VARCHAR", function="LOWER", arguments=(expression,))


def without_case(expression: Expression) -> Expression:
    """Text that ignores case as it is sorted and grouped, anything else as it is."""
    return lowered(expression) if collation_of(expression) == "ci" else expression


def by_bytes(expression: Expression) -> Expression:
    """The text compared with its case, whatever its column says."""
    if isinstance(expression, Call) and expression.function == _ANY_CASE:
        return by_bytes(expression.arguments[0])
    return replace(expression, collation="") if isinstance(expression, ColumnRef) else expression


# -- logic


def negation(operand: Expression) -> Expression:
    """NOT of a truth value."""
    if isinstance(operand, Unary) and operand.operator == "NOT":
        return operand.operand
    if isinstance(operand, IsNull | Between | InList | Like):
        return replace(operand, negated=not operand.negated)
    return Unary(type="BOOLEAN", operator="NOT", operand=operand)


def chain(operator: str, predicates: Sequence[Expression]) -> Expression:
    """AND or OR of any number of predicates, as flat a tree as two-armed nodes can be: nothing recurses deeply."""
    if len(predicates) == 1:
        return predicates[0]
    middle = (len(predicates) + 1) // 2
    left, right = chain(operator, predicates[:middle]), chain(operator, predicates[middle:])
    return Binary(type="BOOLEAN", operator=operator, left=left, right=right)


def exclusive(left: Expression, right: Expression) -> Expression:
    """XOR of truth values: they differ, and NULL if either is."""
    return Binary(type="BOOLEAN", operator="<>", left=left, right=right)
