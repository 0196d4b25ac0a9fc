"""The parent of a cluster's processes on the machine of its scheduler: starts them, and again what ends, and ends them all.

`qsky cluster up` starts it; it stays in the background. People speak to it through files: `run/<name>.off` says that a
process shall not run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.site.model import Site
from qsky.site.processes import Known, end, family, known, note, started_at

NAME: Final = "supervisor"
_LOOK_SECONDS: Final = 0.2


def run_folder(site: Site) -> Path:
    return Path(site.folder) / "run"


def off_file(site: Site, name: str) -> Path:
    """While it is there, the process of that name is not started."""
    return run_folder(site) / f"{name}.off"


def log_file(site: Site, name: str) -> Path:
    return Path(site.folder) / "logs" / f"{name}.log"


class Supervisor:
    """Runs in the foreground of its own process until SIGTERM."""

    def __init__(self, site: Site, settings: Settings) -> None:
        self._site = site
        self._settings = settings
        self._here = site.names_at(site.scheduler_host)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts: dict[str, int] = {}
        self._next: dict[str, float] = {}  # when a process may be started again
        self._ending = threading.Event()

    def run(self) -> int:
        """Raises usage if another one runs."""
        if known(run_folder(self._site), NAME) is not None:
            raise QskyError("usage", "This cluster is up already.", hint="`qsky cluster status` shows it.")
        note(run_folder(self._site), Known(NAME, os.getpid(), started_at(os.getpid())))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._ending.set())
        try:
            while not self._ending.is_set():
                for name in self._here:
                    self._tend(name)
                self._ending.wait(_LOOK_SECONDS)
        finally:
            self._end_all()
        return 0

    def _tend(self, name: str) -> None:
        child = self._children.get(name)
        if child is not None and child.poll() is None:
            return
        if child is not None:
            del self._children[name]
            self._restarts[name] = self._restarts.get(name, 0) + 1
            self._next[name] = time.monotonic() + self._settings.restart_seconds
        if not off_file(self._site, name).exists() and time.monotonic() >= self._next.get(name, 0.0):
            self._start(name)

    def _start(self, name: str) -> None:
        log = log_file(self._site, name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            child = subprocess.Popen(
                command_of(self._site, name),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **self._site.settings},
                start_new_session=True,
            )
        self._children[name] = child
        restarts = self._restarts.get(name, 0)
        note(run_folder(self._site), Known(name, child.pid, started_at(child.pid), restarts))

    def _end_all(self) -> None:
        """The keeper first, which would heal what is being ended; then workers, redirectors, the scheduler."""
        for name in reversed(self._here):
            one = known(run_folder(self._site), name)
            if one is not None:
                end(family(one), self._settings.stop_seconds_max)
            (run_folder(self._site) / f"{name}.json").unlink(missing_ok=True)
        (run_folder(self._site) / f"{NAME}.json").unlink(missing_ok=True)


def command_of(site: Site, name: str) -> list[str]:
    """The command of a process, the same that a container runs."""
    python = [sys.executable, "-m", "qsky", "--root", site.root]
    if name in ("scheduler", "keeper"):
        return [*python, name]
    if any(node.name == name for node in site.redirectors):
        return [*python, "redirector", name]
    return [*python, "worker", name]
