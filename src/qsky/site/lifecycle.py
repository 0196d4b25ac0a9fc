"""`qsky cluster up`, `down`, `stop`, `start`, `drain`: what people do with a cluster on one machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.site.model import Site
from qsky.site.processes import Known, end, family, kill, known
from qsky.site.status import is_up
from qsky.site.supervisor import NAME, log_file, off_file, run_folder
from qsky.storage.xrootd.daemons import end_leftovers

_LOOK_SECONDS: Final = 0.1
_LINES_QUOTED: Final = 3


def start_up(site: Site, settings: Settings, ready: Callable[[], bool]) -> None:
    """Start the supervisor in the background and wait until the cluster is `ready`.

    Raises usage if it is up; no-cluster if it does not get ready in time, with what the logs say; then nothing runs.
    """
    if is_up(site):
        raise QskyError("usage", "This cluster is up already.", hint="`qsky cluster status` shows it.")
    run_folder(site).mkdir(parents=True, exist_ok=True)
    for old in [*run_folder(site).glob("*.off"), *run_folder(site).glob("*.drain")]:
        old.unlink()
    log = log_file(site, NAME)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "qsky", "--root", site.root, "supervisor"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    until = time.monotonic() + settings.cluster_wait_seconds
    while not ready():
        if child.poll() is not None or time.monotonic() > until:
            shut_down(site, settings)
            raise QskyError(
                "no-cluster", f"The cluster did not start: {_last_words(site)}", hint=f"Logs: {log.parent}."
            )
        time.sleep(_LOOK_SECONDS)


def _last_words(site: Site) -> str:
    """The end of the log that was written last."""
    logs = sorted((Path(site.folder) / "logs").glob("*.log"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return "there are no logs"
    lines = [line for line in logs[-1].read_text(errors="replace").splitlines() if line.strip()]
    return f"{logs[-1].stem} said: " + " / ".join(lines[-_LINES_QUOTED:])


def shut_down(site: Site, settings: Settings) -> bool:
    """End everything that was started for the cluster, and nothing else; whether there was anything."""
    supervisor = known(run_folder(site), NAME)
    if supervisor is not None:
        os.kill(supervisor.pid, signal.SIGTERM)
        # it gives every process its time, one after the other
        until = time.monotonic() + settings.stop_seconds_max * (len(site.names()) + 1)
        while known(run_folder(site), NAME) == supervisor and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
    left = [one for name in (NAME, *site.names()) if (one := known(run_folder(site), name)) is not None]
    end([below for one in left for below in family(one)], settings.stop_seconds_max)
    for name in site.names():
        _end_daemons(site, name, settings)
    return supervisor is not None or bool(left)


def _end_daemons(site: Site, name: str, settings: Settings) -> None:
    """The daemons of a worker or redirector that was killed before it could end them."""
    if name not in ("scheduler", "keeper"):
        end_leftovers(site.daemons(name), settings.xrootd_stop_seconds_max)


def stop(site: Site, name: str, settings: Settings, *, at_once: bool) -> bool:
    """End one process and what it started, and leave it off; `at_once` with -9. Whether it ran. Raises usage."""
    _check(site, name)
    run_folder(site).mkdir(parents=True, exist_ok=True)
    off_file(site, name).touch()
    one = known(run_folder(site), name)
    ones: list[Known] = [] if one is None else family(one)
    if at_once:
        kill(ones)
    else:
        end(ones, settings.stop_seconds_max)
    _end_daemons(site, name, settings)
    return one is not None


def start(site: Site, name: str) -> None:
    """Let a process run again. Raises usage."""
    _check(site, name)
    off_file(site, name).unlink(missing_ok=True)


def drain(site: Site, name: str, wished: bool) -> None:
    """Ask the keeper to bring everything a worker holds elsewhere, or no longer. Raises usage."""
    site.worker(name)
    path = run_folder(site) / f"{name}.drain"
    if wished:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    else:
        path.unlink(missing_ok=True)


def _check(site: Site, name: str) -> None:
    if name not in site.names():
        raise QskyError("usage", f"There is no {name} in this cluster.", hint=f"There are: {', '.join(site.names())}.")
