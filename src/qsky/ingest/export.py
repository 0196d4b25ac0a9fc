"""Export: a table copied out of the root as a HATS catalogue of its own (a director with its overlap as margin)."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from qsky.catalog import hats_properties, layout
from qsky.catalog.lease import Lease, leased
from qsky.catalog.model import Kind, Revision, Table
from qsky.catalog.snapshot import Parts, TableSnapshot
from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Listener, Progress, silent
from qsky.storage.store import Store, fsync_folder, io_errors


@dataclass(frozen=True)
class ExportReport:
    """What was written."""

    folder: Path
    files: int
    rows: int
    bytes: int


def export(
    catalog: Catalog, database: str, table: str, folder: Path, settings: Settings, listener: Listener = silent
) -> ExportReport:
    """Copy the table's current revision into `folder`, which must be new or empty.

    Raises no-such-database, no-such-table, usage, read-only, disk-full.
    """
    if folder.exists() and any(folder.iterdir()):
        raise QskyError("usage", f"{folder} is not empty.", hint="Choose a new folder.")
    snapshot = catalog.snapshot(database)
    opened = snapshot.table(table)
    if opened.table.attached is not None:
        raise QskyError("read-only", f"{database}.{table} is attached; copy it from {opened.table.attached.address}.")
    with leased(catalog.store(opened.database), Lease(revision=opened.revision), settings.lease_seconds):
        return _Export(opened, snapshot.revision, snapshot.store, Store(folder), listener).run()


@dataclass(frozen=True)
class _Export:
    opened: TableSnapshot
    revision: Revision
    source: Store
    target: Store
    listener: Listener

    def run(self) -> ExportReport:
        # In the copy everything is the first and only generation, spelled without a generation folder.
        table = self.opened.table
        parts = self.opened.parts
        if table.kind is Kind.REPLICATED:
            self._copy(parts, "")
        elif table.kind is Kind.DIRECTOR:
            self._catalogue(table, parts, table.name, overlap=False)
            self._catalogue(table, self.opened.overlap, f"{table.name}_overlap", overlap=True)
            self.target.replace("collection.properties", self._collection(table).encode())
        else:
            self._catalogue(table, parts, ".", overlap=False)
        copied = [parts, self.opened.overlap] if table.kind is Kind.DIRECTOR else [parts]
        files, size = sum(map(len, copied)), sum(int(p.bytes.sum()) for p in copied)
        return ExportReport(self.target.folder, files, int(parts.rows.sum()), size)

    def _collection(self, table: Table) -> str:
        text = hats_properties.collection_properties(replace(table, generation=1), self.revision.created)
        return text.replace("/g0001", "")

    def _catalogue(self, table: Table, parts: Parts, folder: str, *, overlap: bool) -> None:
        leaves = zip(parts.norder.tolist(), parts.npix.tolist(), strict=True)
        rows = int(parts.rows.sum())
        files = hats_properties.side_files(
            self.revision.database, table, leaves, rows, self.revision.created, overlap=overlap
        )
        primary = f"../../{table.name}/g{table.generation:04d}".encode()
        self._copy(parts, f"{folder}/dataset", partitioned=True)
        for name, content in files.items():
            # What has no generations is spelled without them.
            written = content.replace(primary, f"../{table.name}".encode()) if name == "hats.properties" else content
            self.target.replace(f"{folder}/{name}", written)

    def _copy(self, parts: Parts, folder: str, *, partitioned: bool = False) -> None:
        for at, path in enumerate(parts.paths.to_pylist()):
            name = path.rsplit("/", 1)[-1]
            leaf = layout.leaf_folder(int(parts.norder[at]), int(parts.npix[at])) if partitioned else "."
            target = self.target.path(f"{folder or '.'}/{leaf}/{name}")
            with io_errors(str(target)):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.source.part(path), target)
                fsync_folder(target.parent)
            self.listener(Progress("export", at + 1, len(parts), "parts"))
