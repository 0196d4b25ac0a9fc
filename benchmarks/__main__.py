"""`make bench`: loads, cones and lookups beside hats-import and LSDB, in one run on this machine.

Each job runs in a process of its own and is charged with its CPU seconds and those of its children; the peers get the
same files. Counts must agree. Writes `benchmarks/results/<time>.json` and `.md` and prints the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"


def measured(job: str, folder: Path, **arguments: Any) -> dict[str, Any]:
    """Run a job of `benchmarks.jobs`; what it answered, with CPU seconds, wall seconds and peak memory (MB)."""
    command = [sys.executable, "-m", "benchmarks.jobs", job, json.dumps({"folder": str(folder), **arguments})]
    peak = [0]
    began, before = time.monotonic(), os.times()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        watcher = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
        watcher.start()
        output, _ = process.communicate()
    after = os.times()
    if process.returncode:
        raise SystemExit(f"{job} failed with status {process.returncode}; run {' '.join(command)} to see why")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    said = json.loads(output.strip().splitlines()[-1])
    return {
        "job": job,
        **said,
        "cpu_s": round(cpu, 2),
        "wall_s": round(time.monotonic() - began, 2),
        "peak_mb": peak[0],
    }


def _watch(pid: int, peak: list[int]) -> None:
    """The largest sum of resident memory of a process and its children."""
    while True:
        try:
            root = psutil.Process(pid)
            total = sum(p.memory_info().rss for p in [root, *root.children(recursive=True)])
        except psutil.Error:
            return
        peak[0] = max(peak[0], total >> 20)
        time.sleep(0.1)


def rows_per_cpu_second(result: dict[str, Any]) -> float:
    return float(result["rows"]) / float(result["cpu_s"])


def table(objects: int, results: dict[str, dict[str, Any]]) -> str:
    """The figures as Markdown."""
    load, peer = results["qsky_load"], results["hats_import"]
    lines = [
        f"{objects:,} objects of 34 columns, overlap 10 arcsec, {os.cpu_count()} cores, {platform.machine()}, "
        f"load average at the end {os.getloadavg()[0]:.1f}.",
        "",
        "| job | rows | CPU s | wall s | peak MB | rows per CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in (("Qsky load, overlap and index", load), ("hats-import, catalogue and margin", peer)):
        lines.append(
            f"| {name} | {result['rows']:,} | {result['cpu_s']} | {result['wall_s']} | {result['peak_mb']} "
            f"| {rows_per_cpu_second(result):,.0f} |"
        )
    ratio = rows_per_cpu_second(load) / rows_per_cpu_second(peer)
    lines += ["", f"Ratio of rows per CPU second: **{ratio:.1f}** (to reach: 10).", ""]
    lines += ["| query | rows | Qsky first ms | Qsky cached ms | LSDB opened ms |", "|---|---|---|---|---|"]
    ours, theirs = results["qsky_query"], results["lsdb_query"]
    for kind in ("cone_1arcmin", "cone_1deg", "one_id"):
        a, b = ours[kind], theirs.get(kind, {})
        if b and a["rows"] != b["rows"]:
            raise SystemExit(f"{kind}: Qsky found {a['rows']} rows, LSDB {b['rows']}")
        lines.append(f"| {kind} | {a['rows']} | {a['first_ms']} | {a['cached_ms']} | {b.get('warm_ms', '')} |")
    lines += ["", f"Whole process, first row: Qsky {ours['cpu_s']} CPU s for all rows above, LSDB {theirs['cpu_s']}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--objects", type=float, default=2e6, help="objects in the sky (default 2e6, about 10 minutes)")
    parser.add_argument("--keep", action="store_true", help="keep the files that were made")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="qsky-bench-"))
    results: dict[str, dict[str, Any]] = {}
    try:
        measured("make_sky", folder, objects=int(given.objects))
        for job in ("qsky_load", "hats_import", "qsky_query", "lsdb_query"):
            results[job] = measured(job, folder)
            print(json.dumps(results[job]), flush=True)
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    text = table(int(given.objects), results)
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    stem.with_suffix(".json").write_text(json.dumps(results, indent=1))
    stem.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
