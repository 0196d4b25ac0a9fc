"""Typed queries as DuckDB's SQL: the words between the expressions, which sql.print alone writes. Pure.

A member of FROM is left as a hole, its alias between two NUL characters, which no other text has: plan fills it with
the files of a fragment, the name of a gathered table, or that of the rows of a stage, `given_<n>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from qsky.sql.print import print_expression, print_order
from qsky.sql.query import (
    ColumnRef,
    Combined,
    Expression,
    From,
    GivenRef,
    Join,
    Literal_,
    Order,
    Query,
    SubQuery,
    TableRef,
)

_HOLE: Final = re.compile("\0([^\0]*)\0")
_ROWS_MAX: Final = 2**63 - 1
_JOIN_WORDS: Final = {"left": "LEFT JOIN", "full": "FULL JOIN", "inner": "JOIN", "cross": "JOIN"}


@dataclass(frozen=True)
class Select:
    """One SELECT over a FROM that is spelled elsewhere. `items` are (name of the column, expression)."""

    items: tuple[tuple[str, Expression], ...]
    where: Expression | None = None
    group_by: tuple[Expression, ...] = ()
    having: Expression | None = None
    order_by: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    distinct: bool = False


def whole(query: Query) -> Select:
    """The query as one statement; its columns are c0, c1, ..."""
    return Select(
        items=tuple((f"c{place}", item.expression) for place, item in enumerate(query.items)),
        where=query.where,
        group_by=query.group_by,
        having=query.having,
        order_by=query.order_by,
        limit=query.limit,
        offset=query.offset,
        distinct=query.distinct,
    )


def quoted(name: str) -> str:
    """An identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'


def given_name(stage: int) -> str:
    """What SQL calls the rows of a stage."""
    return f"given_{stage}"


def hole(alias: str) -> str:
    """The place of a table of the catalogue."""
    return f"\0{alias}\0"


def split_holes(text: str) -> list[tuple[str, bool]]:
    """The text in parts: (text, False) and (alias, True)."""
    return [(part, at % 2 == 1) for at, part in enumerate(_HOLE.split(text)) if part]


def filled(text: str, relation: Callable[[str], str]) -> str:
    """The text with a relation in each hole."""
    return _HOLE.sub(lambda found: relation(found[1]), text)


def column_text(column: ColumnRef) -> str:
    return f"{quoted(column.table)}.{quoted(column.column)}"


def text_of(expression: Expression) -> str:
    return print_expression(expression, column_text, nested_text)


def item_text(name: str, expression: Expression) -> str:
    """An item under its name, of exactly the type it is bound to."""
    text = text_of(expression)
    if not isinstance(expression, ColumnRef) and expression.type != "NULL":
        text = f"CAST({text} AS {expression.type})"
    return f"{text} AS {quoted(name)}"


def nested_text(sub: SubQuery) -> str:
    """The rows of a sub-query as a SELECT."""
    if sub.query is not None:
        return select_text(whole(sub.query), from_text(sub.query.source))
    assert sub.stage is not None
    columns = ", ".join(f'"c{place}"' for place in range(len(sub.operands) or 1))
    return f"SELECT {columns} FROM {quoted(given_name(sub.stage))}"


def select_text(select: Select, source: str, also: Sequence[str] = (), rows_in_order_of: str = "") -> str:
    """The statement over a source, "" for no FROM at all. `also` are conditions printed already.

    `rows_in_order_of`, the alias of a source of one member, has DuckDB group and fold the rows in the order in which
    they are read. Left alone it lets the rows of small batches that pass a filter wait and come after later ones, so
    that sums differ in the last bit by how the same rows were batched; a LIMIT that never ends keeps it from that.
    """
    head = "SELECT DISTINCT " if select.distinct else "SELECT "
    head += ", ".join(item_text(name, expression) for name, expression in select.items)
    conditions = [f"({text_of(select.where)})"] if select.where is not None else []
    tail = ""
    if conditions or also:
        tail += " WHERE " + " AND ".join((*also, *conditions))
    if rows_in_order_of:
        source = f"(SELECT * FROM {source}{tail} LIMIT {_ROWS_MAX}) AS {quoted(rows_in_order_of)}"
        tail = ""
    if select.group_by:
        tail += " GROUP BY " + ", ".join(_group_text(group) for group in select.group_by)
    if select.having is not None:
        tail += f" HAVING {text_of(select.having)}"
    # a constant orders nothing, and DuckDB would take it for a column's place
    orders = [
        print_order(order, column_text, nested_text)
        for order in select.order_by
        if not isinstance(order.expression, Literal_)
    ]
    if orders:
        tail += " ORDER BY " + ", ".join(orders)
    if select.limit is not None:
        tail += f" LIMIT {select.limit}"
    if select.offset:
        tail += f" OFFSET {select.offset}"
    return f"{head} FROM {source}{tail}" if source else head + tail


def _group_text(expression: Expression) -> str:
    """A constant in GROUP BY would be a column's place; a bare NULL is none, and no type to cast to."""
    text = text_of(expression)
    place = isinstance(expression, Literal_) and expression.type != "NULL"
    return f"CAST({text} AS {expression.type})" if place else text


def from_text(source: From | None) -> str:
    """A FROM, with a hole for each table."""
    if source is None:
        return ""
    if isinstance(source, TableRef | GivenRef | Combined):
        return f"{hole(source.alias)} AS {quoted(source.alias)}"
    left, right = from_text(source.left), from_text(source.right)
    if isinstance(source.right, Join):
        right = f"({right})"
    if source.on is None and source.kind in ("inner", "cross"):
        return f"{left} CROSS JOIN {right}"
    condition = text_of(source.on) if source.on is not None else "TRUE"
    return f"{left} {_JOIN_WORDS[source.kind]} {right} ON ({condition})"


def given_relation(source: Combined | GivenRef) -> str:
    """What SQL reads where rows of stages stand in FROM."""
    return quoted(given_name(source.stage)) if isinstance(source, GivenRef) else f"({_combined_text(source)})"


def _combined_text(source: Combined | GivenRef) -> str:
    if isinstance(source, GivenRef):
        columns = ", ".join(f'"c{place}"' for place in range(len(source.types)))
        return f"SELECT {columns} FROM {quoted(given_name(source.stage))}"
    word = f"{source.operator} ALL" if source.all else source.operator
    return f"({_combined_text(source.left)}) {word} ({_combined_text(source.right)})"
