"""The loop without threads: who shares, who waits, what is held; and a whole worker in one thread from one seed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from qsky.worker.loop import Alone, Decode, Loop, Need, Order, Shared, Unit, Work

ROOM = 1 << 40


def work(number: int, owner: str, parts: range, columns: str = "ab", size: int = 10) -> Work:
    needs = tuple(Need(Unit(f"part{part}"), tuple((column, size) for column in columns)) for part in parts)
    return Work(number, owner, 100 * len(parts), needs)


def drained(loop: Loop) -> list[Order]:
    """Every order until nothing is left, one permit, sizes as guessed."""
    found: list[Order] = []
    while (order := loop.next()) is not None:
        found.append(order)
        loop.ended(order, dict.fromkeys(order.columns, 10) if isinstance(order, Decode) else None)
    assert loop.idle
    assert loop.bytes == 0
    return found


def kinds(orders: list[Order]) -> Counter[str]:
    return Counter(type(order).__name__ for order in orders)


def columns_decoded(orders: list[Order]) -> Counter[tuple[Unit, str]]:
    return Counter((o.unit, column) for o in orders if isinstance(o, Decode) for column in o.columns)


def test_one_query_reads_for_itself() -> None:
    loop = Loop(3, ROOM)
    for number in range(6):
        loop.submit(work(number, "q", range(number, number + 1)))
    assert drained(loop) == [Alone(number) for number in range(6)]


def test_pieces_of_one_query_over_the_same_part_are_one_sharer() -> None:
    loop = Loop(3, ROOM)
    for number in range(6):
        loop.submit(work(number, "q", range(1)))
    assert kinds(drained(loop)) == {"Alone": 6}


def test_many_queries_decode_each_column_once() -> None:
    loop = Loop(3, ROOM)
    texts = ["ab", "bc", "cd", "a"]
    for query, columns in enumerate(texts * 4):
        for batch in range(5):
            loop.submit(work(query * 5 + batch, f"q{query}", range(batch * 3, batch * 3 + 3), columns))
    orders = drained(loop)
    assert kinds(orders) == {"Shared": 80, "Decode": 15}
    assert set(columns_decoded(orders).values()) == {1}
    assert len(columns_decoded(orders)) == 15 * 4


def test_batches_that_are_cut_elsewhere_share_all_the_same() -> None:
    loop = Loop(3, ROOM)
    number = 0
    for query, width in enumerate((2, 3, 4, 6)):
        for first in range(0, 24, width):
            loop.submit(work(number, f"q{query}", range(first, first + width)))
            number += 1
    orders = drained(loop)
    assert set(columns_decoded(orders).values()) == {1}
    assert kinds(orders)["Alone"] == 0


def test_who_comes_late_joins_where_the_others_are_and_reads_the_rest_after() -> None:
    loop = Loop(3, ROOM)
    for query in range(3):
        for part in range(6):
            loop.submit(work(query * 10 + part, f"q{query}", range(part, part + 1)))
    before = [loop.next() for _ in range(1)]
    loop.ended(before[0], {"a": 10, "b": 10})  # type: ignore[arg-type]
    for part in range(6):
        loop.submit(work(100 + part, "late", range(part, part + 1)))
    orders = drained(loop)
    assert Shared(100) in orders, "what is held serves at once"
    assert kinds(orders) == {"Shared": 24, "Decode": 5}


def test_a_query_of_another_table_is_not_starved_by_many_who_share() -> None:
    loop = Loop(3, ROOM)
    number = 0
    for query in range(8):
        for part in range(40):
            loop.submit(work(number := number + 1, f"q{query}", range(part, part + 1)))
    other = [loop.submit(work(1000 + part, "other", range(100 + part, 101 + part))) for part in range(4)]
    orders = drained(loop)
    last = max(place for place, order in enumerate(orders) if order in [Alone(1000 + part) for part in range(4)])
    assert len(other) == 4
    assert last < len(orders) / 2


def test_interactive_works_come_first_and_have_permits_of_their_own() -> None:
    loop = Loop(3, ROOM)
    loop.submit(work(1, "scan", range(1)))
    assert loop.next(interactive_only=True) is None
    loop.submit(Work(2, "cone", 1, (), interactive=True))
    loop.submit(Work(3, "cone", 1, (), interactive=True))
    assert loop.next(interactive_only=True) == Alone(2)
    assert loop.next() == Alone(3)
    assert loop.next() == Alone(1)


def test_a_unit_that_cannot_be_decoded_is_left_to_each() -> None:
    loop = Loop(2, ROOM)
    for number in range(3):
        loop.submit(work(number, f"q{number}", range(2)))
    first = loop.next()
    assert isinstance(first, Decode)
    loop.ended(first, None)
    assert drained(loop) == [Alone(0), Alone(1), Alone(2)]


def test_what_never_fits_runs_alone() -> None:
    loop = Loop(2, 39)
    for number in range(4):
        loop.submit(work(number, f"q{number}", range(2)))
    assert kinds(drained(loop)) == {"Alone": 4}


def test_columns_that_do_not_fit_wait_for_the_next_turn() -> None:
    loop = Loop(2, 25)
    for number, columns in enumerate(("ab", "ab", "cd", "cd")):
        loop.submit(work(number, f"q{number}", range(1), columns))
    assert kinds(drained(loop)) == {"Shared": 4, "Decode": 2}


def test_withdrawing_one_sharer_leaves_the_others_and_the_last_stops_the_decoding() -> None:
    loop = Loop(2, ROOM)
    for number in range(3):
        loop.submit(work(number, f"q{number}", range(1)))
    order = loop.next()
    assert isinstance(order, Decode)
    assert loop.withdraw(0) == []
    assert loop.withdraw(1) == []
    assert loop.withdraw(2) == [order]
    loop.ended(order, None)
    assert drained(loop) == []


@dataclass
class Simulated:
    """A worker in one thread: permits that take and end orders as the seed says."""

    rng: random.Random
    room: int
    loop: Loop = field(init=False)
    running: list[Order] = field(default_factory=list)
    held: set[tuple[Unit, str]] = field(default_factory=set)
    alive: dict[int, Work] = field(default_factory=dict)
    ended: Counter[int] = field(default_factory=Counter)
    number: int = 0

    def __post_init__(self) -> None:
        self.loop = Loop(self.rng.choice((2, 3)), self.room)

    def submit(self) -> None:
        self.number += 1
        first = self.rng.randrange(8)
        columns = "".join(self.rng.sample("abcd", self.rng.randrange(1, 4)))
        made = work(self.number, f"q{self.rng.randrange(6)}", range(first, first + self.rng.randrange(1, 4)), columns)
        if self.rng.random() < 0.1:
            made = Work(self.number, made.owner, 1, (), interactive=True)
        self.alive[made.number] = made
        self.loop.submit(made)

    def start(self) -> bool:
        if len(self.running) >= 3:
            return False
        order = self.loop.next()
        self.sweep()
        if order is None:
            return False
        if isinstance(order, Shared):
            needs = self.alive[order.number].needs
            missing = {(n.unit, c) for n in needs for c, _ in n.columns} - self.held
            assert not missing, "a shared run finds all its columns"
        self.running.append(order)
        return True

    def end(self) -> None:
        order = self.running.pop(self.rng.randrange(len(self.running)))
        if isinstance(order, Decode):
            sizes = dict.fromkeys(order.columns, 10) if self.rng.random() < 0.95 else None
            self.held |= {(order.unit, column) for column in sizes or ()}
            self.loop.ended(order, sizes)
        else:
            self.ended[order.number] += 1
            self.alive.pop(order.number, None)
            self.loop.ended(order)
        self.sweep()

    def withdraw(self) -> None:
        number = self.rng.choice(list(self.alive))
        if not any(isinstance(o, Alone | Shared) and o.number == number for o in self.running):
            del self.alive[number]
        self.loop.withdraw(number)
        self.sweep()

    def sweep(self) -> None:
        for dropped in self.loop.dropped:
            self.held.remove(dropped)
        self.loop.dropped.clear()
        assert self.loop.bytes <= self.room
        assert {(unit, c) for unit in {u for u, _ in self.held} for c in self.loop.holds(unit)} == self.held

    def step(self) -> None:
        dice = self.rng.random()
        if dice < 0.35:
            self.submit()
        elif dice < 0.65:
            self.start()
        elif dice < 0.95 and self.running:
            self.end()
        elif self.alive and dice > 0.97:
            self.withdraw()


@pytest.mark.parametrize("seed", range(40))
def test_a_simulated_worker_ends_every_work_once_and_holds_nothing_in_the_end(seed: int) -> None:
    rng = random.Random(seed)
    worker = Simulated(rng, rng.choice((30, 60, 120, 10_000)))
    for _ in range(600):
        worker.step()
    while worker.alive or worker.running:
        started = worker.start()
        assert started or worker.running, "nobody waits for nothing"
        if not started or rng.random() < 0.5:
            worker.end()
    assert set(worker.ended.values()) == {1}
    assert worker.loop.idle
    assert worker.loop.bytes == 0
    assert not worker.held
