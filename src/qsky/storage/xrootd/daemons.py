"""Starts, watches and stops the xrootd and the cmsd of one instance, as child processes with logs in files.

Whoever runs an instance (a worker, the cluster's command) calls it from one thread: `start`, `wait_ready`, `tend` every
second or so, `stop`. It ends no process but those it started itself, or that an earlier run of the same instance left
behind under the numbers in its folder. xrootd refuses to be root: then the children are an ordinary user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.storage.store import io_errors
from qsky.storage.xrootd.client import Holder, Session, Unreachable, addresses_of, session
from qsky.storage.xrootd.config import authdb_text, config_text
from qsky.storage.xrootd.instance import Instance, KeyFiles, Redirector, Role, access_to
from qsky.storage.xrootd.names import EXPORT, PROBES
from qsky.storage.xrootd.publish import announce

PROGRAMS: Final = ("cmsd", "xrootd")
_LINES_QUOTED: Final = 4  # what went wrong is followed by who gave up
_USERS: Final = ("xrootd", "nobody")  # who the children are if we are root


@dataclass
class _Child:
    """One daemon: its process, when it was started, and how often it ended early in a row."""

    program: str
    process: subprocess.Popen[bytes]
    started: float
    falls: int = 0


@dataclass(frozen=True)
class DaemonState:
    """What `qsky cluster status` shows of a daemon; `pid` is None while it waits to be started again."""

    program: str
    pid: int | None
    restarts: int
    log: Path


class Daemons:
    """The two daemons of one instance."""

    def __init__(self, instance: Instance, settings: Settings) -> None:
        self.instance = instance
        self._settings = settings
        self._user = _ordinary_user()
        self._children: dict[str, _Child] = {}
        self._restarts = dict.fromkeys(PROGRAMS, 0)

    def start(self) -> None:
        """Write the configuration and start both. Raises not-installed, no-access, xrootd-failed."""
        for program in PROGRAMS:
            if shutil.which(program) is None:
                raise QskyError(
                    "not-installed",
                    f"{program} is not installed.",
                    hint="On Debian: apt-get install xrootd-server xrootd-server-plugins xrootd-plugins.",
                )
        end_leftovers(self.instance.folder, self._settings.xrootd_stop_seconds_max)
        self._prepare()
        self._children["cmsd"] = self._started("cmsd")
        self._await_cmsd()
        self._children["xrootd"] = self._started("xrootd")

    def wait_ready(self) -> None:
        """Return when every redirector that answers finds this server (or this redirector answers).

        Raises xrootd-failed after `xrootd_ready_seconds_max`, or as soon as a daemon ended; it quotes the log.
        """
        end = time.monotonic() + self._settings.xrootd_ready_seconds_max
        while not self.is_ready():
            for child in self._children.values():
                if child.process.poll() is not None:
                    raise self._failed(child.program, f"ended with status {child.process.returncode}")
            if time.monotonic() > end:
                raise self._failed("cmsd", f"was not ready after {self._settings.xrootd_ready_seconds_max:g} seconds")
            time.sleep(0.1)

    def is_running(self) -> bool:
        """Whether both processes live; `is_ready` says whether they are of use."""
        return len(self._children) == len(PROGRAMS) and all(
            child.process.poll() is None for child in self._children.values()
        )

    def is_ready(self) -> bool:
        """Whether clients find this instance now: asked, not guessed."""
        asked = session(access_to(self.instance), self._settings)
        if not asked.answers(Redirector(self.instance.host, self.instance.port, 0)):
            return False
        return self.instance.role is Role.REDIRECTOR or self._is_found(asked)

    def _is_found(self, asked: Session) -> bool:
        """Whether every redirector that answers finds the probe of this server, which lies nowhere else."""
        # one that is down is no reason for a server to wait
        up = [redirector for redirector in self.instance.redirectors if asked.answers(redirector)]
        try:
            announce(self.instance, self._probe, self._settings)
            found = [any(map(self._is_me, asked.locate(redirector, self._probe))) for redirector in up]
        except (QskyError, Unreachable):
            return False
        return bool(found) and all(found)

    @property
    def _probe(self) -> str:
        return f"{PROBES}/{self.instance.name}"

    def tend(self) -> tuple[DaemonState, ...]:
        """Start again what has ended, later each time it does not last; how things stand."""
        now = time.monotonic()
        for child in list(self._children.values()):
            if child.process.poll() is not None and now >= child.started + self._patience(child):
                lasted = now - child.started > self._settings.xrootd_restart_seconds_max
                self._restarts[child.program] += 1
                self._children[child.program] = self._started(child.program, 0 if lasted else child.falls + 1)
        return tuple(
            DaemonState(
                program,
                child.process.pid if child.process.poll() is None else None,
                self._restarts[program],
                self._log(program),
            )
            for program, child in self._children.items()
        )

    def stop(self) -> None:
        """End both, at first politely. Nothing happens if none runs."""
        for child in self._children.values():
            if child.process.poll() is None:
                child.process.terminate()
        end = time.monotonic() + self._settings.xrootd_stop_seconds_max
        for child in self._children.values():
            try:
                child.process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            self._pid_file(child.program).unlink(missing_ok=True)
        self._children.clear()

    def _await_cmsd(self) -> None:
        """Until the cmsd listens to its xrootd, which otherwise looks for it again only after ten seconds."""
        cmsd = self._children["cmsd"].process
        wait_until(lambda: self._cmsd_listens() or cmsd.poll() is not None, self._settings.xrootd_ready_seconds_max)

    def _cmsd_listens(self) -> bool:
        """A server's cmsd is met at a socket in the folder, a redirector's at the port at which servers meet it too."""
        if self.instance.role is Role.SERVER:
            return self.instance.notes.with_name("olbd.admin").exists()
        own = self.instance.redirectors[0]
        try:
            socket.create_connection(
                (own.host, own.cms_port), timeout=self._settings.xrootd_connect_seconds_max
            ).close()
        except OSError:
            return False
        return True

    def _is_me(self, server: Holder) -> bool:
        same = server.host == self.instance.host or addresses_of(server.host) & addresses_of(self.instance.host)
        return server.port == self.instance.port and bool(same)

    def _patience(self, child: _Child) -> float:
        """Seconds from one start to the next: twice as long after each fall."""
        least, most = self._settings.xrootd_restart_seconds_min, self._settings.xrootd_restart_seconds_max
        return float(min(most, least * 2 ** min(child.falls, 20)))

    def _started(self, program: str, falls: int = 0) -> _Child:
        """One daemon as a child in a session of its own: a Ctrl-C in the terminal is not for it."""
        folder = self.instance.folder
        command = [program, "-c", str(folder / "xrootd.cfg"), "-n", self.instance.name]
        command += ["-l", str(folder / f"{program}.log"), "-k", f"{self._settings.xrootd_log_bytes_max // 1024}k"]
        # else they write to /tmp, where those of other users' clusters have the same names
        command += ["-s", str(folder / f"{program}-run")]
        extra = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []} if self._user else {}
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            umask=0o022,
            **extra,  # type: ignore[call-overload]
        )
        self._pid_file(program).write_text(f"{process.pid}\n", encoding="ascii")
        return _Child(program, process, time.monotonic(), falls)

    def _prepare(self) -> None:
        """Folders, copies of the keys, configuration; all of it the daemons' own."""
        instance = self.instance
        keys = instance.folder / "keys"
        with io_errors(str(instance.folder)):
            for folder in (instance.folder, keys, *_folders_of_parts(instance)):
                folder.mkdir(parents=True, exist_ok=True)
                self._give(folder, 0o700 if folder == keys else 0o755)
            if instance.parts:
                self._write(instance.parts / self._probe.strip("/"), "")
            own = {name: self._copied(getattr(instance.keys, name), keys) for name in KeyFiles.__dataclass_fields__}
            authdb = instance.folder / "authdb"
            self._write(authdb, authdb_text())
            text = config_text(replace(instance, keys=KeyFiles(**own)), self._settings, str(authdb))
            self._write(instance.folder / "xrootd.cfg", text)
            for stale in instance.sockets.rglob("*"):
                if stale.is_socket() or stale.is_fifo():
                    stale.unlink(missing_ok=True)

    def _copied(self, source: Path, keys: Path) -> Path:
        """The daemons' own copy of a key: they may be another user, and it must be theirs alone."""
        copy = keys / source.name
        copy.unlink(missing_ok=True)
        handle = os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(source.read_bytes())
        self._give(copy, 0o600)
        return copy

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        self._give(path, 0o644)

    def _give(self, path: Path, mode: int) -> None:
        path.chmod(mode)
        if self._user:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _log(self, program: str) -> Path:
        """Where a daemon writes: below the folder, in one of its name."""
        return self.instance.folder / self.instance.name / f"{program}.log"

    def _pid_file(self, program: str) -> Path:
        return _pid_file(self.instance.folder, program)

    def _failed(self, program: str, why: str) -> QskyError:
        try:
            last = self._log(program).read_text(errors="replace").strip().splitlines()[-_LINES_QUOTED:]
        except OSError:
            last = []
        quoted = f" Its last words: {' / '.join(last)}" if last else ""
        return QskyError(
            "xrootd-failed",
            f"The {program} of {self.instance.name} {why}.{quoted}",
            hint=f"The whole log is {self._log(program)}.",
        )


def _ordinary_user() -> pwd.struct_passwd | None:
    """Who the daemons are to be: ourselves (None), or an ordinary user if we are root."""
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise QskyError("no-access", "XRootD does not run as root, and this machine has no user xrootd or nobody.")


def _folders_of_parts(instance: Instance) -> list[Path]:
    return [instance.parts / name.strip("/") for name in ("", EXPORT, PROBES)] if instance.parts else []


def end_leftovers(folder: Path, seconds_max: float) -> None:
    """End the daemons of the instance in a folder whose parent is gone without them: they hold its ports."""
    for program in PROGRAMS:
        try:
            pid = int(_pid_file(folder, program).read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        if _is_of(folder, pid, program):
            os.kill(pid, signal.SIGKILL)
            wait_until(partial(_is_gone, folder, pid, program), seconds_max)


def _pid_file(folder: Path, program: str) -> Path:
    return folder / f"{program}.pid"


def _is_gone(folder: Path, pid: int, program: str) -> bool:
    return not _is_of(folder, pid, program)


def _is_of(folder: Path, pid: int, program: str) -> bool:
    """Whether a process runs this program with the configuration in the folder: numbers are used again."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(folder / "xrootd.cfg").encode() in words and os.path.basename(words[0]) == program.encode()


def wait_until(done: Callable[[], bool], seconds_max: float) -> None:
    """Return when something is so, or when the seconds are over."""
    end = time.monotonic() + seconds_max
    while not done() and time.monotonic() < end:
        time.sleep(0.05)
