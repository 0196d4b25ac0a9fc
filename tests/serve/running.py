"""Servers of the tests: processes of their own, on a free port of loopback, stopped by their pid.

Run as a program (`python running.py ROOT`) it is a server as an integrator makes one: parts are elsewhere, and there is
a route more. Elsewhere is the same process, as a data server gives parts out: `/qsky/<part name>`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qsky.catalog.store import Catalog
from qsky.config import read_settings
from qsky.errors import QskyError
from qsky.serve.app import http_app
from qsky.serve.file_answer import FileAnswer, range_headers
from qsky.serve.hats import hats_routes
from qsky.serve.log import ServeLog
from qsky.serve.options import ServeOptions
from qsky.serve.ranges import wanted
from qsky.serve.server import HttpServer

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-c", "from qsky.cli import main; main()")


@dataclass
class Running:
    """A server that listens; `lines` are those of its log so far."""

    process: subprocess.Popen[str] | None
    port: int
    scheme: str = "http"
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """One request on a connection of its own; the path goes out as it is."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, response.read(), response)
        finally:
            connection.close()

    def slow(self, path: str) -> socket.socket:
        """A client that has asked and takes nothing yet."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.settimeout(30)
        client.connect(("127.0.0.1", self.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return client

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def logged(self, event: str, **values: Any) -> dict[str, Any]:
        """The last line of that kind, once it is there."""
        for _ in range(1200):
            for line in reversed(self.lines):
                if line["event"] == event and all(line.get(name) == value for name, value in values.items()):
                    return line
            if self.process is not None and self.process.poll() is not None and not self.lines:
                break
            time.sleep(0.05)
        raise AssertionError(f"no {event} {values} in {self.lines}")


@dataclass
class Answer:
    status: int
    body: bytes
    response: HTTPResponse

    @property
    def text(self) -> str:
        return self.body.decode()

    def header(self, name: str) -> str | None:
        return self.response.getheader(name)


@contextmanager
def in_a_thread(root: Path, options: ServeOptions | None = None, **settings: Any) -> Iterator[Running]:
    """The same server in a thread of this process, which starts at once, for bounds and files."""
    bounds = read_settings({}).with_changes(**settings)
    catalog, lines = Catalog(root), _Lines()
    log = ServeLog("json", lines)  # type: ignore[arg-type]
    app = http_app(hats_routes(catalog), bounds, checks={"the root": catalog.databases}, log=log)
    server = HttpServer(app, options or ServeOptions(port=0), bounds, log)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    running = Running(None, 0, server.url.partition(":")[0], lines.found)
    try:
        running.port = int(running.logged("listening")["message"].rstrip("/").rsplit(":", 1)[1])
        yield running
    finally:
        server.stop()
        thread.join(30)
    assert not thread.is_alive()


class _Lines:
    """A stream whose lines are read back."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    def write(self, text: str) -> None:
        self.found.append(json.loads(text))

    def flush(self) -> None:
        return


@contextmanager
def serving(root: Path, *arguments: str, program: str = "", **settings: Any) -> Iterator[Running]:
    """`qsky serve` (or this file as `program`) on any free port; stopped at the end whatever happens."""
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}{os.pathsep}{REPOSITORY}"}
    environment |= {f"QSKY_{name.upper()}": str(value) for name, value in settings.items()}
    command = (
        [sys.executable, program, str(root)] if program else [*COMMAND, "--root", str(root), "serve", "--http", "0"]
    )
    log = [] if program else ["--log-format", "json"]
    process = subprocess.Popen([*command, *log, *arguments], stderr=subprocess.PIPE, text=True, env=environment)
    lines: list[dict[str, Any]] = []
    running = Running(process, 0, "https" if "--tls-cert" in arguments else "http", lines)
    reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
    reader.start()
    try:
        running.port = int(running.logged("listening")["message"].rstrip("/").rsplit(":", 1)[1])
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        reader.join(10)


def _read(process: subprocess.Popen[str], lines: list[dict[str, Any]]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        try:
            lines.append(json.loads(line))
        except ValueError:
            lines.append({"event": "raw", "message": line})


def main(root: Path) -> None:
    def part(request: Request) -> Response:
        file = root / request.path_params["name"]
        size = file.stat().st_size
        ask = wanted(request.headers, size, '"elsewhere"')
        return FileAnswer(os.open(file, os.O_RDONLY), ask, range_headers(ask, size, '"elsewhere"'))

    def where(name: str) -> str | None:
        if (root / "nobody").exists():
            raise QskyError("not-ready", "No machine answers.")
        return f"{server.url}/qsky/{name}"

    def late() -> None:
        if (root / "nobody").exists():
            raise QskyError("not-ready", "No machine answers.")

    log = ServeLog("json")
    routes = [*hats_routes(Catalog(root), where), Route("/qsky/{name:path}", part)]
    settings = read_settings()
    app = http_app(routes, settings, checks={"the data servers": late}, log=log)
    server = HttpServer(app, ServeOptions(port=0), settings, log)
    server.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
