"""Orders on their way: how many a worker may have at once, who has answered, and which copies vouch for others.

Called by `cluster.keeper` alone. A copy *vouches* if its holder has checked it in this epoch, not long ago, by an order
with a higher number than any that told it to remove the part: a worker that obeyed the higher number refuses the lower
one, however late it comes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from qsky.cluster.orders import Delete, Order, Pull, Quarantine, Scrub, Verify, WorkerOrder
from qsky.config import Settings

_WITNESSES_KEPT = 100_000


@dataclass(frozen=True)
class Flight:
    """An order that was given and not answered yet. `giver` is the first source of a Pull."""

    order: WorkerOrder
    sent_at: float
    giver: str = ""


class Flights:
    """Everything under way in one epoch."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.room = settings.keeper_bytes_in_flight_max  # bytes that may still be set in motion
        self._epoch = 0
        self._now = 0.0
        self._number = 0
        self._flights: dict[int, Flight] = {}
        self._of_part: defaultdict[str, set[int]] = defaultdict(set)
        self._fetching: defaultdict[str, int] = defaultdict(int)
        self._giving: defaultdict[str, int] = defaultdict(int)
        self._checking: defaultdict[str, int] = defaultdict(int)
        self._scrubbing: set[str] = set()
        self._witnesses: dict[tuple[str, str], tuple[int, float]] = {}
        self._condemned: dict[tuple[str, str], int] = {}
        self._doubted: defaultdict[str, set[str]] = defaultdict(set)
        self._new: list[Order] = []

    def begin(self, epoch: int, now: float) -> None:
        """The orders to come are of this epoch and moment."""
        self._epoch, self._now = epoch, now
        if len(self._witnesses) > _WITNESSES_KEPT:
            oldest = now - self.settings.keeper_verified_seconds_max
            self._witnesses = {copy: seen for copy, seen in self._witnesses.items() if seen[1] >= oldest}

    def forget_all(self) -> None:
        """A new epoch: workers that know it refuse what was ordered before."""
        for number in list(self._flights):
            self._end(number)
        self._witnesses.clear()
        self._condemned.clear()
        self._new.clear()

    def take(self) -> list[Order]:
        """The orders given since the last time."""
        orders, self._new = self._new, []
        return orders

    # -- questions

    def touches(self, part: str, host: str) -> bool:
        """Whether the host has an order about the part."""
        return any(self._flights[number].order.on == host for number in self._of_part.get(part, ()))

    def pulls(self, part: str) -> bool:
        """Whether somebody fetches the part."""
        return any(isinstance(self._flights[number].order, Pull) for number in self._of_part.get(part, ()))

    def leaving(self, host: str) -> frozenset[str]:
        """The parts the host was told to remove."""
        orders = (flight.order for flight in self._flights.values())
        return frozenset(o.part for o in orders if o.on == host and isinstance(o, Delete | Quarantine))

    def vouches(self, part: str, host: str) -> bool:
        """Whether the host's copy was checked well enough for another one to be removed."""
        number, when = self._witnesses.get((part, host), (-1, 0.0))
        recent = self._now - when <= self.settings.keeper_verified_seconds_max
        return number > self._condemned.get((part, host), -1) and recent and not self.is_doubted(part, host)

    def doubted(self, part: str) -> list[str]:
        """Hosts whose copy of the part may be bad."""
        return sorted(self._doubted.get(part, ()))

    def is_doubted(self, part: str, host: str) -> bool:
        return host in self._doubted.get(part, ())

    def scrubs(self, host: str) -> bool:
        """Whether the host reads a part because its turn came."""
        return host in self._scrubbing

    # -- orders; False where a worker has its hands full

    def pull(self, part: str, size: int, to: str, sources: list[str]) -> bool:
        """Have a host fetch a part, first of all from the source that gives least."""
        most = self.settings.keeper_moves_max
        giver = min(sources, key=lambda source: (self._giving[source], source))
        if self._fetching[to] >= most or self._giving[giver] >= most or self.room <= 0:
            return False
        others = tuple(source for source in sources if source != giver)
        self._send(Pull(self._epoch, self._number, part, size, to, (giver, *others)), giver)
        self._fetching[to] += 1
        self._giving[giver] += 1
        self.room -= size
        return True

    def verify(self, part: str, on: str, size: int) -> bool:
        """Have a host check its copy now."""
        if self._checking[on] >= self.settings.keeper_moves_max:
            return False
        self._send(Verify(self._epoch, self._number, part, on))
        self._checking[on] += 1
        return True

    def scrub(self, part: str, on: str) -> None:
        """Have a host check its copy when there is time."""
        self._send(Scrub(self._epoch, self._number, part, on))
        self._scrubbing.add(on)

    def delete(self, part: str, on: str) -> None:
        """Have a host remove its copy; it vouches for nothing from now on."""
        self._condemned[part, on] = self._number
        self._send(Delete(self._epoch, self._number, part, on))

    def quarantine(self, part: str, on: str) -> None:
        """Have a host put a part aside."""
        self._condemned[part, on] = self._number
        self._send(Quarantine(self._epoch, self._number, part, on))

    def _send(self, order: WorkerOrder, giver: str = "") -> None:
        self._flights[order.number] = Flight(order, self._now, giver)
        self._of_part[order.part].add(order.number)
        self._new.append(order)
        self._number += 1

    # -- answers

    def landed(self, epoch: int, number: int) -> Flight | None:
        """The order that was answered; None for one that is over, or of another epoch."""
        return self._end(number) if epoch == self._epoch and number in self._flights else None

    def vouch(self, flight: Flight) -> None:
        """A copy was found good. What counts is when that was asked, not when the answer came."""
        order = flight.order
        self._witnesses[order.part, order.on] = order.number, flight.sent_at
        self.clear(order.part, order.on)

    def disprove(self, part: str, host: str) -> None:
        """A copy was found bad, or missing: what was found before counts no more."""
        self._witnesses.pop((part, host), None)
        self.clear(part, host)

    def doubt(self, part: str, host: str) -> None:
        """A copy may be bad."""
        self._doubted[part].add(host)

    def clear(self, part: str, host: str) -> None:
        """A copy is good, or gone."""
        hosts = self._doubted.get(part)
        if hosts is not None:
            hosts.discard(host)
            if not hosts:
                del self._doubted[part]

    def overdue(self) -> list[WorkerOrder]:
        """Orders that nobody answered in time, which count no more."""
        limit = self._now - self.settings.keeper_order_seconds_max
        late = []
        for number, flight in list(self._flights.items()):  # in the order they were given
            if flight.sent_at > limit:
                break
            late.append(flight.order)
            self._end(number)
        return late

    def drop_host(self, host: str) -> list[WorkerOrder]:
        """The orders a host will not answer, or whose giver will not give."""
        dropped = [n for n, flight in self._flights.items() if host in (flight.order.on, flight.giver)]
        return [self._end(number).order for number in dropped]

    def _end(self, number: int) -> Flight:
        flight = self._flights.pop(number)
        order = flight.order
        self._of_part[order.part].discard(number)
        if not self._of_part[order.part]:
            del self._of_part[order.part]
        if isinstance(order, Pull):
            self._fetching[order.on] -= 1
            self._giving[flight.giver] -= 1
            self.room += order.bytes
        elif isinstance(order, Verify):
            self._checking[order.on] -= 1
        elif isinstance(order, Scrub):
            self._scrubbing.discard(order.on)
        return flight
