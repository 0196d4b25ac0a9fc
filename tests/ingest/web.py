"""A web server on loopback that shows one folder, with range requests or without, for catalogues that lie elsewhere."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass
class Web:
    """What a server shows and was asked for. Paths in `failing` answer 503."""

    folder: Path
    ranges: bool
    address: str = ""
    asked: list[str] = field(default_factory=list)  # "GET /path bytes=0-7"
    failing: set[str] = field(default_factory=set)


@contextmanager
def served(folder: Path, *, ranges: bool = True) -> Iterator[Web]:
    """A running server on a free port; stopped with the block."""
    web = Web(folder, ranges)
    handler = type("Handler", (_Handler,), {"web": web})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    web.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    web: Web
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        path, wanted = unquote(self.path), self.headers.get("Range", "")
        self.web.asked.append(f"{self.command} {path} {wanted}".strip())
        file = self.web.folder / path.lstrip("/")
        if path in self.web.failing:
            return self._send(503, b"", {}, body=body)
        if not file.is_file():
            return self._send(404, b"", {}, body=body)
        content = file.read_bytes()
        bounds = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted) if self.web.ranges else None
        if bounds is None:
            return self._send(200, content, {}, body=body)
        first, last = int(bounds[1]), min(int(bounds[2] or len(content)), len(content) - 1)
        where = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        return self._send(206, content[first : last + 1], where, body=body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        if self.web.ranges:
            self.send_header("Accept-Ranges", "bytes")
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""
