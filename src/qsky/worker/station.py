"""What lives in a worker process of a cluster: a Dask worker whose tasks wait while `worker.post` does the work.

Called by whoever starts worker processes (`serve_worker`), and over the network by `dispatch.dask`. Dask brings
fragments here and tells whether the process is alive; it schedules nothing, holds no rows, watches no memory. Together
with `dispatch.dask` the only door to distributed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dask
from distributed import Worker, WorkerPlugin, get_worker
from distributed.protocol import to_serialize
from distributed.security import Security
from distributed.system import MEMORY_LIMIT

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.worker.post import Parts, Post

PLUGIN: Final = "qsky-station"
_SWEEP_SECONDS: Final = 5.0
_TCP_SECONDS_LEAST: Final = 12.0  # Dask spreads ten probes over it, a second at least for each
_ENDED: Final = ("released", "cancelled", "forgotten")

Orders = Mapping[str, Callable[[Any], Any]]  # by the name of a work's class


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: who may be believed, and who this process is."""

    ca: Path
    certificate: Path
    key: Path

    def security(self) -> Security:
        """TLS both ways for every role, and nothing else. Raises insecure if a file is missing."""
        for file in (self.ca, self.certificate, self.key):
            if not file.is_file():
                raise QskyError(
                    "insecure", f"There is no {file}.", hint="A cluster speaks TLS alone: give it its files."
                )
        roles = ("scheduler", "worker", "client")
        files = {f"tls_{role}_cert": str(self.certificate) for role in roles}
        files |= {f"tls_{role}_key": str(self.key) for role in roles}
        return Security(require_encryption=True, tls_ca_file=str(self.ca), **files)


def checked_address(address: str) -> str:
    """The address itself. Raises insecure for one without TLS."""
    if not address.startswith("tls://"):
        raise QskyError("insecure", f"{address} is reached without TLS.", hint="Use an address as tls://host:port.")
    return address


def configure(settings: Settings) -> None:
    """What Dask shall and shall not do in this process."""
    seconds = settings.worker_silence_seconds
    dask.config.set(
        {
            "distributed.comm.require-encryption": True,
            "distributed.comm.timeouts.connect": f"{seconds}s",
            "distributed.comm.timeouts.tcp": f"{max(seconds, _TCP_SECONDS_LEAST)}s",
            "distributed.scheduler.allowed-failures": 0,  # `dispatch.state` tries again, and knows how often
            "distributed.scheduler.work-stealing": False,
            "distributed.scheduler.worker-saturation": "inf",
            "distributed.scheduler.worker-ttl": f"{settings.worker_ttl_seconds}s",
            "distributed.scheduler.active-memory-manager.start": False,
            "distributed.scheduler.http.routes": ["distributed.http.scheduler.prometheus", "distributed.http.health"],
            "distributed.worker.http.routes": ["distributed.http.worker.prometheus", "distributed.http.health"],
            "distributed.worker.profile.enabled": False,
            "distributed.worker.memory.target": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.pause": False,
            "distributed.worker.memory.terminate": False,
            "distributed.diagnostics.nvml": False,
        }
    )
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


# -- what a coordinator asks of Dask


async def run_fragment(token: str, content: bytes) -> None:
    """The task of a fragment: it ends when the reply is there, to be taken by its token."""
    await _station().run(token, content)


async def obey(work: Any) -> Any:
    """The task of any other work: what its order says comes back."""
    return await _station().obey(work)


def _station() -> Station:
    station: Station = get_worker().plugins[PLUGIN]
    return station


class Station(WorkerPlugin):  # type: ignore[misc]
    """The worker's `Post`, reachable through Dask."""

    name = PLUGIN

    def __init__(self, post: Post, orders: Orders) -> None:
        self._post = post
        self._orders = orders
        self._sweeper: asyncio.Task[None] | None = None

    def setup(self, worker: Worker) -> None:
        """Called by Dask when the worker starts."""
        for handler in (self.status, self.take, self.pull, self.cancel, self.give):
            worker.handlers[f"qsky_{handler.__name__}"] = handler
        self._sweeper = asyncio.create_task(self._sweep())

    async def teardown(self, worker: Worker) -> None:
        """Called by Dask when the worker stops."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.to_thread(self._post.close)

    def transition(self, key: str, start: str, finish: str, **_: Any) -> None:
        """Called by Dask: whoever gives a task up, by will or because he is gone, gives up its fragment."""
        if finish in _ENDED:
            self._post.drop(key)

    async def run(self, token: str, content: bytes) -> None:
        loop, replied = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(replied.set)

        self._post.receive(token, content, tell)
        await replied.wait()

    async def obey(self, work: Any) -> Any:
        order = self._orders.get(type(work).__name__)
        if order is None:
            raise QskyError("internal", f"A worker was sent a {type(work).__name__}, which it cannot do.")
        return await asyncio.to_thread(order, work)

    # -- what a coordinator asks directly

    def status(self, owner: str = "") -> dict[str, Any]:
        """What runs of one coordinator, and the worker's numbers."""
        return {**self._post.status(), "tokens": self._post.running(owner) if owner else []}

    def take(self, token: str) -> Any:
        """The reply of a fragment that is done; it stays until the task is released."""
        return to_serialize(self._post.pieces.reply(token))

    async def pull(self, token: str, offset: int, length: int) -> Any:
        """A range of the rows of a piece; nothing if it is not there."""
        length = min(length, self._post.settings.pull_bytes)
        try:
            return to_serialize(await asyncio.to_thread(self._post.shelf.read, token, offset, length))
        except (KeyError, ValueError):
            return to_serialize(b"")

    def cancel(self, tokens: list[str]) -> int:
        """Stop fragments, or forget them; how many were there to stop."""
        return sum(self._post.drop(token) for token in tokens)

    async def give(self, digest: str, offset: int = 0, content: Any = b"") -> int:
        """Rows for fragments to come, in order; how many bytes of them are here."""
        if not len(content):
            return self._post.shelf.size(digest)
        return await asyncio.to_thread(self._post.shelf.append, digest, offset, content)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            await asyncio.to_thread(self._post.pieces.sweep, self._post.settings.piece_kept_seconds)


# -- the process


def container_settings(settings: Settings, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of a worker process: memory_bytes_max as a share of what its container has, unless it is set."""
    if "QSKY_MEMORY_BYTES_MAX" in (os.environ if environment is None else environment):
        return settings
    least = Settings.__dataclass_fields__["memory_bytes_max"].metadata["low"]
    return settings.with_changes(memory_bytes_max=max(int(MEMORY_LIMIT * settings.worker_memory_share), least))


@dataclass(frozen=True)
class Place:
    """Where a worker process is: its name, its address, its folder, and what fragments may read here.

    `folders` are absolute; in a root that all machines share they are the root. Port 0 is any; `http` is where its
    metrics are served.
    """

    name: str
    data: Path
    folders: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 0
    http: str = "127.0.0.1:0"


def serve_worker(
    scheduler: str,
    place: Place,
    certificates: Certificates,
    settings: Settings,
    parts: Parts,
    orders: Orders | None = None,
    ready: Callable[[str], None] = print,
) -> int:
    """Be a worker until SIGTERM or SIGINT (0), or until the scheduler is gone (1), when it must be started anew.

    `ready` is called with the worker's address. Raises insecure; no-cluster if there is no scheduler.
    """
    settings = container_settings(settings)
    configure(settings)
    security = certificates.security()
    post = Post(settings, parts, place.folders, place.data)

    async def started() -> Worker:
        worker = Worker(
            checked_address(scheduler),
            name=place.name,
            host=place.host,
            port=place.port,
            nthreads=settings.worker_slots,
            security=security,
            memory_limit=0,
            local_directory=str(place.data / "spool" / "dask"),
            dashboard_address=place.http,
            dashboard=False,
            plugins=(Station(post, orders or {}),),
            death_timeout=settings.cluster_wait_seconds,
        )
        return await worker

    return serve(started, ready, settings.stop_seconds_max)


def serve(started: Callable[[], Awaitable[Any]], ready: Callable[[str], None], stop_seconds_max: float) -> int:
    """Run a Dask server in the foreground until it is told to stop (0) or ends by itself (1).

    Raises no-cluster if it cannot start because nobody answers.
    """

    async def run() -> int:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            server = await started()
        except (OSError, TimeoutError) as error:
            raise QskyError("no-cluster", f"It cannot start: {error}") from error
        ready(server.address)
        sys.stdout.flush()
        ends = [asyncio.create_task(server.finished()), asyncio.create_task(stop.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        with suppress(TimeoutError, asyncio.TimeoutError, Exception):
            await asyncio.wait_for(server.close(), stop_seconds_max)
        return 0 if stop.is_set() else 1

    return asyncio.run(run())
