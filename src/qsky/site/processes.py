"""Processes known by name through files: `run/<name>.json` says which process it is, and when that was started.

A number alone may belong to somebody else by now; number and start time together do not. So nobody is ever ended but
who was started here.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Known:
    """A process that was started under a name."""

    name: str
    pid: int
    started: float
    restarts: int = 0


def note(run: Path, known: Known) -> None:
    run.mkdir(parents=True, exist_ok=True)
    aside = run / f"{known.name}.new"
    aside.write_text(json.dumps(asdict(known)))
    aside.rename(run / f"{known.name}.json")


def started_at(pid: int) -> float:
    """When a process was started; 0 if there is none, or it has ended and nobody took note."""
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return 0.0


def known(run: Path, name: str) -> Known | None:
    """The process of that name, if it still runs."""
    try:
        found = Known(**json.loads((run / f"{name}.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return found if is_alive(found) else None


def is_alive(one: Known) -> bool:
    started = started_at(one.pid)
    return started != 0.0 and abs(started - one.started) < 1.0


def family(one: Known) -> list[Known]:
    """A process and everything below it."""
    if not is_alive(one):
        return []
    found = [one]
    with suppress(psutil.Error):
        for child in psutil.Process(one.pid).children(recursive=True):
            with suppress(psutil.Error):
                found.append(Known(child.name(), child.pid, child.create_time()))
    return found


def end(ones: list[Known], seconds_max: float) -> None:
    """End processes: asked first, killed if they are still there after so long."""
    _send(ones, signal.SIGCONT)
    _send(ones, signal.SIGTERM)
    until = time.monotonic() + seconds_max
    while any(is_alive(one) for one in ones) and time.monotonic() < until:
        time.sleep(0.05)
    kill(ones)


def kill(ones: list[Known]) -> None:
    """End processes without a word."""
    _send(ones, signal.SIGKILL)
    until = time.monotonic() + 5
    while any(is_alive(one) for one in ones) and time.monotonic() < until:
        time.sleep(0.02)


def _send(ones: list[Known], number: signal.Signals) -> None:
    for one in ones:
        if is_alive(one):
            with suppress(ProcessLookupError):
                os.kill(one.pid, number)
