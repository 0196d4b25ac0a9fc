"""Parts of a typed value replaced by others of equal meaning. Pure.

Called wherever a query is changed after it is bound: values of the session, answers of stages, loose columns of groups,
and the columns of collected pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, Final, TypeVar

from qsky.sql.query import Expression

Change = Callable[[Expression], Expression | None]
T = TypeVar("T")
# Tables of the catalogue stand in queries as well, and hold no expression.
_OF_QUERIES: Final = "qsky.sql."


def rewritten(value: T, change: Change) -> T:
    """A query, or any part of one, with what `change` has for each outermost expression; None looks inside it.

    What nothing changes stays the same object.
    """
    made: T = _rewritten(value, change)
    return made


def _rewritten(value: Any, change: Change) -> Any:
    if isinstance(value, tuple):
        new = [_rewritten(each, change) for each in value]
        return value if all(map(_same, value, new)) else tuple(new)
    if isinstance(value, Expression):
        instead = change(value)
        if instead is not None:
            return instead
    changes = dict[str, Any]()
    for name in _fields_of(value.__class__):
        old = getattr(value, name)
        new = _rewritten(old, change)
        if new is not old:
            changes[name] = new
    return replace(value, **changes) if changes else value


def _same(one: object, other: object) -> bool:
    return one is other


@cache
def _fields_of(kind: type) -> tuple[str, ...]:
    """The names of the fields that can hold an expression."""
    inside = is_dataclass(kind) and kind.__module__.startswith(_OF_QUERIES)
    return tuple(spec.name for spec in fields(kind)) if inside else ()
