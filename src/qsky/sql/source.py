"""FROM: tables looked up in the catalogue, joins as a tree, and the scope of names they make. Pure; bind calls it.

A comma binds weaker than JOIN, as in every SQL standard; a RIGHT JOIN becomes a LEFT JOIN with its sides changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlglot import exp

from qsky.errors import QskyError
from qsky.sql.dialect import COMMA
from qsky.sql.operators import Mismatch, chain, compare
from qsky.sql.parse import Parsed
from qsky.sql.query import ColumnRef, Expression, From, Join, JoinKind, TableRef
from qsky.sql.scope import CatalogView, Scope, Source, near_miss, same_name

OnBinder = Callable[[Any, Scope], Expression]
_TABLE_ARGS: Final = {"this", "db", "alias"}
_JOIN_ARGS: Final = {"this", "on", "using", "side", "kind", "method"}


@dataclass
class Tables:
    """The tables of one query: looked up once each, their aliases unique, one revision per database."""

    parsed: Parsed
    catalog: CatalogView
    default_database: str | None
    revisions: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int | None] = field(default_factory=dict)
    aliases: set[str] = field(default_factory=set)
    used_revisions: set[int] = field(default_factory=set)

    def source(self, node: Any, also: frozenset[str] = frozenset()) -> Source:
        """One table of FROM, a node with no parts but those of a table and `also`. Raises unknown-name, not-supported."""
        if isinstance(node, exp.Subquery | exp.Paren):
            raise self.parsed.error(node, "not-supported", "A sub-query or parenthesis in FROM is not supported yet.")
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            raise self.parsed.error(node, "not-supported", "Only tables by name can stand in FROM.")
        refuse_other_args(self.parsed, node, _TABLE_ARGS | also, "this form of a table in FROM")
        database = self._database(node)
        table, revision = self._look_up(node, database)
        self._one_revision(node, database, revision)
        shown = node.alias or table.name
        return Source(shown, TableRef(self._unique(shown), database, table))

    def _database(self, node: Any) -> str:
        written = node.db or self.default_database
        if not written:
            hint = f"Write it as database.{node.name}."
            raise self.parsed.error(node, "unknown-name", f"The table {node.name!r} names no database.", hint)
        names = list(self.catalog.databases())
        found = same_name(written, names)
        if found is None:
            hint = near_miss(written, names)
            raise self.parsed.error(node, "unknown-name", f"There is no database {written!r}.", hint)
        return found

    def _look_up(self, node: Any, database: str) -> tuple[Any, int]:
        end = node.this.meta.get("end", -1)
        asked = self.parsed.revisions.get(end)
        if asked is not None:
            self.used_revisions.add(end)
        if self.asked.setdefault(database, asked) != asked:
            sentence = f"The query asks for two revisions of {database}; it can see only one."
            raise self.parsed.error(node, "bad-query", sentence, "Write AS OF REVISION n after each of its tables.")
        names = list(self.catalog.tables(database))
        found = same_name(node.name, names)
        if found is None and asked is None:
            hint = near_miss(node.name, names)
            raise self.parsed.error(node, "unknown-name", f"There is no table {node.name!r} in {database}.", hint)
        try:
            return self.catalog.table(database, found or node.name, asked)
        except QskyError as error:
            raise self.parsed.error(node, error.code.name, error.message, error.hint) from None

    def _one_revision(self, node: Any, database: str, revision: int) -> None:
        if self.revisions.setdefault(database, revision) != revision:
            raise self.parsed.error(node, "load-conflict", f"{database} was published anew while the query was read.")

    def _unique(self, shown: str) -> str:
        """The alias inside the query; two tables of one name (of two databases) get different ones."""
        alias, count = shown, 1
        while alias.lower() in self.aliases:
            count += 1
            alias = f"{shown}_{count}"
        self.aliases.add(alias.lower())
        return alias


def refuse_other_args(parsed: Parsed, node: Any, allowed: set[str], what: str) -> None:
    """not-supported if a node has anything but the allowed parts: sqlglot knows more than we answer."""
    for name, value in node.args.items():
        if value and name not in allowed:
            part = name.strip("_").replace("_", " ").upper()
            raise parsed.error(node, "not-supported", f"{part} in {what} is not supported.")


@dataclass(frozen=True)
class _Joined:
    source: From
    scope: Scope


def bind_from(tables: Tables, tree: exp.Select, bind_on: OnBinder) -> tuple[From | None, Scope]:
    """The join tree and the names of a FROM; None and no names for a SELECT without one."""
    start = tree.args.get("from_")
    if start is None:
        return None, Scope()
    groups = [_one(tables, start.this, frozenset({"joins"}))]
    inside = list(start.this.args.get("joins") or []) + list(tree.args.get("joins") or [])
    for node in inside:
        if node.meta.get(COMMA):
            groups.append(_one(tables, node.this))
        else:
            groups[-1] = _join(tables, groups[-1], node, bind_on)
    joined = groups[0]
    for group in groups[1:]:
        _check_distinct(tables, joined.scope, group.scope, tree)
        joined = _Joined(Join("cross", joined.source, group.source, None), joined.scope.beside(group.scope))
    _check_revisions(tables, tree)
    return joined.source, joined.scope


def _one(tables: Tables, node: Any, also: frozenset[str] = frozenset()) -> _Joined:
    source = tables.source(node, also)
    return _Joined(source.ref, Scope([source]))


def _join(tables: Tables, left: _Joined, node: Any, bind_on: OnBinder) -> _Joined:
    parsed = tables.parsed
    refuse_other_args(parsed, node, _JOIN_ARGS, "a join")
    side, kind, method = node.side, node.kind, node.method
    if side == "FULL" or kind in ("SEMI", "ANTI", "STRAIGHT") or (method and method != "NATURAL"):
        raise parsed.error(node.this, "not-supported", f"{side or kind or method} JOIN is not supported yet.")
    right = _one(tables, node.this)
    _check_distinct(tables, left.scope, right.scope, node.this)
    scope = left.scope.beside(right.scope)
    on = _condition(tables, left.scope, right.scope, scope, node, bind_on)
    if side == "RIGHT":
        return _Joined(Join("left", right.source, left.source, on), scope)
    chosen: JoinKind = "left" if side == "LEFT" else "inner" if on is not None else "cross"
    if on is None and side:
        raise parsed.error(node.this, "syntax", f"A {side} JOIN needs ON or USING.")
    return _Joined(Join(chosen, left.source, right.source, on), scope)


def _condition(
    tables: Tables, left: Scope, right: Scope, scope: Scope, node: Any, bind_on: OnBinder
) -> Expression | None:
    """ON as it is; USING and NATURAL as equalities, whose columns become one in `scope`."""
    if node.args.get("on") is not None:
        return bind_on(node.args["on"], scope)
    names = [identifier.name for identifier in node.args.get("using") or []]
    if node.method == "NATURAL":
        theirs = [name for name, _ in right.star()]
        names = [name for name, _ in left.star() if same_name(name, theirs)]
    equalities = []
    for name in names:
        pair = [s.column(tables.parsed, _named(node, name)) for s in (left, right)]
        try:
            equalities.append(compare("=", *pair))
        except Mismatch as wrong:
            raise tables.parsed.error(node.this, "type-mismatch", wrong.sentence, wrong.hint) from None
        _merge(scope, pair, node.side == "RIGHT")
    return chain("AND", equalities) if equalities else None


def _named(node: Any, name: str) -> exp.Column:
    """A column as if it were written at the place of the join."""
    identifier = exp.to_identifier(name)
    identifier.meta.update(node.this.this.meta)
    return exp.Column(this=identifier)


def _merge(scope: Scope, pair: list[ColumnRef], right: bool) -> None:
    """One name for both columns from here on: the value of the side that an outer join preserves."""
    kept = pair[1] if right else pair[0]
    key = kept.column.lower()
    before = scope.merged.get(key, (kept, frozenset[str]()))[1]
    scope.merged[key] = (kept, before | {column.table for column in pair})


def _check_distinct(tables: Tables, left: Scope, right: Scope, node: Any) -> None:
    known = {(s.shown.lower(), s.ref.database) for s in left.sources}
    for source in right.sources:
        if (source.shown.lower(), source.ref.database) in known:
            raise tables.parsed.error(
                node, "ambiguous-name", f"Two tables of FROM are called {source.shown}.", "Give one of them an alias."
            )


def _check_revisions(tables: Tables, tree: Any) -> None:
    """AS OF REVISION anywhere but behind a table of FROM means nothing."""
    if set(tables.parsed.revisions) - tables.used_revisions:
        raise tables.parsed.error(tree, "syntax", "AS OF REVISION may only follow the name of a table in FROM.")
