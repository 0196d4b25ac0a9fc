"""The life of one query's fragments as a state machine: events in, orders out. No I/O, no clock, no dice, no threads.

Called by `dispatch.run`, and by simulations that are a whole cluster in one thread. It knows fragments by number and
attempts by number; it never sees SQL, files or pieces. An attempt is one try of one fragment somewhere; a fragment
may have several at once. A piece is taken whole from exactly one attempt, whatever arrives later.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from qsky.dispatch.overdue import Overdue
from qsky.errors import QskyError

# -- events


@dataclass(frozen=True)
class Begin:
    """The query starts; `now` in seconds of any steady clock."""

    now: float


@dataclass(frozen=True)
class Placed:
    """The transport has given an attempt to a worker."""

    attempt: int
    worker: str


@dataclass(frozen=True)
class Began:
    """A worker has started to run an attempt that waited there."""

    attempt: int


@dataclass(frozen=True)
class Arrived:
    """An attempt has made its piece of so many rows."""

    attempt: int
    rows: int


@dataclass(frozen=True)
class Failed:
    """An attempt has failed for good; `error` says why."""

    attempt: int
    error: QskyError


@dataclass(frozen=True)
class WorkerLost:
    """A worker is gone with everything that was placed there.

    `ended` says that its process is known to have ended by itself, which what it ran may have caused.
    """

    worker: str
    ended: bool = False


@dataclass(frozen=True)
class Taken:
    """The consumer has used the next piece and let go of it."""


@dataclass(frozen=True)
class Tick:
    """Time has passed."""

    now: float


@dataclass(frozen=True)
class Cancel:
    """The user wants no more."""


Event = Begin | Placed | Began | Arrived | Failed | WorkerLost | Taken | Tick | Cancel

# -- orders


@dataclass(frozen=True)
class Run:
    """Start an attempt at a fragment, if possible not on the workers of `avoid`."""

    fragment: int
    attempt: int
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True)
class Keep:
    """The piece of this attempt is the fragment's piece."""

    fragment: int
    attempt: int


@dataclass(frozen=True)
class Drop:
    """Stop an attempt, or forget what it made."""

    attempt: int


@dataclass(frozen=True)
class Done:
    """Every piece that is needed has been kept: those of the first `fragments` fragments."""

    fragments: int


@dataclass(frozen=True)
class Fail:
    """The query has failed; nothing more will come."""

    error: QskyError


Order = Run | Keep | Drop | Done | Fail


@dataclass(frozen=True)
class Limits:
    """What a query may use.

    `slots` attempts run at once; at most `ahead_max` fragments are started beyond the first piece not yet taken, so
    that pieces do not pile up before a slow consumer. After `rows_wanted` rows in fragment order the rest is not
    needed. `seconds_max` 0 means no deadline.

    The query fails if a fragment fails `attempts_max` times, if it runs on `ended_max` workers whose processes end, or if
    it is lost with its worker `losses_max` times. At most `copies_max` fragments that are overdue run a second time at
    once: those that take longer than `copy_factor` times the median of the query's finished ones and
    `copy_seconds_least`.
    """

    slots: int
    attempts_max: int = 3
    ahead_max: int = 1 << 30
    rows_wanted: int | None = None
    seconds_max: float = 0.0
    ended_max: int = 2
    losses_max: int = 10
    copies_max: int = 0
    copy_factor: float = 3.0
    copy_seconds_least: float = 10.0


def over_time(seconds_max: float) -> QskyError:
    """The error of a query that takes longer than it may."""
    sentence = f"The query ran longer than {seconds_max:g} seconds."
    return QskyError("limit-time", sentence, hint="Ask for less, or raise QSKY_QUERY_SECONDS_MAX.")


@dataclass
class _Fragment:
    failures: int = 0
    ended: int = 0  # worker processes that ended while they ran it
    losses: int = 0
    avoid: tuple[str, ...] = ()  # where it failed, was lost, or takes too long
    running: set[int] = field(default_factory=set)
    rows: int | None = None  # of the kept piece

    def avoid_also(self, worker: str) -> None:
        if worker and worker not in self.avoid:
            self.avoid = (*self.avoid, worker)


class Dispatch:
    """One query. Feed it events in any order they happen; carry out the orders it gives back, in order."""

    def __init__(self, fragments: int, limits: Limits) -> None:
        self.limits = limits
        self.finished = False
        self._count = fragments
        self._fragments: defaultdict[int, _Fragment] = defaultdict(_Fragment)  # those started and not yet in line
        self._next = 0  # the first fragment never started
        self._again: list[int] = []  # fragments to be tried again, before new ones; none of them runs
        self._of: dict[int, int] = {}  # attempt -> fragment, while it runs
        self._worker: dict[int, str] = {}
        self._begun: set[int] = set()
        self._overdue = Overdue(limits.copy_factor, limits.copy_seconds_least)
        self._now = 0.0
        self._attempts = 0
        self._taken = 0
        self._ready = 0  # fragments kept without a gap from the first
        self._ready_rows = 0
        self._deadline: float | None = None

    def handle(self, event: Event) -> list[Order]:
        """The orders that follow from an event. After Done or Fail, only Drop of stragglers."""
        if self.finished:
            return [Drop(event.attempt)] if isinstance(event, Arrived) else []
        if isinstance(event, Begin):
            return self._begin(event.now)
        if isinstance(event, Placed | Began):
            return self._placed(event)
        if isinstance(event, Arrived):
            return self._arrived(event)
        if isinstance(event, Failed):
            return self._failed(event.attempt, event.error)
        if isinstance(event, WorkerLost):
            return self._lost(event)
        if isinstance(event, Taken):
            self._taken += 1
            return self._fill()
        if isinstance(event, Tick):
            return self._tick(event.now)
        return self._end(Fail(QskyError("cancelled", "The query was stopped.")))

    @property
    def timed(self) -> bool:
        """Whether it must be told the time before each event, and now and then."""
        return self._deadline is not None or self.limits.copies_max > 0

    @property
    def deadline(self) -> float | None:
        """When the next Tick matters, on the clock of Begin."""
        return self._deadline

    def _begin(self, now: float) -> list[Order]:
        self._now = now
        if self.limits.seconds_max > 0:
            self._deadline = now + self.limits.seconds_max
        return self._done_or(self._fill())

    def _placed(self, event: Placed | Began) -> list[Order]:
        if event.attempt in self._of:
            if isinstance(event, Began):
                self._begun.add(event.attempt)
                return []
            self._worker[event.attempt] = event.worker
            self._begun.discard(event.attempt)
            self._overdue.placed(event.attempt, self._now)
        return []

    def _arrived(self, event: Arrived) -> list[Order]:
        self._overdue.finished(event.attempt, self._now)
        number = self._forget(event.attempt)
        if number is None:
            return [Drop(event.attempt)]
        fragment = self._fragments[number]
        fragment.rows = event.rows
        orders: list[Order] = [Keep(number, event.attempt)]
        for twin in sorted(fragment.running):
            self._forget(twin)
            orders.append(Drop(twin))
        self._count_ready()
        return self._done_or([*orders, *self._fill()])

    def _count_ready(self) -> None:
        while self._ready in self._fragments and not self._enough():
            rows = self._fragments[self._ready].rows
            if rows is None:
                return
            del self._fragments[self._ready]
            self._ready += 1
            self._ready_rows += rows

    def _enough(self) -> bool:
        wanted = self.limits.rows_wanted
        return wanted is not None and self._ready_rows >= wanted

    def _done_or(self, orders: list[Order]) -> list[Order]:
        if self._ready == self._count or self._enough():
            started = [order for order in orders if not isinstance(order, Run)]
            unsent = {order.attempt for order in orders if isinstance(order, Run)}
            return [*started, *self._end(Done(self._ready), unsent)]
        return orders

    def _failed(self, attempt: int, error: QskyError) -> list[Order]:
        where = self._worker.get(attempt, "")
        number = self._forget(attempt)
        if number is None:
            return []
        fragment = self._fragments[number]
        fragment.failures += 1
        if error.code.family != "storage" or fragment.failures >= self.limits.attempts_max:
            return self._end(Fail(error))
        self._try_again(number, where)
        return self._fill()

    def _try_again(self, number: int, where: str) -> None:
        """A fragment's attempt on a worker came to nothing."""
        fragment = self._fragments[number]
        fragment.avoid_also(where)
        if not fragment.running:
            self._again.append(number)

    def _lost(self, event: WorkerLost) -> list[Order]:
        for attempt in [attempt for attempt, where in self._worker.items() if where == event.worker]:
            begun = attempt in self._begun
            number = self._forget(attempt)
            assert number is not None, "only running attempts have a worker"
            fragment = self._fragments[number]
            fragment.losses += 1
            fragment.ended += begun and event.ended
            error = self._lost_too_often(fragment)
            if error is not None:
                return self._end(Fail(error))
            self._try_again(number, event.worker)
        return self._fill()

    def _lost_too_often(self, fragment: _Fragment) -> QskyError | None:
        if fragment.ended >= self.limits.ended_max:
            sentence = f"{fragment.ended} worker processes ended while they ran the same part of the query."
            return QskyError("worker-ended", sentence, hint="Their logs may say why: too little memory, most often.")
        if fragment.losses >= self.limits.losses_max:
            return QskyError("worker-lost", f"A part of the query was lost with its worker {fragment.losses} times.")
        return None

    def _tick(self, now: float) -> list[Order]:
        self._now = now
        if self._deadline is not None and now >= self._deadline:
            return self._end(Fail(over_time(self.limits.seconds_max)))
        return self._copies()

    def _copies(self) -> list[Order]:
        """Second attempts at fragments that are overdue, while there are slots for them."""
        late = self._overdue.late(self._now) if self.limits.copies_max else []
        orders: list[Order] = []
        copies = len(self._of) - len(set(self._of.values())) if late else 0
        for attempt in late:
            if copies >= self.limits.copies_max or len(self._of) >= self.limits.slots:
                break
            fragment = self._fragments[self._of[attempt]]
            if len(fragment.running) > 1:
                continue
            fragment.avoid_also(self._worker[attempt])
            orders.append(self._run(self._of[attempt]))
            copies += 1
        return orders

    def _end(self, last: Done | Fail, unsent: set[int] = frozenset()) -> list[Order]:  # type: ignore[assignment]
        """Stop what still runs. `unsent` are attempts nobody has heard of."""
        drops: list[Order] = [Drop(attempt) for attempt in sorted(self._of) if attempt not in unsent]
        self._of.clear()
        self.finished = True
        return [*drops, last]

    def _forget(self, attempt: int) -> int | None:
        """The fragment of a running attempt, which runs no longer."""
        number = self._of.pop(attempt, None)
        self._worker.pop(attempt, None)
        self._begun.discard(attempt)
        self._overdue.forget(attempt)
        if number is not None:
            self._fragments[number].running.discard(attempt)
        return number

    def _fill(self) -> list[Order]:
        """Give every free slot the next fragment."""
        orders: list[Order] = []
        while len(self._of) < self.limits.slots:
            number = self._next_fragment()
            if number is None:
                break
            orders.append(self._run(number))
        return orders

    def _run(self, number: int) -> Run:
        """A new attempt at a fragment."""
        attempt, self._attempts = self._attempts, self._attempts + 1
        fragment = self._fragments[number]
        self._of[attempt] = number
        fragment.running.add(attempt)
        return Run(number, attempt, fragment.avoid)

    def _next_fragment(self) -> int | None:
        if self._again:
            return self._again.pop(0)
        if self._next < min(self._count, self._taken + self.limits.ahead_max):
            self._next += 1
            return self._next - 1
        return None
