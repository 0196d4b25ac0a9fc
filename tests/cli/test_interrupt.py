"""Ctrl-C ends the command within half a second, whatever it is doing, and what was published before stays whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import qsky
from qsky.catalog.model import Kind
from qsky.ingest.request import LoadRequest

WATCHED = """
import hashlib, sys, threading, time
from qsky.cli.interrupt import end_now, end_on_interrupt
end_on_interrupt()
try:
    print("ready", flush=True)
    {work}
except KeyboardInterrupt:
    end_now()
"""
COMPILED = "hashlib.pbkdf2_hmac('sha256', b'', b'', 1 << 30)"
WITH_THREADS = "threading.Thread(target=time.sleep, args=(60,)).start(); time.sleep(60)"
STARS = 20_000
# The command, with a sign on stderr that it is on its way: what Python itself does before is not ours to stop.
COMMAND = """
import sys
from qsky.cli import entry
watch = entry.end_on_interrupt
entry.end_on_interrupt = lambda: (watch(), print("begun", file=sys.stderr, flush=True))
entry.main()
"""
STOPPED = "\nStopped.\n"
SECONDS_MAX = 5.0  # half of one on a machine at rest; this one may do other things


@pytest.mark.parametrize("work", ["time.sleep(60)", COMPILED, WITH_THREADS], ids=["python", "compiled", "threads"])
def test_ctrl_c_ends_at_once(work: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED.format(work=work)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    started = time.perf_counter()
    process.send_signal(signal.SIGINT)
    status = process.wait(timeout=10)
    seconds = time.perf_counter() - started
    assert process.stderr is not None
    assert (status, process.stderr.read()) == (130, STOPPED)
    assert seconds < SECONDS_MAX


def stars(count: int, first: int) -> pa.Table:
    rng = np.random.default_rng(first)
    dec = np.degrees(np.arcsin(rng.random(count) * 2 - 1))
    ids = np.arange(first, first + count)
    return pa.table({"id": ids, "ra": rng.random(count) * 360, "dec": dec, "mag": rng.random(count) * 20})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a few stars, and a file of 2 million more."""
    made = tmp_path_factory.mktemp("interrupted")
    pa.csv.write_csv(stars(STARS, 0), made / "few.csv")
    many = stars(2_000_000, STARS)
    pa.csv.write_csv(many, made / "many.csv")
    pq.write_table(many, made / "many.parquet")
    few = LoadRequest("sky", "star", Kind.DIRECTOR, (str(made / "few.csv"),), key="id", ra="ra", dec="dec")
    qsky.connect(made / "root").load(few)
    return made


def interrupted(folder: Path, *arguments: str, stage: str, after_seconds: float) -> str:
    """Stop the command so long after it has said `stage`; what else it said. It must stop at once, and say so last."""
    command = [sys.executable, "-c", COMMAND, "--root", str(folder / "root"), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while stage not in (line := process.stderr.readline()):
        assert line, "it ended before"
    time.sleep(after_seconds)
    assert process.poll() is None, "it ended before"
    started = time.perf_counter()
    process.send_signal(signal.SIGINT)
    status = process.wait(timeout=20)
    seconds = time.perf_counter() - started
    said = process.stderr.read()
    print(f"{arguments[0]}, {after_seconds} s after {stage!r}: stopped in {seconds:.3f} s")
    assert status == 130 and said.endswith(STOPPED) and "Traceback" not in said, (status, said)
    assert seconds <= SECONDS_MAX
    return said


def assert_as_it_was(folder: Path) -> None:
    sky = qsky.connect(folder / "root")
    assert sky.revision("sky").number == 1
    assert sky.sql("SELECT COUNT(*) AS stars, SUM(id) AS ids FROM sky.star").arrow().to_pylist() == [
        {"stars": STARS, "ids": STARS * (STARS - 1) // 2}
    ]
    assert sky.verify("sky").problems == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stage", "after_seconds"),
    [
        ("many.csv", "begun", 0.0),
        ("many.csv", "begun", 3.0),
        ("many.parquet", "reading: ", 0.0),
    ],
)
def test_a_load_is_stopped(name: str, stage: str, after_seconds: float, folder: Path) -> None:
    load = ("load", str(folder / name), "--into", "sky.star", "--append")
    interrupted(folder, *load, stage=stage, after_seconds=after_seconds)
    assert_as_it_was(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT COUNT(*) FROM sky.star a JOIN sky.star b ON a.mag < b.mag WHERE a.ra + b.dec > 500",
        "SELECT a.id, SUM(SIN(a.ra * b.dec)) AS s FROM sky.star a, sky.star b, sky.star c GROUP BY a.id ORDER BY s LIMIT 3",
    ],
    ids=["join", "aggregate"],
)
def test_a_query_is_stopped(sql: str, folder: Path) -> None:
    assert interrupted(folder, "query", sql, stage="begun", after_seconds=2.0) == STOPPED
    assert_as_it_was(folder)
