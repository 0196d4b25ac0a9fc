"""One run of a fault: the world is asked without pause, struck at a random moment, mended, and must become whole again.

Every answer is the right one or a QskyError; anything else, and anything that does not end, fails the run.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from qsky.errors import QskyError
from tests.faults.matrix import Fault
from tests.faults.world import World, rows_of, until

ANSWER_SECONDS_MAX = 180.0
HEAL_SECONDS_MAX = 180.0
_ASKERS = 2


@dataclass(frozen=True)
class Answer:
    """A question that was asked: when, for how long, and what came: "right", the code of an error, or what is wrong."""

    query: str
    began: float
    seconds: float
    came: str
    good: bool


@dataclass(frozen=True)
class Run:
    """What one run of a fault showed. Seconds; `answers` counts what came of questions that met the fault."""

    fault: str
    seed: str
    answers: dict[str, int]
    seconds_before: float
    seconds_longest: float
    seconds_healed_without: float | None
    seconds_healed: float


class Askers:
    """Threads that ask one query after another until told to end."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self._world = world
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self.answers: list[Answer] = []
        orders = [dice.sample(sorted(world.queries), len(world.queries)) for _ in range(_ASKERS)]
        self._threads = [threading.Thread(target=self._ask_all, args=(order,), daemon=True) for order in orders]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Raises AssertionError for a question that is never answered."""
        self._ending.set()
        for thread in self._threads:
            thread.join(ANSWER_SECONDS_MAX)
            assert not thread.is_alive(), f"a query did not end within {ANSWER_SECONDS_MAX:g} s"

    def await_all_since(self, moment: float) -> None:
        """Until every query that was asked after that moment has been answered at least once."""
        until(
            lambda: {answer.query for answer in self._since(moment)} == set(self._world.queries),
            2 * ANSWER_SECONDS_MAX,
            "every query is answered",
        )

    def met(self, began: float, ended: float) -> list[Answer]:
        """The answers to what was under way at some moment of a time."""
        with self._lock:
            return [one for one in self.answers if one.began <= ended and one.began + one.seconds >= began]

    def ended_before(self, moment: float) -> list[Answer]:
        with self._lock:
            return [one for one in self.answers if one.began + one.seconds < moment]

    def wrong(self) -> list[Answer]:
        with self._lock:
            return [answer for answer in self.answers if not answer.good]

    def _since(self, moment: float) -> list[Answer]:
        with self._lock:
            return [answer for answer in self.answers if answer.began >= moment]

    def _ask_all(self, order: list[str]) -> None:
        while True:
            for query in order:
                if self._ending.is_set():
                    return
                answer = self._asked(query)
                with self._lock:
                    self.answers.append(answer)

    def _asked(self, query: str) -> Answer:
        began = time.monotonic()
        try:
            rows = rows_of(self._world.sky, self._world.queries[query])
            good = rows == self._world.right[query]
            came = "right" if good else f"{len(rows)} rows that are not right: {rows[:3]}"
        except QskyError as error:
            good, came = True, error.code.name
            time.sleep(0.2)
        except Exception as error:
            good, came = False, repr(error)
        return Answer(query, began, time.monotonic() - began, came, good)


def run(world: World, fault: Fault, seed: str) -> Run:
    """One run. Raises AssertionError with the seed."""
    world.random = random.Random(f"{fault.name} {seed}")
    try:
        with _asked(world) as askers:
            return _struck(world, fault, seed, askers)
    except AssertionError as error:
        raise AssertionError(f"{fault.name}, seed {seed}: {error}; the cluster: {world.why_ill() or 'well'}") from error


@contextmanager
def _asked(world: World) -> Iterator[Askers]:
    askers = Askers(world, world.random)
    askers.start()
    try:
        yield askers
    finally:
        askers.end()
    assert not askers.wrong(), askers.wrong()


def _struck(world: World, fault: Fault, seed: str, askers: Askers) -> Run:
    time.sleep(world.random.uniform(0.2, 1.5))
    struck = time.monotonic()
    mend = fault.strike(world)
    without = None
    if not fault.by_itself:
        askers.await_all_since(struck)
    if fault.heals:
        until(lambda: not world.too_few(), HEAL_SECONDS_MAX, "healed without what was lost")
        without = time.monotonic() - struck
    mending = time.monotonic()
    mend()
    mended = time.monotonic()
    until(lambda: not world.why_ill(), HEAL_SECONDS_MAX, "healed")
    whole = time.monotonic()
    healed = whole - (struck if fault.by_itself else mending)
    askers.await_all_since(mended)
    met = askers.met(struck, whole)
    return Run(
        fault.name,
        seed,
        dict(Counter(answer.came for answer in met)),
        _median([answer.seconds for answer in askers.ended_before(struck)]),
        max((answer.seconds for answer in met), default=0.0),
        without,
        healed,
    )


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
