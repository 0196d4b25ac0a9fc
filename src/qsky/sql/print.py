"""Typed expressions as DuckDB's SQL, node class by node class: the only way from a query to DuckDB. Pure.

plan builds statements around these texts. What is not a node of sql.query is a defect, never a text. Every text is a
single operand (parenthesised where it must be) and the same expression always gives the same text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np

from qsky.errors import QskyError
from qsky.sky.functions import polygon_text
from qsky.sky.region import Polygon
from qsky.sql.aggregates import FOLDS, FORMS
from qsky.sql.functions import FUNCTIONS, call_text
from qsky.sql.query import (
    Aggregate,
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
    Order,
    SubQuery,
    Unary,
    Window,
)
from qsky.sql.types import is_exact, is_float

ColumnText = Callable[[ColumnRef], str]
NestedText = Callable[[SubQuery], str]

# An argument that a text repeats is written out this often only while it is short: nested, it would grow without end.
_REPEATED_LENGTH_MAX: Final = 160
_PLAIN: Final = frozenset({"+", "-", "*", "&", "|", "<<", ">>", "=", "<>", "<", "<=", ">", ">="})
_COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})


def _no_nested(sub: SubQuery) -> str:
    raise QskyError("internal", f"A sub-query ({sub.form}) cannot be printed here.")


def print_expression(expression: Expression, column: ColumnText, nested: NestedText = _no_nested) -> str:
    """The expression as SQL; `column` gives the text of a column, `nested` that of a sub-query's SELECT.

    Raises internal for a class it does not know.
    """
    return _Printer(column, nested).text(expression)


def print_order(order: Order, column: ColumnText, nested: NestedText = _no_nested) -> str:
    """One ORDER BY term with its direction and the place of NULLs written out."""
    return _Printer(column, nested).order(order)


def literal_text(value: Any, kind: str) -> str:
    """A constant of a type as SQL."""
    if value is None:
        return "NULL" if kind == "NULL" else f"CAST(NULL AS {kind})"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if kind in ("DOUBLE", "FLOAT"):
        return _float_text(float(value), kind)
    if isinstance(value, int | Decimal):
        text = str(value)
        text = f"({text})" if text.startswith("-") else text
        return text if kind in ("INTEGER", "BIGINT") and not _narrow(value, kind) else f"CAST({text} AS {kind})"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'" if "\0" not in value else _text_with_zeros(value)
    if isinstance(value, bytes):
        return f"from_hex('{value.hex()}')"
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    raise QskyError("internal", f"A constant of class {type(value).__name__} cannot be printed.")


def _narrow(value: Any, kind: str) -> bool:
    """Whether DuckDB would read the digits as a narrower type than meant."""
    return kind == "BIGINT" and -(1 << 31) <= value < 1 << 31


def _float_text(value: float, kind: str) -> str:
    """repr is the shortest text that is read back as the same double; the exponent keeps DuckDB from making a decimal."""
    if not math.isfinite(value):
        return f"CAST('{value}' AS {kind})"
    text = repr(value)
    text = text if "e" in text else f"{text}e0"
    text = f"({text})" if text.startswith("-") else text
    return text if kind == "DOUBLE" else f"CAST({text} AS {kind})"


def _text_with_zeros(value: str) -> str:
    return "(" + " || chr(0) || ".join(literal_text(part, "VARCHAR") for part in value.split("\0")) + ")"


@dataclass(frozen=True)
class _Printer:
    column: ColumnText
    nested: NestedText

    def text(self, expression: Expression) -> str:
        printer = _PRINTERS.get(type(expression))
        if printer is None:
            raise QskyError("internal", f"An expression of class {type(expression).__name__} cannot be printed.")
        return printer(self, expression)

    def order(self, order: Order) -> str:
        text = _unplaced(self.text(order.expression))
        direction = "DESC" if order.descending else "ASC"
        return f"{text} {direction} NULLS {'FIRST' if order.nulls_first else 'LAST'}"

    def texts(self, expressions: tuple[Expression, ...]) -> tuple[str, ...]:
        return tuple(self.text(expression) for expression in expressions)


def _column(self: _Printer, e: ColumnRef) -> str:
    return self.column(e)


def _literal(self: _Printer, e: Literal_) -> str:
    return literal_text(e.value, e.type)


def _unary(self: _Printer, e: Unary) -> str:
    if e.operator not in ("-", "~", "NOT"):
        raise QskyError("internal", f"The operator {e.operator} cannot be printed.")
    return f"({e.operator} {self.text(e.operand)})"


def _binary(self: _Printer, e: Binary) -> str:
    if e.operator in ("AND", "OR"):
        return "(" + f" {e.operator} ".join(self.texts(_flat(e, e.operator))) + ")"
    if e.operator == "||":
        return _call(self, Call(type=e.type, function="CONCAT", arguments=_flat(e, "||")))
    left, right = self.text(e.left), self.text(e.right)
    if e.collation == "ci":
        left, right = f"lower({left})", f"lower({right})"
    if e.operator in _PLAIN:
        return f"({left} {e.operator} {right})"
    if e.operator == "<=>":
        return f"({left} IS NOT DISTINCT FROM {right})"
    if e.operator == "^":
        return f"xor({left}, {right})"
    if e.operator in ("/", "%", "DIV"):
        return _division(e, left, right)
    raise QskyError("internal", f"The operator {e.operator} cannot be printed.")


def _flat(e: Expression, operator: str) -> tuple[Expression, ...]:
    if isinstance(e, Binary) and e.operator == operator:
        return _flat(e.left, operator) + _flat(e.right, operator)
    return (e,)


def _division(e: Binary, left: str, right: str) -> str:
    """Division by zero is NULL, as in MySQL, where DuckDB has infinity or an error."""
    exact = is_exact(e.left.type) and is_exact(e.right.type)
    pattern = {"/": "{0} / {1}", "%": "{0} % {1}", "DIV": "{0} // {1}" if exact else "CAST(trunc({0} / {1}) AS BIGINT)"}
    body = pattern[e.operator]
    if isinstance(e.right, Literal_) and e.right.value is not None:
        return f"({body.format(left, right)})" if e.right.value != 0 else f"CAST(NULL AS {e.type})"
    return _once((left, right), f"CASE WHEN {{1}} <> 0 THEN {body} END")


def _once(arguments: tuple[str, ...], body: str, repeats: bool = True) -> str:
    """A text with its arguments; long ones that it repeats become the parameters of a function evaluated on the spot."""
    if not repeats or not any(_costly(argument) for argument in arguments):
        text = body.format(*arguments)
        return f"({text})" if text.startswith("CASE") else text
    name = f"v{max(_depth(argument) for argument in arguments) + 1}"
    struct = ", ".join(f"'a{at}': {argument}" for at, argument in enumerate(arguments))
    inner = body.format(*(f"{name}.a{at}" for at in range(len(arguments))))
    return f"list_transform([{{{struct}}}], lambda {name}: {inner})[1]"


def _costly(argument: str) -> bool:
    """Whether a text must not be repeated: it is long, or DuckDB will replace a macro in it by a long one."""
    return len(argument) > _REPEATED_LENGTH_MAX or "scisql_" in argument or "qsky_" in argument


def _depth(text: str) -> int:
    """How many functions on the spot are already nested in a text; their parameters are v1, v2, ..."""
    depth = 0
    while f"lambda v{depth + 1}:" in text:
        depth += 1
    return depth


def _between(self: _Printer, e: Between) -> str:
    operand, low, high = self.texts((e.operand, e.low, e.high))
    if e.collation == "ci":
        operand, low, high = f"lower({operand})", f"lower({low})", f"lower({high})"
    return f"({operand} {'NOT ' if e.negated else ''}BETWEEN {low} AND {high})"


def _in_list(self: _Printer, e: InList) -> str:
    operand, items = self.text(e.operand), self.texts(e.items)
    if e.collation == "ci":
        operand, items = f"lower({operand})", tuple(f"lower({item})" for item in items)
    return f"({operand} {'NOT ' if e.negated else ''}IN ({', '.join(items)}))"


def _like(self: _Printer, e: Like) -> str:
    operand, pattern = self.text(e.operand), self.text(e.pattern)
    if e.collation == "ci":
        operand, pattern = f"lower({operand})", f"lower({pattern})"
    escape = f" ESCAPE {literal_text(e.escape, 'VARCHAR')}" if e.escape else ""
    return f"({operand} {'NOT ' if e.negated else ''}LIKE {pattern}{escape})"


def _is_null(self: _Printer, e: IsNull) -> str:
    return f"({self.text(e.operand)} IS {'NOT ' if e.negated else ''}NULL)"


def _case(self: _Printer, e: Case) -> str:
    branches = " ".join(f"WHEN {self.text(condition)} THEN {self.text(value)}" for condition, value in e.branches)
    otherwise = f" ELSE {self.text(e.otherwise)}" if e.otherwise is not None else ""
    return f"(CASE {branches}{otherwise} END)"


def _cast(self: _Printer, e: Cast) -> str:
    return f"CAST({self.text(e.operand)} AS {e.type})"


def _call(self: _Printer, e: Call) -> str:
    function = FUNCTIONS.get(e.function)
    if function is None:
        raise QskyError("internal", f"The function {e.function} cannot be printed.")
    if e.function == "scisql_s2PtInCPoly":
        return _polygon(self, e)
    slots = tuple(f"{{{at}}}" for at in range(len(e.arguments)))
    first = e.arguments[0].type if e.arguments else ""
    body = call_text(function, slots, first)
    return _once(self.texts(e.arguments), body, function.repeats)


def _polygon(self: _Printer, e: Call) -> str:
    """The half-spaces of the edges, computed here from the constant vertices."""
    numbers = [float(a.value) for a in e.arguments[2:] if isinstance(a, Literal_)]
    if len(numbers) != len(e.arguments) - 2:
        raise QskyError("internal", "The vertices of a polygon must be constants.")
    vertices = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    try:
        normals = Polygon(vertices).normals()
    except QskyError:
        # scisql answers NULL for vertices beyond the poles
        return "CAST(NULL AS INTEGER)"
    return _once(self.texts(e.arguments[:2]), polygon_text("{0}", "{1}", np.asarray(normals)))


def _aggregate(self: _Printer, e: Aggregate) -> str:
    """The whole aggregate in one step, in its type; how it splits is plan's business."""
    return _folded_text(self, e.function, e.arguments, e.type, distinct=e.distinct, order_by=e.order_by)


def _folded_text(
    self: _Printer,
    function: str,
    given: tuple[Expression, ...],
    kind: str,
    over: str = "",
    *,
    distinct: bool = False,
    order_by: tuple[Order, ...] = (),
) -> str:
    """An aggregate, or with `over` the same over a window."""
    arguments = self.texts(given)
    if function == "COUNT":
        return _count(arguments, distinct) + over
    form = FORMS.get(function) or FOLDS.get(function)
    if form is None:
        raise QskyError("internal", f"The aggregate {function} cannot be printed.")
    if function in ("SUM", "AVG") and kind == "DOUBLE" and not is_float(given[0].type):
        # exact numbers would overflow or round in DuckDB's own way; FLOAT it adds in 64 bits by itself
        arguments = (f"CAST({arguments[0]} AS DOUBLE)",)
    first = f"DISTINCT {arguments[0]}" if distinct else arguments[0]
    # a constant orders nothing, and DuckDB refuses it
    orders = [self.order(each) for each in order_by if not isinstance(each.expression, Literal_)]
    order = " ORDER BY " + ", ".join(orders) if orders else ""
    text = form.text.format(first, *arguments[1:], order=order) + over
    if function == "SUM" and kind != "DOUBLE":
        return f"CAST({text} AS {kind})"
    return f"coalesce({text}, {_EMPTY[function]})" if function in _EMPTY else text


# MySQL's bit aggregates of nothing are neutral elements; as signed 64-bit numbers, all ones is -1.
_EMPTY: Final = {"BIT_AND": "-1", "BIT_OR": "0", "BIT_XOR": "0"}


def _window(self: _Printer, e: Window) -> str:
    partition = "PARTITION BY " + ", ".join(map(_unplaced, self.texts(e.partition_by))) if e.partition_by else ""
    order = "ORDER BY " + ", ".join(self.order(each) for each in e.order_by) if e.order_by else ""
    frame = "{} BETWEEN {} AND {}".format(*e.frame) if e.frame is not None else ""
    over = " OVER (" + " ".join(part for part in (partition, order, frame) if part) + ")"
    if e.function in FORMS:
        return _folded_text(self, e.function, e.arguments, e.type, over)
    return f"{e.function.lower()}({', '.join(self.texts(e.arguments))}){over}"


def _unplaced(text: str) -> str:
    """Anything but a bare constant: a number might be taken for a column's place, a text is refused."""
    if text.isdecimal():
        return f"({text} + 0)"
    return f"({text} || '')" if text.startswith("'") and text.endswith("'") else text


def _subquery(self: _Printer, e: SubQuery) -> str:
    rows = self.nested(e)
    negated = "NOT " if e.negated else ""
    operands = ", ".join(self.texts(e.operands))
    if e.form == "value":
        return f"({rows})"
    if e.form == "exists":
        return f"({negated}EXISTS ({rows}))"
    if e.form == "in":
        left = operands if len(e.operands) == 1 else f"({operands})"
        return f"({left} {negated}IN ({rows}))"
    return f"({operands} {e.operator} {e.form.upper()} ({rows}))"


def _count(arguments: tuple[str, ...], distinct: bool) -> str:
    if not arguments:
        return "count(*)"
    if not distinct:
        return f"count({arguments[0]})"
    if len(arguments) == 1:
        return f"count(DISTINCT {arguments[0]})"
    # a row in which anything is NULL counts in no dialect but DuckDB's
    known = " AND ".join(f"{argument} IS NOT NULL" for argument in arguments)
    return f"count(DISTINCT CASE WHEN {known} THEN row({', '.join(arguments)}) END)"


_PRINTERS: Final[dict[type[Expression], Callable[[_Printer, Any], str]]] = {
    ColumnRef: _column,
    Literal_: _literal,
    Unary: _unary,
    Binary: _binary,
    Between: _between,
    InList: _in_list,
    Like: _like,
    IsNull: _is_null,
    Case: _case,
    Cast: _cast,
    Call: _call,
    Aggregate: _aggregate,
    Window: _window,
    SubQuery: _subquery,
}
