"""A load spread over workers: its rows become parts in units that run anywhere, while the coordinator decides and publishes.

`Spread` is a `Partition`: the load around it (checks, tiling, index, adoption, publication) is the one every load is.
Each stage asks the record what is done already and still there, and sends the rest; so a load goes on after its
coordinator or any worker has died. Called by whoever wires a cluster, through `ingest.load`.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from qsky.catalog import layout
from qsky.catalog.lease import live_leases
from qsky.catalog.model import HEALPIX_COLUMN, Table
from qsky.catalog.settle import note_placed_elsewhere
from qsky.catalog.snapshot import Tiling
from qsky.catalog.store import Catalog, read_tiling
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Listener, LoadReport, silent
from qsky.fragment import LoadUnit, UnitOutcome
from qsky.ingest.build import Built
from qsky.ingest.carry import Carrier, Carrying
from qsky.ingest.exchange import Exchange, ExchangeLostError, ExchangeRun, RunFile, text_key
from qsky.ingest.load import load
from qsky.ingest.partition import Ends, Placed, Sources, Work
from qsky.ingest.parts import PartRow, PartWriter
from qsky.ingest.patches import bundles, patch_starts
from qsky.ingest.publish import discard
from qsky.ingest.record import LoadRecord
from qsky.ingest.request import LoadRequest
from qsky.ingest.runs import ints_of
from qsky.ingest.tile import CountMap
from qsky.ingest.units import BuildDone, BuildGiven, ReadDone, ReadGiven
from qsky.sky.healpix import ORDER_MAX, Ints

_COPY_SHARE: Final = 4  # overlap units are made of this part of a unit's bytes: copies are written one leaf at a time


@dataclass(frozen=True)
class StagedPart:
    """A new part before its revision: its path in the database, and the host that has it staged under its name."""

    database: str
    load: str
    path: str
    host: str  # "" for the coordinator's own


@dataclass(frozen=True)
class LoadCluster:
    """What a load is spread over.

    With a shared root workers stage parts in it, and `replicate` is None. Otherwise `replicate(parts, n)` gives every
    part its n copies under its final name, or raises; `staged(part)` says whether a host still has it.
    `homes(database, cell)` names the hosts on which the patch that holds an order-29 cell should lie.
    """

    carrier: Carrier
    exchange: Exchange
    record: LoadRecord
    replicas: int = 1
    replicate: Callable[[Sequence[StagedPart], int], None] | None = None
    staged: Callable[[StagedPart], bool] | None = None
    homes: Callable[[str, int], tuple[str, ...]] = field(default=lambda database, cell: ())


def spread_load(
    catalog: Catalog,
    request: LoadRequest,
    settings: Settings,
    cluster: LoadCluster,
    listener: Listener = silent,
    *,
    resume: bool = False,
) -> LoadReport:
    """Load as `ingest.load.load` does, with the same result, on a cluster.

    With `resume` the newest unfinished load of the same table goes on; units whose sources changed are done again.
    Raises what `load` raises, limit-attempts, replicas-missing; usage if there is nothing to resume.
    """
    _refuse_unready(cluster)
    unfinished = cluster.record.unfinished(request.database, request.table)
    if resume and not unfinished:
        raise QskyError(
            "usage",
            f"No load of {request.database}.{request.table} was interrupted.",
            hint="Load it without --resume.",
        )
    spread = Spread(cluster)
    report = load(catalog, request, settings, listener, partition=spread, resumed=unfinished[-1] if resume else "")
    _forget(catalog, cluster, request, spread.load, settings)
    return report


def _forget(catalog: Catalog, cluster: LoadCluster, request: LoadRequest, load: str, settings: Settings) -> None:
    """Remove what a load that is published left behind, and what loads of the same table did that nobody goes on with."""
    store, current = catalog.store(request.database), catalog.revision(request.database)
    at_work = {lease.load for lease in live_leases(store, settings.lease_seconds, time.time())}
    for done in {load, *cluster.record.unfinished(request.database, request.table)} - at_work:
        if done != load:
            discard(catalog, current, done)
        cluster.exchange.forget(done)
        cluster.record.forget(done)


def _refuse_unready(cluster: LoadCluster) -> None:
    if cluster.replicate is None and cluster.replicas != 1:
        raise QskyError(
            "usage",
            "The parts of a shared root are stored once; it has no replicas of its own.",
            hint="Leave --replicas out, or use a root of the mode replicated.",
        )


class Spread:
    """Partitions one load on a cluster."""

    resumable = True

    def __init__(self, cluster: LoadCluster) -> None:
        self.cluster = cluster
        self.load = ""
        self._reads: list[LoadUnit] = []
        self._hosts: dict[str, str] = {}  # of staged parts, by name
        self._attempts = 0

    def read(self, work: Work, sources: Sources, table: Table, ends: Ends) -> Placed:
        self.load = work.id
        self.cluster.record.begin(work.id, work.request.database, work.request.table)
        self._attempts = self.cluster.record.attempts(work.id)
        self._reads = [_read_unit(work, share, table, ends) for share in _shares(sources, work.settings)]
        done = self._read_all(work)
        self._sum_rejects(work, done)
        counts = CountMap(work.settings.tiling_order_max)
        for one in done:
            counts.add_counted(np.frombuffer(one.cells, np.int64), np.frombuffer(one.counts, np.float64))
        return Placed(
            rows=sum(one.rows for one in done),
            bytes=sum(one.size_bytes for one in done),
            counts=counts,
            own_angle_deg=max(one.own_angle_deg for one in done),
            keys=lambda: self._keys(done, table),
            told=tuple(told for one in done for told in one.told),
        )

    def build(self, work: Work, table: Table, tiling: Tiling, writer: PartWriter) -> Built:
        lost: ExchangeLostError | None = None
        for _ in range(work.settings.load_unit_attempts_max):
            try:
                return self._built(work, table, tiling)
            except ExchangeLostError as error:
                # The next round finds out what is gone, and does that and what stands on it again.
                lost = error
        raise QskyError(
            "limit-attempts",
            f"Files of the load {work.id} were lost {work.settings.load_unit_attempts_max} times; the last lay on {lost}.",
        ) from lost

    def secure(self, work: Work, paths: Sequence[str]) -> None:
        """Every new part has its number of copies, or there is no revision."""
        if self.cluster.replicate is not None:
            self.cluster.replicate([self._staged(work, path) for path in paths], self.cluster.replicas)
            note_placed_elsewhere(work.store, work.id, [path.rsplit("/", 1)[-1] for path in paths])

    def _staged(self, work: Work, path: str) -> StagedPart:
        host = self._hosts.get(path.rsplit("/", 1)[-1], "")
        return StagedPart(work.request.database, work.id, path, host)

    def _read_all(self, work: Work) -> list[ReadDone]:
        outcomes = self._carried(work, self._reads, "reading")
        return [_read_done(outcomes[unit.key]) for unit in self._reads]

    def _keys(self, done: Sequence[ReadDone], table: Table) -> Iterator[tuple[pa.ChunkedArray, Ints]]:
        """The keys and cells, run by run."""
        for run in (run for one in done for run in one.keys):
            rows = ExchangeRun(run, self.cluster.exchange).whole()
            yield rows[table.key], ints_of(rows, HEALPIX_COLUMN)

    def _sum_rejects(self, work: Work, done: Sequence[ReadDone]) -> None:
        """The rejects of all units as those of one load. Raises too-many-rejects."""
        for one in done:
            for column, values in one.nan_nulled.items():
                work.rejects.add_nan(column, values)
            if one.rejects is not None:
                content = self.cluster.exchange.read(one.rejects, 0, one.rejects.bytes)
                work.rejects.add_all(content.decode(), one.rows_refused, one.examples)
        work.rejects.finish()

    def _built(self, work: Work, table: Table, tiling: Tiling) -> Built:
        read = self._read_all(work)
        runs = tuple(run for one in read for run in one.runs)
        rows, size = sum(one.rows for one in read), sum(one.size_bytes for one in read)
        weights = _leaf_rows(tiling, read, work.settings.tiling_order_max) * max(1, size // rows)
        patches = patch_starts(self._tilings(work, tiling), work.settings.placement_order)
        given = _Leaves(work, table, tiling, patches, self.cluster, rows, size)
        target = work.settings.load_unit_bytes_target
        builds = given.units("build", weights, runs, [unit.key for unit in self._reads], target)
        outcomes = self._carried(work, builds, "writing")
        built = [_build_done(outcomes[unit.key]) for unit in builds]
        copies = tuple(run for one in built for run in one.copies)
        over = given.units(
            "copies",
            _copy_bytes(tiling, built),
            copies,
            [unit.key for unit in builds],
            target // _COPY_SHARE,
        )
        outcomes |= self._carried(work, over, "writing the overlap")
        written = [_build_done(outcomes[unit.key]) for unit in over]
        self._hosts = {
            part.path.rsplit("/", 1)[-1]: outcomes[unit.key].host
            for unit in (*builds, *over)
            for part in _build_done(outcomes[unit.key]).parts
        }
        return Built(_parts(built), _parts(written))

    def _tilings(self, work: Work, tiling: Tiling) -> list[Tiling]:
        """The tilings of the database, that of this load among them."""
        names = {table.tiling for table in work.base.tables if table.tiling}
        return [tiling, *(read_tiling(work.store, name) for name in sorted(names))]

    def _carried(self, work: Work, units: Sequence[LoadUnit], stage: str) -> dict[str, UnitOutcome]:
        """The outcomes of units, those on record if what they left is still there."""
        listed = self.cluster.record.listed(work.id)
        known = {unit.key: listed[unit.key] for unit in units if unit.key in listed}
        for key in [key for key, outcome in known.items() if not self._stands(work, outcome)]:
            self.cluster.record.lost(work.id, key)
            del known[key]
        missing = [unit for unit in units if unit.key not in known]
        carrying = Carrying(
            missing,
            self.cluster.carrier,
            self.cluster.record,
            work.settings,
            work.listener,
            f"{stage} {work.request.table}",
            self._attempts,
            done_before=len(known),
        )
        try:
            return known | carrying.run()
        finally:
            self._attempts = carrying.attempts

    def _stands(self, work: Work, outcome: UnitOutcome) -> bool:
        """Whether the files and parts of an outcome are still there."""
        done: ReadDone | BuildDone = pickle.loads(outcome.content)
        if not all(self.cluster.exchange.holds(file) for file in done.files):
            return False
        return isinstance(done, ReadDone) or all(self._part_stands(work, part, outcome.host) for part in done.parts)

    def _part_stands(self, work: Work, part: PartRow, host: str) -> bool:
        if self.cluster.staged is not None:
            return self.cluster.staged(StagedPart(work.request.database, work.id, part.path, host))
        name = f"{layout.staging_path(work.id)}/{part.path.rsplit('/', 1)[-1]}"
        return work.store.exists(name) and work.store.size(name) == part.bytes


@dataclass(frozen=True)
class _Leaves:
    """Makes units of leaves, whole patches together."""

    work: Work
    table: Table
    tiling: Tiling
    patches: Ints
    cluster: LoadCluster
    rows: int
    size_bytes: int

    def units(
        self, stage: str, leaf_bytes: Ints, runs: tuple[RunFile, ...], stands_on: Sequence[str], bytes_target: int
    ) -> list[LoadUnit]:
        content = self.tiling.to_bytes()
        found = []
        for leaves in bundles(self.patches, self.tiling.starts, leaf_bytes, bytes_target):
            given = BuildGiven(
                self.work.request.database,
                self.table,
                self.work.settings,
                content,
                tuple(leaves),
                runs,
                self.rows,
                self.size_bytes,
            )
            key = text_key(stage, self.table, leaves, stands_on)
            prefer = self.cluster.homes(self.work.request.database, int(self.tiling.starts[leaves[0]]))
            found.append(
                LoadUnit(self.work.id, stage, key, 0, pickle.dumps(given), int(leaf_bytes[list(leaves)].sum()), prefer)
            )
        return found


def _shares(sources: Sources, settings: Settings) -> list[Sources]:
    """The sources in order, those of one unit together: one large file, or several small ones."""
    found: list[list[int]] = []
    held = settings.load_unit_bytes_target
    for at, file in enumerate(sources.files):
        if held + file.bytes > settings.load_unit_bytes_target:
            found.append([])
            held = 0
        found[-1].append(at)
        held += file.bytes
    return [Sources([sources.files[at] for at in share], sources.schema.of(share), sources.options) for share in found]


def _read_unit(work: Work, share: Sources, table: Table, ends: Ends) -> LoadUnit:
    given = ReadGiven(work.request.database, table, work.settings, share, ends, work.rejects.rejects_max)
    changed = [(file, file.path.stat().st_mtime_ns) for file in share.files]
    key = text_key("read", changed, table, ends, share.schema.targets, share.options, work.rejects.rejects_max)
    return LoadUnit(work.id, "read", key, 0, pickle.dumps(given), sum(file.bytes for file in share.files))


def _read_done(outcome: UnitOutcome) -> ReadDone:
    done = pickle.loads(outcome.content)
    assert isinstance(done, ReadDone)
    return done


def _build_done(outcome: UnitOutcome) -> BuildDone:
    done = pickle.loads(outcome.content)
    assert isinstance(done, BuildDone)
    return done


def _leaf_rows(tiling: Tiling, read: Sequence[ReadDone], order: int) -> Ints:
    """At most how many rows each leaf holds: exactly, where it is no deeper than the cells that were counted. Shape (n,)."""
    changes = np.zeros(len(tiling) + 1, dtype=np.int64)
    shift = 2 * (ORDER_MAX - order)
    for one in read:
        cells, counts = np.frombuffer(one.cells, np.int64), np.frombuffer(one.counts, np.float64).astype(np.int64)
        np.add.at(changes, tiling.leaf_of(cells << shift), counts)
        np.add.at(changes, tiling.leaf_of(((cells + 1) << shift) - 1) + 1, -counts)
    rows: Ints = np.cumsum(changes[:-1])
    return rows


def _copy_bytes(tiling: Tiling, built: Sequence[BuildDone]) -> Ints:
    """About how many bytes of copies go to each leaf. Shape (n,)."""
    weights = np.zeros(len(tiling), dtype=np.int64)
    for one in built:
        leaves = np.array(one.copied_to, dtype=np.int64)
        weights[leaves] += max(1, one.copied_bytes // max(1, len(leaves)))
    return weights


def _parts(done: Sequence[BuildDone]) -> list[PartRow]:
    return [part for one in done for part in one.parts]
