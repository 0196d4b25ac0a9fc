"""After the commit: what makes a published revision visible to those who read our files without us.

Creating the revision is the commit. Settling then gives its staged parts their final names, commits the Delta tables
at exactly the versions the revision names, and rewrites the HATS side files. It is idempotent: whoever opens a
database whose last load died in between does it again. A revision is settled before the next one is created, and the
staging folder is removed last, so "is there a staging folder of the current revision's load?" is the whole question.
The order matters to foreign readers: no part is under a leaf folder, and no log names one, before its revision exists.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from qsky.catalog import layout
from qsky.catalog.model import HEALPIX_COLUMN, Kind, Revision, Table
from qsky.catalog.types import arrow_type
from qsky.errors import QskyError
from qsky.storage.store import Store, fsync_folder, io_errors

if TYPE_CHECKING:
    from qsky.storage.delta import Added

_ELSEWHERE: Final = "elsewhere.txt"


def settle(store: Store, revision: Revision) -> list[QskyError]:
    """Finish the publication of the current revision, if need be; foreign commits that stood in the way.

    Raises no-access, disk-full, damaged.
    """
    staging = layout.staging_path(revision.load)
    if not store.exists(staging):
        return []
    try:
        with io_errors(staging), _one_settler(store):
            # Whoever held the lock before may have done it all.
            return _settle(store, revision, staging) if store.exists(staging) else []
    except (FileNotFoundError, FileExistsError, pa.ArrowException, ValueError) as error:
        raise QskyError(
            "damaged", f"Revision {revision.number} of {revision.database} cannot be finished: {error}."
        ) from error


def _settle(store: Store, revision: Revision, staging: str) -> list[QskyError]:
    staged = set(store.names(staging)) | placed_elsewhere(store, revision.load)
    foreign = []
    for table in revision.tables:
        if table.name in revision.changed and table.attached is None:
            for overlap in (False, True) if table.has_overlap else (False,):
                foreign += _settle_table(store, revision, table, staged, overlap=overlap)
    _write_collections(store, revision)
    done = f"{staging}.done"
    os.rename(store.path(staging), store.path(done))
    store.remove_tree(done)
    return foreign


def placed_elsewhere(store: Store, load: str) -> set[str]:
    """The names of a load's parts that lie under their final names on the disks of workers, not in its staging folder."""
    name = f"{layout.staging_path(load)}/{_ELSEWHERE}"
    return set(store.read(name).decode().split()) if store.exists(name) else set()


def note_placed_elsewhere(store: Store, load: str, names: Iterable[str]) -> None:
    """Say, before the revision is made, which of its parts workers have. Raises disk-full, no-access."""
    store.replace(f"{layout.staging_path(load)}/{_ELSEWHERE}", "\n".join(sorted(names)).encode())


@contextmanager
def _one_settler(store: Store) -> Iterator[None]:
    """One process at a time settles a database; the lock goes with the process that holds it."""
    path = store.path(f"{layout.SIDE}/settle.lock")
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _settle_table(
    store: Store, revision: Revision, table: Table, staged: set[str], *, overlap: bool
) -> list[QskyError]:
    # Imported here: opening a settled database, the usual case, needs neither.
    from qsky.storage import delta

    manifests = table.overlap_parts if overlap else table.parts
    version = table.overlap_delta_version if overlap else table.delta_version
    dataset = layout.dataset_path(table, overlap=overlap)
    rows = [row for name in manifests for row in _manifest_rows(store, name)]
    new = [row for row in rows if row["path"].rsplit("/", 1)[-1] in staged]
    elsewhere = placed_elsewhere(store, revision.load)
    here = [row for row in new if row["path"].rsplit("/", 1)[-1] not in elsewhere]
    for row in here:
        store.link(f"{layout.staging_path(revision.load)}/{row['path'].rsplit('/', 1)[-1]}", row["path"])
    for folder in {store.path(row["path"]).parent for row in here}:
        fsync_folder(folder)
    if table.kind is not Kind.REPLICATED:
        _write_side_files(store, revision, table, rows, overlap=overlap)
    when_ms = int(datetime.fromisoformat(revision.created).timestamp() * 1000)
    try:
        delta.commit(
            store.path(dataset),
            version,
            stored_schema(table),
            [_added(row, dataset, table) for row in new],
            partitioned=table.kind is not Kind.REPLICATED,
            revision=revision.number,
            load=revision.load,
            when_ms=when_ms,
        )
    except QskyError as error:
        if error.code.name != "foreign-commit":
            raise
        return [error]
    return []


def _manifest_rows(store: Store, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pa.ipc.open_file(pa.py_buffer(store.read(name))).read_all().to_pylist()
    return rows


def _added(row: dict[str, Any], dataset: str, table: Table) -> Added:
    from qsky.storage.delta import Added

    partitioned = table.kind is not Kind.REPLICATED
    minimum, maximum = {}, {}
    if partitioned:
        minimum[HEALPIX_COLUMN], maximum[HEALPIX_COLUMN] = row["hp_min"], row["hp_max"]
    if row["key_min"] is not None and table.key:
        minimum[table.key], maximum[table.key] = row["key_min"], row["key_max"]
    leaf = (row["norder"], row["npix"]) if partitioned else None
    return Added(row["path"][len(dataset) + 1 :], row["bytes"], row["rows"], leaf, minimum, maximum)


def stored_schema(table: Table) -> pa.Schema:
    """The Arrow schema of a table's parts: `_healpix_29` first where there is a sky, then the columns."""
    fields = [] if table.kind is Kind.REPLICATED else [pa.field(HEALPIX_COLUMN, pa.int64())]
    return pa.schema(fields + [pa.field(column.name, arrow_type(column.type)) for column in table.columns])


def _write_side_files(
    store: Store, revision: Revision, table: Table, rows: list[dict[str, Any]], *, overlap: bool
) -> None:
    from qsky.catalog import hats_properties

    folder = layout.table_path(table, overlap=overlap)
    leaves = [(row["norder"], row["npix"]) for row in rows]
    count = table.overlap_rows if overlap else table.rows
    files = hats_properties.side_files(revision.database, table, leaves, count, revision.created, overlap=overlap)
    for name, content in files.items():
        store.replace(f"{folder}/{name}", content)


def _write_collections(store: Store, revision: Revision) -> None:
    from qsky.catalog import hats_properties

    for table in revision.tables:
        if table.kind is Kind.DIRECTOR and table.attached is None and table.name in revision.changed:
            path = f"{layout.collection_path(table.name)}/collection.properties"
            store.replace(path, hats_properties.collection_properties(table, revision.created).encode())
