"""What `make cluster-demo` shows: the answers of one machine and of a cluster, and what a lost worker changes: nothing.

Call it with a root that examples/demo.sh has loaded. It makes a cluster of three workers and two redirectors, which hold two
copies of each part, asks the four questions again, kills a worker in the middle of a scan of the whole sky, and waits
until every part has two copies again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time

import pyarrow as pa
from questions import CONE, HISTOGRAM, LIGHT_CURVE, NEIGHBOURS, VARIABLE

from qsky import connect
from qsky.output.grid import text_grid
from qsky.wire import Sky

# Seconds after which the keeper copies what a lost worker held; minutes are usual, but nobody waits for a demonstration.
QUICK = {
    "QSKY_KEEPER_QUIET_SECONDS": "5",
    "QSKY_WORKER_LOST_SECONDS": "5",
    "QSKY_KEEPER_RETRY_SECONDS": "2",
    "QSKY_CLUSTER_WAIT_SECONDS": "180",
}
HEAL_SECONDS_MAX = 180
SCAN = "SELECT band, COUNT(*) AS n, AVG(psfFlux) AS flux, STDDEV(psfFlux) AS spread FROM sky.source GROUP BY band ORDER BY band"


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def cluster(root: str, *words: str) -> str:
    """Run a `qsky cluster` command; what it said."""
    command = [sys.executable, "-m", "qsky", "--root", root, "cluster", *words]
    done = subprocess.run(command, check=False, env={**os.environ, **QUICK}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stderr}")
    return done.stdout + done.stderr


def answers(sky: Sky) -> list[tuple[str, pa.Table, float]]:
    """The four questions of the demonstration: title, rows, seconds."""
    star = sky.sql(VARIABLE).scalar()
    found = []
    for title, sql in (
        ("a cone", CONE),
        ("a light curve", LIGHT_CURVE.format(star)),
        ("the whole sky", HISTOGRAM),
        ("near neighbours", NEIGHBOURS),
    ):
        began = time.perf_counter()
        found.append((title, sky.sql(sql).arrow(), time.perf_counter() - began))
    return found


def scan_with_a_death(sky: Sky, root: str) -> tuple[pa.Table, int]:
    """The scan of the whole sky, again and again while a worker is killed; its answer, and how often it was given."""
    killing = threading.Thread(target=cluster, args=(root, "stop", "w1", "--kill"))
    first, times = sky.sql(SCAN).arrow(), 1
    killing.start()
    while killing.is_alive() or times < 3:
        again, times = sky.sql(SCAN).arrow(), times + 1
        check("the scan", first, again)
    return first, times


def check(title: str, one: pa.Table, other: pa.Table) -> None:
    """Sums of floating numbers may differ in the last digits; nothing else may."""
    same = one.schema.equals(other.schema) and one.num_rows == other.num_rows
    for left, right in zip(one.columns, other.columns, strict=True):
        if pa.types.is_floating(left.type):
            pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
            same = same and all(a == b or abs(a - b) <= 1e-9 * abs(a) for a, b in pairs)
        else:
            same = same and left.equals(right)
    if not same:
        sys.exit(f"{title}: the answers differ\n{text_grid(one, 20)}\n{text_grid(other, 20)}")


def copies(status: str) -> dict[int, int]:
    """How many parts have how many copies, as `status` shows it: `copies       36 parts x 2, 1 part x 3`."""
    line = next((line for line in status.splitlines() if line.startswith("copies ")), "")
    return {int(times): int(parts) for parts, times in re.findall(r"(\d+) parts? x (\d+)", line)}


def wait_until_healed(root: str, parts: int) -> float:
    """Seconds until each of so many parts has two copies, and the keeper says so.

    What it says alone is not enough: it said the same before it noticed that a worker is gone.
    """
    began = time.monotonic()
    while True:
        status = cluster(root, "status")
        found = copies(status)
        if min(found, default=0) >= 2 and sum(found.values()) == parts and "keeper says  healthy" in status:
            return time.monotonic() - began
        if time.monotonic() - began > HEAL_SECONDS_MAX:
            sys.exit(f"not healed after {HEAL_SECONDS_MAX} s\n{status}")
        time.sleep(1)


def main(root: str) -> None:
    say("The answers of one machine")
    with connect(root) as sky:
        alone = [*answers(sky), ("the scan", sky.sql(SCAN).arrow(), 0.0)]
    for title, table, seconds in alone[:4]:
        print(f"{title}: {table.num_rows} rows, {seconds * 1000:,.0f} ms")

    say("A cluster for the same root: three workers, two redirectors, two copies of each part")
    print(cluster(root, "up", "--workers", "3", "--redirectors", "2", "--replicas", "2"), end="")
    try:
        status = cluster(root, "status")
        print(status, end="")
        parts = sum(copies(status).values())
        with connect(root) as sky:
            say("The answers of the cluster")
            for (title, table, _), (_, again, seconds) in zip(alone, answers(sky), strict=False):
                check(title, table, again)
                print(f"{title}: the same {again.num_rows} rows, {seconds * 1000:,.0f} ms")
            say("A worker is killed with -9 in the middle of a scan of the whole sky")
            scanned, times = scan_with_a_death(sky, root)
            check("the scan", alone[4][1], scanned)
            print(text_grid(scanned, 10))
            print(f"the same answer as one machine, {times} times")
        print(cluster(root, "status"), end="")
        say("The keeper makes two copies of each part again")
        print(f"healed after {wait_until_healed(root, parts):.0f} s")
        print(cluster(root, "status"), end="")
    finally:
        say(cluster(root, "down").strip())


if __name__ == "__main__":
    main(sys.argv[1])
