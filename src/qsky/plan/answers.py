"""Answers of sub-queries put into the query that asked: one value as a constant, few rows of IN as a list. Pure.

Called by `engine` before a query is planned, so that planning sees constants: a list of keys is looked up in the
director index like any other. What is not put in stays a sub-query over the rows of its stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final

from qsky.errors import QskyError
from qsky.plan.model import Given
from qsky.sql.query import Binary, Expression, InList, Literal_, Query, SubQuery, Unary
from qsky.sql.statement import given_name

_LIST_MAX: Final = 5000
_LISTED: Final = frozenset(
    {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR", "DATE"}
)


def answered(query: Query, given: Given) -> Query:
    """The query with answers for what is known. Raises bad-query where a value has more than one row."""
    found: Query = _mapped(query, lambda part: _answer(part, given) if isinstance(part, SubQuery) else part)
    return found


def _answer(sub: SubQuery, given: Given) -> Expression:
    rows = None if sub.stage is None else given.get(given_name(sub.stage))
    if rows is None:
        return sub
    if sub.form == "exists":
        return Literal_(type="BOOLEAN", value=(rows.num_rows > 0) != sub.negated)
    if sub.form == "value":
        return _value(sub, rows)
    if sub.form == "in" and len(sub.operands) == 1 and rows.num_rows <= _LIST_MAX and sub.operands[0].type in _LISTED:
        return _listed(sub, rows)
    return sub


def _value(sub: SubQuery, rows: Any) -> Expression:
    if rows.num_rows > 1:
        sentence = "A sub-query that stands for one value gives several rows."
        raise QskyError("bad-query", sentence, hint="Add LIMIT 1, an aggregate, or use IN.")
    value = rows.column(0)[0].as_py() if rows.num_rows else None
    return Literal_(type=sub.type, value=value) if sub.type in _LISTED or value is None else sub


def _listed(sub: SubQuery, rows: Any) -> Expression:
    """IN over nothing is false, even for NULL; NULL among the rows makes a miss unknown."""
    operand = sub.operands[0]
    kind = operand.type
    values = rows.column(0).unique().to_pylist()
    if not values:
        return Literal_(type="BOOLEAN", value=sub.negated)
    items = tuple(Literal_(type=kind, value=value) for value in values if value is not None)
    if len(items) == len(values):
        return InList(type="BOOLEAN", operand=operand, items=items, negated=sub.negated)
    unknown = Literal_(type="BOOLEAN", value=None)
    if not items:
        return unknown
    found = InList(type="BOOLEAN", operand=operand, items=items)
    either: Expression = Binary(type="BOOLEAN", operator="OR", left=found, right=unknown)
    if sub.negated:
        either = Unary(type="BOOLEAN", operator="NOT", operand=either)
    return either


Change = Callable[[Expression], Expression]


def _mapped(value: Any, change: Change) -> Any:
    """A typed value with every expression in it changed, from the inside out."""
    if isinstance(value, tuple):
        new = tuple(_mapped(each, change) for each in value)
        return value if all(a is b for a, b in zip(value, new, strict=True)) else new
    if not (isinstance(value, Expression) or type(value).__module__ == Query.__module__) or isinstance(value, type):
        return value
    changes = {}
    for spec in fields(value):
        old = getattr(value, spec.name)
        new = _mapped(old, change)
        if new is not old:
            changes[spec.name] = new
    whole = replace(value, **changes) if changes else value
    return change(whole) if isinstance(whole, Expression) else whole
