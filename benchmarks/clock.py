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


def own_seconds() -> float:
    """CPU seconds of this process and of the children it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def others_seconds(server_pid: int = 0) -> float:
    """CPU seconds of children that still run, and of a server that works for this process."""
    living = sum(tree_seconds(child.pid) for child in psutil.Process().children())
    return living + (tree_seconds(server_pid) if server_pid else 0.0)


def once(work: Callable[[], Any], server_pid: int = 0) -> tuple[Any, dict[str, float]]:
    """What `work` gives, and what it took. Looking at other processes costs CPU as well, so it is done outside."""
    others = others_seconds(server_pid)
    own, wall = own_seconds(), time.perf_counter()
    found = work()
    own, wall = own_seconds() - own, time.perf_counter() - wall
    return found, {"cpu_s": own + others_seconds(server_pid) - others, "wall_s": wall}


def best(work: Callable[[], Any], server_pid: int = 0) -> tuple[Any, dict[str, float]]:
    """The same of the cheapest round of three, or of the only one if it takes long."""
    found, spent = once(work, server_pid)
    rounds = [spent]
    while len(rounds) < _ROUNDS and spent["wall_s"] < _SECONDS_TO_REPEAT:
        rounds.append(once(work, server_pid)[1])
    cheapest = min(rounds, key=lambda taken: taken["cpu_s"])
    return found, {**cheapest, "first_s": spent["wall_s"]}


def middle(works: Sequence[Callable[[], Any]]) -> float:
    """The median of the wall seconds of works, each done once."""
    return statistics.median(once(work)[1]["wall_s"] for work in works)


def each(works: Sequence[Callable[[], int]]) -> dict[str, Any]:
    """Small works that give their number of rows: the first time of each, then all of them thrice.

    `wall_s` and `first_s` are medians of one work, `cpu_s` is the mean of the later times.
    """
    first = [once(work) for work in works]
    walls: list[float] = []

    def all_of_them() -> None:
        for work in list(works) * _ROUNDS:
            began = time.perf_counter()
            work()
            walls.append(time.perf_counter() - began)

    _, spent = once(all_of_them)
    return {
        "answer": {"rows": sum(rows for rows, _ in first)},
        "cpu_s": spent["cpu_s"] / len(walls),
        "wall_s": statistics.median(walls),
        "first_s": statistics.median(taken["wall_s"] for _, taken in first),
    }
