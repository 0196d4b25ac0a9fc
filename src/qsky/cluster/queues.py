"""Parts the keeper must look at, the most urgent first, and what it must look at later. Called by the keeper alone."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice

_BATCH = 5000  # parts of each urgency looked at in one tick
_LEVELS = 3


class Queues:
    """Three queues of part names: those with one copy or none, those with too few, and all others."""

    def __init__(self) -> None:
        self._due: list[dict[str, None]] = [{} for _ in range(_LEVELS)]
        self._level: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._later: list[tuple[float, str]] = []
        self._strays: list[tuple[float, str, str]] = []

    def due(self, name: str, copies: int, replicas: int) -> None:
        """A part must be looked at."""
        self.settled(name)
        level = 0 if copies <= 1 < replicas else 1 if copies < replicas else 2
        self._level[name] = level
        self._due[level][name] = None

    def settled(self, name: str) -> None:
        """Nothing is to be done about the part until something changes."""
        level = self._level.pop(name, None)
        if level is not None:
            del self._due[level][name]

    def waits(self, name: str) -> None:
        """The part goes to the end of its queue: whoever it needs is busy."""
        queue = self._due[self._level[name]]
        del queue[name]
        queue[name] = None

    def forget(self, name: str) -> None:
        """Nobody wants the part any more."""
        self.settled(name)
        self._not_before.pop(name, None)

    def batch(self) -> Iterator[str]:
        """The names to look at now; the queues may change meanwhile."""
        for queue in self._due:
            yield from list(islice(queue, _BATCH))

    def put_off(self, name: str, until: float) -> None:
        """What was tried failed; not again before this."""
        self._not_before[name] = until
        heapq.heappush(self._later, (until, name))

    def is_put_off(self, name: str, now: float) -> bool:
        return now < self._not_before.get(name, now)

    def ripen(self, now: float) -> None:
        """Parts whose time has come are due, among the others: urgency is counted anew when something changes."""
        while self._later and self._later[0][0] <= now:
            _, name = heapq.heappop(self._later)
            if self._not_before.get(name, now + 1) <= now:
                del self._not_before[name]
                if name not in self._level:
                    self._level[name] = 1
                    self._due[1][name] = None

    def remember_stray(self, ripe_at: float, host: str, name: str) -> None:
        """A host holds a part nobody knows."""
        heapq.heappush(self._strays, (ripe_at, host, name))

    def ripe_strays(self, now: float) -> list[tuple[str, str]]:
        """(host, part) whose grace is over."""
        found = []
        while self._strays and self._strays[0][0] <= now:
            _, host, name = heapq.heappop(self._strays)
            found.append((host, name))
        return found
