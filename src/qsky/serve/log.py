"""What a server says while it runs: one line for each request and event, as text or JSON, on stderr.

Called by the doorkeeper and the server. Must never raise because nobody reads, and never write what a client sent raw.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import IO, Any

from qsky.serve.options import LogFormat


class ServeLog:
    """Lines on a stream. A line is written whole, by one call, so lines of several threads do not mix."""

    def __init__(self, form: LogFormat = "text", stream: IO[str] | None = None) -> None:
        self.form = form
        self._stream = stream

    def request(
        self, client: str, method: str, path: str, status: int, sent_bytes: int, seconds: float, *, cut: bool
    ) -> None:
        """One answered request. `path` is as the client sent it, percent-encoded; `cut` if the answer broke off."""
        if self.form == "json":
            self._json("request", client=client, method=method, path=path, status=status, bytes=sent_bytes,
                       seconds=round(seconds, 6), cut=cut)  # fmt: skip
        else:
            broke = " broke off" if cut else ""
            self._text(f"{client} {method} {path} {status} {sent_bytes} bytes {seconds:.4f} s{broke}")

    def event(self, event: str, message: str) -> None:
        """Anything else: listening, stopping, failed."""
        if self.form == "json":
            self._json(event, message=message)
        else:
            self._text(f"{event}: {message}")

    def _json(self, event: str, **values: Any) -> None:
        self._line(json.dumps({"time": _now(), "event": event, **values}))

    def _text(self, text: str) -> None:
        self._line(f"{_now()} {text}")

    def _line(self, line: str) -> None:
        if self.form == "none":
            return
        stream = self._stream or sys.stderr
        try:
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):  # whoever read the log has gone; the server has not
            return


class EventHandler(logging.Handler):
    """What uvicorn logs, as events; but for answers that broke off, of which the doorkeeper told more."""

    def __init__(self, log: ServeLog, level: int) -> None:
        super().__init__(level)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("ASGI callable returned without"):
            return
        self._log.event(record.levelname.lower(), self.format(record).strip())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
