"""A parsed SELECT and a catalogue make a typed Query: clauses in the order SQL evaluates them. Pure.

engine calls `bind`; what the user may see is exactly what the CatalogView shows. Expressions are bound in
sql.expression, FROM in sql.source. What has no meaning is refused here with its place: aggregates where none may be,
columns that are not grouped, ordinals that count nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlglot import exp

from qsky.config import Settings
from qsky.sql import operators as op
from qsky.sql.dialect import ITEM_END, ITEM_START
from qsky.sql.expression import Binder, flat
from qsky.sql.geometry import bind_restrictor, is_restrictor
from qsky.sql.parse import Parsed, parse
from qsky.sql.query import (
    Aggregate,
    ColumnRef,
    Expression,
    From,
    Item,
    Join,
    Literal_,
    Order,
    Query,
    has_aggregate,
    table_refs,
)
from qsky.sql.scope import Alias, CatalogView, Scope, Source
from qsky.sql.source import Tables, bind_from, refuse_other_args
from qsky.sql.types import NULL

_SELECT_ARGS: Final = {
    "expressions",
    "from_",
    "joins",
    "where",
    "group",
    "having",
    "order",
    "limit",
    "offset",
    "distinct",
}


def bind_text(
    text: str, lang: str, catalog: CatalogView, settings: Settings, default_database: str | None = None
) -> Query:
    """`bind` of `parse`."""
    return bind(parse(text, lang, settings), catalog, default_database)


def bind(parsed: Parsed, catalog: CatalogView, default_database: str | None = None) -> Query:
    """The typed Query a text means in a catalogue.

    Raises unknown-name, ambiguous-name, type-mismatch, bad-argument, bad-region, bad-query, not-supported, syntax, all
    with their place.
    """
    tree = parsed.tree
    refuse_other_args(parsed, tree, _SELECT_ARGS, "a SELECT")
    tables = Tables(parsed, catalog, default_database)
    clauses = _Clauses(parsed)
    source, scope = bind_from(tables, tree, clauses.join_condition)
    where = clauses.where(tree, source, scope)
    items, nodes = clauses.items(tree, scope)
    aliases = _aliases(parsed, tree, items, nodes)
    group_by = clauses.group_by(tree, scope, items, aliases)
    having = clauses.having(tree, scope, aliases, group_by)
    order_by = clauses.order_by(tree, scope, items, aliases)
    limit, offset = clauses.limit(tree)
    query = Query(
        items=tuple(items),
        source=source,
        where=where,
        group_by=tuple(group_by),
        having=having,
        order_by=tuple(order_by),
        limit=limit,
        offset=offset,
        distinct=tree.args.get("distinct") is not None,
        revisions=tuple(sorted(tables.revisions.items())),
    )
    _check_groups(parsed, tree, query, nodes)
    _check_distinct(parsed, tree, query)
    return query


@dataclass(frozen=True)
class _Clauses:
    """One method per clause."""

    parsed: Parsed

    def join_condition(self, node: Any, scope: Scope) -> Expression:
        return Binder(self.parsed, scope, "ON").predicate(node)

    def where(self, tree: exp.Select, source: From | None, scope: Scope) -> Expression | None:
        """WHERE with area restrictors replaced by tests of positions, those in front."""
        if tree.args.get("where") is None:
            return None
        binder = Binder(self.parsed, scope, "WHERE")
        parts = flat(tree.args["where"].this, exp.And)
        restrictors = [p.unnest() for p in parts if is_restrictor(p.unnest())]
        rest = [binder.predicate(part) for part in parts if not is_restrictor(part.unnest())]
        links = [*rest, *_conditions(source)]
        refs = list(table_refs(source))
        tests = [test for node in restrictors for test in bind_restrictor(binder, node, refs, links)]
        return op.chain("AND", [*tests, *rest]) if tests or rest else None

    def items(self, tree: exp.Select, scope: Scope) -> tuple[list[Item], list[Any]]:
        """The columns of the answer, and for each the node it came from."""
        binder = Binder(self.parsed, scope, "SELECT", aggregates=True)
        found: list[Item] = []
        nodes: list[Any] = []
        for node in tree.expressions:
            new = self._starred(node, scope) if node.is_star else [self._item(binder, node)]
            found += new
            nodes += [node] * len(new)
        return found, nodes

    def _starred(self, node: Any, scope: Scope) -> list[Item]:
        refuse_other_args(self.parsed, node, {"this", "table", "db"}, "*")
        star = node.this if isinstance(node, exp.Column) else node
        refuse_other_args(self.parsed, star, set(), "*")
        if not scope.sources:
            raise self.parsed.error(node, "bad-query", "* needs tables in FROM.")
        source: Source | None = None
        if isinstance(node, exp.Column):
            source = scope.sources_named(self.parsed, node, node.table, node.db)
        return [_described(name, column, scope) for name, column in scope.star(source)]

    def _item(self, binder: Binder, node: Any) -> Item:
        inner = node.this if isinstance(node, exp.Alias) else node
        expression = op.as_value(binder.bind(inner))
        if expression.type == NULL:
            expression = op.null("INTEGER")
        if isinstance(node, exp.Alias):
            name = node.alias
        elif isinstance(inner, exp.Column):
            name = inner.name
        else:
            name = self.parsed.text[node.meta[ITEM_START] : node.meta[ITEM_END]]
        return _described(name, expression, binder.scope)

    def group_by(
        self, tree: exp.Select, scope: Scope, items: list[Item], aliases: dict[str, Alias]
    ) -> list[Expression]:
        group = tree.args.get("group")
        if group is None:
            return []
        refuse_other_args(self.parsed, group, {"expressions"}, "GROUP BY")
        binder = Binder(self.parsed, scope, "GROUP BY", aliases=aliases)
        found = []
        for node in group.expressions:
            expression = self._ordinal(node, items, "GROUP BY") or op.as_value(binder.bind(node))
            if has_aggregate(expression):
                raise self.parsed.error(node, "bad-query", "GROUP BY cannot group by an aggregate.")
            if op.collation_of(expression) == "ci":
                sentence = "Grouping by a column that ignores case is not supported yet."
                raise self.parsed.error(node, "not-supported", sentence, "Group by LOWER(...) of it.")
            found.append(expression)
        return found

    def _ordinal(self, node: Any, items: list[Item], clause: str) -> Expression | None:
        """The select item a bare integer counts to."""
        if not (isinstance(node, exp.Literal) and not node.is_string and node.name.isdecimal()):
            return None
        if not 1 <= int(node.name) <= len(items):
            raise self.parsed.error(
                node, "bad-query", f"{clause} {node.name} counts beyond the {len(items)} of SELECT."
            )
        return items[int(node.name) - 1].expression

    def having(
        self, tree: exp.Select, scope: Scope, aliases: dict[str, Alias], groups: list[Expression]
    ) -> Expression | None:
        having = tree.args.get("having")
        if having is None:
            return None
        grouped = {e.column.lower() for e in groups if isinstance(e, ColumnRef)}
        chosen = {name: alias for name, alias in aliases.items() if name not in grouped}
        binder = Binder(self.parsed, scope, "HAVING", aggregates=True, aliases=chosen, aliases_first=True)
        return binder.predicate(having.this)

    def order_by(self, tree: exp.Select, scope: Scope, items: list[Item], aliases: dict[str, Alias]) -> list[Order]:
        order = tree.args.get("order")
        if order is None:
            return []
        refuse_other_args(self.parsed, order, {"expressions"}, "ORDER BY")
        binder = Binder(self.parsed, scope, "ORDER BY", aggregates=True, aliases=aliases)
        found = []
        for node in order.expressions:
            refuse_other_args(self.parsed, node, {"this", "desc", "nulls_first"}, "ORDER BY")
            first = replace(binder, aliases_first=isinstance(node.this, exp.Column))
            expression = self._ordinal(node.this, items, "ORDER BY") or op.as_value(first.bind(node.this))
            found.append(Order(expression, bool(node.args.get("desc")), bool(node.args.get("nulls_first"))))
        return found

    def limit(self, tree: exp.Select) -> tuple[int | None, int]:
        """LIMIT n, LIMIT m,n, LIMIT n OFFSET m, TOP n."""
        limit, offset = tree.args.get("limit"), tree.args.get("offset")
        if limit is not None:
            if isinstance(limit, exp.Fetch):
                raise self.parsed.error(limit, "not-supported", "FETCH is not supported; use LIMIT.")
            if self.parsed.lang == "adql" and not limit.meta.get("top"):
                raise self.parsed.error(limit, "syntax", "ADQL has no LIMIT.", "Write SELECT TOP n ...")
            refuse_other_args(self.parsed, limit, {"expression", "offset"}, "LIMIT")
            offset = limit.args.get("offset") or offset
        most = self._count(limit.expression, "LIMIT") if limit is not None else None
        skipped = offset.expression if isinstance(offset, exp.Offset) else offset
        return most, self._count(skipped, "OFFSET") if skipped is not None else 0

    def _count(self, node: Any, clause: str) -> int:
        if not (isinstance(node, exp.Literal) and not node.is_string and node.name.isdecimal()):
            raise self.parsed.error(node, "syntax", f"{clause} needs a number of rows.")
        return int(node.name)


def _conditions(source: From | None) -> list[Expression]:
    """The ON conditions of a join tree."""
    if not isinstance(source, Join):
        return []
    own = [source.on] if source.on is not None else []
    return [*own, *_conditions(source.left), *_conditions(source.right)]


def _described(name: str, expression: Expression, scope: Scope) -> Item:
    """An item; a bare column brings its unit, UCD and description."""
    if not isinstance(expression, ColumnRef):
        return Item(expression, name)
    table = next(s.ref.table for s in scope.sources if s.ref.alias == expression.table)
    column = table.column(expression.column)
    if column is None:
        return Item(expression, name)
    return Item(expression, name, column.unit, column.ucd, column.description)


def _aliases(parsed: Parsed, tree: exp.Select, items: Sequence[Item], nodes: Sequence[Any]) -> dict[str, Alias]:
    """Every name SELECT gives with AS, lower case."""
    found: dict[str, Alias] = {}
    for item, node in zip(items, nodes, strict=True):
        if isinstance(node, exp.Alias):
            before = found.get(item.name.lower())
            same = (*before.expressions, item.expression) if before else (item.expression,)
            found[item.name.lower()] = Alias(item.name, same)
    return found


def _check_groups(parsed: Parsed, tree: exp.Select, query: Query, nodes: Sequence[Any]) -> None:
    """In a query with groups, whatever is shown, filtered or sorted by is grouped or inside an aggregate."""
    if not query.aggregates:
        return
    checked: list[tuple[Expression, Any]] = [(i.expression, n) for i, n in zip(query.items, nodes, strict=True)]
    if query.having is not None:
        checked.append((query.having, tree.args["having"]))
    checked += [(o.expression, n) for o, n in zip(query.order_by, _order_nodes(tree), strict=True)]
    for expression, node in checked:
        loose = _loose_column(expression, query.group_by)
        if loose is not None:
            sentence = f"The column {loose.table}.{loose.column} is neither grouped nor inside an aggregate."
            hint = "Add it to GROUP BY, or use MIN(...) of it."
            raise parsed.error(node, "bad-query", sentence, hint)


def _order_nodes(tree: exp.Select) -> list[Any]:
    return list(tree.args["order"].expressions) if tree.args.get("order") is not None else []


def _loose_column(expression: Expression, groups: Sequence[Expression]) -> ColumnRef | None:
    """A column outside aggregates that the groups do not fix."""
    if expression in groups or isinstance(expression, Aggregate | Literal_):
        return None
    if isinstance(expression, ColumnRef):
        return expression
    for child in expression.children():
        loose = _loose_column(child, groups)
        if loose is not None:
            return loose
    return None


def _check_distinct(parsed: Parsed, tree: exp.Select, query: Query) -> None:
    """DISTINCT rows can be sorted only by what they show."""
    distinct = tree.args.get("distinct")
    if distinct is None:
        return
    refuse_other_args(parsed, distinct, {"expressions"} if not distinct.expressions else set(), "DISTINCT")
    shown = [item.expression for item in query.items]
    if any(op.collation_of(expression) == "ci" for expression in shown):
        sentence = "DISTINCT of a column that ignores case is not supported yet."
        raise parsed.error(tree, "not-supported", sentence, "Use LOWER(...) of it.")
    for order, node in zip(query.order_by, _order_nodes(tree), strict=True):
        if order.expression not in shown:
            sentence = "With SELECT DISTINCT, ORDER BY can only use what SELECT shows."
            raise parsed.error(node, "bad-query", sentence)
