"""The tables and CTEs a statement mentions: looked up once each, at one revision per database. Pure.

sql.source and sql.bind use this; what the user may see is exactly what the CatalogView shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlglot import exp

from qsky.errors import QskyError
from qsky.sql.parse import Parsed
from qsky.sql.query import GivenRef, Query, TableRef
from qsky.sql.scope import CatalogView, Scope, Source, near_miss, same_name, table_source

_TABLE_ARGS: Final = {"this", "db", "alias"}


@dataclass(frozen=True, eq=False)
class Cte:
    """A query that WITH gave a name: its tree, the names of its columns if they were given, and what it may mention."""

    node: Any
    columns: tuple[str, ...]
    around: Surroundings


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a query may mention besides tables: CTEs by lower-case name, and the columns of the query around it."""

    ctes: Mapping[str, Cte] = field(default_factory=dict)
    outer: Scope | None = None


QueryBinder = Callable[[Any, Surroundings], Query]


@dataclass
class Tables:
    """The tables of one statement: looked up once each, their aliases unique, one revision per database; its stages."""

    parsed: Parsed
    catalog: CatalogView
    default_database: str | None
    bind_query: QueryBinder
    revisions: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int | None] = field(default_factory=dict)
    aliases: set[str] = field(default_factory=set)
    used_revisions: set[int] = field(default_factory=set)
    stages: list[Query] = field(default_factory=list)
    by_alias: dict[str, TableRef] = field(default_factory=dict)
    _ctes: dict[int, tuple[int, Query]] = field(default_factory=dict)
    _nested: dict[tuple[Any, int], tuple[Surroundings, Query]] = field(default_factory=dict)

    def source(self, node: Any, also: frozenset[str] = frozenset()) -> Source:
        """One table of FROM, a node with no parts but those of a table and `also`. Raises unknown-name, not-supported."""
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            raise self.parsed.error(node, "not-supported", "Only tables by name and sub-queries can stand in FROM.")
        refuse_other_args(self.parsed, node, _TABLE_ARGS | also, "this form of a table in FROM")
        if node.args.get("alias") is not None and node.args["alias"].args.get("columns"):
            raise self.parsed.error(node, "not-supported", "Only a sub-query can give its columns new names.")
        database = self._database(node)
        table, revision = self._look_up(node, database)
        self._one_revision(node, database, revision)
        shown = node.alias or table.name
        ref = TableRef(self.unique(shown), database, table)
        self.by_alias[ref.alias] = ref
        return table_source(shown, ref)

    def nested(self, tree: Any, around: Surroundings) -> Query:
        """A sub-query; the same text at the same place of the same query is the same one, so that it can be grouped by."""
        key = (tree, id(around.outer))
        if key not in self._nested:
            self._nested[key] = (around, self.bind_query(tree, around))
        return self._nested[key][1]

    def stage(self, query: Query) -> int:
        """Have a query answered before the statement; its number."""
        self.stages.append(query)
        return len(self.stages) - 1

    def given(self, shown: str, query: Query) -> GivenRef:
        """The rows of a query as a member of FROM."""
        return self._given(shown, self.stage(query), query)

    def _given(self, shown: str, stage: int, query: Query) -> GivenRef:
        return GivenRef(self.unique(shown), stage, tuple(item.expression.type for item in query.items))

    def given_once(self, shown: str, cte: Cte, query: Query) -> tuple[GivenRef, Query]:
        """The rows of a CTE, which is answered once however often it is mentioned."""
        number, first = self._ctes.get(id(cte)) or self._ctes.setdefault(id(cte), (self.stage(query), query))
        return self._given(shown, number, first), first

    def known(self, cte: Cte) -> Query | None:
        """The query of a CTE that is a stage already."""
        return self._ctes[id(cte)][1] if id(cte) in self._ctes else None

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

    def unique(self, shown: str) -> str:
        """The alias inside the statement; two tables of one name (of two databases) get different ones."""
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


def ctes_of(parsed: Parsed, node: Any, around: Surroundings) -> Surroundings:
    """The surroundings of a query whose own WITH has given names. Raises not-supported, ambiguous-name."""
    given = node.args.get("with_")
    if given is None:
        return around
    if given.args.get("recursive"):
        raise parsed.error(given, "not-supported", "WITH RECURSIVE is not supported.")
    known, own = dict(around.ctes), set()
    for cte in given.expressions:
        refuse_other_args(parsed, cte, {"this", "alias"}, "WITH")
        name = cte.alias.lower()
        if name in own:
            raise parsed.error(cte, "ambiguous-name", f"WITH gives the name {cte.alias!r} twice.")
        own.add(name)
        columns = tuple(column.name for column in cte.args["alias"].args.get("columns") or ())
        known[name] = Cte(cte.this, columns, Surroundings(dict(known), None))
    return Surroundings(known, around.outer)


def check_revisions(tables: Tables, tree: Any) -> None:
    """AS OF REVISION anywhere but behind a table of FROM means nothing.

    Not every such table was bound: not in a CTE that nobody reads, nor in a sub-query whose text was bound before.
    """
    names = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    read = (table for table in tree.find_all(exp.Table) if table.db or table.name.lower() not in names)
    allowed = {table.this.meta.get("end") for table in read}
    if set(tables.parsed.revisions) - tables.used_revisions - allowed:
        raise tables.parsed.error(tree, "syntax", "AS OF REVISION may only follow the name of a table in FROM.")
