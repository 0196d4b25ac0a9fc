"""A whole cluster in one thread from one seed: disks, messages late, doubled or lost, and two keepers whose clocks stop.

`World` plays workers, network, ledger and bad luck, and holds the truth that keepers only hear of. Every fault leaves each
part a copy that nothing threatens, so that whatever is lost after all was lost by a keeper.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field

from qsky.cluster.keeper import Keeper
from qsky.cluster.orders import (
    AskInventory,
    Delete,
    Drain,
    Event,
    HostSeen,
    HostSilent,
    Inventory,
    LeaseHeld,
    LeaseLost,
    LiveLoads,
    Lost,
    OrderDone,
    OrderFailed,
    Pull,
    Quarantine,
    Scrub,
    Tick,
    Undrain,
    Verify,
    Wanted,
    WantedPart,
    WorkerOrder,
)
from qsky.cluster.topology import Host, everywhere
from qsky.config import Settings
from tests.cluster.rules import Book

DATABASE = "public/sky"
STEP = 10.0
SETTINGS = Settings(
    keeper_quiet_seconds=60,
    worker_lost_seconds=60,
    keeper_moves_max=3,
    keeper_bytes_in_flight_max=500,
    keeper_order_seconds_max=120,
    keeper_retry_seconds=10,
    keeper_verified_seconds_max=100,
    keeper_inventory_seconds=60,
    keeper_unknown_grace_seconds=200,
    scrub_bytes_per_second=2,
)
ON_THE_WAY_SECONDS = 400.0  # a worker may have got a part for so long without a keeper hearing of it
HARM_SECONDS = 40.0  # between two of a part, beyond the time for which a copy vouches


@dataclass
class Worker:
    """One machine. `disk` is part -> (bytes, good)."""

    host: Host
    up: bool = True
    slow: bool = False
    capacity: int = 1 << 40
    disk: dict[str, tuple[int, bool]] = field(default_factory=dict)
    stored_at: dict[str, float] = field(default_factory=dict)
    serial: int = 0
    epoch: int = 0
    floor: dict[str, tuple[int, int]] = field(default_factory=dict)

    def good(self, part: str) -> bool:
        return self.disk.get(part, (0, False))[1]


@dataclass
class Desk:
    """One keeper, what it has not read yet, and what was said to it."""

    keeper: Keeper
    book: Book
    inbox: list[Event] = field(default_factory=list)
    paused_until: float = 0.0
    held_since: float = -1.0  # its first tick under the lease
    mass_at: float = -1.0
    told_up: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)


class World:
    """Everything there is, and what is true."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        rng = self.rng
        self.now = 0.0
        self.settings = SETTINGS.with_changes(
            replicas=rng.choice((2, 2, 3)),
            placement_slack=rng.choice((0.1, 0.5)),
            scrub_bytes_per_second=rng.choice((0, 2)),
            keeper_verified_seconds_max=rng.choice((100, 400)),
            keeper_bytes_in_flight_max=rng.choice((100, 500)),
        )
        zones = rng.choice(("", "ab", "abc"))
        count = rng.randint(self.settings.replicas + 1, 7)
        self.workers = {f"w{i}": Worker(Host(f"w{i}", zones[i % len(zones)] if zones else "")) for i in range(count)}
        self.wanted: dict[str, WantedPart] = {}
        self.loading: dict[str, tuple[float, list[WantedPart]]] = {}
        self.vacuumed: set[str] = set()
        self.draining: set[str] = set()
        self.harmed_at: defaultdict[str, float] = defaultdict(lambda: -1e9)
        self.post: list[tuple[float, int, str, object, Desk | None]] = []
        self.deletes: defaultdict[tuple[str, str], int] = defaultdict(int)  # on their way
        self.epoch = 0
        self.lease: tuple[Desk | None, float] = (None, 0.0)
        keepers = [Keeper(self.settings) for _ in range(2)]
        self.desks = [Desk(keeper, Book(keeper)) for keeper in keepers]
        self.moved = 0
        self.lost_said: set[str] = set()
        self._loads = 0
        for _ in range(3):
            self.load()
        self.publish()

    # -- loads and revisions

    def load(self) -> None:
        """A load writes parts to workers; nobody names them yet."""
        self._loads += 1
        name = f"load{self._loads}"
        parts = []
        for i in range(self.rng.randint(1, 4)):
            unit = everywhere("sky") if self.rng.random() < 0.05 else f"sky/3/{self.rng.randrange(6)}"
            parts.append(WantedPart(f"{DATABASE}/object/{name}-{i:06d}-{i:08x}.parquet", self.rng.randint(5, 60), unit))
        up = sorted(worker.host.name for worker in self.workers.values() if worker.up)
        for part in parts:
            for host in self.rng.sample(up, min(self.settings.replicas, len(up))):
                self.store(self.workers[host], part.name, part.bytes)
        self.loading[name] = self.now, parts

    def publish(self) -> None:
        """A revision names the parts of every load, if their copies are still there."""
        for _, parts in self.loading.values():
            if all(self.copies(part.name) for part in parts):
                self.wanted.update((part.name, part) for part in parts)
        self.loading.clear()

    def vacuum(self) -> None:
        for name in self.rng.sample(sorted(self.wanted), min(2, len(self.wanted))):
            del self.wanted[name]
            self.vacuumed.add(name)

    def read_catalogue(self, desk: Desk) -> None:
        """A keeper reads revisions and leases now and then, each for itself."""
        if self.rng.random() < 0.6:
            desk.inbox.append(Wanted(DATABASE, tuple(self.wanted.values())))
        if self.rng.random() < 0.6:
            desk.inbox.append(LiveLoads(frozenset(self.loading)))

    # -- disks

    def store(self, worker: Worker, part: str, size: int) -> None:
        worker.disk[part] = size, True
        worker.serial += 1
        worker.stored_at[part] = self.now

    def remove(self, worker: Worker, part: str) -> None:
        if worker.disk.pop(part, None) is not None:
            worker.serial += 1

    def copies(self, part: str, but: str = "") -> list[str]:
        """Hosts with a good copy, up or not."""
        return [name for name, worker in self.workers.items() if name != but and worker.good(part)]

    def may_harm(self, host: str, parts: list[str]) -> bool:
        """Whether each part keeps a good copy somewhere that no order threatens, and was not harmed of late."""
        for part in parts:
            safe = [other for other in self.copies(part, host) if not self.deletes[other, part]]
            if not safe or self.now - self.harmed_at[part] < self.settings.keeper_verified_seconds_max + HARM_SECONDS:
                return False
        self.harmed_at.update((part, self.now) for part in parts)
        return True

    # -- the network

    def send(self, kind: str, message: object, desk: Desk | None) -> None:
        dice = self.rng.random()
        times = 0 if dice < 0.02 else 2 if dice < 0.07 else 1
        for _ in range(times):
            late = self.rng.choice((0, 0, 0, 1, 2)) if self.rng.random() < 0.95 else self.rng.randint(5, 40)
            if isinstance(message, WorkerOrder) and self.workers[message.on].slow:
                late += self.rng.randint(3, 16)
            self.post.append((self.now + late * STEP, len(self.post), kind, message, desk))
            if isinstance(message, Delete):
                self.deletes[message.on, message.part] += 1

    def deliver(self) -> None:
        due = [entry for entry in self.post if entry[0] <= self.now]
        self.post = [entry for entry in self.post if entry[0] > self.now]
        self.rng.shuffle(due)
        for _, _, kind, message, desk in due:
            if kind == "event":
                assert desk is not None
                desk.inbox.append(message)  # type: ignore[arg-type]
            elif isinstance(message, AskInventory):
                self.answer(message, desk)
            else:
                self.obey(message, desk)  # type: ignore[arg-type]

    def answer(self, asked: AskInventory, desk: Desk | None) -> None:
        worker = self.workers[asked.on]
        if worker.up:
            parts = {name: size for name, (size, _) in worker.disk.items()}
            self.send("event", Inventory(asked.on, worker.serial, parts, asked.number), desk)

    # -- what a worker does with an order

    def obey(self, order: WorkerOrder, desk: Desk | None) -> None:
        worker = self.workers[order.on]
        if isinstance(order, Delete):
            self.deletes[order.on, order.part] -= 1
        if not worker.up:
            return
        why = self.outcome(worker, order)
        known = order.epoch, order.number, worker.serial
        answer = OrderFailed(*known, why) if why else OrderDone(*known)  # type: ignore[arg-type]
        for who in self.desks if self.rng.random() < 0.3 else [desk]:  # some answers are heard by everybody
            self.send("event", answer, who)

    def accepts(self, worker: Worker, order: WorkerOrder) -> bool:
        rank = order.epoch, order.number
        if order.epoch < worker.epoch or rank < worker.floor.get(order.part, (0, 0)):
            return False
        worker.epoch = order.epoch
        worker.floor[order.part] = rank
        return True

    def outcome(self, worker: Worker, order: WorkerOrder) -> str:
        """Why it was not done, "" if it was."""
        if not self.accepts(worker, order):
            return "refused"
        if isinstance(order, Pull):
            return self.pull(worker, order)
        if order.part not in worker.disk:
            return "" if isinstance(order, Delete | Quarantine) else "missing"
        if isinstance(order, Verify | Scrub):
            if worker.good(order.part):
                return ""
            self.remove(worker, order.part)
            return "bad"
        self.check_removal(worker, order)
        self.remove(worker, order.part)
        return ""

    def pull(self, worker: Worker, order: Pull) -> str:
        if worker.good(order.part):
            return ""
        if self.rng.random() < 0.02:
            return "error"
        if sum(size for size, _ in worker.disk.values()) + order.bytes > worker.capacity:
            return "full"
        for source in order.sources:
            if self.workers[source].up and self.workers[source].good(order.part):
                self.store(worker, order.part, order.bytes)
                self.moved += order.bytes
                return ""
        return "source"

    def check_removal(self, worker: Worker, order: WorkerOrder) -> None:
        """The invariant of all: a keeper never takes a copy that leaves none."""
        if isinstance(order, Quarantine):
            loading = {part.name for _, parts in self.loading.values() for part in parts}
            assert order.part not in self.wanted, "a wanted part was put aside"
            assert order.part not in loading, "a part of a live load was put aside"
        elif order.part in self.wanted and worker.good(order.part):
            assert self.copies(order.part, worker.host.name), "a keeper removed the last good copy"

    # -- keepers

    def run_keepers(self) -> None:
        for desk in self.desks:
            if self.now < desk.paused_until:
                continue
            slept = self.now - desk.paused_until < STEP and desk.paused_until > 0
            if not slept:
                self.renew(desk)
            self.tell_hosts(desk)
            self.read_catalogue(desk)
            inbox, desk.inbox = desk.inbox, []
            if slept:  # it acts before it learns what it has missed
                self.orders_of(desk, slept)
            for event in inbox:
                self.heard(desk, event)
            self.orders_of(desk)

    def renew(self, desk: Desk) -> None:
        holder, until = self.lease
        if holder is not desk and self.now >= until:
            self.epoch += 1
            self.lease = desk, self.now + 5 * STEP
            desk.held_since = -1.0
            self.heard(desk, LeaseHeld(self.epoch))
        elif holder is desk:
            self.lease = desk, self.now + 5 * STEP
            self.heard(desk, LeaseHeld(self.epoch))
        elif desk.keeper.epoch is not None:
            self.heard(desk, LeaseLost())

    def tell_hosts(self, desk: Desk) -> None:
        for name, worker in self.workers.items():
            if worker.up and self.rng.random() < 0.1:  # it says what it holds without being asked
                holds = {part: size for part, (size, _) in worker.disk.items()}
                self.send("event", Inventory(name, worker.serial, holds), desk)
            if worker.up and (name not in desk.told_up or self.rng.random() < 0.3):
                desk.inbox.append(HostSeen(worker.host))
                desk.told_up.add(name)
            elif not worker.up and (name in desk.told_up or name not in desk.told):
                desk.inbox.append(HostSilent(name))
                desk.told_up.discard(name)
            desk.told.add(name)
        for name in self.draining:
            desk.inbox.append(Drain(name))

    def heard(self, desk: Desk, event: Event) -> None:
        assert desk.keeper.handle(event) == []
        desk.book.told(event)
        if isinstance(event, HostSilent):
            there = [m for m in desk.keeper.members.by_name.values() if not m.lost]
            if 3 * sum(not m.heard for m in there) > len(there):
                desk.mass_at = desk.keeper.now

    def orders_of(self, desk: Desk, slept: bool = False) -> None:
        orders = desk.keeper.handle(Tick(self.now))
        if desk.keeper.epoch is not None and desk.held_since < 0:
            desk.held_since = self.now
        since = max(desk.held_since, desk.mass_at)
        for order in orders:
            desk.book.ordered(order, self.now)
            if isinstance(order, Pull | Delete | Quarantine | Lost):
                assert self.now - since >= self.settings.keeper_quiet_seconds, "something was judged in quiet time"
            if isinstance(order, WorkerOrder | AskInventory):
                self.send("order", order, desk)
            elif isinstance(order, Lost) and not slept:
                self.check_lost(order)

        desk.book.look(self.now)

    def check_lost(self, said: Lost) -> None:
        for part in said.parts:
            there = (self.workers[host] for host in self.copies(part))
            holders = [w.host.name for w in there if w.up and self.now - w.stored_at[part] > ON_THE_WAY_SECONDS]
            self.lost_said.add(part)
            assert not holders or part not in self.wanted, f"{part} is not lost: {holders}"

    def undrain(self, name: str) -> None:
        self.draining.discard(name)
        for desk in self.desks:
            desk.inbox.append(Undrain(name))

    # -- the passing of time

    def step(self) -> None:
        self.now += STEP
        self.deliver()
        self.run_keepers()
