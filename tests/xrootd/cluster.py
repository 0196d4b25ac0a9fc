"""A real XRootD cluster on this machine: redirectors and servers on `localhost`, told apart by their ports."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from qsky.config import Settings
from qsky.storage.store import DIGEST_LETTERS
from qsky.storage.xrootd.client import Holder
from qsky.storage.xrootd.daemons import Daemons
from qsky.storage.xrootd.files import Files, Wanted
from qsky.storage.xrootd.instance import Access, Instance, KeyFiles, Redirector, Role
from qsky.storage.xrootd.keys import make_authority, make_host_keys, make_sss_key
from qsky.storage.xrootd.publish import publish

HOST = "localhost"
QUICK = Settings(
    xrootd_answer_seconds_max=4, xrootd_startup_seconds=1, xrootd_report_seconds=1, xrootd_avoid_seconds=5.0,
    xrootd_restart_seconds_min=0.2, xrootd_block_bytes=1 << 20, xrootd_ready_seconds_max=30.0,
    xrootd_rounds_max=3, xrootd_retry_seconds=0.1,
)  # fmt: skip


class Cluster:
    """Use with `with`: it is up inside, and everything is ended and removed afterwards."""

    def __init__(self, servers: int = 3, redirectors: int = 2, report: str = "", *, encrypted: bool = True) -> None:
        # not pytest's folder: nobody but its owner may enter that, and names of sockets must be short
        self.folder = Path(tempfile.mkdtemp(prefix="qsky-x-"))
        self.folder.chmod(0o755)
        keys = self.folder / "keys"
        make_authority(keys, 2)
        certificate, key = make_host_keys(keys, HOST, (HOST, "127.0.0.1"), 2)
        self.keys = KeyFiles(make_sss_key(keys), keys / "ca.pem", certificate, key)
        places = tuple(Redirector(HOST, *free_ports(2)) for _ in range(redirectors))
        shared = {
            "host": HOST,
            "keys": self.keys,
            "report": report,
            "admitted": ("localhost", "127.0.0.1"),
            "encrypted": encrypted,
        }
        self.redirectors = [
            Daemons(
                Instance(
                    f"r{n}", Role.REDIRECTOR, port=p.port, redirectors=(p,), folder=self.folder / f"r{n}", **shared
                ),  # type: ignore[arg-type]
                QUICK,
            )
            for n, p in enumerate(places)
        ]
        self.servers = [
            Daemons(
                Instance(
                    f"w{n}", Role.SERVER, port=free_ports(1)[0], redirectors=places, folder=self.folder / f"w{n}",
                    parts=self.folder / f"w{n}" / "parts", **shared,  # type: ignore[arg-type]
                ),
                QUICK,
            )
            for n in range(servers)
        ]  # fmt: skip
        self.access = Access(places, self.keys.sss, self.keys.ca, encrypted)

    def __enter__(self) -> Cluster:
        with ExitStack() as undo:
            undo.callback(self._end)
            for daemons in (*self.redirectors, *self.servers):
                daemons.start()
            for daemons in (*self.redirectors, *self.servers):
                daemons.wait_ready()
            undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def files(self) -> Files:
        """A client that remembers nothing yet."""
        return Files(self.access, QUICK)

    def place(self, part: str, content: bytes, *servers: int, told: bool = True) -> Wanted:
        """Put a part on the disks of servers, past XRootD, and tell redirectors of it or not."""
        for number in servers:
            path = self.path(part, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            if told:
                publish(self.servers[number].instance, part, QUICK)
        return Wanted(part, len(content), hashlib.sha256(content).hexdigest()[:DIGEST_LETTERS])

    def path(self, part: str, server: int) -> Path:
        parts = self.servers[server].instance.parts
        assert parts is not None
        return parts / "qsky" / part

    def let_daemons_write(self) -> None:
        """Give the folders of parts to the daemons, which are another user if we are root."""
        for daemons in self.servers:
            parts = daemons.instance.parts
            assert parts is not None
            for folder in (parts, *parts.rglob("*/")):
                os.chown(folder, parts.stat().st_uid, parts.stat().st_gid)

    def holder(self, server: int) -> Holder:
        return Holder(HOST, self.servers[server].instance.port)

    def pid(self, daemons: Daemons, program: str) -> int:
        found = {state.program: state.pid for state in daemons.tend()}[program]
        assert found is not None
        return found

    def kill(self, daemons: Daemons, program: str) -> None:
        """Kill a daemon with -9; `Daemons.tend` starts it again later."""
        os.kill(self.pid(daemons, program), signal.SIGKILL)
        assert eventually(lambda: not daemons.is_running())

    def heal(self, *broken: Daemons) -> None:
        """Tend daemons until all run, and wait until they are found."""
        for daemons in broken or (*self.redirectors, *self.servers):
            assert eventually(lambda one=daemons: bool(one.tend()) and one.is_running())  # type: ignore[misc]
            daemons.wait_ready()

    def _end(self) -> None:
        for daemons in (*self.servers, *self.redirectors):
            for pid in [state.pid for state in daemons.tend() if state.pid]:
                os.kill(pid, signal.SIGCONT)
            daemons.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens at now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def eventually(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not (now := true()) and time.monotonic() < end:
        time.sleep(0.05)
    return now
