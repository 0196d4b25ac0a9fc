"""Runs one job in a process group of its own and watches its memory; ends it when it takes too long.

The job says itself what it spent (`benchmarks.clock`). This adds the peak of memory, and what went wrong.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.place import Place

_SAMPLE_SECONDS = 0.25


class Failed(Exception):
    """A job that did not end well; the text says how."""


def run(job: str, place: Place, seconds_max: float) -> dict[str, Any]:
    """What a job says, with `peak_mb` (its processes and PostgreSQL's) and `process_s`. Raises Failed."""
    scratch = place.inside("tmp")
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        file, errors = Path(folder, "said.json"), Path(folder, "errors.txt")
        began = time.monotonic()
        with errors.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.job", job, place.text(), str(file)],
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                env={**os.environ, "TMPDIR": str(scratch)},
            )
            peak = _watched(process, place.server_pid, began + seconds_max)
        if process.returncode:
            last = errors.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            too_long = time.monotonic() - began > seconds_max
            raise Failed(f"took more than {seconds_max:.0f} s" if too_long else last[0][:300])
        said: dict[str, Any] = json.loads(file.read_text())
    return {**said, "peak_mb": peak >> 20, "process_s": round(time.monotonic() - began, 1)}


def _watched(process: subprocess.Popen[bytes], server_pid: int, deadline: float) -> int:
    """The largest memory seen until the job ended by itself or was ended."""
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, server_pid, peak), daemon=True)
    watcher.start()
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        watcher.join()
    return peak[0]


def _watch(process: subprocess.Popen[bytes], server_pid: int, peak: list[int]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], sum(_bytes_of(pid) for pid in (process.pid, server_pid) if pid))
        time.sleep(_SAMPLE_SECONDS)


def _bytes_of(pid: int) -> int:
    """Resident memory of a process and its descendants; what several of them share is counted once."""
    try:
        root = psutil.Process(pid)
        children = root.children(recursive=True)
        if not children:
            return int(root.memory_info().rss)
        return sum(_share(child) for child in (root, *children))
    except psutil.Error:
        return 0


def _share(process: psutil.Process) -> int:
    """Proportional memory, as Linux counts it; resident memory where it does not."""
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
        return 0
    except OSError:
        try:
            return int(process.memory_info().rss)
        except psutil.Error:
            return 0
