"""What a cluster costs beside one process: `python -m benchmarks.cluster [OBJECTS]` on three worker processes of this machine.

Prints the time of a small interactive query, the CPU of scans, a hundred fragments that do nothing and all rows,
each beside the same without a cluster. CPU is of all processes together.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import psutil

import qsky
from qsky.catalog.model import Kind
from qsky.config import Settings
from qsky.dispatch.dask import DaskTransport
from qsky.dispatch.local import LocalTransport
from qsky.dispatch.run import run
from qsky.dispatch.state import Limits
from qsky.dispatch.transport import Transport
from qsky.engine import Engine
from qsky.fragment import Fragment
from qsky.ingest.request import LoadRequest
from qsky.ingest.synth import SkyPlan
from qsky.worker.ducks import Ducks
from tests.dask_cluster import QUICK, Cluster

_CONE = "SELECT objectId, coord_ra FROM sky.object WHERE qserv_areaspec_circle({coord_ra}, {coord_dec}, 0.02)"
_SCANS = (
    "SELECT COUNT(*), AVG(coord_ra), MAX(coord_dec) FROM sky.object WHERE coord_ra * 1.5 > coord_dec",
    "SELECT FLOOR(coord_dec) AS d, COUNT(*) AS n, SUM(coord_ra) AS s FROM sky.object GROUP BY d",
)


def main(objects: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sky = _sky(folder, objects)
        settings = Settings(**{**QUICK, "worker_silence_seconds": 30.0}).with_changes(fragment_bytes_target=4 << 20)
        cluster = Cluster(folder, settings, any_words=False)
        try:
            link = cluster.up().link()
            link.wait_for_workers(3, 60)
            local = LocalTransport(settings.with_changes(threads=3), Ducks(settings, [str(folder)]))
            pids = [psutil.Process()] + [psutil.Process(process.pid) for process in cluster.processes.values()]
            for name, transport in (("local", local), ("cluster", DaskTransport(link, "/"))):
                engine = Engine(sky._catalog, settings, transport)
                _report(name, engine, transport, pids)
                engine.close()
        finally:
            cluster.down()


def _sky(folder: Path, objects: int) -> qsky.Sky:
    sky = qsky.connect(folder / "root", chunk_rows_max=max(1000, objects // 60))
    files = sky.synth(SkyPlan(objects, sources_per_object=0), folder / "files")
    inputs = tuple(str(file) for file in files if "object" in file.name)
    columns = {"key": "objectId", "ra": "coord_ra", "dec": "coord_dec"}
    sky.load(LoadRequest("sky", "object", Kind.DIRECTOR, inputs, **columns))
    return sky


def _report(name: str, engine: Engine, transport: Transport, pids: Sequence[psutil.Process]) -> None:
    place = engine.query("SELECT coord_ra, coord_dec FROM sky.object LIMIT 1").arrow().to_pylist()[0]
    small = _CONE.format(**place)
    asking = lambda text: lambda: engine.query(text).arrow()  # noqa: E731
    nothing = lambda at: Fragment(at, "SELECT 1 AS n", (), 1, 1)  # noqa: E731
    _line(name, "interactive query", asking(small), 30, pids)
    for text in _SCANS:
        _line(name, text[:40], asking(text), 5, pids)
    _line(name, "100 fragments that do nothing", lambda: list(run(100, nothing, transport, Limits(slots=192))), 5, pids)
    _line(name, "every row and column", asking("SELECT * FROM sky.object"), 3, pids)


def _line(name: str, what: str, work: Callable[[], object], times: int, pids: Sequence[psutil.Process]) -> None:
    for _ in range(3):
        work()
    seconds, cpu = [], _cpu(pids)
    for _ in range(times):
        began = perf_counter()
        work()
        seconds.append(perf_counter() - began)
    spent = (_cpu(pids) - cpu) / times
    print(f"{name:8} {what:42} {1000 * median(seconds):8.1f} ms, CPU {1000 * spent:8.1f} ms")


def _cpu(pids: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in pids)


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000)
