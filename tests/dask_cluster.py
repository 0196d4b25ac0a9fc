"""A cluster of real processes over loopback: a scheduler and workers that are killed, stopped and started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from qsky.config import Settings
from qsky.dispatch.dask import link_to
from qsky.dispatch.link import Link
from qsky.worker.station import Certificates
from tests.certificates import certificates_in

REPO = Path(__file__).resolve().parents[1]
QUICK: dict[str, Any] = {
    "memory_bytes_max": 512 << 20,
    "threads": 1,
    "worker_silence_seconds": 6.0,
    "cluster_wait_seconds": 20.0,
    "stop_seconds_max": 5.0,
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Cluster:
    """`folder` is its own; `any_words` lets workers run statements that no printer writes."""

    folder: Path
    settings: Settings
    any_words: bool = False
    folders: tuple[str, ...] = ("/",)
    port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.certificates = Certificates(*certificates_in(self.folder / "tls"))

    @property
    def address(self) -> str:
        return f"tls://127.0.0.1:{self.port}"

    def up(self, workers: int = 3) -> Cluster:
        self.start_scheduler()
        self.start_workers(f"w{number}" for number in range(workers))
        self._wait_ready(["scheduler"])
        return self

    def start_scheduler(self) -> None:
        """Start it; whoever needs it waits for it."""
        self._start("scheduler", {"port": self.port, "http": f"127.0.0.1:{self.http_port}"})

    def start_workers(self, names: Iterable[str]) -> None:
        """Start them at once, and wait for all."""
        names = list(names)
        for name in names:
            said = {"name": name, "scheduler": self.address, "data": str(self.folder / name), "folders": self.folders}
            self._start(name, {**said, "any_words": self.any_words})
        self._wait_ready(names)

    def _start(self, name: str, said: dict[str, Any]) -> None:
        files = [str(file) for file in asdict(self.certificates).values()]
        said = {**said, "certificates": files, "settings": asdict(self.settings)}
        role = "scheduler" if name == "scheduler" else "worker"
        command = [sys.executable, "-m", "tests.cluster_process", role, json.dumps(said)]
        environment = {**os.environ, "PYTHONPATH": f"{REPO / 'src'}:{REPO}", "QSKY_MEMORY_BYTES_MAX": "set"}
        with open(self.folder / f"{name}.log", "a") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=REPO, env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip

    def _wait_ready(self, names: Iterable[str]) -> None:
        for name in names:
            out = self.processes[name].stdout
            assert out is not None
            assert out.readline().startswith("tls://"), self.log(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def link(self, **settings: Any) -> Link:
        made = link_to(self.address, self.certificates, self.settings.with_changes(**settings))
        self.links.append(made)
        return made

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """As the kernel does when memory runs out."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def ended(self, name: str, seconds: float) -> int:
        """The exit status of a process that ends by itself."""
        return self.processes.pop(name).wait(seconds)

    def down(self) -> None:
        for link in self.links:
            link.close()
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
        for process in self.processes.values():
            process.wait()


def until(what: Any, seconds: float = 60.0) -> None:
    """Wait until it is true."""
    ends = monotonic() + seconds
    while not what():
        assert monotonic() < ends, "it never came true"
        sleep(0.01)
