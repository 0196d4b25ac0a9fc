"""A parsed text and a catalogue make a typed Statement: clauses in the order SQL evaluates them. Pure.

engine calls `bind`; what the user may see is exactly what the CatalogView shows. Expressions are bound in
sql.expression, FROM in sql.source, set operations in sql.compound. What has no meaning is refused here with its place:
aggregates where none may be, columns that are not grouped, ordinals that count nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlglot import exp

from qsky.config import Settings
from qsky.sql import operators as op
from qsky.sql.compound import bind_compound
from qsky.sql.dialect import ITEM_END, ITEM_START
from qsky.sql.expression import Binder, flat
from qsky.sql.geometry import bind_restrictor, is_restrictor
from qsky.sql.groups import checked_groups, grouped_distinct
from qsky.sql.parse import Parsed, parse
from qsky.sql.query import (
    ColumnRef,
    Expression,
    Item,
    Order,
    Query,
    Statement,
    conditions_of,
    conjunction,
    has_aggregate,
    table_refs,
)
from qsky.sql.scope import Alias, CatalogView, Scope, Source
from qsky.sql.source import Joined, bind_from
from qsky.sql.tables import Surroundings, Tables, check_revisions, ctes_of, refuse_other_args
from qsky.sql.types import NULL

# What LIMIT may say, which is MySQL's way to say "all rows" ...
_LIMIT_MAX: Final = {"mysql": 2**64 - 1, "adql": 2**63 - 1, "duckdb": 2**63 - 1}
# ... and what it then means: more than any table has, and so few that LIMIT + OFFSET is a number of DuckDB's.
_ROWS_MAX: Final = 2**62 - 1
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
    "with_",
    "windows",
}


def bind_text(
    text: str, lang: str, catalog: CatalogView, settings: Settings, default_database: str | None = None
) -> Statement:
    """`bind` of `parse`."""
    return bind(parse(text, lang, settings), catalog, default_database)


def bind(parsed: Parsed, catalog: CatalogView, default_database: str | None = None) -> Statement:
    """The typed Statement a text means in a catalogue.

    Raises unknown-name, ambiguous-name, type-mismatch, bad-argument, bad-region, bad-query, not-supported, syntax, all
    with their place.
    """

    def bind_query(node: Any, around: Surroundings) -> Query:
        return _query(tables, node, around)

    tables = Tables(parsed, catalog, default_database, bind_query)
    query = bind_query(parsed.tree, Surroundings())
    check_revisions(tables, parsed.tree)
    return Statement(tuple(tables.stages), query, tuple(sorted(tables.revisions.items())))


def _query(tables: Tables, node: Any, around: Surroundings) -> Query:
    """One SELECT or set operation, anywhere in the text."""
    tree = node
    while isinstance(tree, exp.Subquery | exp.Paren):
        refuse_other_args(tables.parsed, tree, {"this"}, "parentheses around a query")
        tree = tree.this
    if isinstance(tree, exp.SetOperation):
        return _compound(tables, tree, around)
    if not isinstance(tree, exp.Select):
        raise tables.parsed.error(node, "not-supported", "Only SELECT can stand here.")
    if not tree.expressions:
        raise tables.parsed.error(tree, "syntax", "SELECT names nothing to show.")
    return _select(tables, tree, ctes_of(tables.parsed, tree, around))


def _compound(tables: Tables, tree: Any, around: Surroundings) -> Query:
    query = bind_compound(tables, tree, around)
    clauses = _Clauses(tables, Surroundings(), {})
    scope = Scope()
    named: dict[str, Alias] = {}
    for item in query.items:
        named.setdefault(item.name.lower(), Alias(item.name, (item.expression,)))
    order_by = clauses.order_by(tree, scope, list(query.items), named)
    limit, offset = clauses.limit(tree)
    return replace(query, order_by=tuple(order_by), limit=limit, offset=offset)


def _select(tables: Tables, tree: exp.Select, around: Surroundings) -> Query:
    parsed = tables.parsed
    refuse_other_args(parsed, tree, _SELECT_ARGS, "a SELECT")
    clauses = _Clauses(tables, around, _named_windows(parsed, tree))
    joined = bind_from(tables, tree, around, clauses.join_condition)
    scope = joined.scope
    where = clauses.where(tree, joined)
    items, nodes = clauses.items(tree, scope)
    aliases = _aliases(items, nodes)
    group_by = clauses.group_by(tree, scope, items, aliases)
    having = clauses.having(tree, scope, aliases, group_by)
    order_by = clauses.order_by(tree, scope, items, aliases)
    limit, offset = clauses.limit(tree)
    query = Query(
        items=tuple(items),
        source=joined.source,
        where=where,
        group_by=tuple(group_by),
        having=having,
        order_by=tuple(order_by),
        limit=limit,
        offset=offset,
        distinct=_is_distinct(parsed, tree),
    )
    query = _having_of_rows(parsed, query)
    return grouped_distinct(parsed, tree, checked_groups(parsed, tree, query, nodes))


def _is_distinct(parsed: Parsed, tree: exp.Select) -> bool:
    distinct = tree.args.get("distinct")
    if distinct is None:
        return False
    refuse_other_args(parsed, distinct, {"expressions"} if not distinct.expressions else set(), "DISTINCT")
    return True


def _having_of_rows(parsed: Parsed, query: Query) -> Query:
    """MySQL's HAVING without groups or aggregates filters rows, by the names that SELECT gave."""
    if parsed.lang != "mysql" or query.having is None or replace(query, having=None).aggregates:
        return query
    if has_aggregate(query.having):
        return query
    both = tuple(part for part in (query.where, query.having) if part is not None)
    return replace(query, where=conjunction(both), having=None)


def _named_windows(parsed: Parsed, tree: exp.Select) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in tree.args.get("windows") or ():
        refuse_other_args(parsed, node, {"this", "partition_by", "order", "spec", "over"}, "WINDOW")
        found[node.this.name.lower()] = node
    return found


@dataclass(frozen=True)
class _Clauses:
    """One method per clause."""

    tables: Tables
    around: Surroundings
    named_windows: Mapping[str, Any]

    @property
    def parsed(self) -> Parsed:
        return self.tables.parsed

    def binder(self, scope: Scope, clause: str, **more: Any) -> Binder:
        """The binder of a clause."""
        return Binder(self.parsed, scope, clause, self.tables, self.around.ctes, self.named_windows, **more)

    def join_condition(self, node: Any, scope: Scope) -> Expression:
        return self.binder(scope, "ON").predicate(node)

    def where(self, tree: exp.Select, joined: Joined) -> Expression | None:
        """WHERE with area restrictors replaced by tests of positions, those in front; then what derived tables brought."""
        if tree.args.get("where") is None:
            return conjunction(joined.where)
        binder = self.binder(joined.scope, "WHERE")
        parts = flat(tree.args["where"].this, exp.And)
        restrictors = [p.unnest() for p in parts if is_restrictor(p.unnest())]
        rest = [binder.predicate(part) for part in parts if not is_restrictor(part.unnest())]
        links = [*rest, *conditions_of(joined.source)]
        refs = list(table_refs(joined.source))
        tests = [test for node in restrictors for test in bind_restrictor(binder, node, refs, links)]
        every = [*tests, *rest, *joined.where]
        return op.chain("AND", every) if every else None

    def items(self, tree: exp.Select, scope: Scope) -> tuple[list[Item], list[Any]]:
        """The columns of the answer, and for each the node it came from."""
        binder = self.binder(scope, "SELECT", aggregates=True, windows=True)
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
        return [Item(c.expression, c.name, c.unit, c.ucd, c.description) for c in scope.star(source)]

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
        binder = self.binder(scope, "GROUP BY", aliases=aliases)
        found = []
        for node in group.expressions:
            expression = self._ordinal(node, items, "GROUP BY") or op.as_value(binder.bind(node))
            if has_aggregate(expression):
                raise self.parsed.error(node, "bad-query", "GROUP BY cannot group by an aggregate.")
            found.append(op.without_case(expression))
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
        binder = self.binder(scope, "HAVING", aggregates=True, aliases=chosen, aliases_first=True)
        return binder.predicate(having.this)

    def order_by(self, tree: exp.Select, scope: Scope, items: list[Item], aliases: dict[str, Alias]) -> list[Order]:
        order = tree.args.get("order")
        if order is None:
            return []
        refuse_other_args(self.parsed, order, {"expressions"}, "ORDER BY")
        binder = self.binder(scope, "ORDER BY", aggregates=True, windows=True, aliases=aliases)
        found = []
        for node in order.expressions:
            refuse_other_args(self.parsed, node, {"this", "desc", "nulls_first"}, "ORDER BY")
            first = replace(binder, aliases_first=isinstance(node.this, exp.Column))
            expression = self._ordinal(node.this, items, "ORDER BY") or op.as_value(first.bind(node.this))
            expression = op.without_case(expression)
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
        word = "TOP" if self.parsed.lang == "adql" else "LIMIT"
        most = self._count(limit.expression, word) if limit is not None else None
        skipped = offset.expression if isinstance(offset, exp.Offset) else offset
        return most, self._count(skipped, "OFFSET") if skipped is not None else 0

    def _count(self, node: Any, clause: str) -> int:
        if not (isinstance(node, exp.Literal) and not node.is_string and node.name.isdecimal()):
            raise self.parsed.error(node, "syntax", f"{clause} needs a number of rows.")
        rows = int(node.name)
        if rows > _LIMIT_MAX[self.parsed.lang]:
            said = node.name if len(node.name) <= 40 else f"{node.name[:20]}..."
            raise self.parsed.error(node, "bad-argument", f"{clause} {said} is more rows than can be counted.")
        return min(rows, _ROWS_MAX)


def _described(name: str, expression: Expression, scope: Scope) -> Item:
    """An item; a bare column brings its unit, UCD and description."""
    known = scope.about(expression) if isinstance(expression, ColumnRef) else None
    return Item(expression, name) if known is None else Item(expression, name, known.unit, known.ucd, known.description)


def _aliases(items: Sequence[Item], nodes: Sequence[Any]) -> dict[str, Alias]:
    """Every name SELECT gives with AS, lower case."""
    found: dict[str, Alias] = {}
    for item, node in zip(items, nodes, strict=True):
        if isinstance(node, exp.Alias):
            before = found.get(item.name.lower())
            same = (*before.expressions, item.expression) if before else (item.expression,)
            found[item.name.lower()] = Alias(item.name, same)
    return found
