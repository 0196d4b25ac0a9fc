"""Replacing parts of an expression by others of equal meaning. Called by plan.split; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from qsky.sql.query import Aggregate, Expression, Order, Query, Window, walk


def replaced(expression: Expression, by: Mapping[Expression, Expression]) -> Expression:
    """The expression with every outermost part that `by` knows replaced."""
    if expression in by:
        return by[expression]
    changes = {}
    for spec in fields(expression):
        old = getattr(expression, spec.name)
        new = _inside(old, lambda part: replaced(part, by))
        if new is not old:
            changes[spec.name] = new
    return replace(expression, **changes) if changes else expression


def _inside(value: Any, change: Callable[[Expression], Expression]) -> Any:
    if isinstance(value, Expression):
        return change(value)
    if isinstance(value, Order):
        changed = change(value.expression)
        return value if changed is value.expression else replace(value, expression=changed)
    if isinstance(value, tuple):
        new = tuple(_inside(item, change) for item in value)
        return value if all(a is b for a, b in zip(value, new, strict=True)) else new
    return value


def aggregates_in(expressions: tuple[Expression, ...]) -> tuple[Aggregate, ...]:
    """Every different aggregate in the expressions, in the order of appearance."""
    found = [part for expression in expressions for part in walk(expression) if isinstance(part, Aggregate)]
    return tuple(dict.fromkeys(found))


def windows_in(query: Query) -> tuple[Window, ...]:
    """Every different window function of a query, in the order of appearance."""
    shown = [*(item.expression for item in query.items), *(order.expression for order in query.order_by)]
    return tuple(dict.fromkeys(p for expression in shown for p in walk(expression) if isinstance(p, Window)))


def has_window(query: Query) -> bool:
    return bool(windows_in(query))
