"""The LSST mix of queries over a simulated cluster: the real dispatch state, one scheduler, many workers.

Fragments are counted in bundles: one simulated fragment stands for `bundle` real ones and costs as much as they do, so
that millions of them fit into minutes. A fragment passes the scheduler, which carries so many a second, and then takes a
permit of the worker that holds its chunk.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from qsky.dispatch.state import Arrived, Begin, Dispatch, Done, Event, Limits, Run


@dataclass(frozen=True)
class Kind:
    """One class of queries: how many at once, fragments of one, CPU seconds of one fragment, and the deadline in hours."""

    name: str
    count: int
    fragments: int
    cpu_s: float
    deadline_h: float
    interactive: bool = False


@dataclass(frozen=True)
class Cluster:
    """What the queries run on. `tasks_per_s` is what the scheduler carries."""

    workers: int
    permits: int
    tasks_per_s: float
    window: int = 2  # fragments of one query out at once, over the permits of all


def run_mix(kinds: list[Kind], cluster: Cluster, bundle: int) -> dict[str, Any]:
    """When each class is done, in seconds, and what the state machines cost."""
    began = time.process_time()
    rng = random.Random(1)
    queries = [kind for kind in kinds for _ in range(kind.count)]
    scale = [1 if kind.interactive else max(1, min(bundle, kind.fragments)) for kind in queries]
    slots = max(cluster.workers * cluster.permits * cluster.window // bundle, 1)
    counts = [max(1, kind.fragments // scale[q]) for q, kind in enumerate(queries)]
    machines = [Dispatch(count, Limits(slots=max(slots, 4))) for count in counts]
    run = _Run(queries, scale, machines, cluster, bundle, rng)
    for query in range(len(queries)):
        run.give(query, Begin(0.0))
    run.go()
    ends: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    for query, kind in enumerate(queries):
        ends[kind.name].append(run.ends[query])
    return {
        "ends_s": {name: max(times) for name, times in ends.items()},
        "makespan_s": max(run.ends.values()),
        "fragments": sum(kind.count * kind.fragments for kind in kinds),
        "events": run.events,
        "cpu_s": time.process_time() - began,
        "scheduler_busy_s": run.scheduler_busy,
    }


class _Run:
    """The scheduler takes one query after the other, as Dask does with graphs of equal priority."""

    def __init__(
        self, queries: list[Kind], scale: list[int], machines: list[Dispatch], cluster: Cluster, bundle: int,
        rng: random.Random,
    ) -> None:  # fmt: skip
        self.queries, self.scale, self.machines, self.cluster, self.rng = queries, scale, machines, cluster, rng
        self.permits = max(cluster.workers * cluster.permits // bundle, 1)
        self.cpu_scale = self.permits / (cluster.workers * cluster.permits)
        self.ends: dict[int, float] = {}
        self.events = 0
        self.scheduler_busy = 0.0
        self._now = self._scheduler_free = 0.0
        self._queue: deque[tuple[int, int]] = deque()
        self._heap: list[tuple[float, int, str, int, int]] = []
        self._busy = 0
        self._sequence = 0

    def give(self, query: int, event: Event) -> None:
        self.events += 1
        for order in self.machines[query].handle(event):
            if isinstance(order, Run):
                tasks = self.scale[query]
                took = tasks / self.cluster.tasks_per_s
                self.scheduler_busy += took
                self._scheduler_free = max(self._scheduler_free, self._now) + took
                self._push(self._scheduler_free, "sent", query, order.attempt)
            elif isinstance(order, Done):
                self.ends[query] = self._now

    def _push(self, when: float, what: str, query: int, attempt: int) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, what, query, attempt))

    def go(self) -> None:
        while self._heap:
            self._now, _, what, query, attempt = heapq.heappop(self._heap)
            if what == "done":
                self._busy -= not self.queries[query].interactive
                self.give(query, Arrived(attempt, 1))
            elif self.queries[query].interactive:  # it has permits of its own
                self._push(self._now + self._seconds(query), "done", query, attempt)
            else:
                self._queue.append((query, attempt))
            while self._queue and self._busy < self.permits:
                self._busy += 1
                query, attempt = self._queue.popleft()
                self._push(self._now + self._seconds(query), "done", query, attempt)

    def _seconds(self, query: int) -> float:
        kind = self.queries[query]
        if kind.interactive:
            return kind.cpu_s
        return kind.cpu_s * self.scale[query] * self.cpu_scale * self.rng.uniform(0.8, 1.2)
