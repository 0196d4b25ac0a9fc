"""Which attempts of a query take much longer than others did. Pure: it is told what time it is.

Called by `dispatch.state`. An attempt is timed from when it was given to a worker, waiting there included: one that
waits behind something stuck is as late as one that is stuck itself.
"""

from __future__ import annotations

from bisect import insort


class Overdue:
    """Attempts on their way, and how long the finished ones took."""

    def __init__(self, factor: float, seconds_least: float) -> None:
        self._factor = factor
        self._seconds_least = seconds_least
        self._since: dict[int, float] = {}  # in the order in which they were given to workers
        self._took: list[float] = []  # sorted

    def placed(self, attempt: int, now: float) -> None:
        """An attempt was given to a worker, perhaps again."""
        self._since.pop(attempt, None)
        self._since[attempt] = now

    def finished(self, attempt: int, now: float) -> None:
        """An attempt has made its piece."""
        since = self._since.pop(attempt, None)
        if since is not None:
            insort(self._took, now - since)

    def forget(self, attempt: int) -> None:
        """An attempt will not end, or nobody cares."""
        self._since.pop(attempt, None)

    @property
    def allowed_seconds(self) -> float | None:
        """How long an attempt may take; None before any has finished."""
        if not self._took:
            return None
        return self._seconds_least + self._factor * self._took[len(self._took) // 2]

    def late(self, now: float) -> list[int]:
        """The attempts that are overdue, the oldest first."""
        allowed = self.allowed_seconds
        if allowed is None:
            return []
        found = []
        for attempt, since in self._since.items():
            if now - since < allowed:
                break
            found.append(attempt)
        return found
