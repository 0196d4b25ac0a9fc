"""Names: which database, table and column a user's words mean. Pure; expression and source ask, nothing else does.

Names are compared without case, an exact match first. What does not exist is an error with the nearest thing that does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol

from qsky.catalog.model import HEALPIX_COLUMN, Table
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
class Source:
    """One table of FROM as names see it: `shown` is what qualifies its columns, `ref` what they become."""

    shown: str
    ref: TableRef

    def column(self, name: str) -> ColumnRef | None:
        """A column by its name; the hidden cell column only by its own."""
        found = same_name(name, (c.name for c in self.ref.table.columns))
        if found is not None:
            column = self.ref.table.column(found)
            assert column is not None
            return ColumnRef(type=column.type, table=self.ref.alias, column=found, collation=column.collation)
        if name.lower() == HEALPIX_COLUMN and self.ref.table.partitioned:
            return ColumnRef(type="BIGINT", table=self.ref.alias, column=HEALPIX_COLUMN)
        return None


@dataclass
class Scope:
    """The tables a name may refer to, in the order of the text, and the columns that USING or NATURAL made one."""

    sources: list[Source] = field(default_factory=list)
    merged: dict[str, tuple[ColumnRef, frozenset[str]]] = field(default_factory=dict)

    def beside(self, other: Scope) -> Scope:
        """Both scopes' names."""
        return Scope([*self.sources, *other.sources], {**self.merged, **other.merged})

    def column(self, parsed: Parsed, node: Any) -> ColumnRef:
        """The column an exp.Column means. Raises unknown-name, ambiguous-name."""
        name, table, database = node.name, node.table, node.db
        if table:
            return self._qualified(parsed, node, name, table, database)
        merged = self.merged.get(name.lower())
        found = [c for source in self.sources if (c := source.column(name)) is not None]
        if merged is not None:
            found = [c for c in found if c.table not in merged[1]] + [merged[0]]
        if len(found) == 1:
            return found[0]
        if not found:
            names = [c.name for source in self.sources for c in source.ref.table.columns]
            what = f"There is no column {name!r} in {self._listed()}." if self.sources else f"{name!r} is no value."
            hint = near_miss(name, names) or ("Texts stand in 'single quotes'." if not self.sources else "")
            raise parsed.error(node, "unknown-name", what, hint)
        fits = ", ".join(f"{c.table}.{c.column}" for c in found)
        raise parsed.error(node, "ambiguous-name", f"The column {name!r} may be {fits}.", "Write which one.")

    def _listed(self) -> str:
        return ", ".join(source.shown for source in self.sources)

    def sources_named(self, parsed: Parsed, node: Any, table: str, database: str) -> Source:
        """The table of FROM that a qualifier means."""
        found = [
            s
            for s in self.sources
            if s.shown.lower() == table.lower() and (not database or s.ref.database.lower() == database.lower())
        ]
        if len(found) == 1:
            return found[0]
        written = f"{database}.{table}" if database else table
        if found:
            hint = "Write the database before it, or give the tables aliases."
            raise parsed.error(node, "ambiguous-name", f"More than one table is called {written!r} here.", hint)
        hint = near_miss(table, (s.shown for s in self.sources))
        raise parsed.error(node, "unknown-name", f"There is no table {written!r} in FROM at this place.", hint)

    def _qualified(self, parsed: Parsed, node: Any, name: str, table: str, database: str) -> ColumnRef:
        source = self.sources_named(parsed, node, table, database)
        found = source.column(name)
        if found is None:
            hint = near_miss(name, (c.name for c in source.ref.table.columns))
            raise parsed.error(node, "unknown-name", f"The table {source.shown} has no column {name!r}.", hint)
        return found

    def has(self, name: str) -> bool:
        """Whether a bare name could be a column."""
        return name.lower() in self.merged or any(s.column(name) is not None for s in self.sources)

    def star(self, source: Source | None = None) -> Iterator[tuple[str, ColumnRef]]:
        """The columns of `*` (or of `t.*`) in the order of the text, merged ones once and first, hidden ones never."""
        hidden: set[tuple[str, str]] = set()
        if source is None:
            for column, tables in self.merged.values():
                yield column.column, column
                hidden |= {(table, column.column.lower()) for table in tables}
        for each in [source] if source else self.sources:
            for listed in each.ref.table.columns:
                if (each.ref.alias, listed.name.lower()) not in hidden:
                    found = each.column(listed.name)
                    assert found is not None
                    yield listed.name, found


@dataclass(frozen=True)
class Alias:
    """A name that SELECT gave: every expression it stands for (more than one makes it ambiguous)."""

    name: str
    expressions: Sequence[Expression]
