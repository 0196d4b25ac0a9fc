"""Queries with groups: what is shown is grouped or aggregated, or any row's of the group, as MySQL has it. Pure.

Text that ignores case is grouped by its lower case and shown as some row of the group has it; DISTINCT of such text is
grouping too. bind calls this when all clauses are bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qsky.sql import operators as op
from qsky.sql.parse import Parsed
from qsky.sql.query import Aggregate, ColumnRef, Expression, Literal_, Query, SubQuery, sources_of
from qsky.sql.rewrite import rewritten


def checked_groups(parsed: Parsed, tree: Any, query: Query, nodes: Sequence[Any]) -> Query:
    """The query with loose columns made FIRST(column) in MySQL; anywhere else they are refused. Raises bad-query."""
    if not query.aggregates:
        return query
    if parsed.lang == "mysql":
        return _loosened(query)
    query = _loosened(query, only_ci=True)
    own = {leaf.alias for leaf in sources_of(query.source)}
    checked: list[tuple[Expression, Any]] = [(i.expression, n) for i, n in zip(query.items, nodes, strict=True)]
    if query.having is not None:
        checked.append((query.having, tree.args["having"]))
    checked += [(o.expression, n) for o, n in zip(query.order_by, order_nodes(tree), strict=True)]
    for expression, node in checked:
        loose = _loose_column(expression, query.group_by, own)
        if loose is not None:
            sentence = f"The column {loose.table}.{loose.column} is neither grouped nor inside an aggregate."
            hint = "Add it to GROUP BY, or use MIN(...) of it."
            raise parsed.error(node, "bad-query", sentence, hint)
    return query


def order_nodes(tree: Any) -> list[Any]:
    return list(tree.args["order"].expressions) if tree.args.get("order") is not None else []


def _loose_column(expression: Expression, groups: Sequence[Expression], own: set[str]) -> ColumnRef | None:
    """A column outside aggregates that the groups do not fix."""
    if expression in groups or isinstance(expression, Aggregate | Literal_):
        return None
    if isinstance(expression, ColumnRef):
        return expression if expression.table in own else None
    for child in expression.children():
        loose = _loose_column(child, groups, own)
        if loose is not None:
            return loose
    return None


def _loosened(query: Query, *, only_ci: bool = False) -> Query:
    """Every loose column as its value in some row of the group, the same row for all of them."""
    own = {leaf.alias for leaf in sources_of(query.source)}

    def fixed(expression: Expression) -> Expression | None:
        if expression in query.group_by or isinstance(expression, Aggregate | SubQuery):
            return expression
        if not isinstance(expression, ColumnRef) or expression.table not in own:
            return None
        if only_ci and op.without_case(expression) not in query.group_by:
            return None
        return Aggregate(type=expression.type, function="FIRST", arguments=(expression,))

    items, having, order_by = rewritten((query.items, query.having, query.order_by), fixed)
    return replace(query, items=items, having=having, order_by=order_by)


def grouped_distinct(parsed: Parsed, tree: Any, query: Query) -> Query:
    """DISTINCT checked, and of text that ignores case turned into groups. Raises bad-query, not-supported."""
    if not query.distinct:
        return query
    shown = [item.expression for item in query.items]
    sortable = {*shown, *map(op.without_case, shown)}
    for order, node in zip(query.order_by, order_nodes(tree), strict=True):
        if order.expression not in sortable and not isinstance(order.expression, Literal_):
            sentence = "With SELECT DISTINCT, ORDER BY can only use what SELECT shows."
            raise parsed.error(node, "bad-query", sentence)
    if not any(op.collation_of(expression) for expression in shown):
        return query
    if query.aggregates:
        raise parsed.error(tree, "not-supported", "DISTINCT of text that ignores case beside groups is not supported.")
    groups = tuple(dict.fromkeys(op.without_case(expression) for expression in shown))
    return _loosened(replace(query, group_by=groups, distinct=False))
