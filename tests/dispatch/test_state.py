"""The dispatch state machine under a simulated cluster: from one seed, lost workers, failures, twins, cancels."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from qsky.dispatch.state import (
    Arrived,
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
    running: dict[int, tuple[int, str]] = field(default_factory=dict)
    stopped: list[int] = field(default_factory=list)  # dropped attempts that may still report
    kept: dict[int, int] = field(default_factory=dict)
    taken: int = 0
    end: Order | None = None

    def give(self, event: Event) -> None:
        for order in self.machine.handle(event):
            assert self.end is None or isinstance(order, Drop), "nothing but Drop after the end"
            if isinstance(order, Run):
                worker = f"w{self.rng.randrange(self.workers)}"
                assert order.attempt not in self.running
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
        attempt = self.rng.choice(sorted(self.running))
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
    )
    fragments = rng.randint(0, 30)
    cluster = Cluster(rng, Dispatch(fragments, limits))
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
    elif dice < 0.90:
        lost = f"w{rng.randrange(cluster.workers)}"
        cluster.running = {a: (f, w) for a, (f, w) in cluster.running.items() if w != lost}
        before = dict(cluster.running)
        cluster.give(WorkerLost(lost))
        assert set(before) <= set(cluster.running) | set(cluster.stopped)
    elif dice < 0.93 and cluster.stopped:
        cluster.give(Arrived(rng.choice(cluster.stopped), 3))
    elif dice < 0.931:
        cluster.give(Cancel())
    else:
        cluster.give(Tick(cluster.now))


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
    assert machine.handle(WorkerLost("a")) == [Run(0, 2)]
    assert machine.handle(Arrived(0, 1)) == [Drop(0)], "what a lost worker still sends is not taken"
