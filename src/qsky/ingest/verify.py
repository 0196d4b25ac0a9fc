"""Verify: everything a revision promises, checked against the bytes on disk; what is wrong is said, nothing is changed.

Parts: there, of the size and digest their names carry, sorted, inside their chunk, as many rows as said. Overlaps:
exactly the copies the rows around call for. Index: every key where its row is. Children: where their director is.
Side files and Delta logs: what the manifests say; a foreign commit is told and noted as seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qsky.catalog import layout
from qsky.catalog.model import HEALPIX_COLUMN, Kind, Revision, Table
from qsky.catalog.snapshot import Parts, Tiling
from qsky.catalog.store import Catalog, read_parts, read_tiling
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Listener, Progress, silent
from qsky.ingest.overlap import copies_of
from qsky.ingest.place import as_key
from qsky.ingest.publish import FOREIGN_SEEN, foreign_versions_seen
from qsky.sky.healpix import Ints
from qsky.storage import delta, hats
from qsky.storage.keyindex import keys_of, lookup
from qsky.storage.partname import digest_of
from qsky.storage.store import Store, digest_of_file


@dataclass
class VerifyReport:
    """What was looked at and what is wrong; `clean` if nothing is."""

    parts: int = 0
    rows: int = 0
    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.problems


def verify(catalog: Catalog, database: str, settings: Settings, listener: Listener = silent) -> VerifyReport:
    """Check the current revision of a database. Raises no-such-database."""
    revision = catalog.revision(database)
    store = catalog.store(revision.database)
    report = VerifyReport()
    for table in revision.tables:
        if table.attached is not None:
            report.notices.append(f"{table.name} is attached and was not checked.")
            continue
        try:
            _Check(catalog, store, revision, table, report, settings, listener).run()
        except (QskyError, OSError, ValueError, pa.ArrowException) as error:
            report.problems.append(f"{table.name} cannot be checked further: {error}")
    return report


@dataclass
class _Check:
    """The checks of one table."""

    catalog: Catalog
    store: Store
    revision: Revision
    table: Table
    report: VerifyReport
    settings: Settings
    listener: Listener

    def run(self) -> None:
        self._named_files()
        names = tuple(column.name for column in self.table.columns)
        parts = read_parts(self.store, self.table.parts, names)
        overlap = read_parts(self.store, self.table.overlap_parts, names)
        tiling = read_tiling(self.store, self.table.tiling) if self.table.tiling else None
        cells = list(self._part_cells(parts, tiling))
        list(self._part_cells(overlap, tiling))
        self._count(parts, self.table.rows, "rows")
        self._count(overlap, self.table.overlap_rows, "overlap rows")
        if tiling is not None:
            self._leaves(parts, cells, tiling)
        if self.table.kind is Kind.DIRECTOR and tiling is not None:
            self._copies(cells, overlap, tiling)
            self._index(parts)
        if self.table.kind is Kind.CHILD:
            self._children(parts)
        for is_overlap in (False, True) if self.table.has_overlap else (False,):
            self._side_files(overlap if is_overlap else parts, overlap=is_overlap)

    def _problem(self, text: str) -> None:
        self.report.problems.append(f"{self.table.name}: {text}")

    def _named_files(self) -> None:
        """Side files that carry their digest; checked on disk first, for they may be held in memory."""
        table = self.table
        segments = (segment.file for segment in table.index)
        for name in (*table.parts, *table.overlap_parts, *segments, *((table.tiling,) if table.tiling else ())):
            path = self.store.path(name)
            if not path.exists():
                self._problem(f"the file {name} is missing")
            elif digest_of_file(path) != digest_of(name):
                self._problem(f"the file {name} does not have the digest in its name")

    def _later_loads(self) -> set[str]:
        """The loads published since this check began; look after what they may have changed."""
        history = self.catalog.history(self.revision.database)
        return {later.load for later in history if later.number > self.revision.number}

    def _count(self, parts: Parts, expected: int, what: str) -> None:
        found = int(parts.rows.sum())
        if found != expected:
            self._problem(f"the revision says {expected} {what}, its manifests say {found}")

    def _part_cells(self, parts: Parts, tiling: Tiling | None) -> Iterator[Ints]:
        """The cells of each part, in order; an empty array for one that cannot be read (and a problem)."""
        with ThreadPoolExecutor(self.settings.cores) as pool:
            for at, (cells, problem) in enumerate(
                pool.map(lambda i: self._read_part(parts, i, tiling), range(len(parts)))
            ):
                if problem:
                    self._problem(problem)
                self.report.parts += 1
                self.report.rows += int(parts.rows[at])
                self.listener(Progress(f"verifying {self.table.name}", at + 1, len(parts), "parts"))
                yield cells

    def _read_part(self, parts: Parts, at: int, tiling: Tiling | None) -> tuple[Ints, str]:
        name = parts.paths[at].as_py()
        nothing = np.empty(0, dtype=np.int64)
        try:
            path = self.store.part(name)
        except QskyError as error:
            return nothing, f"the part {name} cannot be had: {error.message}"
        if not path.exists():
            return nothing, f"the part {name} is missing"
        if path.stat().st_size != parts.bytes[at]:
            return nothing, f"the part {name} has {path.stat().st_size} bytes, not {parts.bytes[at]}"
        if digest_of_file(path) != digest_of(name):
            return nothing, f"the part {name} does not have the digest in its name"
        if pq.read_metadata(path).num_rows != parts.rows[at]:
            return nothing, f"the part {name} does not have {parts.rows[at]} rows"
        if tiling is None:
            return nothing, ""
        cells: Ints = pq.read_table(path, columns=[HEALPIX_COLUMN], partitioning=None)[HEALPIX_COLUMN].to_numpy()
        if bool(np.any(cells[1:] < cells[:-1])):
            return cells, f"the part {name} is not sorted"
        if cells[0] != parts.hp_min[at] or cells[-1] != parts.hp_max[at]:
            return cells, f"the manifest's range of the part {name} is not that of its rows"
        return cells, ""

    def _leaves(self, parts: Parts, cells: list[Ints], tiling: Tiling) -> None:
        """Every row in the chunk it belongs to, which makes each row be in exactly one."""
        known = set(zip(tiling.orders.tolist(), tiling.npix.tolist(), strict=True))
        for at, own in enumerate(cells):
            if (int(parts.norder[at]), int(parts.npix[at])) not in known:
                self._problem(f"the part {parts.paths[at]} lies in no chunk of the tiling")
            elif len(own) and (own[0] < parts.leaf_starts[at] or own[-1] >= parts.leaf_ends[at]):
                self._problem(f"the part {parts.paths[at]} holds rows of another chunk")

    def _copies(self, cells: list[Ints], overlap: Parts, tiling: Tiling) -> None:
        """The overlap holds exactly the copies that the rows call for, as multisets of (chunk, cell)."""
        wanted = []
        for own in cells:
            rows, leaves = copies_of(own, tiling, self.table.overlap_arcsec)
            wanted.append(np.stack([leaves, own[rows]]))
        found = []
        for at, path in enumerate(overlap.paths.to_pylist()):
            own = pq.read_table(self.store.part(path), columns=[HEALPIX_COLUMN], partitioning=None)[
                HEALPIX_COLUMN
            ].to_numpy()
            leaf = tiling.leaf_of(overlap.leaf_starts[at : at + 1])
            found.append(np.stack([np.repeat(leaf, len(own)), own]))
        if not np.array_equal(_sorted_pairs(wanted), _sorted_pairs(found)):
            self._problem("the overlap is not what its neighbours' rows call for")

    def _index(self, parts: Parts) -> None:
        """Every key is found at the cell of its row, and the index has no other."""
        if not self.table.key:
            return
        entries = sum(segment.rows for segment in self.table.index)
        if entries != self.table.rows:
            self._problem(f"the index has {entries} keys for {self.table.rows} rows")
        for path in parts.paths.to_pylist():
            rows = pq.read_table(self.store.part(path), columns=[self.table.key, HEALPIX_COLUMN], partitioning=None)
            places, found = lookup(self.store.folder, self.table.index, keys_of(rows[self.table.key]))
            right = np.zeros(rows.num_rows, dtype=bool)
            right[places[found == rows[HEALPIX_COLUMN].to_numpy()[places]]] = True
            if not right.all():
                self._problem(
                    f"{int((~right).sum())} keys of the part {path} are not in the index where they should be"
                )

    def _children(self, parts: Parts) -> None:
        """Every row lies where its director lies, and those without one are marked."""
        director = self.revision.table(self.table.director)
        if director is None:
            self._problem(f"its director {self.table.director} is gone")
            return
        for at, path in enumerate(parts.paths.to_pylist()):
            rows = pq.read_table(self.store.part(path), columns=[self.table.key, HEALPIX_COLUMN], partitioning=None)
            keys = keys_of(as_key(rows[self.table.key].combine_chunks(), director))
            places, found = lookup(self.store.folder, director.index, keys)
            if parts.orphans[at]:
                if len(places):
                    self._problem(
                        f"{len(places)} rows of the part {path} are kept as orphans though their director is there"
                    )
                continue
            right = np.zeros(rows.num_rows, dtype=bool)
            right[places[found == rows[HEALPIX_COLUMN].to_numpy()[places]]] = True
            if not right.all():
                self._problem(f"{int((~right).sum())} rows of the part {path} do not lie where their director lies")

    def _side_files(self, parts: Parts, *, overlap: bool) -> None:
        """What other readers go by says the same as the manifests."""
        dataset = layout.dataset_path(self.table, overlap=overlap)
        expected = {p[len(dataset) + 1 :]: n for p, n in zip(parts.paths.to_pylist(), parts.rows.tolist(), strict=True)}
        version = self.table.overlap_delta_version if overlap else self.table.delta_version
        logged = {path: rows for path, (_, rows) in delta.files_at(self.store.path(dataset), version).items()}
        if logged != expected:
            self._problem(f"version {version} of the Delta log in {dataset} does not hold the parts of this revision")
        newest = delta.newest_version(self.store.path(dataset))
        later = self._later_loads() if newest > version else set()
        if any(delta.load_at(self.store.path(dataset), at) not in later for at in range(version + 1, newest + 1)):
            self._foreign(dataset, version, newest)
        if self.table.kind is Kind.REPLICATED:
            return
        folder = layout.table_path(self.table, overlap=overlap)
        listed = set(hats.leaves_of(self.store.read(f"{folder}/partition_info.csv").decode()))
        if listed != set(zip(parts.norder.tolist(), parts.npix.tolist(), strict=True)) and not self._later_loads():
            self._problem(f"{folder}/partition_info.csv does not list the chunks that have parts")
        self._strays(folder, expected)

    def _foreign(self, dataset: str, version: int, newest: int) -> None:
        """Tell what another program did, and note that it was told, so that the table can be written again."""
        what = delta.describe(self.store.path(dataset), version + 1, newest)
        self.report.notices.append(
            f"{self.table.name}: another program wrote to the Delta log in {dataset} ({what}). "
            "Qsky's answers do not include it; the table can be written again."
        )
        seen = {**foreign_versions_seen(self.store), dataset: newest}
        self.store.replace(FOREIGN_SEEN, json.dumps(seen).encode())

    def _strays(self, folder: str, expected: dict[str, int]) -> None:
        """Parts in the current generation's folders that no manifest names: HATS readers would see them."""
        prefix = f"{folder}/dataset/"
        inside = [name[len(prefix) :] for name in self.store.files(f"{folder}/dataset")]
        strays = [n for n in inside if n.endswith(".parquet") and not n.startswith("_delta_log/") and n not in expected]
        later = self._later_loads() if strays else set()
        for name in strays:
            if layout.load_of(name) not in later:
                self._problem(f"{prefix}{name} is in a chunk's folder but in no revision")


def _sorted_pairs(pairs: list[Ints]) -> Ints:
    """(2, n) pairs in order."""
    if not pairs:
        return np.empty((2, 0), dtype=np.int64)
    both = np.concatenate(pairs, axis=1)
    return both[:, np.lexsort((both[1], both[0]))]
