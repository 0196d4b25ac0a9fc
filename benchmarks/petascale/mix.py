"""The LSST mix of queries over a simulated cluster: the real dispatch state, one scheduler, many workers.

Fragments are counted in bundles: one simulated fragment stands for `bundle` real ones and costs as much as they do, so
that millions of them fit into minutes. A fragment passes the coordinator of its query and the scheduler, each of which
carries so many a second, and then takes a permit of a worker.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from qsky.dispatch.state import Arrived, Begin, Dispatch, Done, Event, Limits, Run

_ARRIVING_S: Final = 3600.0  # interactive queries come in this time; the scans all come at once, before them


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
    """What the queries run on: what the one scheduler carries, and what each of the coordinators does."""

    workers: int
    permits: int
    tasks_per_s: float
    coordinators: int
    coordinated_per_s: float
    there_and_back_s: float
    slots: int  # fragments of one query out at once


def run_mix(kinds: list[Kind], cluster: Cluster, bundle: int) -> dict[str, Any]:
    """When each class is done, in seconds, and what the state machines cost."""
    began = time.process_time()
    rng = random.Random(1)
    queries = [kind for kind in kinds for _ in range(kind.count)]
    scale = [1 if kind.interactive else max(1, min(bundle, kind.fragments)) for kind in queries]
    slots = max(cluster.slots // bundle, 4)
    counts = [max(1, kind.fragments // scale[q]) for q, kind in enumerate(queries)]
    machines = [Dispatch(count, Limits(slots=slots)) for count in counts]
    run = _Run(queries, scale, machines, cluster, bundle, rng)
    starts = [rng.uniform(0, _ARRIVING_S) if kind.interactive else 0.0 for kind in queries]
    for query, start in enumerate(starts):
        run.begin(query, start)
    run.go()
    ends: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    for query, kind in enumerate(queries):
        ends[kind.name].append(run.ends[query] - starts[query])
    return {
        "ends_s": {name: max(times) for name, times in ends.items()},
        "median_s": {name: median(times) for name, times in ends.items()},
        "makespan_s": max(run.ends.values()),
        "fragments": sum(kind.count * kind.fragments for kind in kinds),
        "events": run.events,
        "cpu_s": time.process_time() - began,
        "scheduler_busy_s": run.busy.pop(-1),
        "coordinator_busy_s": max(run.busy.values()),
    }


class _Run:
    """Everybody takes what comes first; interactive fragments have permits of their own, but the same scheduler."""

    def __init__(
        self, queries: list[Kind], scale: list[int], machines: list[Dispatch], cluster: Cluster, bundle: int,
        rng: random.Random,
    ) -> None:  # fmt: skip
        self.queries, self.scale, self.machines, self.cluster, self.rng = queries, scale, machines, cluster, rng
        self.permits = max(cluster.workers * cluster.permits // bundle, 1)
        self.cpu_scale = self.permits / (cluster.workers * cluster.permits)
        self.ends: dict[int, float] = {}
        self.events = 0
        self.busy: defaultdict[int, float] = defaultdict(float)
        self._free: defaultdict[int, float] = defaultdict(float)
        self._now = 0.0
        self._queue: deque[tuple[int, int]] = deque()
        self._heap: list[tuple[float, int, str, int, int]] = []
        self._busy = 0
        self._sequence = 0

    def begin(self, query: int, start: float) -> None:
        self._push(start, "begin", query, -1)

    def give(self, query: int, event: Event) -> None:
        self.events += 1
        for order in self.machines[query].handle(event):
            if isinstance(order, Run):
                tasks = self.scale[query]
                made_at = self._through(query % self.cluster.coordinators, tasks / self.cluster.coordinated_per_s)
                self._push(made_at, "made", query, order.attempt)
            elif isinstance(order, Done):
                self.ends[query] = self._now

    def _through(self, door: int, took: float) -> float:
        """When a process that does one thing after the other is done with this; door -1 is the scheduler."""
        self.busy[door] += took
        self._free[door] = max(self._free[door], self._now) + took
        return self._free[door]

    def _push(self, when: float, what: str, query: int, attempt: int) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, what, query, attempt))

    def go(self) -> None:
        while self._heap:
            self._now, _, what, query, attempt = heapq.heappop(self._heap)
            if what == "begin":
                self.give(query, Begin(self._now))
            elif what == "made":
                sent_at = self._through(-1, self.scale[query] / self.cluster.tasks_per_s)
                self._push(sent_at + self.cluster.there_and_back_s, "sent", query, attempt)
            elif what == "done":
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
