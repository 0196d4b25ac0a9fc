"""What exists for one query: each database at one revision, from the first look to the last. Made by `engine`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from qsky.catalog.model import Table
from qsky.catalog.store import Catalog, DatabaseSnapshot


@dataclass
class View:
    """A catalogue at the moment a query looks at it; `opened` is what it has seen, by database and revision asked for."""

    catalog: Catalog
    opened: dict[tuple[str, int | None], DatabaseSnapshot] = field(default_factory=dict)

    @cached_property
    def _databases(self) -> list[str]:
        return self.catalog.databases()

    def databases(self) -> Iterable[str]:
        return self._databases

    def tables(self, database: str) -> Iterable[str]:
        return [table.name for table in self.snapshot(database, None).revision.tables]

    def table(self, database: str, name: str, revision: int | None) -> tuple[Table, int]:
        snapshot = self.snapshot(database, revision)
        return snapshot.table(name).table, snapshot.revision.number

    def snapshot(self, database: str, revision: int | None) -> DatabaseSnapshot:
        key = (database, revision)
        if key not in self.opened:
            self.opened[key] = self.catalog.snapshot(database, revision)
        return self.opened[key]

    def at(self, database: str, number: int) -> DatabaseSnapshot:
        """The snapshot of that revision, the same one bind saw."""
        known = (s for (name, _), s in self.opened.items() if name == database and s.revision.number == number)
        return next(known, None) or self.snapshot(database, number)
