"""One process's part in a cluster: a coordinator that sends fragments and new parts to workers.

`wire` makes one for a root that belongs to a cluster which is up. Several processes may, at the same time; they share
the scheduler and the workers and know nothing of each other.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from qsky.catalog import layout
from qsky.catalog.model import Revision
from qsky.catalog.store import Catalog, DatabaseSnapshot
from qsky.cluster.orders import WantedPart
from qsky.cluster.rebalance import wanted
from qsky.cluster.topology import Host, is_everywhere
from qsky.config import Settings
from qsky.dispatch.dask import DaskTransport, link_to
from qsky.dispatch.link import Link
from qsky.dispatch.transport import Transport
from qsky.errors import QskyError
from qsky.events import Listener, LoadReport
from qsky.fragment import Fragment
from qsky.ingest.request import LoadRequest
from qsky.ingest.spread import spread_load
from qsky.site.loading import cluster_of
from qsky.site.model import Site, Storage
from qsky.site.roles import access, certificates
from qsky.site.wishes import wanted_of, wanted_parts
from qsky.site.works import Deliver, Tell, Told
from qsky.storage.store import Store
from qsky.storage.xrootd.files import Files

_AT_ONCE: Final = 4  # parts on their way to each worker


@dataclass(frozen=True)
class _Going:
    """A staged part, where it is, and who shall have it."""

    name: str
    bytes: int
    path: Path
    workers: tuple[str, ...]


class Joined:
    """Safe for several threads. Nothing is opened before it is needed."""

    def __init__(self, site: Site, settings: Settings) -> None:
        self.site = site
        self._settings = settings
        self._replicated = site.storage is Storage.REPLICATED

    @property
    def settings(self) -> Settings:
        """Those of queries: a fragment reads parts that lie together."""
        order = self._settings.placement_order
        return self._settings.with_changes(fragment_cell_order=order) if self._replicated else self._settings

    @cached_property
    def link(self) -> Link:
        """Raises insecure, no-cluster."""
        link = link_to(self.site.scheduler, certificates(self.site, self.site.scheduler_host), self._settings)
        try:
            link.wait_for_workers(1, self._settings.cluster_wait_seconds)
        except QskyError:
            link.close()
            raise
        return link

    def reached(self) -> list[str]:
        """The workers that answer now; none while there is no scheduler."""
        if "link" not in self.__dict__:
            self.__dict__["link"] = link_to(
                self.site.scheduler, certificates(self.site, self.site.scheduler_host), self._settings
            )
        return [host.name for host in self.link.hosts]

    def transport(self) -> Transport:
        """What carries fragments to the workers. Raises as `link`."""
        homes = self._homes if self._replicated else None
        return DaskTransport(self.link, self.site.root, homes)

    @cached_property
    def _files(self) -> Files:
        return Files(access(self.site), self._settings)

    def _homes(self, fragment: Fragment) -> Sequence[str]:
        """The workers that hold the largest part of a fragment. Nobody, if XRootD cannot say: then anybody fetches it."""
        files = [file for source in fragment.inputs for file in source.files]
        own = [file for file in files if file.address.startswith("public/")]
        if not own:
            return ()
        largest = max(own, key=lambda file: (file.bytes, file.address))
        try:
            holders = self._files.locate(largest.address)
        except QskyError:
            return ()
        ports = {node.data_port: node.name for node in self.site.workers}
        return [ports[holder.port] for holder in holders if holder.port in ports]

    # -- loads

    def load(
        self, catalog: Catalog, request: LoadRequest, settings: Settings, listener: Listener, *, resume: bool
    ) -> LoadReport:
        """Load with the workers. Raises what a load raises, and as `link`."""
        inputs = tuple(name if "://" in name else os.path.abspath(name) for name in request.inputs)
        request = replace(request, inputs=inputs)
        return spread_load(catalog, request, settings, cluster_of(self.site, self.link), listener, resume=resume)

    def replicate(self, store: Store, revision: Revision) -> None:
        """Bring the staged parts of a revision that is about to be published to as many workers as it asks for.

        Raises too-few-workers, no-cluster, disk-full; then it must not be published.
        """
        if not self._replicated:
            return
        staging = layout.staging_path(revision.load)
        staged = {name: store.path(f"{staging}/{name}") for name in store.names(staging)}
        if staged:
            parts = wanted_of(DatabaseSnapshot(store, revision), self._settings.placement_order)
            self._deliver(self._going(parts, lambda part: staged.get(part.name.rsplit("/", 1)[-1])))

    def bring(self, catalog: Catalog) -> int:
        """Bring what lies in the root alone to the workers: a root that has just got a cluster. How many parts.

        Raises as `replicate`.
        """
        held = {name for future in self.asked().values() for name in future.result().parts}
        brought = 0
        for database in catalog.databases():
            parts = wanted_parts(catalog, database, catalog.numbers(database), self._settings.placement_order)
            missing = {part.name: catalog.root / part.name for part in parts if part.name not in held}
            here = {name: path for name, path in missing.items() if path.exists()}
            if here:
                brought += self._deliver(self._going(parts, lambda part, here=here: here.get(part.name)))  # type: ignore[misc]
        return brought

    def asked(self) -> dict[str, Future[Told]]:
        """What each worker holds, as soon as it says so."""
        return {host.name: self.link.order(host.name, Tell()) for host in self.link.hosts}

    def _going(self, parts: Sequence[WantedPart], path_of: Callable[[WantedPart], Path | None]) -> Iterator[_Going]:
        """The parts that have a path, with those who shall hold them. Raises too-few-workers."""
        here = [Host(host.name) for host in self.link.hosts]
        if len(here) < self.site.replicas:
            raise QskyError(
                "too-few-workers",
                f"Each part shall have {self.site.replicas} copies, but only {len(here)} workers are up.",
                hint="`qsky cluster status` shows who is missing.",
            )
        sizes: dict[str, int] = {}
        for part in parts:
            sizes[part.unit] = sizes.get(part.unit, 0) + part.bytes
        units = [unit for unit in sizes if not is_everywhere(unit)]
        loads = np.array([sizes[unit] for unit in units], dtype=np.int64)
        placement = wanted(units, loads, here, self.site.replicas, self._settings.placement_slack)
        holders = dict(zip(units, placement.lists(), strict=True))
        everybody = tuple(host.name for host in here)
        for part in parts:
            path = path_of(part)
            if path is not None:
                yield _Going(part.name, part.bytes, path, holders.get(part.unit, everybody))

    def _deliver(self, going: Iterable[_Going]) -> int:
        """Send parts, some at a time; how many. Raises what a worker raises."""
        waiting: deque[Future[Any]] = deque()
        count = 0
        for part in going:
            count += 1
            for worker in part.workers:
                waiting.append(self._delivered(part, worker))
                if len(waiting) >= _AT_ONCE * len(self.site.workers):
                    waiting.popleft().result()
        for future in waiting:
            future.result()
        return count

    def _delivered(self, part: _Going, worker: str) -> Future[Any]:
        """Send all blocks but the last and wait for them; the future of the last."""
        with part.path.open("rb") as file:
            offset = 0
            while True:
                block = Deliver(part.name, offset, file.read(self._settings.delivery_bytes), part.bytes)
                future = self.link.order(worker, block)
                offset += len(block.content)
                if offset >= part.bytes:
                    return future
                future.result()

    def close(self) -> None:
        """Let go of the cluster."""
        link = self.__dict__.pop("link", None)
        if link is not None:
            link.close()
