"""Names: which database, table and column a user's words mean. Pure; expression and source ask, nothing else does.

Names are compared without case, an exact match first. What does not exist is an error with the nearest thing that does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Protocol

from qsky.catalog.model import FOLDER_COLUMNS, HEALPIX_COLUMN, Table
from qsky.sql.parse import Parsed
from qsky.sql.query import ColumnRef, Expression, TableRef


class CatalogView(Protocol):
    """What bind may know of the world: exactly what the user may see, nothing else exists."""

    def databases(self) -> Iterable[str]:
        """The names of all databases."""
        ...

    def tables(self, database: str) -> Iterable[str]:
        """The names of the tables of a database at its current revision; none if there is no such database."""
        ...

    def table(self, database: str, name: str, revision: int | None) -> tuple[Table, int]:
        """A table by its exact names, and the revision it was found at (None asks for the current one).

        Raises no-such-revision, no-such-table.
        """
        ...


def same_name(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is meant: the same, or the only one that differs just in case."""
    known = list(names)
    if name in known:
        return name
    alike = [each for each in known if each.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def near_miss(name: str, names: Iterable[str]) -> str:
    """A hint with the nearest known names, or nothing."""
    by_lower = {each.lower(): each for each in names}
    found = get_close_matches(name.lower(), list(by_lower), n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(by_lower[each] for each in found)}?" if found else ""


@dataclass(frozen=True)
class Named:
    """A column as names see it: what it is called, what it means, and what is known of it."""

    name: str
    expression: Expression
    unit: str = ""
    ucd: str = ""
    description: str = ""


@dataclass(frozen=True)
class Source:
    """One member of FROM as names see it: `shown` qualifies its columns.

    `table` is what a mention of a table became; `hidden` are columns that only their own name finds.
    """

    shown: str
    columns: tuple[Named, ...]
    database: str = ""
    hidden: tuple[Named, ...] = ()
    table: TableRef | None = None

    @cached_property
    def by_name(self) -> Mapping[str, tuple[Named, ...]]:
        found: dict[str, list[Named]] = {}
        for each in (*self.columns, *self.hidden):
            found.setdefault(each.name.lower(), []).append(each)
        return {name: tuple(each) for name, each in found.items()}

    def named(self, name: str) -> tuple[Named, ...]:
        """The columns a name means: the exact one, or those that differ just in case."""
        alike = self.by_name.get(name.lower(), ())
        exact = tuple(each for each in alike if each.name == name)
        return exact or alike

    @cached_property
    def _by_expression(self) -> Mapping[Expression, Named]:
        return {each.expression: each for each in (*self.hidden, *self.columns)}

    def about(self, expression: Expression) -> Named | None:
        return self._by_expression.get(expression)


def table_source(shown: str, ref: TableRef) -> Source:
    """A table of the catalogue as a member of FROM."""
    columns = tuple(
        Named(
            c.name,
            ColumnRef(type=c.type, table=ref.alias, column=c.name, collation=c.collation),
            c.unit,
            c.ucd,
            c.description,
        )
        for c in ref.table.columns
    )
    hidden = (Named(name, ColumnRef(type=kind, table=ref.alias, column=name)) for name, kind in _unlisted(ref.table))
    return Source(shown, columns, ref.database, tuple(hidden), ref)


def _unlisted(table: Table) -> Iterator[tuple[str, str]]:
    """Columns that a table has beside those it lists: a row's cell of order 29, and the chunk that this lies in."""
    listed = {column.name.lower() for column in table.columns}
    cell = {HEALPIX_COLUMN: "BIGINT"} if table.cell_column == HEALPIX_COLUMN else {}
    chunk = FOLDER_COLUMNS if table.cell_column else {}
    yield from ((name, kind) for name, kind in (cell | chunk).items() if name.lower() not in listed)


@dataclass
class Scope:
    """The members of FROM a name may refer to, in the order of the text, and the columns that USING made one.

    `outer` is the scope of the query around this one.
    """

    sources: list[Source] = field(default_factory=list)
    merged: dict[str, tuple[Expression, frozenset[Expression]]] = field(default_factory=dict)
    outer: Scope | None = None

    def beside(self, other: Scope) -> Scope:
        """Both scopes' names."""
        return Scope([*self.sources, *other.sources], {**self.merged, **other.merged}, self.outer)

    def column(self, parsed: Parsed, node: Any) -> Expression:
        """What an exp.Column means. Raises unknown-name, ambiguous-name."""
        name, table, database = node.name, node.table, node.db
        if table:
            return self._qualified(parsed, node, name, table, database)
        found = self._bare(name)
        if len(found) == 1:
            return found[0].expression
        if not found and self.outer is not None and self.outer.has(name):
            return self.outer.column(parsed, node)
        if not found:
            names = [c.name for source in self.sources for c in source.columns]
            what = f"There is no column {name!r} in {self._listed()}." if self.sources else f"{name!r} is no value."
            hint = near_miss(name, names) or ("Texts stand in 'single quotes'." if not self.sources else "")
            raise parsed.error(node, "unknown-name", what, hint)
        fits = ", ".join(f"{s.shown}.{c.name}" for s in self.sources for c in s.named(name))
        raise parsed.error(node, "ambiguous-name", f"The column {name!r} may be {fits}.", "Write which one.")

    def _bare(self, name: str) -> list[Named]:
        """What a name without qualifier may mean in this scope."""
        found = [c for source in self.sources for c in source.named(name)]
        merged = self.merged.get(name.lower())
        if merged is None:
            return found
        return [c for c in found if c.expression not in merged[1]] + [Named(name, merged[0])]

    def _listed(self) -> str:
        return ", ".join(source.shown for source in self.sources)

    def _fitting(self, table: str, database: str) -> list[Source]:
        return [
            s
            for s in self.sources
            if s.shown.lower() == table.lower() and (not database or s.database.lower() == database.lower())
        ]

    def sources_named(self, parsed: Parsed, node: Any, table: str, database: str) -> Source:
        """The member of FROM that a qualifier means, in this scope or the nearest one around it."""
        scope: Scope | None = self
        while scope is not None:
            found = scope._fitting(table, database)
            if len(found) == 1:
                return found[0]
            if found:
                hint = "Write the database before it, or give the tables aliases."
                written = f"{database}.{table}" if database else table
                raise parsed.error(node, "ambiguous-name", f"More than one table is called {written!r} here.", hint)
            scope = scope.outer
        written = f"{database}.{table}" if database else table
        hint = near_miss(table, (s.shown for s in self.sources))
        raise parsed.error(node, "unknown-name", f"There is no table {written!r} in FROM at this place.", hint)

    def _qualified(self, parsed: Parsed, node: Any, name: str, table: str, database: str) -> Expression:
        source = self.sources_named(parsed, node, table, database)
        found = source.named(name)
        if len(found) > 1:
            raise parsed.error(node, "ambiguous-name", f"{source.shown} has more than one column {name!r}.")
        if not found:
            hint = near_miss(name, (c.name for c in source.columns))
            raise parsed.error(node, "unknown-name", f"The table {source.shown} has no column {name!r}.", hint)
        return found[0].expression

    def has(self, name: str) -> bool:
        """Whether a bare name could be a column, here or in a query around this one."""
        here = name.lower() in self.merged or any(s.named(name) for s in self.sources)
        return here or (self.outer is not None and self.outer.has(name))

    def star(self, source: Source | None = None) -> Iterator[Named]:
        """The columns of `*` (or of `t.*`) in the order of the text, merged ones once and first, hidden ones never."""
        hidden: set[Expression] = set()
        if source is None:
            for name, (expression, columns) in self.merged.items():
                known = self.about(expression)
                yield known if known is not None else Named(name, expression)
                hidden |= columns
        for each in [source] if source else self.sources:
            yield from (column for column in each.columns if column.expression not in hidden)

    def about(self, expression: Expression) -> Named | None:
        """What is known of an expression that is a column of a member of FROM."""
        found = (source.about(expression) for source in self.sources)
        return next((named for named in found if named is not None), None)


@dataclass(frozen=True)
class Alias:
    """A name that SELECT gave: every expression it stands for (more than one makes it ambiguous)."""

    name: str
    expressions: Sequence[Expression]
