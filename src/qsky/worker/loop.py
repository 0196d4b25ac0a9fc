"""What a worker does next: which fragment runs alone, which parts are decoded for several, and for whom.

Called by `worker.serve`, and by simulations. Pure: events in, orders out, no I/O, no clock, no threads. It knows works
by number, owners (queries) by identity, and columns of parts by name; it never sees SQL, files or rows. Why it chooses
as it does: docs/decisions/0008.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

# What a run over decoded columns costs beside one that decodes for itself, for fairness between queries.
_SHARED_COST: Final = 1 / 8
_ROUNDING: Final = 1 + 1e-9


class Unit(NamedTuple):
    """Rows that are decoded in one go: of one part, those in a range of a column, or all."""

    address: str
    within: tuple[str, int, int] | None = None


class Need(NamedTuple):
    """Columns of a unit, each with the bytes it is guessed to take when decoded."""

    unit: Unit
    columns: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Work:
    """A fragment as the loop sees it. `needs` () means that it cannot share; `bytes` are those of its parts."""

    number: int
    owner: Hashable
    bytes: int
    needs: tuple[Need, ...] = ()
    interactive: bool = False


# -- orders


@dataclass(frozen=True)
class Alone:
    """Run a work on its files."""

    number: int


@dataclass(frozen=True)
class Shared:
    """Run a work on columns that are held."""

    number: int


@dataclass(frozen=True)
class Decode:
    """Read columns of a unit, to be held."""

    unit: Unit
    columns: tuple[str, ...]


Order = Alone | Shared | Decode


@dataclass
class _Owner:
    served: float  # bytes it has been given
    waiting: dict[int, Work] = field(default_factory=dict)
    alive: int = 0  # works that have not ended


class Loop:
    """The works of one worker. Every order given by `next` must come back through `ended`."""

    def __init__(self, sharers_min: int, held_bytes_max: int) -> None:
        """A part is decoded for several if `sharers_min` queries wait for it, and at most so many bytes are held."""
        self._sharers_min = sharers_min
        self._held_bytes_max = held_bytes_max
        self._interactive: deque[Work] = deque()
        self._owners: dict[Hashable, _Owner] = {}
        self._works: dict[int, Work] = {}  # all that have not ended
        self._ready: dict[int, Work] = {}  # those whose columns are all held
        self._running: dict[int, Order] = {}
        self._wanting: dict[Unit, dict[int, Work]] = {}  # waiting, ready, or running on what is held
        self._popular: dict[Unit, Counter[Hashable]] = {}  # how many works of which owner want a unit
        self._held: dict[Unit, dict[str, int]] = {}
        self._coming: dict[Unit, dict[str, int]] = {}  # to be decoded or being decoded, with the bytes reserved
        self._pending: deque[Decode] = deque()
        self._decoding: set[Decode] = set()
        self.bytes = 0  # held and reserved
        self.dropped: list[tuple[Unit, str]] = []  # held no longer; whoever holds them empties this list

    # -- events

    def submit(self, work: Work) -> None:
        """A work has come. Numbers are never used twice."""
        self._works[work.number] = work
        if work.interactive:
            self._interactive.append(work)
            return
        if work.owner not in self._owners:
            busy = [owner.served for owner in self._owners.values()]
            self._owners[work.owner] = _Owner(min(busy, default=0.0))
        owner = self._owners[work.owner]
        owner.waiting[work.number] = work
        owner.alive += 1
        self._want(work)
        self._check_ready([work])

    def withdraw(self, number: int) -> list[Order]:
        """Nobody wants a work any more. The orders under way that should be stopped; they still end by `ended`."""
        if number in self._running:
            return [self._running[number]]
        if number in self._works:
            self._forget(self._works[number])
        return [order for order in self._decoding if order.unit not in self._wanting]

    def ended(self, order: Order, sizes: Mapping[str, int] | None = None) -> None:
        """An order has been carried out or has failed. `sizes` are the bytes of decoded columns, None if it failed."""
        if not isinstance(order, Decode):
            self._running.pop(order.number, None)
            self._forget(self._works[order.number])
            return
        self._decoding.discard(order)
        self._settle(order)
        if sizes is None:
            self._make_solitary(order)
            return
        self._held.setdefault(order.unit, {}).update(sizes)
        self.bytes += sum(sizes.values())
        self._release(order.unit)
        self._check_ready(list(self._wanting.get(order.unit, {}).values()))

    def next(self, interactive_only: bool = False) -> Order | None:
        """What a free permit shall do; None if there is nothing before something ends or comes."""
        if self._interactive:
            return self._start(Alone(self._interactive.popleft().number))
        if interactive_only:
            return None
        if self._ready:
            work = self._ready.pop(next(iter(self._ready)))
            self._owners[work.owner].served += work.bytes * _SHARED_COST
            return self._start(Shared(work.number))
        return self._next_decode() or self._choose()

    @property
    def idle(self) -> bool:
        return not self._works

    def holds(self, unit: Unit) -> tuple[str, ...]:
        """The columns of a unit that are held."""
        return tuple(self._held.get(unit, ()))

    # -- choosing

    def _start(self, order: Alone | Shared) -> Order:
        self._running[order.number] = order
        return order

    def _next_decode(self) -> Decode | None:
        while self._pending:
            order = self._pending.popleft()
            if order.unit in self._wanting:
                self._decoding.add(order)
                self._charge(order.unit)
                return order
            self._settle(order)
        return None

    def _charge(self, unit: Unit) -> None:
        """Those who wait for a unit pay for it in equal parts."""
        payers = {work.owner: work.bytes / len(work.needs) for work in self._wanting[unit].values()}
        for owner, size in payers.items():
            self._owners[owner].served += size / len(payers)

    def _choose(self) -> Order | None:
        """The query that was given least takes its most wanted work, with everybody who can use the same parts."""
        for owner in sorted(self._owners.values(), key=lambda owner: owner.served):
            work = self._most_wanted(owner)
            if work is None:
                continue
            if not self._shareable(work):
                return self._alone(work)
            if self._gather(work):
                return self._next_decode()
            if not (self._running or self._decoding):
                return self._alone(work)  # what it needs never fits
        return None

    def _most_wanted(self, owner: _Owner) -> Work | None:
        works = [work for work in owner.waiting.values() if not work.needs or not self._on_its_way(work)]
        return max(works, key=lambda work: (self._popularity(work), -work.number), default=None)

    def _popularity(self, work: Work) -> float:
        """The mean number of queries that want its units; units begun already come first."""
        if not work.needs:
            return 0.0
        units = [need.unit for need in work.needs]
        return sum(len(self._popular[unit]) + (unit in self._held) for unit in units) / len(units)

    def _shareable(self, work: Work) -> bool:
        """Whether enough queries want the same units, on average; units decoded for others anyway are free."""
        units = [need.unit for need in work.needs if need.unit not in self._held and need.unit not in self._coming]
        price = sum(1 / len(self._popular[unit]) for unit in units)
        return bool(work.needs) and price * self._sharers_min <= len(work.needs) * _ROUNDING

    def _on_its_way(self, work: Work) -> bool:
        return all(not self._missing(need) for need in work.needs)

    def _missing(self, need: Need) -> dict[str, int]:
        held, coming = self._held.get(need.unit, {}), self._coming.get(need.unit, {})
        return {column: size for column, size in need.columns if column not in held and column not in coming}

    def _alone(self, work: Work) -> Order:
        owner = self._owners[work.owner]
        owner.served += work.bytes
        del owner.waiting[work.number]
        self._unwant(work)
        return self._start(Alone(work.number))

    def _gather(self, work: Work) -> bool:
        """Order what a work misses and, as far as there is room, what others want of the same units."""
        own = {need.unit: self._missing(need) for need in work.needs}
        if not self._make_room(sum(sum(columns.values()) for columns in own.values())):
            return False
        for unit, columns in own.items():
            self._reserve(unit, columns)
        for unit, columns in own.items():
            columns |= self._reserve_for_others(unit)
        self._pending.extend(Decode(unit, tuple(columns)) for unit, columns in own.items() if columns)
        return True

    def _reserve_for_others(self, unit: Unit) -> dict[str, int]:
        """Missing columns of a unit that fit, those that most works want first."""
        wanted: Counter[tuple[str, int]] = Counter()
        for work in self._wanting[unit].values():
            for need in work.needs:
                if need.unit == unit:
                    wanted.update(self._missing(need).items())
        reserved = {}
        for (column, size), _ in wanted.most_common():
            if self.bytes + size <= self._held_bytes_max:
                self._reserve(unit, {column: size})
                reserved[column] = size
        return reserved

    # -- what is held

    def _make_room(self, size: int) -> bool:
        """Whether so many bytes fit; if nothing else goes on, columns that wait for others are given up for it."""
        if self.bytes + size > self._held_bytes_max and not (self._running or self._decoding or self._ready):
            for unit in list(self._held):
                self._drop(unit, list(self._held[unit]))
        return self.bytes + size <= self._held_bytes_max

    def _reserve(self, unit: Unit, columns: Mapping[str, int]) -> None:
        if columns:
            self._coming.setdefault(unit, {}).update(columns)
            self.bytes += sum(columns.values())

    def _settle(self, order: Decode) -> None:
        """Nothing is reserved any more for a decode."""
        coming = self._coming[order.unit]
        self.bytes -= sum(coming.pop(column) for column in order.columns)
        if not coming:
            del self._coming[order.unit]

    def _release(self, unit: Unit) -> None:
        """Drop the columns that nobody wants any more."""
        if unit in self._held:
            works = self._wanting.get(unit, {}).values()
            wanted = {c for work in works for need in work.needs if need.unit == unit for c, _ in need.columns}
            self._drop(unit, [column for column in self._held[unit] if column not in wanted])

    def _drop(self, unit: Unit, columns: Iterable[str]) -> None:
        held = self._held[unit]
        for column in columns:
            self.bytes -= held.pop(column)
            self.dropped.append((unit, column))
        if not held:
            del self._held[unit]

    def _check_ready(self, works: Iterable[Work]) -> None:
        for work in works:
            waiting = self._owners[work.owner].waiting
            if work.needs and work.number in waiting and self._all_held(work):
                self._ready[work.number] = waiting.pop(work.number)

    def _all_held(self, work: Work) -> bool:
        return all(column in self._held.get(need.unit, ()) for need in work.needs for column, _ in need.columns)

    def _make_solitary(self, order: Decode) -> None:
        """A unit cannot be decoded: whoever waits for it runs alone, and meets the error or does not."""
        for work in list(self._wanting.get(order.unit, {}).values()):
            waiting = self._owners[work.owner].waiting
            if work.number in waiting:
                self._unwant(work)
                waiting[work.number] = self._works[work.number] = replace(work, needs=())

    # -- who wants what

    def _want(self, work: Work) -> None:
        for need in work.needs:
            self._wanting.setdefault(need.unit, {})[work.number] = work
            self._popular.setdefault(need.unit, Counter())[work.owner] += 1

    def _unwant(self, work: Work) -> None:
        for need in work.needs:
            wanting = self._wanting.get(need.unit, {})
            if wanting.pop(work.number, None) is None:
                continue
            popular = self._popular[need.unit]
            popular[work.owner] -= 1
            if not popular[work.owner]:
                del popular[work.owner]
            if not wanting:
                del self._wanting[need.unit], self._popular[need.unit]
            self._release(need.unit)

    def _forget(self, work: Work) -> None:
        """A work has ended, or was withdrawn before it began."""
        del self._works[work.number]
        self._ready.pop(work.number, None)
        if work.interactive:
            if work in self._interactive:
                self._interactive.remove(work)
            return
        self._unwant(work)
        owner = self._owners[work.owner]
        owner.waiting.pop(work.number, None)
        owner.alive -= 1
        if not owner.alive:
            del self._owners[work.owner]
