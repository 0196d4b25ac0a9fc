"""A load spread over processes of this machine for tests, and what two databases must have in common to be equal."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from qsky.catalog import layout
from qsky.events import LoadReport, silent
from qsky.fragment import LoadUnit, UnitOutcome
from qsky.ingest.exchange import FolderExchange
from qsky.ingest.record import FolderRecord
from qsky.ingest.request import LoadRequest
from qsky.ingest.spread import LoadCluster, spread_load
from qsky.ingest.units import Ground, run_unit
from qsky.storage.store import Store
from tests.ingest.loaded import Root
from tests.ingest.processes import ProcessCarrier


@dataclass(frozen=True)
class SharedGround:
    """Makes the ground of a host on a shared root; it travels to processes."""

    root: Path
    exchange: Path

    def __call__(self, host: str) -> Ground:
        return Ground(host, 1, FolderExchange(self.exchange), self.store, self.store)

    def store(self, database: str) -> Store:
        return Store(self.root / layout.PUBLIC / database)


@dataclass
class Inline:
    """A carrier that runs units at once, here; `before` may raise what a worker would."""

    ground: SharedGround
    slots: int = 2
    sent: list[LoadUnit] = field(default_factory=list)

    def before(self, unit: LoadUnit) -> None:
        """Nothing happens; tests replace it."""

    def submit(self, unit: LoadUnit, avoid: frozenset[str]) -> Future[UnitOutcome]:
        self.sent.append(unit)
        hosts = [host for host in ("w0", "w1", "w2") if host not in avoid]
        host = hosts[len(self.sent) % len(hosts)]
        future: Future[UnitOutcome] = Future()
        try:
            self.before(unit)
            future.set_result(run_unit(unit, self.ground(host)))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass
class SpreadRoot(Root):
    """A root whose loads are spread; over processes inside `workers`, else run one by one in this one."""

    cluster: LoadCluster = field(init=False)
    inline: Inline = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.inline = Inline(self.ground)
        record = FolderRecord(self.folder / "record")
        self.cluster = LoadCluster(self.inline, FolderExchange(self.folder / "exchange"), record)

    @property
    def ground(self) -> SharedGround:
        return SharedGround(self.catalog.root, self.folder / "exchange")

    @contextmanager
    def workers(self, processes: int) -> Iterator[ProcessCarrier]:
        with ProcessCarrier(processes, self.ground) as carrier:
            self.cluster = replace(self.cluster, carrier=carrier)
            yield carrier
        self.cluster = replace(self.cluster, carrier=self.inline)

    def loaded(self, request: LoadRequest, *, resume: bool = False, listener: Any = silent) -> LoadReport:
        return spread_load(self.catalog, request, self.settings, self.cluster, listener, resume=resume)

    def staged(self) -> list[str]:
        store = self.catalog.store(self.database)
        return [name for load in store.names(layout.STAGING) for name in store.names(f"{layout.STAGING}/{load}")]


def assert_same(one: Root, other: Root) -> None:
    """Tables, tilings, rows chunk by chunk, overlaps, indexes and provenance are equal; both are clean."""
    for root in (one, other):
        root.assert_clean()
        assert root.unreferenced() == set()
    left, right = one.revision, other.revision
    assert [_plain(t) for t in left.tables] == [_plain(t) for t in right.tables]
    assert left.operation == right.operation and left.changed == right.changed
    provenances = [replace(revision.provenance, rejects_file="") for revision in (left, right)]
    assert provenances[0] == provenances[1]
    for table in left.tables:
        for overlap in (False, True):
            rows = [_sorted(root.rows(table.name, overlap=overlap)) for root in (one, other)]
            assert rows[0].equals(rows[1]), table.name


def _plain(table: Any) -> Any:
    """A table but for the names of files that hold a load's name, and for bytes, which depend on threads."""
    return replace(table, parts=(), overlap_parts=(), bytes=0)


def _sorted(rows: pa.Table) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in rows.column_names]) if rows.num_rows else rows
