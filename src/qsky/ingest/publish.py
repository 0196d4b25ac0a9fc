"""The only commit point: a revision file created exclusively, under the next number, or not at all.

A change is a function from the current revision to the next. If somebody else published in between and touched
nothing we wrote or relied on, the change is applied again to the newer revision; otherwise it is a conflict and
nothing of ours is seen. Called by loads and maintenance; the parts are staged before.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from qsky.catalog import layout
from qsky.catalog.lease import assure
from qsky.catalog.model import Provenance, Revision, Table
from qsky.catalog.settle import placed_elsewhere, settle
from qsky.catalog.store import Catalog, read_revision
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Listener, Notice
from qsky.storage import delta
from qsky.storage.store import Store, fsync_folder, io_errors
from qsky.version import VERSION

FOREIGN_SEEN: Final = f"{layout.SIDE}/foreign-seen.json"


@dataclass(frozen=True)
class Change:
    """What to publish. `writes` are the tables it makes, alters or drops, `reads` those it relied on."""

    operation: str
    load: str
    apply: Callable[[Revision], Revision]
    writes: frozenset[str]
    reads: frozenset[str] = frozenset()
    provenance: Provenance = field(default_factory=Provenance)


def new_load_id() -> str:
    """Unique, sortable by time, without the dash that ends it in part names."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}x{uuid4().hex[:12]}"


def current_revision(catalog: Catalog, database: str) -> Revision:
    """The revision a change starts from; number 0, without tables, if the database does not exist yet."""
    if catalog.numbers(database):
        return settled_revision(catalog, database)
    return Revision(
        database=database, number=0, parent=0, created="", by="", operation="", load="", qsky=VERSION, tables=()
    )


def settled_revision(catalog: Catalog, database: str) -> Revision:
    """The current revision with all its parts in place, which a reader may do without but not who builds on it.

    Raises no-such-database, and what settling raises.
    """
    revision = catalog.revision(database)
    settle(catalog.store(revision.database), revision)
    return revision


def publish(catalog: Catalog, start: Revision, change: Change, settings: Settings, listener: Listener) -> Revision:
    """Make `change` the next revision; the revision as published.

    Raises load-conflict, foreign-commit, disk-full, no-access; then nothing of the change is seen by anybody.
    """
    store = catalog.store(start.database)
    for _ in range(settings.publish_attempts_max):
        base = current_revision(catalog, start.database)
        _refuse_conflicts(store, start, base, change)
        _refuse_foreign_commits(store, base, change.writes)
        revision = _stamped(change.apply(base), base, change)
        content = json.dumps(revision.to_json(), ensure_ascii=False, indent=1).encode()
        _make_staging_durable(store, change.load)
        if catalog.replicate is not None:
            catalog.replicate(store, revision)
        _refuse_unplaced(store, change)
        assure(store, change.load)
        if store.create(layout.revision_path(revision.number), content):
            _settle_or_tell(store, revision, listener)
            return revision
    raise QskyError(
        "load-conflict",
        f"Other loads published {settings.publish_attempts_max} revisions of {start.database} while this one tried to.",
        hint="Try again when the database is quieter.",
    )


def _refuse_unplaced(store: Store, change: Change) -> None:
    """Where parts belong on the disks of workers, none may be published that lies only here. Raises replicas-missing."""
    if store.fetch is None:
        return
    staged = {name for name in store.names(layout.staging_path(change.load)) if name.endswith(layout.PART_SUFFIX)}
    unplaced = staged - placed_elsewhere(store, change.load)
    if unplaced:
        raise QskyError(
            "replicas-missing",
            f"{len(unplaced)} new parts of this {change.operation} have no replicas on workers, so it was not published.",
            hint="Run it on the cluster, which gives new parts their replicas first.",
        )


def _make_staging_durable(store: Store, load: str) -> None:
    """The staged files are durable; now their names are."""
    staging = store.path(layout.staging_path(load))
    with io_errors("the staging folder"), suppress(FileNotFoundError):
        fsync_folder(staging)
        fsync_folder(staging.parent)


def _stamped(revision: Revision, base: Revision, change: Change) -> Revision:
    return replace(
        revision,
        number=base.number + 1,
        parent=base.number,
        created=datetime.now(UTC).isoformat(),
        by=_who(),
        operation=change.operation,
        load=change.load,
        qsky=VERSION,
        changed=tuple(sorted(change.writes)),
        provenance=change.provenance,
    )


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _refuse_conflicts(store: Store, start: Revision, base: Revision, change: Change) -> None:
    """Raise load-conflict if a revision after `start` touched what the change wrote or relied on."""
    writes, reads = _lowered(change.writes), _lowered(change.reads)
    for number in range(start.number + 1, base.number + 1):
        winner = _winner(store, number)
        both = sorted((_lowered(winner.changed) & (writes | reads)) | (_relied_on(winner) & writes))
        if both:
            raise QskyError(
                "load-conflict",
                f"Another {winner.operation} of {start.database}.{both[0]} was published first, as revision {number}; "
                "this one was not published and nothing of it is visible.",
                hint="Run it again: it will stand on the newer revision.",
            )


def _winner(store: Store, number: int) -> Revision:
    try:
        return read_revision(store, number)
    except QskyError as error:
        if error.code.name != "no-such-revision":
            raise
        raise QskyError(
            "load-conflict",
            f"Revision {number} was published and vacuumed away meanwhile, so what it changed cannot be known; "
            "this load was not published.",
            hint="Run it again.",
        ) from error


def _lowered(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}


def _relied_on(winner: Revision) -> set[str]:
    """The directors by which a revision placed rows: who writes one of them did not know of these rows."""
    changed = [table for table in winner.tables if table.name in winner.changed]
    return _lowered({name for t in changed for name in (t.director, *(end.director for end in t.match))} - {""})


def _refuse_foreign_commits(store: Store, base: Revision, writes: frozenset[str]) -> None:
    """Raise foreign-commit if a Delta log of a table we change holds more than its revision says."""
    for table in base.tables:
        if table.name in writes and table.attached is None:
            refuse_foreign_commit(store, base, table)


def refuse_foreign_commit(store: Store, base: Revision, table: Table) -> None:
    """Raise foreign-commit unless the logs of a table end where the revision says, or `verify` has seen it."""
    seen = foreign_versions_seen(store)
    for overlap, version in ((False, table.delta_version), (True, table.overlap_delta_version)):
        if overlap and not table.has_overlap:
            continue
        dataset = layout.dataset_path(table, overlap=overlap)
        if delta.newest_version(store.path(dataset)) > max(version, seen.get(dataset, -1)):
            raise QskyError(
                "foreign-commit",
                f"Another program wrote to the Delta log of {base.database}.{table.name}.",
                hint=f"Qsky's own answers are not affected. Run `qsky verify {base.database}` to see what it did; "
                "after that the table can be written again.",
            )


def foreign_versions_seen(store: Store) -> dict[str, int]:
    """The newest foreign version that `verify` has shown, by dataset folder."""
    if not store.exists(FOREIGN_SEEN):
        return {}
    found: dict[str, int] = json.loads(store.read(FOREIGN_SEEN))
    return found


def _settle_or_tell(store: Store, revision: Revision, listener: Listener) -> None:
    """The revision is published whatever happens now; what is left is done again by whoever opens it next."""
    troubles: Sequence[Exception]
    try:
        troubles = settle(store, revision)
    except (QskyError, OSError) as error:
        troubles = [error]
    for trouble in troubles:
        listener(Notice(f"Revision {revision.number} is published, but other readers may not see all of it: {trouble}"))


def discard(catalog: Catalog, start: Revision, load: str) -> None:
    """Remove what a load left behind, except what a revision names: a load that ended right after its commit point."""
    store = catalog.store(start.database)
    store.remove_tree(scratch_path(load))
    # What cannot be told now is left to vacuum, which judges by the current revision.
    with suppress(OSError, QskyError):
        numbers = [number for number in catalog.numbers(start.database) if number > start.number]
        if all(read_revision(store, number).load != load for number in numbers):
            store.remove_tree(layout.staging_path(load))


def scratch_path(load: str) -> str:
    """Where a load keeps its runs; never named by a revision."""
    return f"{layout.SIDE}/scratch/{load}"
