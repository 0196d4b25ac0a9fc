"""A second machine, as far as the network can tell: a namespace with an address and a name of its own, and a cable to cut.

Needs root and the namespaces of `APART`: names are given in a private /etc/hosts, and whatever was started or mounted ends
with the process that was put apart, however that ends.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

HERE: Final = "qsky-here"
THERE: Final = "qsky-there"
APART: Final = ("unshare", "-m", "-u", "-p", "-f", "--kill-child", "--mount-proc", "--propagation", "private")
NEEDED: Final = "QSKY_TEST_NAMESPACES"  # set by whoever gave this process namespaces of its own


class Network:
    """One other machine. Raises OSError or CalledProcessError where that is not permitted."""

    def __init__(self, folder: Path) -> None:
        number = random.randrange(60_000)
        self._name = f"qf{number}"
        self._cable = f"qh{number}"
        net = f"10.{77 + number // 15_000}.{number // 60 % 250}"
        self._running: subprocess.Popen[bytes] | None = None
        hosts = folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{net}.1 {HERE}\n{net}.2 {THERE}\n")
        socket.sethostname(HERE)
        _run("mount", "--bind", str(hosts), "/etc/hosts")
        Path("/run/netns").mkdir(exist_ok=True)
        _run("mount", "-t", "tmpfs", "qsky-test", "/run/netns")
        _run("ip", "netns", "add", self._name)
        try:
            _run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self._name)
            _run("ip", "address", "add", f"{net}.1/24", "dev", self._cable)
            _run("ip", "link", "set", self._cable, "up")
            for words in (f"address add {net}.2/24 dev eth0", "link set eth0 up", "link set lo up"):
                _run("ip", "-n", self._name, *words.split())
        except BaseException:
            self.end()
            raise

    def start(self, root: Path, worker: str, log: Path, environment: dict[str, str]) -> None:
        """Let a worker run there, and again whenever it ends, as a machine's own supervisor would."""
        log.parent.mkdir(parents=True, exist_ok=True)
        command = (
            f"hostname {THERE}; while true; do {sys.executable} -m qsky --root {root} worker {worker}; sleep 1; done"
        )
        with log.open("ab") as out:
            self._running = subprocess.Popen(
                ["ip", "netns", "exec", self._name, "unshare", "-u", "sh", "-c", command],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )

    def cut(self) -> None:
        _run("ip", "link", "set", self._cable, "down")

    def heal(self) -> None:
        _run("ip", "link", "set", self._cable, "up")

    def end(self) -> None:
        """End what runs there, and take it away."""
        with suppress(subprocess.CalledProcessError):
            for pid in _run("ip", "netns", "pids", self._name).split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _run("ip", "netns", "del", self._name)


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
