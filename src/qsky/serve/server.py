"""A server of one application: binds its address, bounds its connections, stops in bounded time. Made by `wire`.

uvicorn runs the application; what it leaves open is closed here: how many connections there are, and how long one may
sit without asking anything.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import ssl
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.serve.doorkeeper import TOO_MANY_CONNECTIONS
from qsky.serve.log import EventHandler, ServeLog
from qsky.serve.options import ServeOptions

_BACKLOG: Final = 1024


class HttpServer:
    """One listening address. It is taken when this is made, so that errors come early."""

    def __init__(self, app: ASGIApp, options: ServeOptions, settings: Settings, log: ServeLog) -> None:
        """Raises no-port, usage (TLS files that are none)."""
        _check_tls(options)
        self._log = log
        self._socket = _bound(options)
        host, port = self._socket.getsockname()[:2]
        scheme = "https" if options.certificate else "http"
        # With the port that was found, if any free one was asked for.
        self.url: Final = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        logging.getLogger("uvicorn").handlers[:] = [EventHandler(log, logging.ERROR)]
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=_bounded(settings),
                ws="none",
                loop="asyncio",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_whole_seconds(settings.serve_idle_seconds_max),
                timeout_graceful_shutdown=_whole_seconds(settings.serve_stop_seconds_max),
                h11_max_incomplete_event_size=settings.serve_header_bytes_max,
                ssl_certfile=options.certificate,
                ssl_keyfile=options.key,
            )
        )

    async def serve(self) -> None:
        """Serve in a loop of the caller's until `stop`, or until SIGTERM or SIGINT if that is the main thread's."""
        self._log.event("listening", f"{self.url}/")
        await self._server.serve([self._socket])
        cut = self._server.server_state.tasks
        if cut:  # cancelled, but not heard of yet
            await asyncio.wait(cut, timeout=1)
        self._log.event("stopped", f"{self.url}/")

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, in the main thread of a process that does nothing else."""
        # uvicorn raises the signal that stopped it once more when it is done; having been told is enough.
        told = {number: signal.signal(number, _heard) for number in (signal.SIGTERM, signal.SIGINT)}
        # The command line's own watch of Ctrl-C would end the process before requests are answered.
        watch = signal.set_wakeup_fd(-1)
        try:
            asyncio.run(self.serve())
        finally:
            signal.set_wakeup_fd(watch)
            for number, handler in told.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Take no new requests, finish those at work within serve_stop_seconds_max, and return from `serve`."""
        self._server.should_exit = True


def _heard(number: int, frame: object) -> None:
    return


def _whole_seconds(seconds: float) -> int:
    return max(1, round(seconds))


def _bound(options: ServeOptions) -> socket.socket:
    """A socket bound to the address. Raises no-port."""
    what = f"Port {options.port} of {options.host}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError, OverflowError) as error:
        raise QskyError("no-port", f"{options.host} is no address of this machine: {error}.") from error
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        reasons = {
            errno.EADDRINUSE: ("is taken by another program.", "Choose another with --http, or 0 for any free one."),
            errno.EACCES: ("may not be used by this user.", "Choose one above 1023 with --http."),
            errno.EADDRNOTAVAIL: ("cannot be used: the address is not of this machine.", "Choose another with --host."),
        }
        why, hint = reasons.get(error.errno or 0, (f"cannot be used: {error.strerror or error}.", ""))
        raise QskyError("no-port", f"{what} {why}", hint=hint) from error
    return bound


def _check_tls(options: ServeOptions) -> None:
    if options.certificate is None:
        if options.key is not None:
            raise QskyError("usage", "A key without a certificate.", hint="Give both --tls-cert and --tls-key.")
        return
    for file in (options.certificate, options.key):
        if file is not None and not file.is_file():
            raise QskyError("usage", f"There is no file {file}.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.certificate, options.key, password="")
    except (ssl.SSLError, OSError) as error:
        what = options.certificate if options.key is None else f"{options.certificate} with {options.key}"
        reason = getattr(error, "reason", None) or error
        raise QskyError("usage", f"{what} is no certificate with its key: {reason}.") from error


def _bounded(settings: Settings) -> type[H11Protocol]:
    """Connections of one server, of which there are so many, and which must ask within so many seconds."""

    class Bounded(H11Protocol):
        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            over = len(self.connections) - settings.serve_connections_max
            if over > settings.serve_connections_max:
                transport.abort()  # not even time to be told
            elif over > 0:
                self.app_state = {**self.app_state, TOO_MANY_CONNECTIONS: True}
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._patience is not None and self._asked():
                self._patience.cancel()
                self._patience = None

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self._asked() and self._patience is None:
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self._patience is not None:
                self._patience.cancel()

        def _asked(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _wait(self) -> None:
            self._patience = self.loop.call_later(settings.serve_idle_seconds_max, self._too_slow)

        def _too_slow(self) -> None:
            self._patience = None
            if not self._asked():
                self.transport.close()

    return Bounded
