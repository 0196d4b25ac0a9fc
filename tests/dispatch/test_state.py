"""The dispatch state machine: one thing at a time. Whole clusters from seeds are in test_simulation."""

from __future__ import annotations

from qsky.dispatch.state import (
    Arrived,
    Began,
    Begin,
    Dispatch,
    Done,
    Drop,
    Fail,
    Failed,
    Keep,
    Limits,
    Placed,
    Run,
    Taken,
    Tick,
    WorkerLost,
)
from tests.dispatch.simulated import DAMAGED, OVERFLOW


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
