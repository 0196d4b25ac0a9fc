"""The dispatch state machine under a simulated cluster: from one seed, lost workers, failures, twins, cancels."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

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
class Cluster:
    """A transport and a consumer in one thread; what it does next is up to the seed."""

    rng: random.Random
    machine: Dispatch
    workers: int = 3
    now: float = 0.0
    hung: set[str] = field(default_factory=set)
    copies: int = 0
    running: dict[int, tuple[int, str]] = field(default_factory=dict)
    stopped: list[int] = field(default_factory=list)  # dropped attempts that may still report
    kept: dict[int, int] = field(default_factory=dict)
    taken: int = 0
    end: Order | None = None

    def give(self, event: Event) -> None:
        for order in self.machine.handle(event):
            assert self.end is None or isinstance(order, Drop), "nothing but Drop after the end"
            if isinstance(order, Run):
                assert len(order.avoid) == len(set(order.avoid))
                names = [f"w{number}" for number in range(self.workers)]
                worker = self.rng.choice([name for name in names if name not in order.avoid] or names)
                assert order.attempt not in self.running
                twins = [attempt for attempt, (fragment, _) in self.running.items() if fragment == order.fragment]
                assert len(twins) <= 1, "a fragment has at most one copy"
                self.copies += len(twins)
                assert self.now == 0 or not twins or self.machine.limits.copies_max
                self.running[order.attempt] = order.fragment, worker
                self.give(Placed(order.attempt, worker))
            elif isinstance(order, Keep):
                assert order.fragment not in self.kept, "a piece is taken from exactly one attempt"
                self.kept[order.fragment] = order.attempt
            elif isinstance(order, Drop):
                if self.running.pop(order.attempt, None):
                    self.stopped.append(order.attempt)
            else:
                self.end = order

    def arrive(self, rows: int = 5) -> None:
        """An attempt makes its piece, if its worker is not hung."""
        attempt = self.rng.choice(sorted(self.running))
        if self.running[attempt][1] in self.hung:
            return
        del self.running[attempt]
        self.give(Arrived(attempt, rows))

    def take(self) -> None:
        if self.taken in self.kept:
            self.taken += 1
            self.give(Taken())


def simulate(seed: int) -> Cluster:
    rng = random.Random(seed)
    limits = Limits(
        slots=rng.randint(1, 6),
        attempts_max=rng.randint(1, 4),
        ahead_max=rng.choice((2, 3, 7, 1000)),
        rows_wanted=rng.choice((None, None, 0, 1, 12)),
        seconds_max=rng.choice((0.0, 0.0, 50.0)),
        ended_max=rng.choice((1, 2, 3)),
        losses_max=rng.choice((2, 5, 100)),
        copies_max=rng.choice((0, 1, 4)),
        copy_factor=rng.choice((1.0, 3.0)),
        copy_seconds_least=rng.choice((0.0, 0.5, 3.0)),
    )
    fragments = rng.randint(0, 30)
    cluster = Cluster(rng, Dispatch(fragments, limits), workers=rng.randint(1, 5))
    cluster.give(Begin(0.0))
    for _ in range(3000):
        if cluster.end is not None:
            break
        assert len(cluster.running) <= limits.slots
        started = {fragment for fragment, _ in cluster.running.values()} | set(cluster.kept)
        assert max(started, default=0) < cluster.taken + limits.ahead_max
        one_step(cluster, rng)
    check_end(cluster, fragments, limits)
    return cluster


def one_step(cluster: Cluster, rng: random.Random) -> None:
    dice = rng.random()
    cluster.now += 0.1
    if dice < 0.6 and cluster.running:
        cluster.arrive(rng.randint(0, 6))
    elif dice < 0.85:
        cluster.take()
    elif dice < 0.88 and cluster.running:
        attempt = rng.choice(sorted(cluster.running))
        del cluster.running[attempt]
        cluster.give(Failed(attempt, DAMAGED if rng.random() < 0.95 else OVERFLOW))
    elif dice < 0.895:
        lose(cluster, f"w{rng.randrange(cluster.workers)}", ended=rng.random() < 0.5)
    elif dice < 0.90:
        cluster.hung.add(f"w{rng.randrange(cluster.workers)}")
    elif dice < 0.91 and cluster.hung:
        lose(cluster, rng.choice(sorted(cluster.hung)), ended=False)  # its silence is noticed
    elif dice < 0.912:
        another_scheduler(cluster)
    elif dice < 0.92 and cluster.running:
        cluster.give(Began(rng.choice(sorted(cluster.running))))
    elif dice < 0.93 and cluster.stopped:
        cluster.give(Arrived(rng.choice(cluster.stopped), 3))
    elif dice < 0.931:
        cluster.give(Cancel())
    else:
        cluster.give(Tick(cluster.now))


def lose(cluster: Cluster, lost: str, *, ended: bool) -> None:
    cluster.hung.discard(lost)
    cluster.running = {a: (f, w) for a, (f, w) in cluster.running.items() if w != lost}
    before = dict(cluster.running)
    cluster.give(WorkerLost(lost, ended))
    assert set(before) <= set(cluster.running) | set(cluster.stopped)


def another_scheduler(cluster: Cluster) -> None:
    """The transport sends all attempts again, each wherever it likes; nobody else hears of it."""
    cluster.hung.clear()
    for attempt, (fragment, _) in sorted(cluster.running.items()):
        worker = f"w{cluster.rng.randrange(cluster.workers)}"
        cluster.running[attempt] = fragment, worker
        cluster.give(Placed(attempt, worker))


def check_end(cluster: Cluster, fragments: int, limits: Limits) -> None:
    assert cluster.end is not None, "every query ends"
    assert not cluster.running, "nothing is left running"
    if isinstance(cluster.end, Done):
        assert set(range(cluster.end.fragments)) <= set(cluster.kept)
        if limits.rows_wanted is None:
            assert cluster.end.fragments == fragments
    else:
        assert isinstance(cluster.end, Fail)


@pytest.mark.parametrize("block", range(10))
def test_a_cluster_from_a_seed(block: int) -> None:
    ends = {type(simulate(seed).end).__name__ for seed in range(block * 100, block * 100 + 100)}
    assert ends == {"Done", "Fail"}


def test_storage_errors_are_tried_again_and_query_errors_are_not() -> None:
    machine = Dispatch(1, Limits(slots=1, attempts_max=2))
    assert machine.handle(Begin(0)) == [Run(0, 0)]
    assert machine.handle(Failed(0, DAMAGED)) == [Run(0, 1)]
    assert machine.handle(Failed(1, DAMAGED)) == [Fail(DAMAGED)]
    other = Dispatch(1, Limits(slots=1, attempts_max=2))
    other.handle(Begin(0))
    assert other.handle(Failed(0, OVERFLOW)) == [Fail(OVERFLOW)]


def test_a_limit_is_reached_by_the_first_fragments_alone() -> None:
    machine = Dispatch(5, Limits(slots=3, rows_wanted=4))
    assert machine.handle(Begin(0)) == [Run(0, 0), Run(1, 1), Run(2, 2)]
    assert machine.handle(Arrived(2, 100)) == [Keep(2, 2), Run(3, 3)]
    assert machine.handle(Arrived(0, 4)) == [Keep(0, 0), Drop(1), Drop(3), Done(1)]
    assert machine.handle(Arrived(1, 9)) == [Drop(1)]


def test_a_slow_consumer_holds_the_scan_back() -> None:
    machine = Dispatch(9, Limits(slots=2, ahead_max=2))
    machine.handle(Begin(0))
    assert machine.handle(Arrived(0, 1)) == [Keep(0, 0)]
    assert machine.handle(Arrived(1, 1)) == [Keep(1, 1)]
    assert machine.handle(Taken()) == [Run(2, 2)]


def test_a_deadline() -> None:
    machine = Dispatch(1, Limits(slots=1, seconds_max=2))
    machine.handle(Begin(10.0))
    assert machine.deadline == 12.0
    assert machine.handle(Tick(11.9)) == []
    drop, fail = machine.handle(Tick(12.0))
    assert drop == Drop(0)
    assert isinstance(fail, Fail)
    assert fail.error.code.name == "limit-time"


def test_a_lost_worker_is_no_reason_to_fail_at_once() -> None:
    machine = Dispatch(2, Limits(slots=2))
    machine.handle(Begin(0))
    machine.handle(Placed(0, "a"))
    machine.handle(Placed(1, "b"))
    assert machine.handle(WorkerLost("a")) == [Run(0, 2, ("a",))]
    assert machine.handle(Arrived(0, 1)) == [Drop(0)], "what a lost worker still sends is not taken"


def test_a_fragment_that_ends_two_processes_fails_its_query() -> None:
    machine = Dispatch(2, Limits(slots=2, ended_max=2))
    machine.handle(Begin(0))
    for attempt, worker in ((0, "a"), (1, "a")):
        machine.handle(Placed(attempt, worker))
    machine.handle(Began(0))
    assert machine.handle(WorkerLost("a", ended=True)) == [Run(0, 2, ("a",)), Run(1, 3, ("a",))]
    for attempt in (2, 3):
        machine.handle(Placed(attempt, "b"))
    machine.handle(Began(3))
    assert machine.handle(WorkerLost("b", ended=True)) == [Run(0, 4, ("a", "b")), Run(1, 5, ("a", "b"))], (
        "each ran once"
    )
    machine.handle(Placed(4, "c"))
    machine.handle(Began(4))
    drop, fail = machine.handle(WorkerLost("c", ended=True))
    assert drop == Drop(5)
    assert isinstance(fail, Fail)
    assert fail.error.code.name == "worker-ended"


def test_a_worker_that_is_silent_is_not_the_fault_of_what_it_ran() -> None:
    machine = Dispatch(1, Limits(slots=1, ended_max=1, losses_max=3))
    machine.handle(Begin(0))
    for attempt in range(2):
        machine.handle(Placed(attempt, "a"))
        machine.handle(Began(attempt))
        assert machine.handle(WorkerLost("a")) == [Run(0, attempt + 1, ("a",))]
    machine.handle(Placed(2, "a"))
    (fail,) = machine.handle(WorkerLost("a"))
    assert isinstance(fail, Fail)
    assert fail.error.code.name == "worker-lost"


def test_an_overdue_fragment_runs_on_another_worker_too() -> None:
    machine = Dispatch(3, Limits(slots=3, copies_max=1, copy_factor=2, copy_seconds_least=5))
    machine.handle(Begin(0))
    for attempt, worker in enumerate("abc"):
        machine.handle(Placed(attempt, worker))
    assert machine.handle(Tick(100.0)) == [], "nothing has finished, so nobody knows what is long"
    for attempt, worker in enumerate("abc"):
        machine.handle(Placed(attempt, worker))
    machine.handle(Tick(101.0))
    assert machine.handle(Arrived(0, 1)) == [Keep(0, 0)]
    assert machine.handle(Tick(106.9)) == []
    assert machine.handle(Tick(107.0)) == [Run(1, 3, ("b",))]
    machine.handle(Placed(3, "c"))
    assert machine.handle(Tick(108.0)) == [], "one copy at a time"
    assert machine.handle(Arrived(3, 1)) == [Keep(1, 3), Drop(1)]
    assert machine.handle(Tick(109.0)) == [Run(2, 4, ("c",))]
    assert machine.handle(Arrived(2, 1)) == [Keep(2, 2), Drop(4), Done(3)]
