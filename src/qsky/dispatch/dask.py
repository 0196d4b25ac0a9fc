"""The transport of a cluster: fragments go out as Dask tasks, pieces come back straight from the workers.

Made by whoever makes an Engine, with one `Link` for the process. Dask says which workers there are, takes a fragment to
one of them and tells when its process has ended; the rest is `dispatch.link`. Together with `worker.station` the only
door to distributed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from distributed import Client, Scheduler, wait
from distributed.client import FuturesCancelledError
from distributed.scheduler import KilledWorker
from distributed.security import Security

from qsky.carried import fragment_bytes, with_addresses
from qsky.config import Settings
from qsky.dispatch.door import Door, Out, SchedulerGone, WorkerEnded
from qsky.dispatch.link import Link
from qsky.dispatch.lots import Lots
from qsky.dispatch.transport import Mailbox
from qsky.fragment import Fragment, PartFile
from qsky.worker.station import Certificates, checked_address, configure, obey, run_fragment, serve

SHARE_OF_SLOTS: Final = 8  # a query has so many attempts out per worker as this part of its slots
_CLOSE_SECONDS: Final = 5.0
_BATCH_SECONDS: Final = 0.002  # Dask's client gathers messages for 10 ms, which a small query would feel

Homes = Callable[[Fragment], Sequence[str]]


def link_to(scheduler: str, certificates: Certificates, settings: Settings) -> Link:
    """The link of this process to the cluster of a scheduler (tls://host:port). Raises insecure."""
    address, security = checked_address(scheduler), certificates.security()
    configure(settings)

    async def open_door() -> Door:
        client = Client(
            address,
            asynchronous=True,
            security=security,
            timeout=settings.worker_silence_seconds,
            set_as_default=False,
            direct_to_workers=True,
        )
        try:
            await client
        except BaseException as error:
            await _closed(client)
            if isinstance(error, OSError | TimeoutError | asyncio.TimeoutError):
                raise SchedulerGone from error
            raise
        client.scheduler_comm.interval = _BATCH_SECONDS
        return DaskDoor(client)

    return Link(address, open_door, settings)


class DaskDoor:
    """One client of one scheduler, as `Door`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._unsent: dict[str, list[tuple[str, bytes, asyncio.Future[Any]]]] = {}  # by address

    async def workers(self) -> dict[str, str]:
        if self._client.status != "running":
            raise SchedulerGone
        try:
            seen = (await self._client.scheduler.identity(n_workers=-1))["workers"]
        except OSError as error:
            raise SchedulerGone from error
        return {address: str(said["name"]) for address, said in seen.items() if said["status"] == "running"}

    @asynccontextmanager
    async def running(self, token: str, content: bytes, address: str) -> AsyncIterator[None]:
        future = await self._sent(token, content, address)
        try:
            await self._ended(future)
            yield
        finally:
            future.release()

    async def _sent(self, token: str, content: bytes, address: str) -> Any:
        """The future of a fragment. Those that come at the same time are one message to Dask, which costs it less."""
        loop = asyncio.get_running_loop()
        if not self._unsent:
            loop.call_soon(self._send)
        sent = loop.create_future()
        self._unsent.setdefault(address, []).append((token, content, sent))
        return await sent

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, {}
        for address, letters in unsent.items():
            wanted = [letter for letter in letters if not letter[2].cancelled()]
            tokens, contents = [letter[0] for letter in wanted], [letter[1] for letter in wanted]
            try:
                futures = self._client.map(
                    run_fragment, tokens, contents, key=tokens, workers=[address], allow_other_workers=True, pure=False
                )
            except Exception:  # it sends nothing any more
                for _, _, sent in wanted:
                    sent.set_exception(SchedulerGone())
                continue
            for (_, _, sent), future in zip(wanted, futures, strict=True):
                sent.set_result(future)

    async def _ended(self, future: Any) -> None:
        try:
            with self._client.as_current():
                waiting = wait([future])
            await waiting
        except FuturesCancelledError as error:
            raise SchedulerGone from error
        if future.status == "error":
            cause = await future.exception()
            raise WorkerEnded(cause.last_worker.address) if isinstance(cause, KilledWorker) else cause

    async def where(self, token: str) -> str | None:
        try:
            found = await self._client.scheduler.who_has(keys=[token])
        except OSError:
            return None
        return next(iter(found.get(token, ())), None)

    async def ask(self, address: str, name: str, **arguments: Any) -> Any:
        try:
            return await getattr(self._client.rpc(address), f"qsky_{name}")(**arguments)
        except (RuntimeError, ValueError) as error:  # the pool of connections is closed
            raise OSError(str(error)) from error

    async def obey(self, work: Any, address: str) -> Any:
        return await self._client.submit(obey, work, key=f"qsky-order-{token_hex(8)}", workers=[address], pure=False)

    async def close(self) -> None:
        await _closed(self._client)


async def _closed(client: Client) -> None:
    with suppress(Exception):
        await asyncio.wait_for(client._close(fast=True), _CLOSE_SECONDS)


class DaskTransport:
    """One root's queries on a cluster. Closing it leaves the link as it is."""

    def __init__(self, link: Link, root: str | Path, homes: Homes | None = None) -> None:
        """`root` is where part names begin; `homes` names the workers that hold a fragment's parts, if not all do."""
        self._link = link
        self._root = str(root).rstrip("/") + "/"
        self._homes = homes
        self._folders: tuple[str, ...] = ()
        self._lots = Lots(link.settings)
        self._lock = threading.Lock()

    @property
    def slots(self) -> int:
        return max(1, self._link.settings.worker_slots // SHARE_OF_SLOTS) * max(1, self.hosts)

    @property
    def hosts(self) -> int:
        return len(self._link.hosts)

    @property
    def ahead(self) -> int:
        """One being run and one waiting behind it for each permit of the cluster, and some on their way."""
        return 2 + 2 * sum(host.permits for host in self._link.hosts)

    def submit(self, attempt: int, fragment: Fragment, mailbox: Mailbox, avoid: Collection[str] = ()) -> None:
        fragment = with_addresses(fragment, self._named)
        content = fragment_bytes(fragment, self._lots.of(fragment), self._folders)
        homes = self._homes(fragment) if self._homes is not None else ()
        self._link.submit(Out(mailbox, attempt, fragment, content, homes, avoid, self._lots))

    def _named(self, file: PartFile) -> str:
        return file.address.removeprefix(self._root)

    def cancel(self, attempt: int, mailbox: Mailbox) -> None:
        self._link.cancel(mailbox, attempt)

    def allow(self, folders: Iterable[str]) -> None:
        with self._lock:
            self._folders = tuple(sorted({*self._folders, *folders}))

    def close(self) -> None:
        self._link.leave(self._lots)


@dataclass(frozen=True)
class SchedulerPlace:
    """Where a scheduler listens; `http` is where its metrics are served. Port 0 is any."""

    host: str = "127.0.0.1"
    port: int = 0
    http: str = "127.0.0.1:0"


def serve_scheduler(
    place: SchedulerPlace, certificates: Certificates, settings: Settings, ready: Callable[[str], None] = print
) -> int:
    """Be a scheduler until SIGTERM or SIGINT (0), or until it fails (1). `ready` is called with its address.

    Raises insecure.
    """
    configure(settings)
    security: Security = certificates.security()

    async def started() -> Scheduler:
        return await Scheduler(
            protocol="tls",
            host=place.host,
            port=place.port,
            security=security,
            dashboard=False,
            dashboard_address=place.http,
        )

    return serve(started, ready, settings.stop_seconds_max)
