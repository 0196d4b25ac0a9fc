"""A transport, workers and a consumer in one thread, from one seed, for the dispatch state machine; and what it must obey.

The cluster keeps books of its own of everything it told the machine, and checks each order against them.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field

from qsky.dispatch.state import (
    Arrived,
    Began,
    Begin,
    Cancel,
    Dispatch,
    Done,
    Drop,
    Event,
    Fail,
    Failed,
    Keep,
    Limits,
    Order,
    Placed,
    Run,
    Taken,
    Tick,
    WorkerLost,
)
from qsky.errors import QskyError

DAMAGED = QskyError("damaged", "a disk")
OVERFLOW = QskyError("query-failed", "an overflow")


@dataclass
class Past:
    """What has happened to one fragment."""

    failures: int = 0
    losses: int = 0
    ended: int = 0
    rows: int = -1
    where: set[str] = field(default_factory=set)  # it failed, was lost, or was too slow there


@dataclass
class Attempt:
    """One try under way."""

    fragment: int
    worker: str
    since: float
    begun: bool = False


@dataclass
class Cluster:
    """A transport and a consumer in one thread; what it does next is up to the seed."""

    rng: random.Random
    machine: Dispatch
    fragments: int
    workers: int = 3
    now: float = 0.0
    hung: set[str] = field(default_factory=set)
    copies: int = 0
    running: dict[int, Attempt] = field(default_factory=dict)
    past: defaultdict[int, Past] = field(default_factory=lambda: defaultdict(Past))
    took: list[float] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)  # dropped, lost or kept attempts that may still report
    kept: dict[int, int] = field(default_factory=dict)
    taken: int = 0
    end: Order | None = None

    @property
    def limits(self) -> Limits:
        return self.machine.limits

    # -- orders

    def give(self, event: Event) -> list[Order]:
        """Tell the machine, and do as it says."""
        ticks = isinstance(event, Tick)
        orders = self.machine.handle(event)
        for order in orders:
            assert self.end is None or isinstance(order, Drop), "nothing but Drop after the end"
            if isinstance(order, Run):
                self.run(order, ticks)
            elif isinstance(order, Keep):
                assert order.fragment not in self.kept, "a piece is taken from exactly one attempt"
                self.kept[order.fragment] = order.attempt
            elif isinstance(order, Drop):
                if self.running.pop(order.attempt, None):
                    self.stopped.append(order.attempt)
                else:
                    assert event == Arrived(order.attempt, getattr(event, "rows", 0)), "nobody knows this attempt"
            else:
                self.end = order
        if self.end is None:
            self.check_slots()
        return orders

    def run(self, order: Run, ticks: bool) -> None:
        """Start an attempt, after asking whether it may be started."""
        assert order.attempt not in self.running and order.fragment not in self.kept
        assert 0 <= order.fragment < self.fragments
        twins = [attempt for attempt in self.running.values() if attempt.fragment == order.fragment]
        if twins:
            self.check_copy(order, twins, ticks)
        assert set(order.avoid) == self.past[order.fragment].where, "it goes where it came to nothing"
        assert len(order.avoid) == len(set(order.avoid))
        names = [f"w{number}" for number in range(self.workers)]
        worker = self.rng.choice([name for name in names if name not in order.avoid] or names)
        self.running[order.attempt] = Attempt(order.fragment, worker, self.now)
        assert self.machine.handle(Placed(order.attempt, worker)) == []

    def check_copy(self, order: Run, twins: list[Attempt], ticks: bool) -> None:
        assert ticks, "only time makes a fragment overdue"
        assert len(twins) == 1, "a fragment has at most one copy"
        assert self.took, "nobody knows what is long before one has finished"
        median = sorted(self.took)[len(self.took) // 2]
        allowed = self.limits.copy_seconds_least + self.limits.copy_factor * median
        assert self.now - twins[0].since >= allowed, "it is not overdue"
        there = len(self.running) - len({attempt.fragment for attempt in self.running.values()})
        assert there < self.limits.copies_max, "too many copies at once"
        self.past[order.fragment].where.add(twins[0].worker)
        self.copies += 1

    def check_slots(self) -> None:
        """No more attempts than slots, and no slot idle while there is something to do."""
        assert len(self.running) <= self.limits.slots
        under_way = {attempt.fragment for attempt in self.running.values()}
        last = min(self.fragments, self.taken + self.limits.ahead_max)
        assert max(under_way | self.kept.keys(), default=-1) < last, "it runs too far ahead"
        waiting = sum(number not in under_way and number not in self.kept for number in range(last))
        assert not waiting or len(self.running) == self.limits.slots, "a slot is idle"

    # -- events

    def arrive(self, rows: int) -> None:
        """An attempt makes its piece, if its worker is not hung."""
        number = self.rng.choice(sorted(self.running))
        attempt = self.running[number]
        if attempt.worker in self.hung:
            return
        del self.running[number]
        self.took.append(self.now - attempt.since)
        self.past[attempt.fragment].rows = rows
        self.stopped.append(number)
        orders = self.machine_and_keep(number, attempt.fragment, rows)
        self.check_enough(orders)

    def machine_and_keep(self, number: int, fragment: int, rows: int) -> list[Order]:
        orders = self.give(Arrived(number, rows))
        assert Keep(fragment, number) in orders, "the first piece of a fragment is its piece"
        return orders

    def check_enough(self, orders: list[Order]) -> None:
        """It is over as soon as it can be, and not before."""
        ready = rows = 0
        wanted = self.limits.rows_wanted
        while ready in self.kept and (wanted is None or rows < wanted):
            rows += self.past[ready].rows
            ready += 1
        over = ready == self.fragments or (wanted is not None and rows >= wanted)
        assert over == any(isinstance(order, Done) for order in orders)
        assert not over or self.end == Done(ready)

    def come_again(self) -> None:
        """A piece of an attempt that is over: it must be forgotten, and nothing else may follow."""
        number = self.rng.choice(self.stopped)
        assert self.machine.handle(Arrived(number, 3)) == [Drop(number)], "a piece nobody wants stays somewhere"

    def take(self) -> None:
        if self.taken in self.kept:
            self.taken += 1
            self.give(Taken())

    def fail(self) -> None:
        """An attempt fails: of a disk, which may be better elsewhere, or of its query."""
        number = self.rng.choice(sorted(self.running))
        attempt = self.running.pop(number)
        self.stopped.append(number)
        past = self.past[attempt.fragment]
        past.failures += 1
        past.where.add(attempt.worker)
        error = DAMAGED if self.rng.random() < 0.95 else OVERFLOW
        self.give(Failed(number, error))
        fatal = error is OVERFLOW or past.failures >= self.limits.attempts_max
        assert (self.end is not None) == fatal
        assert not fatal or self.end == Fail(error)

    def begin(self) -> None:
        number = self.rng.choice(sorted(self.running))
        self.running[number].begun = True
        self.give(Began(number))

    def lose(self, lost: str, *, ended: bool) -> None:
        """A worker is gone: by itself, perhaps because of what it ran, or to silence."""
        self.hung.discard(lost)
        code = ""
        for number, attempt in sorted(self.running.items()):
            if attempt.worker == lost and not code:
                del self.running[number]
                self.stopped.append(number)
                code = self.lost_there(attempt, ended)
        self.give(WorkerLost(lost, ended))
        assert (self.end is not None) == bool(code), "a lost worker ends a query that did it, and no other"
        assert not code or (isinstance(self.end, Fail) and self.end.error.code.name == code)

    def lost_there(self, attempt: Attempt, ended: bool) -> str:
        """Count what a fragment lost; the code of the error if that is too much."""
        past = self.past[attempt.fragment]
        past.losses += 1
        past.ended += ended and attempt.begun
        past.where.add(attempt.worker)
        if past.ended >= self.limits.ended_max:
            return "worker-ended"
        return "worker-lost" if past.losses >= self.limits.losses_max else ""

    def another_scheduler(self) -> None:
        """The transport sends all attempts again, each wherever it likes; nobody else hears of it."""
        self.hung.clear()
        for number, attempt in sorted(self.running.items()):
            worker = f"w{self.rng.randrange(self.workers)}"
            self.running[number] = Attempt(attempt.fragment, worker, self.now)
            self.give(Placed(number, worker))

    def tick(self) -> None:
        self.give(Tick(self.now))
        late = 0 < self.limits.seconds_max <= self.now
        assert (self.end is not None) == late, "a deadline ends a query, and nothing else does"

    def cancel(self) -> None:
        self.give(Cancel())
        assert isinstance(self.end, Fail) and self.end.error.code.name == "cancelled"


def simulate(seed: int) -> Cluster:
    """One query from its beginning to its end.

    Raises AssertionError on the first thing that must never happen.
    """
    rng = random.Random(seed)
    limits = Limits(
        slots=rng.randint(1, 6),
        attempts_max=rng.randint(1, 4),
        ahead_max=rng.choice((2, 3, 7, 1000)),
        rows_wanted=rng.choice((None, None, 0, 1, 12)),
        seconds_max=rng.choice((0.0, 0.0, 0.0, 6.0, 50.0)),
        ended_max=rng.choice((1, 2, 3)),
        losses_max=rng.choice((2, 5, 100)),
        copies_max=rng.choice((0, 1, 4)),
        copy_factor=rng.choice((1.0, 3.0)),
        copy_seconds_least=rng.choice((0.0, 0.5, 3.0)),
    )
    fragments = rng.randint(0, 40)
    cluster = Cluster(rng, Dispatch(fragments, limits), fragments, workers=rng.randint(1, 5))
    calm = rng.choice((0.0, 0.05))  # some queries meet less than others, and so get further
    cluster.give(Begin(0.0))
    for _ in range(3000):
        if cluster.end is not None:
            break
        one_step(cluster, calm)
    check_end(cluster)
    return cluster


def one_step(cluster: Cluster, calm: float) -> None:
    """The next thing that happens."""
    rng, dice = cluster.rng, cluster.rng.random()
    cluster.now += 0.1
    if cluster.machine.timed:
        cluster.tick()
        if cluster.end is not None:
            return
    if dice < 0.4 + calm and cluster.running:
        cluster.arrive(rng.randint(0, 6))
    elif dice < 0.7:
        cluster.take()
    elif dice < 0.73 - calm and cluster.running:
        cluster.fail()
    elif dice < 0.75 - calm / 4:
        cluster.lose(f"w{rng.randrange(cluster.workers)}", ended=rng.random() < 0.5)
    elif dice < 0.76:
        cluster.hung.add(f"w{rng.randrange(cluster.workers)}")
    elif dice < 0.77 and cluster.hung:
        cluster.lose(rng.choice(sorted(cluster.hung)), ended=False)  # its silence is noticed
    elif dice < 0.79 - calm / 4:
        cluster.another_scheduler()
    elif dice < 0.89 and cluster.running:
        cluster.begin()
    elif dice < 0.92 and cluster.stopped:
        cluster.come_again()
    elif dice < 0.921:
        cluster.cancel()
    else:
        cluster.tick()


def check_end(cluster: Cluster) -> None:
    """Every query ends, leaves nothing behind, and is whole if it is done."""
    assert cluster.end is not None, "every query ends"
    assert not cluster.running, "nothing is left running"
    assert not cluster.stopped or cluster.machine.handle(Arrived(cluster.stopped[-1], 1)), "a late piece is forgotten"
    assert cluster.machine.handle(Tick(cluster.now + 100)) == []
    if isinstance(cluster.end, Done):
        assert set(range(cluster.end.fragments)) <= set(cluster.kept), "a fragment is missing"
        if cluster.limits.rows_wanted is None:
            assert cluster.end.fragments == cluster.fragments
