"""Vacuum, the only thing that deletes: what no kept revision names, no live lease protects, and is old enough.

Kept are the last revisions, the young ones, and those a lease reads. A part is judged by the manifests of the kept
revisions, a generation's folder by their tables, a staging folder by its load.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from qsky.catalog import layout
from qsky.catalog.lease import Lease, live_leases
from qsky.catalog.model import Revision, Table
from qsky.catalog.store import Catalog, read_manifest
from qsky.config import Settings
from qsky.events import Listener, Progress, silent
from qsky.storage import delta
from qsky.storage.store import ASIDE, Store

# Folders that every load expects to find.
_STANDING: Final = frozenset({"", layout.REVISIONS, layout.LEASES, layout.SIDE, layout.STAGING})


@dataclass
class VacuumReport:
    """What was deleted, and which revisions are still there."""

    files: int = 0
    bytes: int = 0
    revisions_forgotten: list[int] = field(default_factory=list)
    revisions_kept: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Kept:
    """Everything that must stay: files by name, generations by folder, loads by id."""

    files: frozenset[str]
    generations: tuple[str, ...]
    loads: frozenset[str]


def vacuum(catalog: Catalog, database: str, settings: Settings, listener: Listener = silent) -> VacuumReport:
    """Delete what nothing needs. Raises no-such-database, no-access, damaged."""
    now = time.time()
    current = catalog.revision(database)  # settles it
    store = catalog.store(current.database)
    # Before the revisions: so each load is seen at work, or as a revision, or begins after `now`.
    before = live_leases(store, settings.lease_seconds, now)
    revisions = catalog.history(current.database)
    kept = _kept_revisions(revisions, before, settings, now)
    forgotten = {r.number: _forget(store, r) for r in revisions if r not in kept}
    # Read again: a reader that leased one of these before it was forgotten keeps it (see catalog.lease).
    leases = live_leases(store, settings.lease_seconds, now)
    for number in {lease.revision for lease in leases} & set(forgotten):
        store.replace(layout.revision_path(number), forgotten.pop(number))
    kept = [revision for revision in revisions if revision.number not in forgotten]
    report = VacuumReport(revisions_kept=[r.number for r in kept], revisions_forgotten=sorted(forgotten))
    catalog.forget(current.database)
    live_loads = frozenset(lease.load for lease in (*before, *leases) if lease.load)
    needed = _needed(store, kept, live_loads | {current.load})
    # A live load may reuse or write side files nobody names yet, so then only what is older than any load may go.
    oldest = min([now - settings.vacuum_grace_seconds, *_starts(live_loads)])
    _delete(store, needed, oldest, report, listener)
    return report


def _forget(store: Store, revision: Revision) -> bytes:
    """Leave an empty file, so that a load asleep since before cannot publish under a number that was used; what was."""
    name = layout.revision_path(revision.number)
    content = store.read(name)
    store.replace(name, b"")
    return content


def _kept_revisions(revisions: list[Revision], leases: list[Lease], settings: Settings, now: float) -> list[Revision]:
    young = now - settings.revisions_kept_days * 86_400
    leased = {lease.revision for lease in leases}
    last = {revision.number for revision in revisions[-settings.revisions_kept :]}
    return [
        revision
        for revision in revisions
        if revision.number in last
        or revision.number in leased
        or datetime.fromisoformat(revision.created).timestamp() >= young
    ]


def _starts(loads: frozenset[str]) -> list[float]:
    """When loads began, by their ids, less a second for the clock's grain."""
    return [datetime.strptime(f"{load[:15]}+0000", "%Y%m%dT%H%M%S%z").timestamp() - 1 for load in loads]


def _needed(store: Store, revisions: list[Revision], loads: frozenset[str]) -> _Kept:
    tables = {table for revision in revisions for table in revision.tables if table.attached is None}
    files: set[str] = set()
    manifests = {name for table in tables for name in (*table.parts, *table.overlap_parts)}
    for name in manifests:
        files.update(read_manifest(store, name)["path"].to_pylist())
    for table in tables:
        files.update(name for name in (table.tiling, *(segment.file for segment in table.index)) if name)
    return _Kept(frozenset(files | manifests), tuple(sorted(_folders(tables))), loads)


def _folders(tables: set[Table]) -> set[str]:
    return {
        layout.table_path(t, overlap=o) + "/" for t in tables for o in ((False, True) if t.has_overlap else (False,))
    }


def _delete(store: Store, needed: _Kept, oldest: float, report: VacuumReport, listener: Listener) -> None:
    collections = {folder.split("/", 1)[0] for folder in needed.generations}
    emptied: set[str] = set()
    for folder, names, changed in list(store.folders()):
        for path in (f"{folder}/{name}" if folder else name for name in names):
            # A link has the times of the part it is a link to, but the folder that got it is young.
            young = store.changed(path) > oldest or (path.endswith(".parquet") and changed > oldest)
            if not young and _may_go(path, needed, collections):
                _remove(store, path, report, listener)
        # One that is empty but young may be waiting for its first file.
        if (changed <= oldest or folder in emptied) and folder not in _STANDING and store.remove_folder(folder):
            emptied.add(folder.rpartition("/")[0])


def _remove(store: Store, path: str, report: VacuumReport, listener: Listener) -> None:
    try:
        report.bytes += store.size(path)
    except FileNotFoundError:
        return
    report.files += 1
    store.remove(path)
    listener(Progress("vacuum", report.files, None, "files"))


def _may_go(name: str, needed: _Kept, collections: set[str]) -> bool:
    """Whether nothing that is kept needs the file, its age aside."""
    top, _, rest = name.partition("/")
    file = name.rsplit("/", 1)[-1]
    if name in needed.files:
        return False
    if file.startswith(ASIDE) or delta.is_leftover(name):
        return True
    if top in (layout.REVISIONS, layout.LEASES):
        return False
    if top == layout.SIDE:
        return _side_may_go(rest, needed)
    if rest == "collection.properties":
        return top not in collections
    generation = next((folder for folder in needed.generations if name.startswith(folder)), None)
    return generation is None or (name.endswith(".parquet") and "/_delta_log/" not in name)


def _side_may_go(rest: str, needed: _Kept) -> bool:
    if "/" not in rest:
        return rest not in ("settle.lock", "foreign-seen.json")
    load = rest.split("/")[1]
    return load.removesuffix(".done") not in needed.loads or load.endswith(".done")
