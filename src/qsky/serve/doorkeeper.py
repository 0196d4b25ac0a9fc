"""Stands before every route: bounds what is at work at once, times each send, counts and logs. Made by `app`.

Knows no route and no data. An ASGI application around another; it never holds a body.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qsky.config import Settings
from qsky.serve.answers import sentence
from qsky.serve.log import ServeLog
from qsky.serve.metrics import ServeMetrics

ROUTE: Final = "qsky.route"  # where in a scope a handler names its route more exactly than its path does
TOO_MANY_CONNECTIONS: Final = "qsky.too_many_connections"  # in the state of connections beyond the bound
# Whoever watches a server must see it above all when it is full.
WATCHERS: Final = frozenset({"/metrics", "/healthz", "/readyz"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


@dataclass
class _Sent:
    """What has gone out of one answer."""

    send: Send
    silent_seconds_max: float
    bodiless: bool  # the answer to HEAD, whose body the server drops
    started: float = field(default_factory=time.monotonic)
    status: int = 0
    bytes: int = 0
    complete: bool = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        # A client that takes nothing for so long holds a place others wait for.
        async with asyncio.timeout(self.silent_seconds_max):
            await self.send(message)
        if message["type"] == "http.response.body":
            self.bytes += 0 if self.bodiless else len(message.get("body", b""))
            self.complete = not message.get("more_body", False)


class Doorkeeper:
    """The application that a server runs."""

    def __init__(self, app: ASGIApp, settings: Settings, log: ServeLog, metrics: ServeMetrics) -> None:
        self._app = app
        self._settings = settings
        self._log = log
        self._metrics = metrics
        self._by_client: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = _Sent(send, self._settings.serve_silent_seconds_max, scope["method"] == "HEAD")
        client = scope["client"][0] if scope.get("client") else "-"
        app = self._refusal(scope, client) or self._app
        self._by_client[client] += 1
        self._metrics.running.inc()
        try:
            await app(scope, receive, sent)
        except TimeoutError:
            self._log.event("slow", f"{client} took nothing for {sent.silent_seconds_max:g} s and was let go.")
        except asyncio.CancelledError:
            self._log.event("cut", f"{client} did not get all of its answer before the server stopped.")
        except Exception as error:
            # The outermost place that can say so; the client has its 500, or sees its answer break off.
            self._log.event("failed", "".join(traceback.format_exception(error)).strip())
        finally:
            self._forget(client)
            self._told(scope, client, sent)

    def _refusal(self, scope: Scope, client: str) -> ASGIApp | None:
        """The answer to a request too many, if it is one."""
        bounds = self._settings
        if scope["path"] in WATCHERS:
            return None
        if scope.get("state", {}).get(TOO_MANY_CONNECTIONS):
            message = (
                f"The server holds as many connections as it may ({bounds.serve_connections_max}); try again soon."
            )
            return sentence(503, "limit-requests", message, {"connection": "close"})
        if self._by_client.total() >= bounds.serve_requests_max:
            message = (
                f"The server is at work on as many requests as it may ({bounds.serve_requests_max}); try again soon."
            )
            return sentence(503, "limit-requests", message)
        if self._by_client[client] >= bounds.serve_requests_per_client_max:
            message = (
                f"{client} has as many requests at work as one client may ({bounds.serve_requests_per_client_max})."
            )
            return sentence(429, "limit-requests", message)
        return None

    def _forget(self, client: str) -> None:
        self._metrics.running.dec()
        self._by_client[client] -= 1
        if self._by_client[client] <= 0:
            del self._by_client[client]

    def _told(self, scope: Scope, client: str, sent: _Sent) -> None:
        seconds = time.monotonic() - sent.started
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = scope.get(ROUTE) or getattr(scope.get("route"), "path", None) or "none"
        self._metrics.count(route, method, sent.status, sent.bytes, seconds, cut=not sent.complete)
        path = scope.get("raw_path", b"").decode("ascii", "backslashreplace")
        self._log.request(client, scope["method"], path, sent.status, sent.bytes, seconds, cut=not sent.complete)
