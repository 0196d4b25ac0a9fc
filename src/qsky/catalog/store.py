"""Revisions and snapshots read from a root: what exists, as of now or as of a revision.

The highest revision number is the current one. Opening it first settles it (catalog.settle) if the load that
published it did not get that far. Writing belongs to `ingest.publish`.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import pyarrow as pa

from qsky.catalog import layout
from qsky.catalog.arrangement import Storage, checked_storage, root_file
from qsky.catalog.lease import is_kept
from qsky.catalog.model import FORMAT, Revision, Table, revision_from_json
from qsky.catalog.settle import settle
from qsky.catalog.snapshot import Parts, TableSnapshot, Tiling, parts_of_manifests
from qsky.errors import QskyError
from qsky.storage.store import ASIDE, Store

_SNAPSHOTS_HELD: Final = 64


@dataclass(frozen=True)
class DatabaseSnapshot:
    """One database at one revision; tables are opened when asked for and kept."""

    store: Store
    revision: Revision
    staged: frozenset[str] = frozenset()  # parts that have not got their final names, because the root is read-only
    _opened: dict[str, TableSnapshot] = field(default_factory=dict, compare=False, repr=False)

    def table(self, name: str) -> TableSnapshot:
        """The table of that name (case does not count). Raises no-such-table."""
        table = next((t for t in self.revision.tables if t.name.lower() == name.lower()), None)
        if table is None:
            raise QskyError("no-such-table", f"The database {self.revision.database} has no table {name}.")
        if table.name not in self._opened:
            self._opened[table.name] = self._open(table)
        return self._opened[table.name]

    def _open(self, table: Table) -> TableSnapshot:
        names = tuple(column.name for column in table.columns)
        return TableSnapshot(
            database=self.revision.database,
            revision=self.revision.number,
            table=table,
            folder=table.attached.address if table.attached else str(self.store.folder),
            tiling=read_tiling(self.store, table.tiling) if table.tiling else None,
            parts=self._found(read_parts(self.store, table.parts, names)),
            overlap=self._found(read_parts(self.store, table.overlap_parts, names)),
        )

    def _found(self, parts: Parts) -> Parts:
        """The parts under the names they have now."""
        if not self.staged:
            return parts
        staging = layout.staging_path(self.revision.load)
        names = [path.rsplit("/", 1)[-1] for path in parts.paths.to_pylist()]
        paths = [
            f"{staging}/{name}" if name in self.staged else path
            for name, path in zip(names, parts.paths.to_pylist(), strict=True)
        ]
        return replace(parts, paths=pa.array(paths, pa.string()))


def _staged(store: Store, revision: Revision) -> frozenset[str]:
    """Settle the current revision; what is still staged if that cannot be done here and now, whatever the reason."""
    try:
        settle(store, revision)
    except QskyError:
        return frozenset(store.names(layout.staging_path(revision.load)))
    return frozenset()


def read_tiling(store: Store, name: str) -> Tiling:
    return _tiling_at(store.path(name))


@lru_cache(maxsize=64)
def _tiling_at(path: Path) -> Tiling:
    return Tiling.from_bytes(_side_bytes(path))


def _side_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise QskyError("damaged", f"The file {path.name} is missing.", hint="Run `qsky verify`.") from None


def read_manifest(store: Store, name: str) -> pa.Table:
    """One manifest. Raises damaged."""
    try:
        return pa.ipc.open_file(pa.py_buffer(_side_bytes(store.path(name)))).read_all()
    except pa.ArrowInvalid as error:
        raise QskyError("damaged", f"The file {name} is damaged: {error}.", hint="Run `qsky verify`.") from error


def read_parts(store: Store, names: tuple[str, ...], columns: tuple[str, ...]) -> Parts:
    """The parts that manifests name, together."""
    return parts_of_manifests([read_manifest(store, name) for name in names], columns)


class Catalog:
    """A root. Safe for several threads; what was read of a revision never changes, so it is kept."""

    def __init__(
        self,
        root: Path,
        *,
        create: bool = False,
        storage: Storage | None = None,
        fetch: Callable[[str], Path] | None = None,
    ) -> None:
        """`storage` is how parts are to be kept, as the root says if None; of a new root it says it for ever.

        `fetch`, where parts lie on the disks of workers, gives a file with the bytes of a part, named as in the root.
        Raises not-a-root if `root` is no root (with `create`, only if it holds something else); bad-arrangement.
        """
        self.root = root.absolute()
        # What must be done with the staged parts of a revision before it may exist: copies on other machines.
        self.replicate: Callable[[Store, Revision], None] | None = None
        self._fetch = fetch
        self._lock = threading.Lock()
        self._snapshots: OrderedDict[tuple[str, int], DatabaseSnapshot] = OrderedDict()
        marker = Store(self.root)
        if not marker.exists(layout.ROOT_FILE):
            if not create:
                raise QskyError(
                    "not-a-root",
                    f"{root} is not a Qsky root.",
                    hint="Load something into it first, or choose another with --root.",
                )
            # Another process may be making the same root: its unfinished marker is no foreign file.
            others = [name for name in marker.names(".") if not name.startswith(ASIDE)]
            if others and not {layout.ROOT_FILE, layout.PUBLIC}.intersection(others):
                raise QskyError("not-a-root", f"{root} holds other files; Qsky wants a folder of its own.")
            marker.create(layout.ROOT_FILE, root_file(storage or "shared"))
        found = json.loads(marker.read(layout.ROOT_FILE))
        if found.get("format") != FORMAT:
            raise QskyError("not-a-root", f"{root} has format {found.get('format')}; this Qsky knows format {FORMAT}.")
        self.storage = checked_storage(found.get("storage", "shared"), storage, fetches=fetch is not None)

    def store(self, database: str) -> Store:
        """The folder of a database that may or may not exist."""
        name, fetch = f"{layout.PUBLIC}/{database}", self._fetch
        return Store(self.root / name, (lambda part: fetch(f"{name}/{part}")) if fetch is not None else None)

    def databases(self) -> list[str]:
        """Names of the databases that have a revision, sorted."""
        names = Store(self.root).names(layout.PUBLIC)
        return [name for name in names if _used_numbers(self.store(name))]

    def numbers(self, database: str) -> list[int]:
        """The numbers of the revisions kept, ascending."""
        store = self.store(database)
        return [number for number in _used_numbers(store) if is_kept(store, number)]

    def spelled(self, database: str) -> str:
        """The database's name as it is on disk. Raises no-such-database."""
        for name in Store(self.root).names(layout.PUBLIC):
            if name.lower() == database.lower():
                return name
        raise QskyError("no-such-database", f"There is no database {database} in {self.root}.")

    def revision(self, database: str, number: int | None = None) -> Revision:
        """The current revision of a database, or a kept one. Raises no-such-database, no-such-revision."""
        return self.snapshot(database, number).revision

    def snapshot(self, database: str, number: int | None = None) -> DatabaseSnapshot:
        """A database opened at its current revision, or at a kept one. Raises no-such-database, no-such-revision."""
        if (self.root / layout.PUBLIC / database / layout.REVISIONS).is_dir():
            name = database
        else:
            name = self.spelled(database)
        used = _used_numbers(self.store(name))
        if not used:
            raise QskyError("no-such-database", f"There is no database {database} in {self.root}.")
        wanted = used[-1] if number is None else number
        if wanted != used[-1] and not is_kept(self.store(name), wanted):
            kept = ", ".join(map(str, self.numbers(name)))
            raise QskyError("no-such-revision", f"The database {name} has no revision {wanted}; it keeps {kept}.")
        with self._lock:
            held = self._snapshots.get((name, wanted))
        return held or self._opened(name, wanted, current=wanted == used[-1])

    def _opened(self, name: str, number: int, *, current: bool) -> DatabaseSnapshot:
        store = self.store(name)
        revision = read_revision(store, number)
        snapshot = DatabaseSnapshot(store, revision, _staged(store, revision) if current else frozenset())
        if snapshot.staged:
            return snapshot
        with self._lock:
            self._snapshots[name, number] = snapshot
            while len(self._snapshots) > _SNAPSHOTS_HELD:
                self._snapshots.popitem(last=False)
        return snapshot

    def history(self, database: str) -> list[Revision]:
        """The kept revisions, oldest first."""
        name, found = self.spelled(database), []
        for number in self.numbers(name):
            try:
                found.append(read_revision(self.store(name), number))
            except QskyError as error:
                if error.code.name != "no-such-revision":  # forgotten this moment
                    raise
        return found

    def forget(self, database: str) -> None:
        """Drop what is held of a database whose folder was removed or vacuumed."""
        with self._lock:
            for key in [key for key in self._snapshots if key[0] == database]:
                del self._snapshots[key]


def _used_numbers(store: Store) -> list[int]:
    """Every number a revision ever had, ascending; the last is that of the current one, which is never forgotten."""
    names = store.names(layout.REVISIONS)
    return sorted(int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit())


def read_revision(store: Store, number: int) -> Revision:
    """Raises no-such-revision, damaged, not-a-root."""
    try:
        content = store.read(layout.revision_path(number))
        if not content:
            raise FileNotFoundError
        return revision_from_json(json.loads(content))
    except FileNotFoundError:
        raise QskyError("no-such-revision", f"Revision {number} was vacuumed away.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise QskyError("damaged", f"Revision {number} cannot be read: {error}.") from error
