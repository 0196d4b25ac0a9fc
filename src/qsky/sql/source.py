"""FROM: tables looked up in the catalogue, derived tables and CTEs bound, joins as a tree, and the names they make. Pure.

A comma binds weaker than JOIN, as in every SQL standard; a RIGHT JOIN becomes a LEFT JOIN with its sides changed, a
SEMI or ANTI JOIN an EXISTS. A derived table that only filters and projects vanishes: its columns become expressions,
its condition one of the query around it. Any other is a stage, answered before. bind calls this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlglot import exp

from qsky.sql.dialect import COMMA
from qsky.sql.operators import Mismatch, chain, collation_of, compare, unify
from qsky.sql.parts import by_chance, free_columns
from qsky.sql.query import (
    Call,
    ColumnRef,
    Expression,
    From,
    GivenRef,
    Item,
    Join,
    JoinKind,
    Literal_,
    Query,
    SubQuery,
    Window,
    walk,
)
from qsky.sql.scope import Named, Scope, Source, same_name
from qsky.sql.tables import Cte, Surroundings, Tables, refuse_other_args

OnBinder = Callable[[Any, Scope], Expression]
_JOIN_ARGS: Final = {"this", "on", "using", "side", "kind", "method"}
# Nodes of a derived table's columns above which it becomes a stage of its own.
_WRITTEN_IN_MAX: Final = 500


@dataclass(frozen=True)
class Joined:
    """A part of FROM: its tree, its names, and conditions of derived tables that belong into WHERE."""

    source: From | None
    scope: Scope
    where: tuple[Expression, ...] = ()


@dataclass(frozen=True)
class _Position:
    """What may vanish at a place of FROM: a derived table of bare columns may where rows can be missing."""

    plain_only: bool = False
    condition: bool = True


def bind_from(tables: Tables, tree: exp.Select, around: Surroundings, bind_on: OnBinder) -> Joined:
    """The join tree and the names of a FROM; no tree and no names for a SELECT without one."""
    start = tree.args.get("from_")
    if start is None:
        return Joined(None, Scope(outer=around.outer))
    joins = [*(start.this.args.get("joins") or []), *(tree.args.get("joins") or [])]
    return _From(tables, around, bind_on, joins, _Position(plain_only=_nests_after_grouping(tree))).whole(start.this)


def _nests_after_grouping(tree: exp.Select) -> bool:
    """Whether a sub-query may name what the query around it is grouped by, which only a bare column can be there."""
    after = (tree.args.get("having"), tree.args.get("qualify"), tree.args.get("order"), *tree.expressions)
    return tree.args.get("group") is not None and any(part.find(exp.Query) for part in after if part is not None)


class _From:
    """One FROM, or what stands in parentheses in it, while it is read. `place` is where all of it stands."""

    def __init__(
        self, tables: Tables, around: Surroundings, bind_on: OnBinder, joins: list[Any], place: _Position
    ) -> None:
        self.tables = tables
        self.around = around
        self.bind_on = bind_on
        self.joins = joins
        # the rows of everything before a RIGHT or FULL JOIN may be missing
        late = any(join.side in ("RIGHT", "FULL") for join in joins)
        self.first = _Position(place.plain_only or late, place.condition and not late)

    def whole(self, first: Any) -> Joined:
        """The first member and all that is joined to it; a comma binds weaker than JOIN."""
        groups = [self.one(first, self.first, frozenset({"joins"}))]
        for node in self.joins:
            if node.meta.get(COMMA):
                groups.append(self.one(node.this, self.first))
            else:
                if self._reaches_back(groups, node):
                    groups = [self._crossed(groups, first)]
                groups[-1] = self.join(groups[-1], node)
        return self._crossed(groups, first)

    def _reaches_back(self, groups: list[Joined], node: Any) -> bool:
        """Whether an ON names a table before the last comma, which DuckDB alone allows.

        It joins for each row of these; but for RIGHT and FULL JOIN that is the same as joining all of them.
        """
        if self.tables.parsed.lang != "duckdb" or node.side not in ("", "LEFT") or node.args.get("on") is None:
            return False
        before = {source.shown.lower() for group in groups[:-1] for source in group.scope.sources}
        return any(column.table.lower() in before for column in node.args["on"].find_all(exp.Column))

    def _crossed(self, groups: list[Joined], first: Any) -> Joined:
        """What stands between commas, every row beside every row."""
        joined = groups[0]
        for group in groups[1:]:
            _check_distinct(self.tables, joined.scope, group.scope, first)
            assert joined.source is not None and group.source is not None
            crossed = Join("cross", joined.source, group.source, None)
            joined = Joined(crossed, joined.scope.beside(group.scope), joined.where + group.where)
        return joined

    def _inside(self, node: Any, position: _Position) -> Joined:
        """Joins that stand in parentheses, or between a JOIN and its ON: they see nothing of what is around."""
        joins = list(node.args.get("joins") or [])
        return _From(self.tables, self.around, self.bind_on, joins, position).whole(node)

    def one(self, node: Any, position: _Position, also: frozenset[str] = frozenset()) -> Joined:
        """One member of FROM."""
        if node.args.get("joins") and "joins" not in also:
            return self._inside(node, position)
        cte = self._cte(node)
        if cte is not None:
            query = self.tables.known(cte) or self.tables.bind_query(cte.node, cte.around)
            return self._derived(node, query, cte.columns, position, cte)
        if isinstance(node, exp.Subquery):
            refuse_other_args(self.tables.parsed, node, {"this", "alias", *also}, "a sub-query in FROM")
            if _holds_joins(node):
                if node.alias:
                    sentence = f"Parentheses around tables cannot have a name ({node.alias})."
                    raise self.tables.parsed.error(node, "not-supported", sentence, "Name each table in them.")
                return self._inside(node.this, position)
            query = self.tables.bind_query(node.this, Surroundings(self.around.ctes, self.around.outer))
            given = node.args["alias"].args.get("columns") if node.args.get("alias") is not None else None
            return self._derived(node, query, tuple(c.name for c in given or ()), position, None)
        if isinstance(node, exp.Lateral):
            raise self.tables.parsed.error(node, "not-supported", "LATERAL is not supported.")
        source = self.tables.source(node, also)
        assert source.table is not None
        return Joined(source.table, Scope([source], outer=self.around.outer))

    def _cte(self, node: Any) -> Cte | None:
        named = isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier) and not node.db
        return self.around.ctes.get(node.name.lower()) if named else None

    def _derived(self, node: Any, query: Query, names: tuple[str, ...], position: _Position, cte: Cte | None) -> Joined:
        """A derived table: inside the query if it only filters and projects, else the rows of a stage."""
        parsed, shown = self.tables.parsed, node.alias_or_name
        if not shown:
            raise parsed.error(node, "syntax", "A sub-query in FROM needs a name: (SELECT ...) AS name.")
        if free_columns(query):
            sentence = "A sub-query in FROM cannot use columns of the query around it."
            raise parsed.error(node, "not-supported", sentence, "Move the condition outside, or use EXISTS.")
        if names and len(names) != len(query.items):
            raise parsed.error(
                node, "bad-query", f"{shown} names {len(names)} columns, its sub-query has {len(query.items)}."
            )
        called = names or tuple(item.name for item in query.items)
        standing = cte is not None and self.tables.known(cte) is not None
        if not standing and _vanishes(query, position):
            columns = _columns(called, query.items, [item.expression for item in query.items])
            where = (query.where,) if query.where is not None else ()
            return Joined(query.source, Scope([Source(shown, columns)], outer=self.around.outer), where)
        if cte is None:
            given = self.tables.given(shown, query)
        else:
            given, query = self.tables.given_once(shown, cte, query)
        refs = [given_column(given, place, item) for place, item in enumerate(query.items)]
        return Joined(given, Scope([Source(shown, _columns(called, query.items, refs))], outer=self.around.outer))

    def join(self, left: Joined, node: Any) -> Joined:
        """The next JOIN. Raises not-supported, ambiguous-name, syntax, type-mismatch."""
        parsed = self.tables.parsed
        refuse_other_args(parsed, node, _JOIN_ARGS, "a join")
        side, kind, method = node.side, node.kind, node.method
        if kind == "STRAIGHT" or (method and method != "NATURAL"):
            raise parsed.error(node.this, "not-supported", f"{kind or method} JOIN is not supported.")
        if kind == "OUTER" and not side:
            raise parsed.error(node.this, "syntax", "OUTER JOIN needs LEFT, RIGHT or FULL before it.")
        if method == "NATURAL" and (node.args.get("on") is not None or node.args.get("using")):
            raise parsed.error(node.this, "syntax", "A NATURAL JOIN takes neither ON nor USING.")
        missing = side in ("LEFT", "FULL")
        position = _Position(missing or self.first.plain_only, condition=side == "LEFT" or self.first.condition)
        right = self.one(node.this, position if kind not in ("SEMI", "ANTI") else _Position())
        _check_distinct(self.tables, left.scope, right.scope, node.this)
        scope = left.scope.beside(right.scope)
        on = self._condition(left.scope, right.scope, scope, node)
        if kind in ("SEMI", "ANTI"):
            if not self.first.condition:
                sentence = f"A {kind} JOIN beside a RIGHT or FULL JOIN is not supported."
                raise parsed.error(node.this, "not-supported", sentence, "Put it into a sub-query in FROM.")
            return _filtered(left, right, on, kind == "ANTI")
        return self._joined(left, right, scope, on, node)

    def _joined(self, left: Joined, right: Joined, scope: Scope, on: Expression | None, node: Any) -> Joined:
        side, where = node.side, left.where + right.where
        assert left.source is not None and right.source is not None
        if side in ("LEFT", "FULL", "RIGHT") and on is None:
            raise self.tables.parsed.error(node.this, "syntax", f"A {side} JOIN needs ON or USING.")
        if side == "RIGHT":
            assert not left.where
            return Joined(Join("left", right.source, left.source, on), scope, right.where)
        if side == "LEFT":
            assert on is not None
            return Joined(Join("left", left.source, right.source, chain("AND", [on, *right.where])), scope, left.where)
        if side == "FULL":
            assert not where
            return Joined(Join("full", left.source, right.source, on), scope)
        chosen: JoinKind = "inner" if on is not None else "cross"
        return Joined(Join(chosen, left.source, right.source, on), scope, where)

    def _condition(self, left: Scope, right: Scope, scope: Scope, node: Any) -> Expression | None:
        """ON as it is; USING and NATURAL as equalities, whose columns become one in `scope`."""
        if node.args.get("on") is not None:
            return self.bind_on(node.args["on"], scope)
        parsed = self.tables.parsed
        names = [identifier.name for identifier in node.args.get("using") or []]
        if node.method == "NATURAL":
            theirs = [column.name for column in right.star()]
            names = [column.name for column in left.star() if same_name(column.name, theirs)]
        equalities = []
        for name in names:
            alone = [Scope(s.sources, s.merged) for s in (left, right)]
            pair = [s.column(parsed, _named(node, name)) for s in alone]
            try:
                equalities.append(compare("=", *pair))
                _merge(scope, name, pair, node.side)
            except Mismatch as wrong:
                raise parsed.error(node.this, "type-mismatch", wrong.sentence, wrong.hint) from None
        return chain("AND", equalities) if equalities else None


def _holds_joins(node: Any) -> bool:
    """Whether parentheses in FROM are around tables, not around a query."""
    inner = node.this
    while isinstance(inner, exp.Subquery):
        if inner.alias or inner.args.get("joins"):
            return True
        inner = inner.this
    return isinstance(inner, exp.Table)


def given_column(given: GivenRef, place: int, item: Item) -> ColumnRef:
    """A column of a stage's rows; it ignores case where the item does."""
    collation = collation_of(item.expression)
    return ColumnRef(type=given.types[place], table=given.alias, column=f"c{place}", collation=collation)


def _columns(names: tuple[str, ...], items: tuple[Item, ...], values: list[Any]) -> tuple[Named, ...]:
    return tuple(
        Named(name, value, item.unit, item.ucd, item.description)
        for name, item, value in zip(names, items, values, strict=True)
    )


def _vanishes(query: Query, position: _Position) -> bool:
    """Whether a derived table can be written into the query around it without changing a row."""
    if query.source is None or query.limit is not None or query.offset or query.distinct or query.aggregates:
        return False
    inside = [part for item in query.items for part in walk(item.expression)]
    # written in more than once, level for level, it would grow without end
    if len(inside) > len(query.items) + _WRITTEN_IN_MAX or any(
        isinstance(part, Window | SubQuery) or by_chance(part) for part in inside
    ):
        return False
    plain = all(isinstance(item.expression, ColumnRef) for item in query.items)
    return (plain or not position.plain_only) and (query.where is None or position.condition)


def _filtered(left: Joined, right: Joined, on: Expression | None, anti: bool) -> Joined:
    """A SEMI or ANTI JOIN: a row of the left stays if the right has, or has not, a row for it."""
    one = Item(Literal_(type="INTEGER", value=1), "1")
    conditions = [part for part in (on, *right.where) if part is not None]
    inner = Query((one,), right.source, chain("AND", conditions) if conditions else None)
    test = SubQuery(type="BOOLEAN", form="exists", query=inner, negated=anti, outer=free_columns(inner))
    return Joined(left.source, left.scope, (*left.where, test))


def _merge(scope: Scope, name: str, pair: list[Expression], side: str) -> None:
    """One name for both columns from here on: the value of the side that an outer join preserves."""
    kept = pair[1] if side == "RIGHT" else pair[0]
    if side == "FULL":
        both = unify(pair, "USING")
        kept = Call(type=both[0].type, function="COALESCE", arguments=both)
    before = scope.merged.get(name.lower(), (kept, frozenset[Expression]()))[1]
    scope.merged[name.lower()] = (kept, before | frozenset(pair))


def _check_distinct(tables: Tables, left: Scope, right: Scope, node: Any) -> None:
    known = {(s.shown.lower(), s.database) for s in left.sources}
    for source in right.sources:
        if (source.shown.lower(), source.database) in known:
            raise tables.parsed.error(
                node, "ambiguous-name", f"Two tables of FROM are called {source.shown}.", "Give one of them an alias."
            )


def _named(node: Any, name: str) -> exp.Column:
    """A column as if it were written at the place of the join."""
    identifier = exp.to_identifier(name)
    identifier.meta.update(node.this.this.meta)
    return exp.Column(this=identifier)
