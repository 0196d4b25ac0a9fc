"""How the jobs measure: CPU seconds of this process, its children and PostgreSQL, and wall seconds, around a piece of work.

Imports and opening are outside what is measured, unless a job puts them inside. Everybody's work is repeated alike.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import psutil

_ROUNDS = 3
_SECONDS_TO_REPEAT = 5.0  # work that took longer is done once


def tree_seconds(pid: int) -> float:
    """CPU seconds of a process, of those it waited for, and of its descendants that still run."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0.0
    total = 0.0
    for process in processes:
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.Error:
            continue
    return total


def cpu_seconds(server_pid: int = 0) -> float:
    """CPU seconds of this process and its children so far, and of a server that works for it."""
    own = sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    living = sum(tree_seconds(child.pid) for child in psutil.Process().children())
    return own + living + (tree_seconds(server_pid) if server_pid else 0.0)


def once(work: Callable[[], Any], server_pid: int = 0) -> tuple[Any, dict[str, float]]:
    """What `work` gives, and what it took."""
    cpu, wall = cpu_seconds(server_pid), time.perf_counter()
    found = work()
    took = time.perf_counter() - wall
    return found, {"cpu_s": cpu_seconds(server_pid) - cpu, "wall_s": took}


def best(work: Callable[[], Any], server_pid: int = 0) -> tuple[Any, dict[str, float]]:
    """The same of the cheapest round of three, or of the only one if it takes long."""
    found, spent = once(work, server_pid)
    rounds = [spent]
    while len(rounds) < _ROUNDS and spent["wall_s"] < _SECONDS_TO_REPEAT:
        rounds.append(once(work, server_pid)[1])
    cheapest = min(rounds, key=lambda taken: taken["cpu_s"])
    return found, {**cheapest, "first_s": spent["wall_s"]}


def each(works: Sequence[Callable[[], int]]) -> dict[str, Any]:
    """Small works that give their number of rows: the first time of each, then all of them thrice.

    `wall_s` and `first_s` are medians of one work, `cpu_s` is the mean of the later times.
    """
    rows, first = 0, []
    for work in works:
        found, spent = once(work)
        rows += found
        first.append(spent["wall_s"])
    walls: list[float] = []
    cpu = cpu_seconds()
    for work in list(works) * _ROUNDS:
        began = time.perf_counter()
        work()
        walls.append(time.perf_counter() - began)
    cpu = (cpu_seconds() - cpu) / len(walls)
    return {
        "answer": {"rows": rows},
        "cpu_s": cpu,
        "wall_s": statistics.median(walls),
        "first_s": statistics.median(first),
    }
