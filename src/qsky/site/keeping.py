"""The keeper's process: shows the state machine `cluster.keeper` what happens, and carries out its orders.

Everything it knows of workers comes through the scheduler; what must exist it reads from the revisions. What it has to
say to people goes to `<site>/keeper.json`, which `qsky cluster status` shows, and to its log.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Literal

from prometheus_client import CollectorRegistry, start_http_server

from qsky.catalog.layout import PUBLIC
from qsky.catalog.store import Catalog
from qsky.cluster.keeper import Keeper
from qsky.cluster.orders import (
    AskInventory,
    Degraded,
    Delete,
    Drain,
    Drained,
    Event,
    Found,
    Healthy,
    HostSeen,
    HostSilent,
    Inventory,
    LeaseHeld,
    Lost,
    Order,
    OrderDone,
    OrderFailed,
    Pull,
    Quarantine,
    Scrub,
    Tick,
    Undrain,
    Verify,
    Wanted,
)
from qsky.cluster.topology import Host
from qsky.config import Settings
from qsky.dispatch.dask import link_to
from qsky.dispatch.link import Link
from qsky.errors import QskyError
from qsky.fragment import Outcome, ReplicaKind, ReplicaOrder
from qsky.site.lease import LEASE, SiteLease
from qsky.site.model import Site
from qsky.site.roles import certificates, say
from qsky.site.supervisor import run_folder
from qsky.site.wishes import wanted_parts
from qsky.site.works import Obey, Obeyed, Tell, Told
from qsky.storage.xrootd.client import address_of
from qsky.storage.xrootd.reports import Receiver

_WAIT_SECONDS: Final = 1.0
_INVENTORY_LOOKS: Final = 3  # a worker is asked what it holds at every third look
_WHY: Final[dict[Outcome, Literal["missing", "bad", "source", "full", "refused", "error"]]] = {
    Outcome.MISSING: "missing",
    Outcome.BAD: "bad",
    Outcome.REFUSED: "refused",
    Outcome.BUSY: "error",
    Outcome.FAILED: "error",
}
_KINDS: Final = {
    Pull: ReplicaKind.PULL,
    Verify: ReplicaKind.VERIFY,
    Scrub: ReplicaKind.VERIFY,
    Delete: ReplicaKind.DELETE,
    Quarantine: ReplicaKind.QUARANTINE,
}


class Keeping:
    """One keeper process."""

    def __init__(self, site: Site, settings: Settings, say: Callable[[str], None]) -> None:
        self._site = site
        self._settings = settings
        self._say = say
        # workers read their own parts again (worker.scrub), so the state machine need not ask for it
        self._keeper = Keeper(settings.with_changes(replicas=site.replicas, scrub_bytes_per_second=0))
        self._catalog = Catalog(Path(site.root))
        self._heard: SimpleQueue[Event] = SimpleQueue()
        self._sizes: dict[str, int] = {}
        self._revisions: dict[str, tuple[int, ...]] = {}
        self._verified: dict[str, dict[str, int]] = {}  # part -> worker -> epoch
        self._seen: set[str] = set()
        self._drained: set[str] = set()
        self._said: dict[str, Any] = {"state": "starting"}
        self._processes: dict[str, int] = {}
        self._looks = 0

    def run(self, told: threading.Event) -> int:
        """Keep until told to end. Waits for the lease first."""
        lease = SiteLease(Path(self._site.folder) / "leases")
        while (epoch := lease.acquire()) is None:
            if told.wait(_WAIT_SECONDS):
                return 0
        self._say(f"keeper: epoch {epoch}")
        metrics = _metrics(self._site, self._settings)
        link = link_to(self._site.scheduler, certificates(self._site, self._site.scheduler_host), self._settings)
        try:
            self._keeper.handle(LeaseHeld(epoch))
            while not told.wait(self._settings.keeper_look_seconds):
                self._look(link)
        finally:
            link.close()
            metrics()
            lease.release()
        return 0

    def _look(self, link: Link) -> None:
        self._look_at_workers(link)
        self._look_at_revisions()
        self._look_at_drains()
        while True:
            try:
                self._handle(self._heard.get_nowait())
            except Empty:
                break
        for order in self._keeper.handle(Tick(time.monotonic())):
            self._carry_out(order, link)
        self._write()

    def _handle(self, event: Event) -> None:
        self._keeper.handle(event)

    # -- what happens

    def _look_at_workers(self, link: Link) -> None:
        zones = {node.name: node.zone for node in self._site.workers}
        here = {host.name for host in link.hosts}
        for name in sorted(here):
            self._handle(HostSeen(Host(name, zones.get(name, ""))))
        for name in sorted(self._seen - here):
            self._handle(HostSilent(name))
        self._seen |= here
        self._looks += 1
        for place, name in enumerate(sorted(here)):
            if (self._looks + place) % _INVENTORY_LOOKS == 0:
                self._ask(link, name)

    def _ask(self, link: Link, worker: str, number: int = -1) -> None:
        def told(future: Future[Any]) -> None:
            if future.exception() is None:
                answer: Told = future.result()
                self._processes[worker] = answer.process
                self._heard.put(Inventory(worker, answer.serial, answer.parts, number))

        link.order(worker, Tell()).add_done_callback(told)

    def _look_at_revisions(self) -> None:
        """What must exist: every part of every kept revision."""
        names = self._catalog.databases()
        for name in [*names, *(gone for gone in self._revisions if gone not in names)]:
            numbers = tuple(self._catalog.numbers(name)) if name in names else ()
            if self._revisions.get(name) == numbers:
                continue
            try:
                parts = wanted_parts(self._catalog, name, numbers, self._settings.placement_order)
            except QskyError as error:  # it is vacuumed or dropped this moment; the next look knows more
                self._say(f"keeper: {error}")
                continue
            self._revisions[name] = numbers
            self._sizes.update({part.name: part.bytes for part in parts})
            self._handle(Wanted(f"{PUBLIC}/{name}", parts))

    def _look_at_drains(self) -> None:
        wished = {path.stem for path in run_folder(self._site).glob("*.drain")}
        for name in wished - self._drained:
            self._handle(Drain(name))
        for name in self._drained - wished:
            self._handle(Undrain(name))
        self._drained = wished

    # -- orders

    def _carry_out(self, order: Order, link: Link) -> None:
        if isinstance(order, AskInventory):
            self._ask(link, order.on, order.number)
        elif isinstance(order, Pull | Verify | Scrub | Delete | Quarantine):
            self._order(order, link)
        else:
            self._tell(order)

    def _order(self, order: Pull | Verify | Scrub | Delete | Quarantine, link: Link) -> None:
        size = self._sizes.get(order.part, 0)
        others = self._verified.get(order.part, {})
        verified = tuple((name, epoch) for name, epoch in sorted(others.items()) if name != order.on)
        sent = ReplicaOrder(_KINDS[type(order)], order.part, size, LEASE, order.epoch, verified)

        def ended(future: Future[Any]) -> None:
            error = future.exception()
            if error is not None:
                refused = isinstance(error, QskyError) and error.code.name == "order-refused"
                self._heard.put(OrderFailed(order.epoch, order.number, 0, "refused" if refused else "error"))
                return
            answer: Obeyed = future.result()
            outcome = answer.report.outcome
            if outcome in (Outcome.DONE, Outcome.ALREADY):
                if sent.kind is ReplicaKind.VERIFY:
                    self._verified.setdefault(order.part, {})[order.on] = order.epoch
                self._heard.put(OrderDone(order.epoch, order.number, answer.serial))
            else:
                why = "full" if answer.report.code == "disk-full" else _WHY[outcome]
                if sent.kind is ReplicaKind.PULL and answer.report.code == "part-unreachable":
                    why = "source"
                self._heard.put(OrderFailed(order.epoch, order.number, answer.serial, why))

        link.order(order.on, Obey(sent, order.number, self._processes.get(order.on, 0))).add_done_callback(ended)

    # -- people

    def _tell(self, statement: Lost | Found | Degraded | Healthy | Drained) -> None:
        values = {"state": type(statement).__name__.lower(), **asdict(statement)}
        if isinstance(statement, Lost):
            self._said["lost"] = values
        elif isinstance(statement, Found):
            self._said.pop("lost", None)
        elif isinstance(statement, Drained):
            self._said.setdefault("drained", []).append(statement.host)
        else:
            self._said = {**self._said, "state": values["state"], "detail": values}
        self._say(f"keeper: {json.dumps(values)[:2000]}")

    def _write(self) -> None:
        path = Path(self._site.folder) / "keeper.json"
        aside = path.with_suffix(".new")
        aside.write_text(json.dumps({**self._said, "quiet": self._keeper.quiet, "at": time.time()}))
        aside.rename(path)


def _metrics(site: Site, settings: Settings) -> Callable[[], None]:
    """Show XRootD's summaries to Prometheus; what ends that."""
    registry = CollectorRegistry()
    receiver = Receiver(address_of(site.scheduler_host), settings, registry, site.report_port)
    server, thread = start_http_server(site.metrics_port, "127.0.0.1", registry)

    def end() -> None:
        server.shutdown()
        thread.join()
        receiver.close()

    return end


def keep(site: Site, settings: Settings, told: threading.Event) -> int:
    """Be the keeper."""
    return Keeping(site, settings, say).run(told)
