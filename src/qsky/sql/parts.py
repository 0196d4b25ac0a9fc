"""What a bound query has inside: nested queries, stages, columns of the queries around it, aggregates, windows. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from qsky.sql.query import (
    Aggregate,
    Call,
    ColumnRef,
    Combined,
    Expression,
    From,
    GivenRef,
    Join,
    Query,
    Window,
    expressions_after_where,
    expressions_of,
    sources_of,
    walk,
)

_BY_CHANCE: Final = frozenset({"RAND", "UUID"})


def queries_of(query: Query) -> tuple[Query, ...]:
    """A query, and those nested in it."""
    return (query, *(sub.query for sub in query.nested if sub.query is not None))


def stages_of(source: From | None) -> Iterator[int]:
    """Every mention of a stage in a FROM, left to right."""
    if isinstance(source, GivenRef):
        yield source.stage
    elif isinstance(source, Join | Combined):
        yield from stages_of(source.left)
        yield from stages_of(source.right)


def free_columns(query: Query) -> tuple[ColumnRef, ...]:
    """The columns a query reads of the queries around it, in the order of the text."""
    own = {leaf.alias for leaf in sources_of(query.source)}
    parts = (part for expression in expressions_of(query) for part in walk(expression))
    return tuple(dict.fromkeys(part for part in parts if isinstance(part, ColumnRef) and part.table not in own))


def aggregates_in(query: Query) -> tuple[Aggregate, ...]:
    """Every different aggregate of a query, in the order of appearance."""
    parts = (part for expression in expressions_after_where(query) for part in walk(expression))
    return tuple(dict.fromkeys(part for part in parts if isinstance(part, Aggregate)))


def windows_in(query: Query) -> tuple[Window, ...]:
    """Every different window function of a query, in the order of appearance."""
    parts = (part for expression in expressions_after_where(query) for part in walk(expression))
    return tuple(dict.fromkeys(part for part in parts if isinstance(part, Window)))


def by_chance(expression: Expression) -> bool:
    """Whether the value is another one each time it is worked out."""
    return any(isinstance(part, Call) and part.function in _BY_CHANCE for part in walk(expression))
