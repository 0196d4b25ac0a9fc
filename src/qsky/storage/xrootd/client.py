"""The one place that imports XRootD's client: where files are, what is in them, who answers.

The library keeps its connections, threads and keys per process, so a process belongs to one cluster: `session` sets
keys and timeouts before the first use. It must not be carried over a fork: start processes by spawning them. Its calls
hold no lock of Python's while they wait, but cannot be interrupted: each gets seconds of its own. `set_property` must
not be called: in 6.2 each call takes a reference from `True`, and before Python 3.12 the process dies of it in the end.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.storage.xrootd.instance import Access, Redirector

EVERYTHING: Final = "*"  # the name for which a redirector lists its servers
_BY_NAME: Final = 0x100  # kXR_prefname: answer with names, which certificates carry, not addresses
_ANEW: Final = 0x80  # kXR_refresh: forget who was known to have it
_NOBODY: Final = (3011, 3014)  # kXR_NotFound, kXR_noserver
_lock: Final = threading.Lock()
_session: Session | None = None


class Unreachable(Exception):
    """A server did not do what it was asked for; the text says why. Never seen by users."""


@dataclass(frozen=True, order=True)
class Holder:
    """A data server that holds a part, as redirectors name it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Session:
    """The client library of this process, with the keys and timeouts of one cluster."""

    def __init__(self, library: Any, access: Access, settings: Settings) -> None:
        self._library = library
        self.access = access
        self._settings = settings
        self._process = os.getpid()

    def locate(self, redirector: Redirector, name: str, *, anew: bool = False) -> tuple[Holder, ...]:
        """Who holds a file (or every server, for `EVERYTHING`) by one redirector; nobody if it finds none.

        Raises Unreachable.
        """
        system = self._system(redirector)
        if name != EVERYTHING and not anew:
            # A name that was never asked for is located in a second, but looked up in a millisecond; then it is known.
            status, _ = system.stat(name, timeout=self._settings.xrootd_connect_seconds_max)
            if status.errno in _NOBODY:
                return ()
        flags = _BY_NAME | (_ANEW if anew else 0)
        status, found = system.locate(name, flags, timeout=self._settings.xrootd_answer_seconds_max)
        if status.ok and found is not None:
            return tuple(_holder(place.address) for place in found)
        if status.errno in _NOBODY:
            return ()
        raise Unreachable(status.message.strip())

    def answers(self, redirector: Redirector) -> bool:
        """Whether a redirector (or a server at that place) answers at all."""
        status, _ = self._system(redirector).ping(timeout=self._settings.xrootd_answer_seconds_max)
        return bool(status.ok)

    @contextmanager
    def opened(self, holder: Holder, name: str) -> Iterator[RemotePart]:
        """A part as one server has it. Raises Unreachable."""
        file = self._client().File()
        seconds = self._settings.xrootd_answer_seconds_max
        patience = 1  # a server that failed is not waited for again
        try:
            status, _ = file.open(f"{self.access.scheme}://{holder}/{name}", timeout=seconds)
            if not status.ok:
                raise Unreachable(status.message.strip())
            yield RemotePart(file, seconds)
            patience = seconds
        finally:
            if file.is_open():
                file.close(timeout=patience)

    def _system(self, redirector: Redirector) -> Any:
        return self._client().FileSystem(f"{self.access.scheme}://{redirector.host}:{redirector.port}")

    def _client(self) -> Any:
        if os.getpid() != self._process:
            raise QskyError("internal", "XRootD's client does not survive a fork; this process must be spawned.")
        return self._library


class RemotePart:
    """An open part on one server; read by one thread at a time."""

    def __init__(self, file: Any, seconds: int) -> None:
        self._file = file
        self._seconds = seconds

    def size(self) -> int:
        status, found = self._file.stat(timeout=self._seconds)
        if not status.ok:
            raise Unreachable(status.message.strip())
        return int(found.size)

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes; fewer at the end of the file. Raises Unreachable."""
        status, content = self._file.read(offset, length, timeout=self._seconds)
        if not status.ok:
            raise Unreachable(status.message.strip())
        return bytes(content)


def session(access: Access, settings: Settings) -> Session:
    """The session of this process, made at the first call. Raises not-installed, usage for a second cluster."""
    global _session
    with _lock:
        if _session is None:
            _session = Session(_library(access, settings), access, settings)
        elif (_session.access.sss, _session.access.ca) != (access.sss, access.ca):
            raise QskyError("usage", "This process reads from another cluster already: the client has one set of keys.")
        return _session


def _library(access: Access, settings: Settings) -> Any:
    os.environ |= {
        "XrdSecPROTOCOL": "sss",
        "XrdSecSSSKT": str(access.sss),
        "X509_CERT_FILE": str(access.ca),
    }
    try:
        from XRootD import client
    except ImportError:
        raise QskyError(
            "not-installed", "The package xrootd is not installed.", hint="pip install 'qsky[cluster]'"
        ) from None
    for name, value in _timeouts(settings).items():
        client.EnvPutInt(name, value)
    return client


def _timeouts(settings: Settings) -> dict[str, int]:
    """The client's own defaults wait for minutes (120 s, five times) for a server that is gone."""
    return {
        "ConnectionWindow": settings.xrootd_connect_seconds_max,
        "ConnectionRetry": 1,
        "StreamErrorWindow": settings.xrootd_connect_seconds_max,
        "RequestTimeout": settings.xrootd_answer_seconds_max,
        "StreamTimeout": settings.xrootd_answer_seconds_max,
        "TimeoutResolution": 1,
    }


def _holder(address: str) -> Holder:
    """`name:port` or `[::127.0.0.1]:port`."""
    host, _, port = address.rpartition(":")
    return Holder(host.strip("[]").removeprefix("::") if "." in host else host, int(port))


def address_of(host: str) -> str:
    """The IPv4 address a machine is met at. Raises bad-arrangement for a name nobody knows."""
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise QskyError(
            "bad-arrangement", f"Nobody knows the machine {host}: {error}.", hint="DNS or /etc/hosts must name it."
        ) from error


@lru_cache(maxsize=1024)
def addresses_of(host: str) -> frozenset[str]:
    """The addresses a name stands for; a name that nobody knows stands for itself."""
    try:
        return frozenset(str(found[4][0]) for found in socket.getaddrinfo(host, None))
    except OSError:
        return frozenset((host,))
