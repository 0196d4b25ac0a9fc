"""Which copies are made, checked and removed, and when: a state machine, events in, orders out.

Feed it what happens in any order and a Tick every second or so; carry out what it gives back. All orders come from
ticks. It believes little: copies are removed only after all those that stay were checked under the present lease; an
inventory older than what is known is not read; nobody is judged lost in quiet time. Why this is safe with two keepers
and late orders is told in docs/decisions/0015-the-keeper.md.

No I/O, no clock, no dice, no threads. Called by the keeper's shell, and by simulations that are a whole cluster.
"""

from __future__ import annotations

import numpy as np

from qsky.cluster.flights import Flights
from qsky.cluster.holdings import Holdings, Part
from qsky.cluster.members import Members
from qsky.cluster.orders import (
    Delete,
    Drain,
    Event,
    HostSeen,
    HostSilent,
    Inventory,
    LeaseHeld,
    LeaseLost,
    LiveLoads,
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
from qsky.cluster.queues import Queues
from qsky.cluster.rebalance import wanted
from qsky.cluster.statements import Statements
from qsky.cluster.topology import Host, is_everywhere
from qsky.cluster.upkeep import Rotation, put_aside
from qsky.config import Settings


class Keeper:
    """Keeps every wanted part at its number of copies."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now = 0.0
        self.epoch: int | None = None
        self.holdings = Holdings()
        self.members = Members(settings)
        self.flights = Flights(settings)
        self.loads: frozenset[str] = frozenset()
        self.targets: dict[str, tuple[str, ...]] = {}
        self.queues = Queues()
        self._epoch_last = 0
        self._quiet_until: float | None = None
        self._placement_old = True
        self._statements = Statements(settings.replicas)
        self._rotation = Rotation()

    @property
    def quiet(self) -> bool:
        """Whether it only watches."""
        return self._quiet_until is None or self.now < self._quiet_until

    def handle(self, event: Event) -> list[Order]:
        """The orders that follow from an event: those of a Tick, none of any other."""
        match event:
            case Tick():
                return self._tick(event.now)
            case HostSeen():
                self._seen(event.host)
            case HostSilent():
                if self.members.silent(event.host, self.now) and self._quiet_until is not None:
                    self._quiet_until = max(self._quiet_until, self.now + self.settings.keeper_quiet_seconds)
            case Inventory():
                self._inventory(event)
            case Wanted():
                self.holdings.want(event.database, event.parts, self.now)
                self._placement_old = True
                self._new_strays()
            case LiveLoads():
                self.holdings.spare(self.loads - event.loads, self.now)
                self.loads = event.loads
            case OrderDone():
                self._done(event)
            case OrderFailed():
                self._failed(event)
            case LeaseHeld():
                self._lease_held(event.epoch)
            case LeaseLost():
                self.epoch = None
            case Drain() | Undrain():
                self.members.drain(event.host, isinstance(event, Drain))
        return []

    # -- what happened

    def _seen(self, host: Host) -> None:
        if self.members.seen(host, self.now):
            self._forget_orders(host.name)

    def _forget_orders(self, host: str) -> None:
        for order in self.flights.drop_host(host):
            self.holdings.changed[order.part] = None

    def _lease_held(self, epoch: int) -> None:
        """A new epoch starts from nothing but the parts: what was known may have been changed by others since."""
        if epoch <= self._epoch_last:
            return
        self.epoch = self._epoch_last = epoch
        self._quiet_until = None
        self.flights.forget_all()
        self.members.doubt_all(self.now)
        for name in self.holdings.parts:
            self.holdings.changed[name] = None

    def _inventory(self, event: Inventory) -> None:
        was_ready = self.members.ready(event.host)
        newer = self.members.reported(event.host, event.serial, event.answers)
        if newer is None:
            return
        aside = newer | self.flights.leaving(event.host)
        odd, news = self.holdings.report(event.host, event.parts, aside, self.now)
        if not was_ready:  # what waited for it is due
            self.holdings.changed.update(dict.fromkeys(self.holdings.held[event.host]))
        for name in odd:
            self.flights.doubt(name, event.host)
        for name in news:
            self.queues.remember_stray(self.now + self.settings.keeper_unknown_grace_seconds, event.host, name)

    def _new_strays(self) -> None:
        """Parts that a revision no longer names become strays where they lie."""
        ripe = self.now + self.settings.keeper_unknown_grace_seconds
        for name in self.holdings.changed:
            for host in self.holdings.strays.get(name, ()):
                self.queues.remember_stray(ripe, host, name)

    def _done(self, event: OrderDone) -> None:
        flight = self.flights.landed(event.epoch, event.number)
        if flight is None:
            return
        order = flight.order
        fresh = self.members.changed(order.on, order.part, event.serial)
        part = self.holdings.parts.get(order.part)
        if part is None:
            return
        if isinstance(order, Pull) and fresh and self.members.ready(order.on):
            self.holdings.add(part, order.on)
        if isinstance(order, Pull | Verify | Scrub) and order.on in part.holders:
            self.flights.vouch(flight)
        self.holdings.changed[order.part] = None

    def _failed(self, event: OrderFailed) -> None:
        flight = self.flights.landed(event.epoch, event.number)
        if flight is None:
            return
        order = flight.order
        self.members.changed(order.on, order.part, event.serial)
        self._put_off(order.part)
        part = self.holdings.parts.get(order.part)
        if isinstance(order, Delete | Quarantine) or event.why == "refused":
            self.members.ask(order.on)
        elif part is None:
            return
        elif isinstance(order, Pull):
            self._pull_failed(order, part, event.why)
        elif event.why in ("missing", "bad"):
            self.flights.disprove(order.part, order.on)
            self.holdings.remove(part, order.on)

    def _pull_failed(self, order: Pull, part: Part, why: str) -> None:
        if why == "source":
            for host in part.holders:
                self.flights.doubt(order.part, host)
        elif why == "full":
            self.members.full(order.on, self.holdings.bytes_on(order.on))

    def _put_off(self, name: str) -> None:
        if name in self.holdings.parts:
            self.queues.put_off(name, self.now + self.settings.keeper_retry_seconds)

    # -- what is done about it

    def _tick(self, now: float) -> list[Order]:
        asleep = now - self.now - self.settings.keeper_retry_seconds
        if asleep > 0:
            self.members.slept(asleep)
            self.holdings.slept(asleep)
        self.now = max(self.now, now)
        if self.epoch is None:
            return []
        self.flights.begin(self.epoch, self.now)
        if self._quiet_until is None:
            self._quiet_until = self.now + self.settings.keeper_quiet_seconds
        for order in self.flights.overdue():
            self._put_off(order.part)
            self.members.ask(order.on)
        orders: list[Order] = list(self.members.questions(self.now))
        if not self.quiet:
            self._judge()
            if self._placement_old or self.members.moved:
                self._place()
        self._touch_changed()
        if not self.quiet:
            self._look_at_due()
            put_aside(self.holdings, self.members, self.flights, self.queues, self.loads, self.now)
            self._rotation.scrub(
                self.holdings, self.members, self.flights, self.settings.scrub_bytes_per_second, self.now
            )
        orders.extend(self.flights.take())
        orders.extend(
            self._statements.about(self.holdings, self.members, self.flights, self.targets, self.quiet, self.now)
        )
        return orders

    def _judge(self) -> None:
        for host in self.members.newly_lost(self.now):
            self.holdings.lose(host)
            self._forget_orders(host)

    def _place(self) -> None:
        """Work out anew who should hold what; parts whose holders change are due."""
        self._placement_old = self.members.moved = False
        holdings = self.holdings
        hosts = self.members.eligible(sum(holdings.unit_bytes.values()) * self.settings.replicas)
        units = sorted(unit for unit in holdings.unit_bytes if not is_everywhere(unit))
        placement = wanted(
            units,
            np.array([holdings.unit_bytes[unit] for unit in units], dtype=np.float64),
            hosts,
            self.settings.replicas,
            self.settings.placement_slack,
        )
        targets = dict(zip(units, placement.lists(), strict=True))
        everybody = tuple(sorted(host.name for host in hosts))
        targets.update((unit, everybody) for unit in holdings.unit_bytes if is_everywhere(unit))
        for unit, chosen in targets.items():
            if self.targets.get(unit) != chosen:
                holdings.changed.update(dict.fromkeys(holdings.of_unit[unit]))
        self.targets = targets
        self._statements.expect(min(self.settings.replicas, len(hosts)), len(hosts), holdings)

    def _touch_changed(self) -> None:
        """Put what changed into the queue of its urgency."""
        missed = False
        for name in self.holdings.changed:
            part = self.holdings.parts.get(name)
            if part is None:
                self.queues.forget(name)
                self._statements.forget(name)
            else:
                self.queues.due(name, len(part.holders), self.settings.replicas)
                self._statements.count(part, self.now)
                missed |= not part.holders
        self.holdings.changed = {}
        if missed:
            self.members.ask_everybody()

    def _look_at_due(self) -> None:
        """The most urgent first, as far as rates allow; who must wait for a worker goes to the end of the queue."""
        self.queues.ripen(self.now)
        for name in self.queues.batch():
            if self.flights.room <= 0:
                return
            part = self.holdings.parts[name]
            if self.queues.is_put_off(name, self.now) or self._looked_at(part):
                self.queues.settled(name)
            else:
                self.queues.waits(name)

    def _looked_at(self, part: Part) -> bool:
        """Order what the part needs; whether nothing is left to do until something changes."""
        targets = self.targets.get(part.unit, ())
        sent = self._check_doubted(part)
        ready = [host for host in part.holders if self.members.ready(host)]
        missing = [host for host in targets if host not in part.holders]
        for host in missing:
            if ready and self.members.ready(host) and not self.flights.touches(part.name, host):
                sent &= self._pull(part, host, ready)
        if targets and not missing:
            for host in part.holders:
                if host not in targets and self.members.ready(host) and not self.members.draining(host):
                    sent &= self._shed(part, host, targets)
        return sent

    def _check_doubted(self, part: Part) -> bool:
        sent = True
        for host in self.flights.doubted(part.name):
            if self.members.ready(host) and not self.flights.touches(part.name, host):
                sent &= self.flights.verify(part.name, host, part.bytes)
        return sent

    def _pull(self, part: Part, host: str, ready: list[str]) -> bool:
        trusted = [source for source in ready if not self.flights.is_doubted(part.name, source)]
        return self.flights.pull(part.name, part.bytes, host, trusted or ready)

    def _shed(self, part: Part, host: str, targets: tuple[str, ...]) -> bool:
        """Remove a copy too many, once all who keep theirs have checked it; have them check first.

        A target that is silent does not vouch, so its parts wait until it is back or lost.
        """
        unsure = [target for target in targets if not self.flights.vouches(part.name, target)]
        unheard = [target for target in targets if not self.members.ready(target)]
        if not unsure and not unheard:
            if not self.flights.touches(part.name, host):
                self.flights.delete(part.name, host)
                self.holdings.remove(part, host)
            return True
        sent = True
        for target in unsure:
            if self.members.ready(target) and not self.flights.touches(part.name, target):
                sent &= self.flights.verify(part.name, target, part.bytes)
        return sent
