"""`python -m benchmarks.scans`: many different scans of one table at once, beside each of them alone.

Prints CPU and wall seconds, the ratio of all at once to the mean of one, and how long cones take with and without the
scans. Every answer must be the same, bit for bit, alone and among others. `--root` takes a root that has a table
(`--table`) of a synthetic sky; without it one is made and removed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qsky
from benchmarks.jobs import make_sky, qsky_load

# None of them is decided by the statistics of a row group, so that each is a scan of everything.
FILTERS = (
    "r_psfFlux > 1000",
    "i_psfFlux BETWEEN 500 AND 5000000",
    "r_psfFlux > 2 * i_psfFlux",
    "i_psfFlux - r_psfFlux > 200",
    "ABS(coord_dec - 5) > 0.001",
    "r_psfFlux + i_psfFlux > 3000",
    "coord_ra - coord_dec < 1000",
    "r_psfFlux < 300 OR i_psfFlux > 700",
)
SELECTS = (
    "SELECT COUNT(*), AVG(i_psfFlux), MAX(coord_ra), MIN(coord_dec), SUM(r_psfFlux) FROM {table} WHERE {filter}",
    "SELECT objectId, coord_ra, coord_dec, r_psfFlux, i_psfFlux FROM {table} WHERE {filter} AND i_psfFlux > 1e6",
)


def scans(count: int, table: str) -> list[str]:
    """So many different texts: averages over four columns, and cuts that find a few objects among all, by turns."""
    found = []
    for number in range(count):
        select, where = SELECTS[number % len(SELECTS)], FILTERS[number // len(SELECTS) % len(FILTERS)]
        again = f" AND i_psfFlux <> {number // 16}" if number >= 16 else ""
        found.append(select.format(table=table, filter=where + again))
    return found


def measured(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What `work` gives, with CPU seconds of this process and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = work()
    return found, time.process_time() - cpu, time.perf_counter() - wall


def at_once(sky: Any, texts: list[str], meanwhile: Callable[[], None] | None = None) -> list[Any]:
    """The answers to all texts, each asked by a thread of its own."""
    answers: list[Any] = [None] * len(texts)

    def ask(place: int) -> None:
        answers[place] = sky.sql(texts[place]).arrow()

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(texts))]
    for thread in threads:
        thread.start()
    while meanwhile is not None and any(thread.is_alive() for thread in threads):
        meanwhile()
    for thread in threads:
        thread.join()
    return answers


def cone_ms(sky: Any, table: str, times: list[float]) -> None:
    """One cone of an arcminute, and a pause as a user makes."""
    text = f"SELECT objectId, coord_ra, coord_dec FROM {table} WHERE qserv_areaspec_circle(266.4, -28.9, 0.0167)"
    _, _, wall = measured(lambda: sky.sql(text).arrow())
    times.append(wall * 1000)
    time.sleep(0.02)


def compare(root: Path, table: str, count: int, rounds: int) -> dict[str, Any]:
    """Each scan alone, all at once, and cones beside them; the best of several rounds."""
    said: dict[str, Any] = {"scans": count}
    texts = scans(count, table)
    with qsky.connect(root) as sky:
        alone = [min((measured(lambda t=t: sky.sql(t).arrow()) for _ in range(rounds)), key=_cpu) for t in texts]
        together = min((measured(lambda: at_once(sky, texts)) for _ in range(rounds)), key=_cpu)
        for one, among in zip(alone, together[0], strict=True):
            if not one[0].equals(among):  # also the order: both read every part from its first row to its last
                raise SystemExit(f"alone {one[0].to_pylist()}, among others {among.to_pylist()}")
        quiet: list[float] = []
        busy: list[float] = []
        for _ in range(50):
            cone_ms(sky, table, quiet)
        at_once(sky, texts, lambda: cone_ms(sky, table, busy))
    mean = statistics.mean(cpu for _, cpu, _ in alone)
    said["one_cpu_s"], said["one_wall_s"] = round(mean, 3), round(statistics.mean(wall for *_, wall in alone), 3)
    said["all_cpu_s"], said["all_wall_s"] = round(together[1], 3), round(together[2], 3)
    said["ratio_cpu"] = round(together[1] / mean, 2)
    said["cone_quiet_ms"], said["cone_busy_ms"] = _middle(quiet), _middle(busy)
    return said


def _cpu(found: tuple[Any, float, float]) -> float:
    return found[1]


def _middle(times: list[float]) -> tuple[float, float]:
    """Median and 90th percentile."""
    return round(statistics.median(times), 1), round(sorted(times)[int(len(times) * 0.9)], 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scans", description=__doc__)
    parser.add_argument("--objects", type=float, default=5e6, help="objects in the sky that is made (default 5e6)")
    parser.add_argument("--root", type=Path, help="a root to use instead; it is only read")
    parser.add_argument("--table", default="sky.object")
    parser.add_argument("--scans", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    if given.root is not None:
        print(json.dumps(compare(given.root, given.table, given.scans, given.rounds)))
        return
    folder = Path(tempfile.mkdtemp(prefix="qsky-scans-"))
    try:
        make_sky(folder, int(given.objects))
        qsky_load(folder)
        print(json.dumps(compare(folder / "root", given.table, given.scans, given.rounds)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
