"""`python -m benchmarks.petascale`: planner, dispatcher and keeper at LSST scale, by simulation, with the real code.

Nothing here is a cluster. What is measured: what a fragment costs on this machine, planning, placing, and the state
machines themselves. What is modelled: hosts, networks, disks and queues, by the parameters of the command. Each stage is
written when it is done, and not done again with the same parameters: an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.petascale.chart import draw
from benchmarks.petascale.costs import measure_fragments, measure_messages
from benchmarks.petascale.healing import measure_healing
from benchmarks.petascale.mix import Cluster, Kind, run_mix
from benchmarks.petascale.planning import measure_planning
from benchmarks.petascale.report import markdown
from qsky.cluster.topology import Host
from qsky.config import Settings
from qsky.dispatch.dask import SHARE_OF_SLOTS

STAGES = ("costs", "planning", "mix", "healing")
_FREE = 1e12  # a second, of what costs nothing


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.petascale", description=__doc__)
    numbers: tuple[tuple[str, float, str], ...] = (
        ("objects", 2e6, "objects of the sky that fragments are measured on"),
        ("workers", 500, "hosts"),
        ("zones", 20, "racks the hosts stand in"),
        ("permits", 16, "fragments one host runs at once"),
        ("replicas", 3, "copies of each part"),
        ("petabytes", 5, "bytes of one copy of everything, in 1e15"),
        ("host-rate", 1.0e9, "bytes a second of one host's network or disk, whichever is less"),
        ("coordinators", 8, "processes that queries are spread over"),
        ("object-rows", 37e9, "rows of Object"),
        ("source-rows", 7e12, "rows of Source"),
        ("forced-rows", 30e12, "rows of ForcedSource"),
        ("bundle", 50, "fragments simulated as one"),
    )
    for name, default, about in numbers:
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{about} (default {default:g})")
    parser.add_argument("--chunks", default="150000,2000000", help="numbers of chunks, by commas")
    parser.add_argument("--lost", default="1,5,25", help="hosts lost at once, by commas")
    parser.add_argument("--stages", default=",".join(STAGES), help="which, by commas (default all)")
    parser.add_argument("--again", action="store_true", help="forget what an earlier run has measured")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "petascale")
    return parser.parse_args(words)


def _apart(work: Callable[..., Any], *given: Any) -> Any:
    """Done in a process of its own, so that peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def kinds_of(given: argparse.Namespace, costs: dict[str, float], fragments: dict[str, int]) -> list[Kind]:
    """100 interactive queries and LDM-552's 50 scans: how many of each, what a fragment costs, and when it is due."""
    scans = (
        ("Object", 20, "scan of object", given.object_rows * costs["scan_ns"], 1),
        ("Source", 5, "scan of source", given.source_rows * costs["scan_ns"], 12),
        ("ForcedSource", 5, "scan of source", given.forced_rows * costs["scan_ns"], 12),
        ("Object x Source", 10, "object joins source", given.source_rows * costs["join_ns"], 12),
        ("Object x ForcedSource", 5, "object joins source", given.forced_rows * costs["join_ns"], 12),
        ("near neighbours", 5, "near neighbours", given.object_rows * costs["near_ns"], 1),
    )
    own_s = costs["worker_us"] * 1e-6
    cones = Kind("cones", 100, 2, costs["cone_s"] + own_s, 10 / 3600, interactive=True)
    kinds = [
        Kind(name, n, fragments[plan], ns * 1e-9 / fragments[plan] + own_s, due) for name, n, plan, ns, due in scans
    ]
    return [cones, *kinds]


class _Kept:
    """Results by stage in a file; the pages and the picture are made anew whenever one comes."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._folder = given.out
        self._file = given.out / "petascale.json"
        said = {name: value for name, value in vars(given).items() if name not in ("out", "again", "stages")}
        self.report: dict[str, Any] = {"given": said, "stages": {}}
        if self._file.exists() and not given.again:
            earlier = json.loads(self._file.read_text())
            if earlier["given"] == said:
                self.report = earlier

    def of(self, name: str, work: Callable[[], Any] | None) -> Any:
        """What a stage gave, done now if it never was; None if it is not to be done."""
        stages = self.report["stages"]
        if name not in stages and work is not None:
            print(name, file=sys.stderr, flush=True)
            stages[name] = work()
            self.report["ended"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
            self._write()
        return stages.get(name)

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self.report, indent=1))
        (self._folder / "petascale.md").write_text(markdown(self.report))
        draw(self.report, self._folder / "petascale.png")


def main(words: list[str] | None = None) -> int:
    """Measure and report."""
    given = _arguments(words)
    kept, stages = _Kept(given), given.stages.split(",")
    chunk_numbers, lost_numbers = (tuple(map(int, text.split(","))) for text in (given.chunks, given.lost))
    asked = lambda stage, work: work if stage in stages else None  # noqa: E731
    costs = kept.of(
        "costs", asked("costs", lambda: {**_apart(measure_messages), **_apart(measure_fragments, int(given.objects))})
    )
    hosts = [Host(f"w{i}", f"rack{i % int(given.zones)}", 10**14) for i in range(int(given.workers))]
    sky = given.petabytes, hosts, int(given.replicas)
    for chunks in chunk_numbers:
        planned = kept.of(
            f"planning {chunks}", asked("planning", lambda chunks=chunks: _apart(measure_planning, chunks, *sky))
        )
        if costs and planned:
            kept.of(f"mix {chunks}", asked("mix", lambda costs=costs, planned=planned: _mixes(given, costs, planned)))
    for lost in lost_numbers:
        for chunks in chunk_numbers:
            work = lambda chunks=chunks, lost=lost: _apart(measure_healing, chunks, *sky, lost, given.host_rate)  # noqa: E731
            kept.of(f"healing {chunks} {lost}", asked("healing", work))
    print(markdown(kept.report))
    return 0


def _mixes(given: argparse.Namespace, costs: dict[str, float], planned: dict[str, Any]) -> dict[str, Any]:
    """The mix as it is, with two fragments out for each permit over all scans, and were scheduler and coordinators free."""
    kinds = kinds_of(given, costs, {name: plan["fragments"] for name, plan in planned["plans"].items()})
    found: dict[str, Any] = {"kinds": [vars(kind) for kind in kinds]}
    workers, permits = int(given.workers), int(given.permits)
    slots = max(1, Settings().worker_slots // SHARE_OF_SLOTS) * workers
    few = 2 * workers * permits // sum(kind.count for kind in kinds if not kind.interactive)
    ways = {
        "as it is": (costs["tasks_per_s"], costs["coordinated_per_s"], slots),
        "fewer out": (costs["tasks_per_s"], costs["coordinated_per_s"], few),
        "no scheduler": (_FREE, costs["coordinated_per_s"], slots),
        "workers alone": (_FREE, _FREE, slots),
    }
    for name, (tasks, coordinated, out) in ways.items():
        cluster = Cluster(workers, permits, tasks, int(given.coordinators), coordinated, costs["there_and_back_s"], out)
        found[name] = run_mix(kinds, cluster, int(given.bundle))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
