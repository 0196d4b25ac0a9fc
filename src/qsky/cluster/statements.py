"""What the keeper tells people: what is lost, what has too few copies, who may leave; each said when it changes."""

from __future__ import annotations

from collections import Counter

from qsky.cluster.flights import Flights
from qsky.cluster.holdings import Holdings, Part
from qsky.cluster.members import Members
from qsky.cluster.orders import Degraded, Drained, Found, Healthy, Lost, Statement
from qsky.cluster.topology import is_everywhere


class Statements:
    """Counts parts below their number of copies as they change, so that saying it costs nothing."""

    def __init__(self, replicas: int) -> None:
        self._expected = replicas, 1
        self._short: dict[str, int] = {}  # name -> copies
        self._by_copies: Counter[int] = Counter()
        self._gone: dict[str, float] = {}  # name -> since
        self._lost: set[str] = set()
        self._drained: set[str] = set()
        self._said: Statement | None = None
        self._now = 0.0

    def expect(self, copies: int, everywhere: int, holdings: Holdings) -> None:
        """How many copies parts should have: those of most units, and those of replicated tables."""
        if self._expected != (copies, everywhere):
            self._expected = copies, everywhere
            for part in holdings.parts.values():
                self.count(part, self._now)

    def count(self, part: Part, now: float) -> None:
        """A part has changed."""
        self._now = now
        self.forget(part.name)
        copies = len(part.holders)
        if copies < self._expected[is_everywhere(part.unit)]:
            self._short[part.name] = copies
            self._by_copies[copies] += 1
        if copies == 0:
            self._gone.setdefault(part.name, now)

    def forget(self, name: str) -> None:
        """Nobody wants the part any more, or it is counted anew."""
        copies = self._short.pop(name, None)
        if copies is not None:
            self._by_copies[copies] -= 1

    def about(
        self,
        holdings: Holdings,
        members: Members,
        flights: Flights,
        targets: dict[str, tuple[str, ...]],
        quiet: bool,
        now: float,
    ) -> list[Statement]:
        """What has changed since it was last said."""
        self._now = now
        said = self._losses(holdings, members, flights, quiet)
        said.extend(self._leavers(holdings, members, targets, quiet))
        state = self._state(quiet)
        if state is not None and state != self._said:
            self._said = state
            said.append(state)
        return said

    def _state(self, quiet: bool) -> Statement | None:
        if self._short:
            fewest = min(copies for copies, parts in self._by_copies.items() if parts)
            return Degraded(len(self._short), fewest, quiet)
        return None if quiet else Healthy()

    def _losses(self, holdings: Holdings, members: Members, flights: Flights, quiet: bool) -> list[Statement]:
        """Parts are lost only when everybody who is not lost has said, after they were missed, that it has none."""
        for name in [n for n in self._gone if n not in holdings.parts or holdings.parts[n].holders]:
            del self._gone[name]
        back = sorted(name for name in self._lost if name not in self._gone)
        self._lost.difference_update(back)
        said: list[Statement] = []
        if back and any(name in holdings.parts for name in back):
            said.append(Found(tuple(name for name in back if name in holdings.parts)))
        if quiet or len(self._gone) == len(self._lost):
            return said
        lost = [n for n in self._gone if n not in self._lost and not flights.pulls(n)]
        since = max((self._gone[name] for name in lost), default=0.0)
        if lost and members.all_told_since(since, self._now):
            self._lost.update(lost)
            last = {host for name in lost for host in holdings.parts[name].last}
            said.append(Lost(tuple(sorted(lost)), tuple(sorted(last))))
        return said

    def _leavers(
        self, holdings: Holdings, members: Members, targets: dict[str, tuple[str, ...]], quiet: bool
    ) -> list[Statement]:
        leaving = {name for name, member in members.by_name.items() if member.draining}
        self._drained &= leaving
        said: list[Statement] = []
        for host in sorted(leaving - self._drained) if not quiet else []:
            parts = (holdings.parts[name] for name in holdings.held.get(host, ()))
            if members.ready(host) and all(_stands_without(part, targets) for part in parts):
                self._drained.add(host)
                said.append(Drained(host))
        return said


def _stands_without(part: Part, targets: dict[str, tuple[str, ...]]) -> bool:
    """Whether everybody who should hold the part does."""
    chosen = targets.get(part.unit, ())
    return bool(chosen) and all(host in part.holders for host in chosen)
