"""The transport of a cluster: fragments go out as Dask tasks, pieces come back straight from the workers.

Called by `dispatch.run` through `DaskTransport`; made by whoever makes an Engine, with one `Link` for the process. It
decides where an attempt runs and tells what became of it; what is tried again `dispatch.state` decides. Everything that
belongs to a link happens in the event loop of its own thread. Together with `worker.station` the only door to distributed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from time import monotonic
from typing import Any, Final

from distributed import Client, Scheduler, wait
from distributed.scheduler import KilledWorker

from qsky.carried import error_of, fragment_bytes, piece_of, table_of, unpacked, with_addresses
from qsky.config import Settings
from qsky.dispatch.balance import Host, chosen, ranked
from qsky.dispatch.lots import Lots, Pulled
from qsky.dispatch.state import Began, Failed, Placed, WorkerLost
from qsky.dispatch.transport import Brought, Mailbox
from qsky.errors import QskyError
from qsky.fragment import Fragment, PartFile, Piece
from qsky.worker.station import Certificates, checked_address, configure, obey, run_fragment, serve

_LOOK_SECONDS: Final = 0.25  # between two looks at the scheduler and at workers that have work of ours
_IDLE_SECONDS: Final = 2.0  # and at others
_GONE_SECONDS: Final = 1.0  # from when a worker is seen to be gone until that counts, if Dask does not say why before
_SHARE_OF_SLOTS: Final = 8  # a query has so many attempts out per worker as this part of its slots

Homes = Callable[[Fragment], Sequence[str]]


@dataclass(eq=False)
class Out:
    """An attempt on its way, as long as its query wants it."""

    owner: DaskTransport
    mailbox: Mailbox
    attempt: int
    fragment: Fragment
    content: bytes
    homes: Sequence[str]
    avoid: Collection[str]
    query: str
    token: str = ""
    host: Host | None = None
    began: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def bytes(self) -> int:
        return self.fragment.bytes


class Link:
    """One process's way to a cluster: one client of its scheduler, shared by all queries, and made anew when it is lost."""

    def __init__(self, scheduler: str, certificates: Certificates, settings: Settings) -> None:
        """Starts to connect, and waits for nothing. Raises insecure."""
        self.settings = settings
        self._address = checked_address(scheduler)
        self._security = certificates.security()
        self._name = f"qsky-{token_hex(6)}"
        self._client: Client | None = None
        self._hosts: dict[str, Host] = {}  # by address
        self._gone: dict[str, float] = {}  # addresses the scheduler does not know any more, since when
        self._outs: dict[tuple[int, int], Out] = {}  # by mailbox and attempt
        self._of_token: dict[str, Out] = {}
        self._waiting: dict[Out, None] = {}  # for a scheduler or a worker, in order
        self._tokens = 0
        self._alone_since: float | None = monotonic()  # without any worker
        self._lost = asyncio.Event()
        self._linked = threading.Event()
        self._closing = False
        self._pulls = asyncio.Semaphore(settings.pulls_max)
        self._background: set[asyncio.Task[Any]] = set()
        configure(settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(),), daemon=True)
        self._thread.name = "qsky-link"
        self._thread.start()

    # -- from any thread

    @property
    def hosts(self) -> list[Host]:
        """The workers that are there."""
        return [host for host in list(self._hosts.values()) if not host.silent]

    def wait_for_workers(self, count: int, seconds: float) -> None:
        """Wait until so many workers are there. Raises no-cluster."""
        ends = monotonic() + seconds
        while len(self.hosts) < count:
            if monotonic() > ends:
                raise QskyError("no-cluster", f"{len(self.hosts)} workers are at {self._address}, not {count}.")
            threading.Event().wait(0.02)

    def submit(self, out: Out) -> None:
        self._call(self._accept, out)

    def cancel(self, mailbox: Mailbox, attempt: int) -> None:
        self._call(self._drop, (id(mailbox), attempt))

    def leave(self, owner: DaskTransport) -> None:
        """Stop everything of a transport."""
        self._call(lambda: [self._drop(key) for key, out in list(self._outs.items()) if out.owner is owner])

    def order(self, worker: str, work: Any) -> Future[Any]:
        """Have the worker of that name obey a work that is no fragment; the future has what came of it.

        It raises what the work raised, or no-cluster if the worker is not there.
        """
        return asyncio.run_coroutine_threadsafe(self._order(worker, work), self._loop)

    def status(self) -> dict[str, dict[str, Any]]:
        """What each worker says of itself, by name; one that does not answer is left out."""
        return asyncio.run_coroutine_threadsafe(self._statuses(), self._loop).result()

    def close(self) -> None:
        """Let go of everything; waits a moment."""
        self._closing = True
        self._call(self._lost.set)
        self._thread.join(timeout=self.settings.stop_seconds_max)

    def _call(self, what: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, and everything with it
            self._loop.call_soon_threadsafe(what, *arguments)

    # -- the life of the link

    async def _live(self) -> None:
        """Connect, look after everything until the scheduler is gone, and again, until closed."""
        while not self._closing:
            self._lost.clear()
            if await self._connected():
                looking = [asyncio.create_task(self._look_at_scheduler()), asyncio.create_task(self._look_at_hosts())]
                await self._lost.wait()
                for task in looking:
                    task.cancel()
                await self._forget_all()
            else:
                self._give_up_waiting()
                await asyncio.sleep(_LOOK_SECONDS)
        for key in list(self._outs):
            self._drop(key)

    async def _connected(self) -> bool:
        client = Client(
            self._address,
            asynchronous=True,
            security=self._security,
            timeout=self.settings.worker_silence_seconds,
            set_as_default=False,
            direct_to_workers=True,
            name=self._name,
        )
        try:
            await asyncio.wait_for(_ready(client), self.settings.worker_silence_seconds)
            self._client = client
            await self._see_hosts()
        except (OSError, TimeoutError, ValueError):
            await _closed(client)
            self._client = None
            return False
        return True

    async def _forget_all(self) -> None:
        """The scheduler is gone, and the workers with it: everything must be sent again."""
        client, self._client = self._client, None
        self._hosts.clear()
        self._gone.clear()
        self._alone_since = monotonic()
        for out in list(self._outs.values()):
            self._recall(out)
            self._waiting[out] = None
        if client is not None:
            await _closed(client)

    async def _look_at_scheduler(self) -> None:
        """Know which workers there are; a scheduler that says nothing is lost."""
        while True:
            try:
                await asyncio.wait_for(self._see_hosts(), self.settings.worker_silence_seconds)
            except (OSError, TimeoutError, ValueError):
                self._lost.set()
                return
            self._give_up_waiting()
            await asyncio.sleep(_LOOK_SECONDS if self._outs else _IDLE_SECONDS)

    async def _see_hosts(self) -> None:
        assert self._client is not None
        if self._client.status != "running":
            raise OSError("the scheduler has gone")
        seen = (await self._client.scheduler.identity(n_workers=-1))["workers"]
        for address, said in seen.items():
            if said["status"] == "running" and address not in self._hosts:
                self._hosts[address] = Host(str(said["name"]), address)
        now = monotonic()
        self._gone = {address: self._gone.get(address, now) for address in self._hosts if address not in seen}
        for address, since in list(self._gone.items()):
            if now - since > _GONE_SECONDS:
                self._lose(self._hosts[address], ended=False)
        self._alone_since = None if self._hosts else (self._alone_since or now)
        self._send_waiting()

    async def _look_at_hosts(self) -> None:
        """Ask workers what they run; one that says nothing for too long is given up, until it speaks again."""
        last = monotonic()
        while True:
            now = monotonic()
            if now - last > 1 + 2 * _LOOK_SECONDS:  # it was this process that stood still
                for host in self._hosts.values():
                    host.asked = None if host.asked is None else now
            last = now
            for host in list(self._hosts.values()):
                if host.asked is None:
                    host.asked = now
                    self._start(self._ask(host))
                elif now - host.asked > self.settings.worker_silence_seconds and not host.silent:
                    host.silent = True
                    self._lose(host, ended=False, forget=False)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _ask(self, host: Host) -> None:
        """One question; while it is not answered, no other."""
        said = await self._rpc(host, "status", self.settings.worker_silence_seconds, owner=self._name)
        if said is None:
            await asyncio.sleep(_LOOK_SECONDS)
            self._start(self._ask(host)) if self._hosts.get(host.address) is host else None
            return
        host.permits, host.silent = said["permits"], False
        for token in said["tokens"]:
            out = self._of_token.get(token)
            if out is not None and not out.began:
                out.began = True
                out.mailbox.put(Began(out.attempt))
        await asyncio.sleep(_LOOK_SECONDS if host.attempts else _IDLE_SECONDS)
        host.asked = None

    async def _rpc(self, host: Host, name: str, seconds: float, **arguments: Any) -> Any:
        """The answer of a worker, or None."""
        if self._client is None:
            return None
        try:
            call = getattr(self._client.rpc(host.address), f"qsky_{name}")
            return await asyncio.wait_for(call(**arguments), seconds)
        except (OSError, TimeoutError, ValueError, RuntimeError):
            return None

    def _lose(self, host: Host, *, ended: bool, forget: bool = True) -> None:
        """A worker is gone: so is everything it was doing."""
        if forget:
            self._hosts.pop(host.address, None)
            self._gone.pop(host.address, None)
        lost = [out for out in list(self._outs.values()) if out.host is host]
        for out in lost:
            self._drop((id(out.mailbox), out.attempt))
        for mailbox in {id(out.mailbox): out.mailbox for out in lost}.values():
            mailbox.put(WorkerLost(host.address, ended))

    def _give_up_waiting(self) -> None:
        """Attempts that have waited for a cluster as long as they may."""
        since = self._alone_since
        if since is None or monotonic() - since < self.settings.cluster_wait_seconds:
            return
        for out in list(self._waiting):
            sentence = f"No worker was at {self._address} for {self.settings.cluster_wait_seconds:g} seconds."
            self._end(out, Failed(out.attempt, QskyError("no-cluster", sentence)))

    # -- the life of an attempt

    def _accept(self, out: Out) -> None:
        self._outs[id(out.mailbox), out.attempt] = out
        if self._closing:
            self._end(out, Failed(out.attempt, QskyError("internal", "A query came after its link was closed.")))
            return
        if self._alone_since is not None and not self._waiting:
            self._alone_since = max(self._alone_since, monotonic() - self.settings.cluster_wait_seconds / 2)
        self._waiting[out] = None
        self._send_waiting()

    def _send_waiting(self) -> None:
        if self._client is None:
            return
        for out in list(self._waiting):
            host = chosen(self._hosts.values(), out.homes or self._ranked(out.fragment), out.avoid, out.bytes)
            if host is None:
                return
            del self._waiting[out]
            self._send(out, host)

    def _ranked(self, fragment: Fragment) -> list[str]:
        files = fragment.inputs[0].files if fragment.inputs else ()
        return ranked([host.name for host in self._hosts.values()], files[0].address) if files else []

    def _send(self, out: Out, host: Host) -> None:
        self._tokens += 1
        out.token, out.host, out.began = f"{self._name}-{out.query}-{self._tokens}", host, False
        host.bytes += out.bytes
        host.attempts += 1
        self._of_token[out.token] = out
        out.mailbox.put(Placed(out.attempt, host.address))
        out.task = self._start(self._carry(out, host, out.token))

    async def _carry(self, out: Out, host: Host, token: str) -> None:
        """Send an attempt, wait until it is done, and bring its piece."""
        assert self._client is not None
        client = self._client
        try:
            if not await out.owner.lots.given(out.fragment, host, self._rpc):
                return  # the worker does not answer, which `_look_at_hosts` will notice
            future = client.submit(
                run_fragment,
                token,
                out.content,
                key=token,
                workers=[host.address],
                allow_other_workers=True,
                pure=False,
            )
            await wait([future])
            if future.status == "error":
                self._erred(out, host, await future.exception())
                return
            where = await self._where(client, future, host)
            self._end(out, await self._brought(out, where, token))
        except asyncio.CancelledError:
            if out.token == token and not self._closing:  # not ours: the scheduler has gone
                self._lost.set()
        except Exception as error:
            text = f"A fragment was not carried: {type(error).__name__}: {error}"
            self._end(out, Failed(out.attempt, QskyError("internal", text)))

    async def _where(self, client: Client, future: Any, host: Host) -> Host:
        """The worker that has the reply: the one it was sent to, as long as that one lives."""
        if self._hosts.get(host.address) is host and host.address not in self._gone:
            return host
        has = (await client.who_has([future])).get(future.key, ())
        return next((self._hosts[address] for address in has if address in self._hosts), host)

    def _erred(self, out: Out, host: Host, error: BaseException) -> None:
        if isinstance(error, KilledWorker):
            self._lose(self._hosts.get(error.last_worker.address, host), ended=True)
            return
        text = f"A fragment failed in an unforeseen way: {type(error).__name__}: {error}"
        self._end(out, Failed(out.attempt, QskyError("internal", text)))

    async def _brought(self, out: Out, host: Host, token: str) -> Brought | Failed:
        """The piece of an attempt that is done, or why there is none."""
        reply = await self._rpc(host, "take", self.settings.worker_silence_seconds, token=token)
        header, bodies = unpacked(reply) if reply is not None else ({"none": True}, [])
        if "none" in header:
            return _unfetched(out)
        error = error_of(header)
        if error is not None:
            return Failed(out.attempt, error)
        if header["lot"] is None:
            return Brought(out.attempt, piece_of(header, table_of(bodies[0]), filed=False))
        async with self._pulls:
            piece = await self._pulled(host, token, header)
        return _unfetched(out) if piece is None else Brought(out.attempt, piece)

    async def _pulled(self, host: Host, token: str, header: dict[str, Any]) -> Piece | None:
        """A piece whose rows lie on the worker's disk, taken part by part; None if it did not come whole."""
        with Pulled(header["lot"]["bytes"], header["lot"]["digest"]) as pulled:
            while pulled.missing:
                length = min(self.settings.pull_bytes, pulled.missing)
                part = await self._rpc(
                    host, "pull", self.settings.worker_silence_seconds, token=token, offset=pulled.bytes, length=length
                )
                if not part:
                    return None
                await asyncio.to_thread(pulled.add, part)
            table = await asyncio.to_thread(pulled.table)
        return None if table is None else piece_of(header, table, filed=True)

    def _end(self, out: Out, report: Brought | Failed) -> None:
        """An attempt is over, unless nobody wants it any more."""
        if self._outs.get((id(out.mailbox), out.attempt)) is out:
            del self._outs[id(out.mailbox), out.attempt]
            self._recall(out)
            out.mailbox.put(report)

    def _drop(self, key: tuple[int, int]) -> None:
        out = self._outs.pop(key, None)
        if out is not None:
            self._recall(out)

    def _recall(self, out: Out) -> None:
        """Let the cluster forget an attempt; it may be sent again."""
        self._waiting.pop(out, None)
        host, token, out.host, out.token = out.host, out.token, None, ""
        if host is None:
            return
        self._of_token.pop(token, None)
        host.bytes -= out.bytes
        host.attempts -= 1
        task, out.task = out.task, None
        if task is not None and task is not asyncio.current_task() and not task.done():
            task.cancel()  # its future goes with it, so that the scheduler forgets the task
            self._start(self._rpc(host, "cancel", self.settings.worker_silence_seconds, tokens=[token]))

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    # -- other works

    async def _order(self, worker: str, work: Any) -> Any:
        host = next((host for host in self.hosts if host.name == worker), None)
        if host is None or self._client is None:
            raise QskyError("no-cluster", f"There is no worker {worker}.")
        future = self._client.submit(
            obey, work, key=f"{self._name}-order-{token_hex(6)}", workers=[host.address], pure=False
        )
        return await future

    async def _statuses(self) -> dict[str, dict[str, Any]]:
        hosts = self.hosts
        said = await asyncio.gather(
            *(self._rpc(host, "status", self.settings.worker_silence_seconds) for host in hosts)
        )
        return {host.name: each for host, each in zip(hosts, said, strict=True) if each is not None}


def _unfetched(out: Out) -> Failed:
    return Failed(out.attempt, QskyError("damaged", "A piece of the answer did not come whole from its worker."))


async def _ready(client: Client) -> None:
    await client


async def _closed(client: Client) -> None:
    with suppress(Exception):
        await asyncio.wait_for(client._close(fast=True), 5)


class DaskTransport:
    """One root's queries on a cluster. Closing it leaves the link as it is."""

    def __init__(self, link: Link, root: str | Path, homes: Homes | None = None) -> None:
        """`root` is where part names begin; `homes` names the workers that hold a fragment's parts, the best first.

        Without `homes` a fragment goes where its first part went before.
        """
        self._link = link
        self._root = str(root).rstrip("/") + "/"
        self._homes = homes
        self._folders: tuple[str, ...] = ()
        self._queries: dict[int, tuple[Mailbox, str]] = {}
        self._lock = threading.Lock()
        self.lots = Lots(link.settings)

    @property
    def slots(self) -> int:
        return max(1, self._link.settings.worker_slots // _SHARE_OF_SLOTS) * max(1, self.hosts)

    @property
    def hosts(self) -> int:
        return len(self._link.hosts)

    @property
    def ahead(self) -> int:
        """Two for each permit of the cluster, and some for what is on its way."""
        return 2 + 2 * sum(host.permits for host in self._link.hosts)

    def submit(self, attempt: int, fragment: Fragment, mailbox: Mailbox, avoid: Collection[str] = ()) -> None:
        fragment = with_addresses(fragment, self._named)
        content = fragment_bytes(fragment, self.lots.of(fragment), self._folders)
        homes = self._homes(fragment) if self._homes is not None else ()
        self._link.submit(Out(self, mailbox, attempt, fragment, content, homes, avoid, f"{id(mailbox):x}"))

    def _named(self, file: PartFile) -> str:
        return file.address.removeprefix(self._root)

    def cancel(self, attempt: int, mailbox: Mailbox) -> None:
        self._link.cancel(mailbox, attempt)

    def allow(self, folders: Iterable[str]) -> None:
        with self._lock:
            self._folders = tuple(sorted({*self._folders, *folders}))

    def close(self) -> None:
        self._link.leave(self)


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
    security = certificates.security()

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
