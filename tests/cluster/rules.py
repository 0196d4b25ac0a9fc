"""What a keeper must obey whatever it believes: the rules of docs/decisions/0015-the-keeper.md, checked order by order.

A `Book` writes down what one keeper was told and what it ordered, and looks at nothing of it but what it thinks who holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from qsky.cluster.keeper import Keeper
from qsky.cluster.orders import (
    AskInventory,
    Delete,
    Drain,
    Drained,
    Event,
    Healthy,
    HostSeen,
    HostSilent,
    Inventory,
    LeaseHeld,
    LiveLoads,
    Order,
    OrderDone,
    OrderFailed,
    Pull,
    Quarantine,
    Scrub,
    Undrain,
    Verify,
    Wanted,
    WorkerOrder,
)


@dataclass
class Book:
    """One keeper's past. Times are those of its ticks."""

    keeper: Keeper
    epoch: int = 0
    sent: dict[int, tuple[WorkerOrder, float]] = field(default_factory=dict)  # not answered
    stuck: set[int] = field(default_factory=set)  # of these, those that may never be: somebody fell silent
    good: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)  # copies: what found them so, and when
    condemned: dict[tuple[str, str], int] = field(default_factory=dict)
    failed_at: dict[str, float] = field(default_factory=dict)
    stray_since: dict[tuple[str, str], float] = field(default_factory=dict)
    spared_at: dict[str, float] = field(default_factory=dict)  # parts no more wanted, and loads no more live
    wanted: frozenset[str] = frozenset()
    loads: frozenset[str] = frozenset()
    up: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    ready_at: dict[str, float] = field(default_factory=dict)
    heard_since: dict[str, float] = field(default_factory=dict)
    watching_since: float = 0.0
    ticked_at: float = 0.0
    asked_at: dict[str, float] = field(default_factory=dict)
    pulled: dict[tuple[str, str], int] = field(default_factory=dict)  # copies that came, and the serial after that
    serials: dict[str, int] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)

    # -- what it was told

    def told(self, event: Event) -> None:
        """Write an event down, after the keeper has read it."""
        match event:
            case LeaseHeld():
                self._new_epoch(event.epoch)
            case HostSeen():
                if event.host.name not in self.up:
                    self.heard_since[event.host.name] = self.keeper.now
                self.up.add(event.host.name)
            case HostSilent():
                self._silent(event.host)
            case Drain():
                self.leaving.add(event.host)
            case Undrain():
                self.leaving.discard(event.host)
            case Inventory():
                self._reported(event)
            case Wanted():
                wanted = frozenset(part.name for part in event.parts)
                self.spared_at.update(dict.fromkeys(self.wanted - wanted, self.keeper.now))
                self.wanted = wanted
            case LiveLoads():
                self.spared_at.update(dict.fromkeys(self.loads - event.loads, self.keeper.now))
                self.loads = event.loads
            case OrderDone() | OrderFailed():
                self._answered(event)
        for name in self.keeper.members.by_name:
            if self.keeper.members.ready(name):
                self.ready_at[name] = self.keeper.now
        parts = self.keeper.holdings.parts
        self.pulled = {c: at for c, at in self.pulled.items() if c[0] in parts and c[1] in parts[c[0]].holders}

    def _reported(self, event: Inventory) -> None:
        """What is believed after an inventory: neither what is older than it, nor what it shows to be wrong."""
        for part in event.parts:
            self.stray_since.setdefault((part, event.host), self.keeper.now)
        for name, part in self.keeper.holdings.parts.items():
            counted = event.host in part.holders
            newer = self.pulled.get((name, event.host), -1) > event.serial
            assert counted or not newer, "an inventory has undone what came after it"
            read = self.keeper.members.by_name[event.host].serial == event.serial and self.keeper.members.ready(
                event.host
            )
            wrong = event.parts.get(name, part.bytes) != part.bytes
            assert not (counted and wrong and read and not newer), "a copy of the wrong size is counted"
        for number, (order, _) in self.sent.items():
            if isinstance(order, Delete) and order.on == event.host and number not in self.stuck:
                part_now = self.keeper.holdings.parts.get(order.part)
                assert part_now is None or event.host not in part_now.holders, "a copy on its way out is counted"

    def _new_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch = epoch
            self.watching_since = self.keeper.now
            for memory in (self.sent, self.good, self.condemned, self.failed_at):
                memory.clear()

    def _silent(self, host: str) -> None:
        self.up.discard(host)
        self.pulled = {copy: serial for copy, serial in self.pulled.items() if copy[1] != host}
        self.stuck.update(
            n for n, (o, _) in self.sent.items() if o.on == host or (isinstance(o, Pull) and o.sources[0] == host)
        )

    def _answered(self, event: OrderDone | OrderFailed) -> None:
        if event.epoch != self.epoch or event.number not in self.sent:
            return
        order, when = self.sent.pop(event.number)
        copy = order.part, order.on
        if isinstance(event, OrderFailed) and event.number in self.stuck:
            return  # whether it counts depends on whether the host was back before
        if isinstance(event, OrderFailed):
            self.failed_at[order.part] = self.keeper.now
            self.pulled.pop(copy, None)
            part = self.keeper.holdings.parts.get(order.part)
            if event.why in ("missing", "bad"):
                self.good.pop(copy, None)
                assert part is None or order.on not in part.holders, "a bad copy is counted"
            if event.why == "full" and part is not None:
                assert self.keeper.members.by_name[order.on].room is not None, "nobody minds that a disk is full"
        elif isinstance(order, Pull | Verify | Scrub):
            self.good[copy] = max(self.good.get(copy, (-1, 0.0)), (order.number, when))  # answers overtake each other
            part = self.keeper.holdings.parts.get(order.part)
            if isinstance(order, Pull) and part is not None and order.on in part.holders:
                self.pulled[copy] = event.serial
            self.stray_since.setdefault(copy, self.keeper.now)

    # -- what it orders

    def ordered(self, order: Order, now: float) -> None:
        """Raise AssertionError if the order breaks a rule; write it down."""
        if isinstance(order, Delete):
            self._check_delete(order, now)
        elif isinstance(order, Quarantine):
            self._check_quarantine(order, now)
        elif isinstance(order, Pull):
            self._check_pull(order, now)
        elif isinstance(order, Drained):
            parts = [self.keeper.holdings.parts[name] for name in self.keeper.holdings.held[order.host]]
            assert all(len(set(part.holders) - {order.host}) >= self._copies() for part in parts), "it may not leave"
        elif isinstance(order, Healthy):
            parts = list(self.keeper.holdings.parts.values())
            assert all(len(part.holders) >= self._copies() for part in parts), "it is not healthy"
        elif isinstance(order, AskInventory):
            self.asked_at[order.on] = now
        if isinstance(order, Pull | Verify | Delete):
            waited = now - self.failed_at.pop(order.part, -1e9)
            assert waited >= self.keeper.settings.keeper_retry_seconds, "it is tried again at once"
        if isinstance(order, WorkerOrder):
            assert order.epoch == self.epoch
            self.sent[order.number] = order, now
            if isinstance(order, Delete | Quarantine):
                self.pulled.pop((order.part, order.on), None)
                self.condemned[order.part, order.on] = order.number

    def _copies(self) -> int:
        """How many a part should have."""
        able = [m for name, m in self.keeper.members.by_name.items() if not m.lost and name not in self.leaving]
        return min(self.keeper.settings.replicas, len(able))

    def _check_delete(self, order: Delete, now: float) -> None:
        """Only if all those that stay were read of late, under this lease, and are there."""
        holders = self.keeper.holdings.parts[order.part].holders
        vouching = [
            host for host in holders if (order.part, host) in self.good and self._vouches(order.part, host, now)
        ]
        assert order.on not in self.leaving, "a copy on a worker that leaves is removed"
        assert len(set(vouching) - {order.on}) >= self._copies(), "a copy is removed though the others are not sure"

    def _vouches(self, part: str, host: str, now: float) -> bool:
        number, when = self.good[part, host]
        recent = now - when <= self.keeper.settings.keeper_verified_seconds_max
        return recent and number > self.condemned.get((part, host), -1) and host in self.up and host not in self.leaving

    def _check_quarantine(self, order: Quarantine, now: float) -> None:
        assert order.part not in self.wanted, "a wanted part is put aside"
        load = order.part.rsplit("/", 1)[-1].split("-")[0]
        assert load not in self.loads, "a part of a live load is put aside"
        spared_at = max(self.spared_at.get(name, -1e9) for name in (order.part, load))
        grace = now - max(self.stray_since.get((order.part, order.on), -1e9), spared_at)
        assert grace >= self.keeper.settings.keeper_unknown_grace_seconds, "a stray is put aside too soon"

    def _check_pull(self, order: Pull, now: float) -> None:
        """To who is there, from who is there, and no more at once than rates allow."""
        settings = self.keeper.settings
        assert {order.on, *order.sources} <= self.up, "somebody is silent"
        assert order.on not in self.leaving, "a part is fetched by a worker that leaves"
        limit = now - settings.keeper_order_seconds_max
        pulls = [
            o for n, (o, when) in self.sent.items() if isinstance(o, Pull) and when > limit and n not in self.stuck
        ]
        assert sum(o.on == order.on for o in pulls) < settings.keeper_moves_max, "a worker fetches too much"
        assert sum(o.sources[0] == order.sources[0] for o in pulls) < settings.keeper_moves_max, "one gives too much"
        assert sum(o.bytes for o in pulls) < settings.keeper_bytes_in_flight_max, "too much is under way"

    def look(self, now: float) -> None:
        """After a tick: what nobody answered counts no more; who is lost must have been away for long enough."""
        limit = now - self.keeper.settings.keeper_order_seconds_max
        self.sent = {number: (order, when) for number, (order, when) in self.sent.items() if when > limit}
        self._sleep(now)
        for name, part in self.keeper.holdings.parts.items():
            for host in part.holders:
                self.stray_since.setdefault((name, host), now)
        for name, member in self.keeper.members.by_name.items():
            assert member.serial >= self.serials.get(name, -1), "an old inventory was read"
            self.serials[name] = member.serial
            if self.keeper.epoch is not None and member.heard:
                unasked = now - max(self.asked_at.get(name, -1e9), self.heard_since[name], self.watching_since)
                assert unasked <= self.keeper.settings.keeper_inventory_seconds + 20, "nobody asks it"
            if member.lost and name not in self.lost:
                assert not self.keeper.holdings.held[name], "what a lost worker held still counts"
                away = now - self.ready_at.get(name, -1e9)
                assert away >= self.keeper.settings.worker_lost_seconds, "a worker is lost too soon"
        self.lost = {name for name, member in self.keeper.members.by_name.items() if member.lost}

    def _sleep(self, now: float) -> None:
        """What a keeper slept through is neither silence nor grace."""
        slept = now - self.ticked_at - self.keeper.settings.keeper_retry_seconds
        self.ticked_at = now
        if slept > 0:
            self.watching_since = now
            self.ready_at = {name: at + slept for name, at in self.ready_at.items()}
            self.stray_since = {copy: at + slept for copy, at in self.stray_since.items()}
