"""A load on a cluster: units of it go to workers as orders, through the scheduler.

Workers reach the metadata root, so what one unit leaves for another, and staged parts, lie there; the parts go to the
workers that shall hold them before the revision is created (`joined.replicate`).
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qsky.catalog import layout
from qsky.dispatch.link import Link
from qsky.errors import QskyError
from qsky.fragment import LoadUnit, UnitOutcome
from qsky.ingest.carry import WorkerLostError
from qsky.ingest.exchange import ExchangeLostError, FolderExchange
from qsky.ingest.record import FolderRecord
from qsky.ingest.spread import LoadCluster
from qsky.ingest.units import Ground, run_unit
from qsky.site.model import Site
from qsky.storage.store import Store


def cluster_of(site: Site, link: Link) -> LoadCluster:
    """What a load of this site is spread over."""
    return LoadCluster(LinkCarrier(link), FolderExchange(_exchange(site)), FolderRecord(Path(site.folder) / "loads"))


def run_on_worker(site: Site, worker: str, unit: LoadUnit) -> UnitOutcome:
    """One unit, at a worker. Raises what a load raises; ExchangeLostError."""

    def store(database: str) -> Store:
        return Store(Path(site.root) / layout.PUBLIC / database)

    threads = max(1, len(os.sched_getaffinity(0)) // max(1, len(site.workers)))
    return run_unit(unit, Ground(worker, threads, FolderExchange(_exchange(site)), store, store))


def _exchange(site: Site) -> Path:
    return Path(site.folder) / "exchange"


@dataclass
class LinkCarrier:
    """One unit at a time to each worker that is up, the idlest first."""

    link: Link
    _out: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def slots(self) -> int:
        return max(1, len(self.link.hosts))

    def submit(self, unit: LoadUnit, avoid: frozenset[str]) -> Future[UnitOutcome]:
        """As `ingest.carry.Carrier`."""
        future: Future[UnitOutcome] = Future()
        names = [host.name for host in self.link.hosts]
        with self._lock:
            worker = min(
                [name for name in names if name not in avoid] or names or [""],
                key=lambda name: (self._out[name], name not in unit.prefer, name),
            )
            self._out[worker] += 1

        def ended(sent: Future[Any]) -> None:
            with self._lock:
                self._out[worker] -= 1
            error = sent.exception()
            if error is None:
                future.set_result(sent.result())
            elif isinstance(error, ExchangeLostError) or (
                isinstance(error, QskyError) and error.code.family != "cluster"
            ):
                future.set_exception(error)
            else:
                future.set_exception(WorkerLostError(worker, str(error)))

        self.link.order(worker, unit).add_done_callback(ended)
        return future
