"""`python -m benchmarks.petascale`: planner, dispatcher and keeper at LSST scale, by simulation, with the real code.

Nothing here is a cluster. What is measured: planning, placing and the state machines themselves, on this machine. What
is modelled: hosts, networks, disks and the scheduler, by the parameters of the command. Writes .md, .json and .png.
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
from benchmarks.petascale.healing import measure_healing
from benchmarks.petascale.mix import Cluster, Kind, run_mix
from benchmarks.petascale.planning import measure_planning
from benchmarks.petascale.report import markdown
from qsky.cluster.topology import Host


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.petascale", description=__doc__)
    numbers: tuple[tuple[str, float, str], ...] = (
        ("workers", 500, "hosts"),
        ("zones", 20, "racks the hosts stand in"),
        ("permits", 16, "fragments one host runs at once"),
        ("replicas", 3, "copies of each part"),
        ("petabytes", 5, "bytes of one copy of everything, in 1e15"),
        ("host-rate", 1.0e9, "bytes a second of one host's network or disk, whichever is less"),
        ("tasks-per-s", 740, "tasks a second one scheduler carries (Dask: 650 to 830)"),
        ("object-rows", 37e9, "rows of Object"),
        ("source-rows", 7e12, "rows of Source"),
        ("forced-rows", 30e12, "rows of ForcedSource"),
        ("scan-ns", 22, "CPU nanoseconds a row of a filtered average of three columns"),
        ("join-ns", 64, "CPU nanoseconds a row of the larger table of a join by the director's key"),
        ("near-ns", 1330, "CPU nanoseconds a row of all pairs within 2 arcsec"),
        ("cone-s", 0.0065, "CPU seconds of a cone of 1 arcmin"),
        ("bundle", 200, "fragments simulated as one"),
    )
    for name, default, about in numbers:
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{about} (default {default:g})")
    parser.add_argument("--chunks", default="150000,2000000", help="numbers of chunks, by commas")
    parser.add_argument("--lost", default="1,5,25", help="hosts lost at once, by commas")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    return parser.parse_args(words)


def _apart(work: Callable[..., Any], *given: Any) -> Any:
    """Done in a process of its own, so that peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def kinds_of(given: argparse.Namespace, fragments: dict[str, int]) -> list[Kind]:
    """100 interactive queries and LDM-552's 50 scans: how many of each, what a fragment costs, and when it is due."""
    scans = (
        ("Object", 20, "scan of object", given.object_rows * given.scan_ns, 1),
        ("Source", 5, "scan of source", given.source_rows * given.scan_ns, 12),
        ("ForcedSource", 5, "scan of source", given.forced_rows * given.scan_ns, 12),
        ("Object x Source", 10, "object joins source", given.source_rows * given.join_ns, 12),
        ("Object x ForcedSource", 5, "object joins source", given.forced_rows * given.join_ns, 12),
        ("near neighbours", 5, "scan of object", given.object_rows * given.near_ns, 1),
    )
    cones = Kind("cones", 100, 2, given.cone_s, 10 / 3600, interactive=True)
    return [
        cones,
        *(Kind(name, n, fragments[plan], ns * 1e-9 / fragments[plan], due) for name, n, plan, ns, due in scans),
    ]


def main(words: list[str] | None = None) -> int:
    """Measure and report."""
    given = _arguments(words)
    workers, zones = int(given.workers), int(given.zones)
    hosts = [Host(f"w{i}", f"rack{i % zones}", 10**14) for i in range(workers)]
    report: dict[str, Any] = {"given": {k: v for k, v in vars(given).items() if k != "out"}, "at": []}
    for chunks in map(int, given.chunks.split(",")):
        _tell(f"{chunks:,} chunks: planning")
        planned = _apart(measure_planning, chunks, given.petabytes, hosts, int(given.replicas))
        counts = {name: plan["fragments"] for name, plan in planned["plans"].items()}
        cluster = Cluster(workers, int(given.permits), given.tasks_per_s)
        kinds = kinds_of(given, counts)
        mixes = {}
        for name, rate in (("one scheduler", given.tasks_per_s), ("no scheduler", 1e12)):
            _tell(f"{chunks:,} chunks: the mix, {name}")
            mixes[name] = run_mix(kinds, Cluster(cluster.workers, cluster.permits, rate), int(given.bundle))
        healed = []
        for lost in map(int, given.lost.split(",")):
            _tell(f"{chunks:,} chunks: {lost} hosts lost")
            healed.append(
                _apart(measure_healing, chunks, given.petabytes, hosts, int(given.replicas), lost, given.host_rate)
            )
        report["at"].append(
            {"planning": planned, "kinds": [vars(kind) for kind in kinds], "mix": mixes, "healing": healed}
        )
        _write(report, given.out)
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _write(report: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"petascale-{datetime.now(UTC):%Y%m%dT%H%M}"
    stem.with_suffix(".json").write_text(json.dumps(report, indent=1))
    text = markdown(report)
    stem.with_suffix(".md").write_text(text)
    draw(report, stem.with_suffix(".png"))
    print(text)


if __name__ == "__main__":
    raise SystemExit(main())
