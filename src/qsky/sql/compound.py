"""UNION, INTERSECT and EXCEPT: every operand is a stage, and the query reads their rows together. Pure; bind uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlglot import exp

from qsky.sql import operators as op
from qsky.sql.operators import Mismatch
from qsky.sql.parts import free_columns
from qsky.sql.query import Combined, GivenRef, Item, Query
from qsky.sql.source import given_column
from qsky.sql.tables import Surroundings, Tables, ctes_of, refuse_other_args
from qsky.sql.types import NULL

_ARGS = {"this", "expression", "distinct", "order", "limit", "offset", "with_"}
_WORDS = {exp.Union: "UNION", exp.Intersect: "INTERSECT", exp.Except: "EXCEPT"}
Operand = Query | tuple[str, bool, "Operand", "Operand"]


def bind_compound(tables: Tables, node: Any, around: Surroundings) -> Query:
    """The query over the operands, without ORDER BY and LIMIT. Raises not-supported, bad-query, type-mismatch."""
    tree = _operation(tables, node, ctes_of(tables.parsed, node, around))
    leaves = list(_leaves(tree))
    types = _types(tables, node, leaves)
    combined = _combined(tables, tree, types)
    first = leaves[0]
    if not _all(tree) and any(op.collation_of(item.expression) for item in first.items):
        sentence = "A set operation that compares text without case is not supported."
        raise tables.parsed.error(node, "not-supported", sentence, "Use LOWER(...) of the text, or UNION ALL.")
    whole = GivenRef(combined.alias, -1, types)
    items = tuple(
        replace(item, expression=given_column(whole, place, Item(op.cast(item.expression, types[place]), "")))
        for place, item in enumerate(first.items)
    )
    return Query(items, combined)


def _tree(tables: Tables, node: Any, around: Surroundings) -> Operand:
    """The operations as a tree with bound operands; an operand with an order or limit of its own is a query."""
    inner = node
    while isinstance(inner, exp.Subquery) and not _others(inner):
        inner = inner.this
    if isinstance(inner, exp.SetOperation) and not _ordered(inner) and inner.args.get("with_") is None:
        return _operation(tables, inner, around)
    query = tables.bind_query(node, around)
    if free_columns(query):
        sentence = "A set operation inside a sub-query cannot use columns of the query around it."
        raise tables.parsed.error(node, "not-supported", sentence)
    return query


def _operation(tables: Tables, node: Any, around: Surroundings) -> Operand:
    refuse_other_args(tables.parsed, node, _ARGS, "a set operation")
    word, every = _WORDS[type(node)], not node.args.get("distinct")
    return word, every, _tree(tables, node.this, around), _tree(tables, node.expression, around)


def _others(node: Any) -> bool:
    return any(value for name, value in node.args.items() if name != "this")


def _ordered(node: Any) -> bool:
    return any(node.args.get(name) is not None for name in ("order", "limit", "offset"))


def _leaves(tree: Operand) -> Sequence[Query]:
    if isinstance(tree, Query):
        return [tree]
    return [*_leaves(tree[2]), *_leaves(tree[3])]


def _all(tree: Operand) -> bool:
    return isinstance(tree, Query) or (tree[1] and _all(tree[2]) and _all(tree[3]))


def _types(tables: Tables, node: Any, leaves: Sequence[Query]) -> tuple[str, ...]:
    """The type of each column: one that holds the values of every operand."""
    widths = {len(query.items) for query in leaves}
    if len(widths) > 1:
        counts = " and ".join(map(str, sorted(widths)))
        raise tables.parsed.error(node, "bad-query", f"The operands of a set operation have {counts} columns.")
    types = []
    for place, item in enumerate(leaves[0].items):
        column = [query.items[place].expression for query in leaves]
        try:
            unified = op.unify(column, f"Column {place + 1} ({item.name}) of a set operation")
        except Mismatch as wrong:
            raise tables.parsed.error(node, "type-mismatch", wrong.sentence, wrong.hint) from None
        types.append("INTEGER" if unified[0].type == NULL else unified[0].type)
    return tuple(types)


def _combined(tables: Tables, tree: Operand, types: tuple[str, ...]) -> Combined | GivenRef:
    if isinstance(tree, Query):
        return tables.given("operand", _in_types(tables, tree, types))
    word, every, left, right = tree
    one, other = _combined(tables, left, types), _combined(tables, right, types)
    return Combined(tables.unique("combined"), word, every, one, other, types)


def _in_types(tables: Tables, query: Query, types: tuple[str, ...]) -> Query:
    """The operand with its columns cast; one that sorts or limits is answered first, so that these stay what they were."""
    wanted = tuple(op.cast(item.expression, kind) for item, kind in zip(query.items, types, strict=True))
    if all(new == item.expression for new, item in zip(wanted, query.items, strict=True)):
        return query
    if query.distinct or query.order_by or query.limit is not None:
        given = tables.given("operand", query)
        columns = [given_column(given, place, item) for place, item in enumerate(query.items)]
        wanted = tuple(op.cast(column, kind) for column, kind in zip(columns, types, strict=True))
        query = Query(query.items, given)
    items = tuple(replace(item, expression=new) for item, new in zip(query.items, wanted, strict=True))
    return replace(query, items=items)
