"""What a cluster costs beside one process: `python -m benchmarks.cluster [OBJECTS|ROOT]`, on three worker processes here.

It makes a sky of so many objects, or takes the table sky.object of a root that is there.

Prints the time of a small interactive query, the CPU of scans, a hundred fragments that do nothing and all rows,
each beside the same without a cluster. CPU is of all processes together. Then a hundred people ask at once, first
alone and then while ten scans go on, and the ten scans are asked at once and one by one: on the cluster, and without.
Every answer is compared with that of a query that is alone. Ends with 1 if one differs or fails.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import psutil
import pyarrow as pa

import qsky
from benchmarks.questions import scans
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


_PEOPLE = 100
_ASKED_BY_EACH = 3
_SCANS_AT_ONCE = 10


def main(objects: int, root: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sky = _sky(folder, objects) if root is None else qsky.connect(root)
        settings = Settings(**{**QUICK, "worker_silence_seconds": 60.0, "memory_bytes_max": 2 << 30})
        folders = [str(folder), str(sky.root.absolute())]
        cluster = Cluster(folder, settings, any_words=False, folders=tuple(folders))
        try:
            link = cluster.up().link()
            link.wait_for_workers(3, 60)
            local = LocalTransport(settings.with_changes(threads=3), Ducks(settings, folders))
            pids = [psutil.Process()] + [psutil.Process(process.pid) for process in cluster.processes.values()]
            for name, transport in (("local", local), ("cluster", DaskTransport(link, "/"))):
                engine = Engine(sky._catalog, settings, transport)
                _report(name, engine, transport, pids)
                _report_at_once(name, engine, pids)
                engine.close()
        finally:
            cluster.down()


def _sky(folder: Path, objects: int) -> qsky.Sky:
    sky = qsky.connect(folder / "root")
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


def _report_at_once(name: str, engine: Engine, pids: Sequence[psutil.Process]) -> None:
    """People with cones, alone and beside scans; scans at once and one by one."""
    places = engine.query("SELECT coord_ra, coord_dec FROM sky.object ORDER BY objectId LIMIT 300").arrow().to_pylist()
    cones = [_CONE.format(**place) for place in places]
    texts = scans(_SCANS_AT_ONCE, "sky.object")
    answers = {text: _sorted(engine.query(text).arrow()) for text in [*cones, *texts]}

    def ask(text: str) -> float:
        began = perf_counter()
        rows = engine.query(text).arrow()
        taken = perf_counter() - began
        if not _sorted(rows).equals(answers[text]):
            raise SystemExit(f"another answer among others: {text}")
        return taken

    cpu = _cpu(pids)
    for text in texts:
        ask(text)
    alone = (_cpu(pids) - cpu) / len(texts)
    cpu = _cpu(pids)
    with ThreadPoolExecutor(len(texts)) as askers:
        seconds = list(askers.map(ask, texts))
    together = _cpu(pids) - cpu
    print(
        f"{name:8} {len(texts)} scans at once: CPU {1000 * together:8.1f} ms, one alone {1000 * alone:8.1f} ms: "
        f"{together / alone:.2f} times; the slowest took {1000 * max(seconds):8.1f} ms"
    )
    _percentiles(name, "100 people at once, no scans", _people(ask, cones))
    over = threading.Event()
    asked = [0] * len(texts)

    def go_on(place: int) -> None:
        while not over.is_set():
            ask(texts[place])
            asked[place] += 1

    with ThreadPoolExecutor(len(texts)) as askers:
        futures = [askers.submit(go_on, place) for place in range(len(texts))]
        try:
            _percentiles(name, "100 people at once, 10 scans", _people(ask, cones))
        finally:
            over.set()
        for future in futures:
            future.result()
    print(f"{name:8} scans answered meanwhile: {sum(asked)}")


def _people(ask: Callable[[str], float], texts: Sequence[str]) -> list[float]:
    """Each asks some texts, one after the other; what each answer took, in seconds."""

    def one(number: int) -> list[float]:
        return [ask(text) for text in texts[number * _ASKED_BY_EACH : (number + 1) * _ASKED_BY_EACH]]

    with ThreadPoolExecutor(_PEOPLE) as people:
        return [seconds for taken in people.map(one, range(_PEOPLE)) for seconds in taken]


def _percentiles(name: str, what: str, seconds: Sequence[float]) -> None:
    of = quantiles(seconds, n=100)
    print(
        f"{name:8} {what:42} p50 {1000 * of[49]:8.1f} ms, p99 {1000 * of[98]:8.1f} ms, "
        f"{len(seconds)} answers, none failed"
    )


def _sorted(rows: pa.Table) -> pa.Table:
    return rows.sort_by("objectId") if "objectId" in rows.column_names else rows


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
    asked = sys.argv[1] if len(sys.argv) > 1 else "5e6"
    if Path(asked).is_dir():
        main(0, Path(asked))
    else:
        main(int(float(asked)))
