"""What one fragment costs, measured here: CPU a row of the real worker, and what passing it through a cluster adds.

The rows are those of a small synthetic sky; the cluster is a scheduler and one worker on loopback, with TLS. Both are
quick enough to be measured anew in every run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import psutil

from benchmarks.clock import best, each
from benchmarks.place import SOURCES_PER_OBJECT, Place
from benchmarks.questions import AVERAGE_COLUMNS, CONES
from benchmarks.sky import make
from qsky.config import Settings
from qsky.dispatch.dask import DaskTransport
from qsky.dispatch.run import run
from qsky.dispatch.state import Limits
from qsky.fragment import Fragment

_FRAGMENTS = 2000
_SINGLE = 50
_SCAN = "SELECT {columns} FROM {table} WHERE {filter}"
_NEAR = (
    "SELECT COUNT(*) FROM sky.object a, sky.object b WHERE "
    "scisql_angSep(a.coord_ra, a.coord_dec, b.coord_ra, b.coord_dec) < 0.0005556 AND a.objectId < b.objectId"
)
_JOIN = "SELECT COUNT(*), AVG(s.psfFlux) FROM sky.object o, sky.source s WHERE o.objectId = s.objectId AND o.i_psfFlux > 1000"
_CONE = "SELECT objectId, coord_ra FROM sky.object WHERE qserv_areaspec_circle({}, {}, 0.0167)"


def measure_fragments(objects: int) -> dict[str, float]:
    """CPU nanoseconds a row of scans, joins and neighbours, CPU seconds of a cone; planning and merging included."""
    from benchmarks.qsky_jobs import load, load_others, opened

    with tempfile.TemporaryDirectory() as scratch:
        place = Place(scratch, objects)
        make(place)
        load(place)
        load_others(place)
        means = ", ".join(f"AVG({name})" for name in AVERAGE_COLUMNS)
        texts = {
            "scan_ns": (_SCAN.format(columns=means, table="sky.object", filter="r_psfFlux > 1000"), objects),
            "join_ns": (_JOIN, objects * SOURCES_PER_OBJECT),
            "near_ns": (_NEAR, objects),
        }
        with opened(place) as sky:
            asking: Callable[[str], Callable[[], Any]] = lambda text: lambda: sky.sql(text).arrow()  # noqa: E731
            spent = {name: best(asking(text))[1]["cpu_s"] / rows * 1e9 for name, (text, rows) in texts.items()}
            cones = each([lambda at=at: sky.sql(_CONE.format(*at)).arrow().num_rows for at in CONES])
        return {**spent, "cone_s": cones["cpu_s"]}


def measure_messages() -> dict[str, float]:
    """CPU of scheduler, coordinator and worker for a fragment that does nothing, and seconds there and back of a lone one."""
    from tests.dask_cluster import QUICK, Cluster

    with tempfile.TemporaryDirectory() as scratch:
        cluster = Cluster(Path(scratch), Settings(**{**QUICK, "worker_silence_seconds": 30.0}), any_words=True)
        try:
            link = cluster.up(1).link()
            link.wait_for_workers(1, 60)
            transport = DaskTransport(link, "/")
            return _messages(transport, {name: p.pid for name, p in cluster.processes.items()})
        finally:
            cluster.down()


def _messages(transport: DaskTransport, pids: dict[str, int]) -> dict[str, float]:
    def ask(count: int) -> None:
        assert len(list(run(count, _nothing, transport, Limits(slots=192)))) == count

    ask(200)
    singles = []
    for _ in range(_SINGLE):
        began = perf_counter()
        ask(1)
        singles.append(perf_counter() - began)
    processes = {"coordinator": psutil.Process(), **{name: psutil.Process(pid) for name, pid in pids.items()}}
    before = _cpu(list(processes.values()))
    ask(_FRAGMENTS)
    spent = [after - then for after, then in zip(_cpu(list(processes.values())), before, strict=True)]
    each_us = {name: seconds / _FRAGMENTS * 1e6 for name, seconds in zip(processes, spent, strict=True)}
    return {
        "scheduler_us": each_us["scheduler"], "coordinator_us": each_us["coordinator"], "worker_us": each_us["w0"],
        "there_and_back_s": median(singles), "tasks_per_s": 1e6 / each_us["scheduler"],
        "coordinated_per_s": 1e6 / each_us["coordinator"],
    }  # fmt: skip


def _nothing(number: int) -> Fragment:
    return Fragment(number, "SELECT 1 AS n", (), 1, 1)


def _cpu(processes: Sequence[psutil.Process]) -> list[float]:
    return [sum(process.cpu_times()[:2]) for process in processes]
