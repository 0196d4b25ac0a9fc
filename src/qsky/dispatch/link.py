"""One process's way to a cluster: which workers there are, what is out at them, and what became of it.

Called by `dispatch.dask`, which gives it the door to the network. It decides where an attempt runs and notices who is
gone; what is tried again `dispatch.state` decides. Everything happens in the event loop of a thread of its own, except
the methods that say otherwise.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from secrets import token_hex
from time import monotonic
from typing import Any, Final

from qsky.carried import NOTHING, error_of, piece_of, table_of, unpacked
from qsky.config import Settings
from qsky.dispatch.balance import Host, Readers, chosen
from qsky.dispatch.door import Door, Out, SchedulerGone, WorkerEnded
from qsky.dispatch.lots import Lots, Pulled
from qsky.dispatch.state import Began, Failed, Placed, WorkerLost
from qsky.dispatch.transport import Brought, Mailbox
from qsky.errors import QskyError
from qsky.fragment import Piece

_LOOK_SECONDS: Final = 0.25  # between two looks at the scheduler and at workers that have work of ours
_IDLE_SECONDS: Final = 2.0  # and at others
_GONE_SECONDS: Final = 1.0  # from when a worker is seen to be gone until that counts, if nobody says why before


class Link:
    """All attempts of a process that are out; made of a door that is opened anew whenever the scheduler was gone."""

    def __init__(self, name: str, open_door: Callable[[], Awaitable[Door]], settings: Settings) -> None:
        """Starts to connect, and waits for nothing. `open_door` raises SchedulerGone; `name` is for messages."""
        self.settings = settings
        self._name = name
        self._open_door = open_door
        self._process = f"qsky-{token_hex(6)}"
        self._door: Door | None = None
        self._hosts: dict[str, Host] = {}  # by address
        self._gone: dict[str, float] = {}  # those the scheduler knows no longer, since when
        self._outs: dict[tuple[int, int], Out] = {}
        self._of_token: dict[str, Out] = {}
        self._waiting: dict[Out, None] = {}  # for a scheduler or a worker, in order
        self._tokens = 0
        self._readers = Readers(settings.placed_parts_max)
        self._alone_since = monotonic()  # without any worker, if there is none now
        self._closing = threading.Event()
        self._lost = asyncio.Event()
        self._pulls = asyncio.Semaphore(settings.pulls_max)
        self._background: set[asyncio.Task[Any]] = set()
        self._looking: list[asyncio.Task[Any]] = []
        self._stopping: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name="qsky-link", daemon=True)
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
                raise QskyError("no-cluster", f"{len(self.hosts)} workers are at {self._name}, not {count}.")
            threading.Event().wait(0.02)

    def submit(self, out: Out) -> None:
        """Send an attempt to a worker; what becomes of it is told to its mailbox."""
        self._call(self._accept, out)

    def cancel(self, mailbox: Mailbox, attempt: int) -> None:
        """Stop an attempt, or forget what it made. Never waits."""
        self._call(self._drop, (id(mailbox), attempt))

    def leave(self, lots: Lots) -> None:
        """Stop everything that was submitted with these lots: the transport they belong to is closed."""
        self._call(self._leave, lots)

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
        self._closing.set()
        self._call(self._lost.set)
        self._thread.join(timeout=self.settings.stop_seconds_max)

    def _call(self, what: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, and everything with it
            self._loop.call_soon_threadsafe(what, *arguments)

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        finally:
            self._loop.close()

    # -- the life of the link

    async def _live(self) -> None:
        """Connect, look after everything until the scheduler is gone, and again, until closed."""
        while not self._closing.is_set():
            self._lost.clear()
            try:
                self._door = await asyncio.wait_for(self._open_door(), self.settings.worker_silence_seconds)
            except (SchedulerGone, TimeoutError):
                self._give_up_waiting()
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            self._looking = [self._start(self._look_at_scheduler()), self._start(self._look_for_silence())]
            await self._lost.wait()
            if self._closing.is_set():
                await self._stop_all()
            await self._begin_anew()

    async def _stop_all(self) -> None:
        """Tell every worker that nobody wants anything any more."""
        for out in list(self._outs.values()):
            self._drop(out.key)
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=1.0)

    async def _begin_anew(self) -> None:
        """The scheduler is gone, and the workers with it: everything must be sent again."""
        door, self._door = self._door, None
        for out in list(self._outs.values()):
            self._recall(out)
            self._wait(out)
        self._hosts.clear()
        self._gone.clear()
        self._alone_since = monotonic()
        for task in self._looking:
            task.cancel()
        self._looking.clear()
        if door is not None:
            await door.close()

    def _look(self, work: Coroutine[Any, Any, None]) -> None:
        """Look after something until the scheduler is gone; without looking, everything begins anew."""
        task = self._start(work)
        self._looking.append(task)
        task.add_done_callback(lambda ended: None if ended.cancelled() or not ended.exception() else self._lost.set())

    async def _look_at_scheduler(self) -> None:
        """Know which workers there are; a scheduler that says nothing is lost."""
        while True:
            try:
                assert self._door is not None
                self._see(await asyncio.wait_for(self._door.workers(), self.settings.worker_silence_seconds))
            except (SchedulerGone, TimeoutError):
                self._lost.set()
                return
            self._send_waiting()
            self._give_up_waiting()
            await asyncio.sleep(_LOOK_SECONDS if self._outs or not self._hosts else _IDLE_SECONDS)

    def _see(self, names: dict[str, str]) -> None:
        """These workers are up."""
        now = monotonic()
        if self._hosts:
            self._alone_since = now
        for address in names.keys() - self._hosts.keys():
            self._hosts[address] = Host(names[address], address)
            self._look(self._watch(self._hosts[address]))
        self._gone = {address: self._gone.get(address, now) for address in self._hosts.keys() - names.keys()}
        for address in [address for address, since in self._gone.items() if now - since > _GONE_SECONDS]:
            self._lose(self._hosts.pop(address), ended=False)

    async def _watch(self, host: Host) -> None:
        """Ask a worker again and again what it runs, one question at a time."""
        while self._hosts.get(host.address) is host:
            host.asked = host.asked or monotonic()
            said = await self._ask(host, "status", owner=self._process)
            if said is not None:
                host.asked, host.silent, host.permits = None, False, said["permits"]
                for out in filter(None, map(self._of_token.get, said["tokens"])):
                    if not out.began:
                        out.began = True
                        out.mailbox.put(Began(out.attempt))
            again = monotonic() + _IDLE_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)
            while not (host.attempts or host.asked) and monotonic() < again:
                await asyncio.sleep(_LOOK_SECONDS)

    async def _look_for_silence(self) -> None:
        """A worker that does not answer for too long is given up, until it speaks again."""
        last = monotonic()
        while True:
            now = monotonic()
            for host in list(self._hosts.values()):
                if now - last > 1.0 and host.asked is not None:
                    host.asked = now  # it was this process that stood still
                if host.asked is not None and now - host.asked > self.settings.worker_silence_seconds:
                    host.silent = True
                    self._lose(host, ended=False)
            last = now
            await asyncio.sleep(_LOOK_SECONDS)

    async def _ask(self, host: Host, name: str, **arguments: Any) -> Any:
        """The answer of a worker, or None."""
        if self._door is None:
            return None
        try:
            return await asyncio.wait_for(
                self._door.ask(host.address, name, **arguments), self.settings.worker_silence_seconds
            )
        except (OSError, TimeoutError):
            return None

    def _lose(self, host: Host, *, ended: bool) -> None:
        """A worker is gone, and everything it was doing."""
        lost = [out for out in self._outs.values() if out.host is host]
        for out in lost:
            self._drop(out.key)
        for mailbox in {id(out.mailbox): out.mailbox for out in lost}.values():
            mailbox.put(WorkerLost(host.address, ended))

    def _give_up_waiting(self) -> None:
        """Attempts that have waited for a cluster as long as they may."""
        seconds = self.settings.cluster_wait_seconds
        for out in [out for out in self._waiting if monotonic() - max(out.since, self._alone_since) >= seconds]:
            error = QskyError("no-cluster", f"No worker was at {self._name} for {seconds:g} seconds.")
            self._end(out, Failed(out.attempt, error))

    # -- the life of an attempt

    def _accept(self, out: Out) -> None:
        self._outs[out.key] = out
        if self._closing.is_set():
            self._end(out, Failed(out.attempt, QskyError("internal", "A query came after its link was closed.")))
            return
        self._wait(out)
        self._send_waiting()

    def _leave(self, lots: Lots) -> None:
        for out in [out for out in self._outs.values() if out.lots is lots]:
            self._drop(out.key)

    def _wait(self, out: Out) -> None:
        out.since = monotonic()
        self._waiting[out] = None

    def _send_waiting(self) -> None:
        if self._door is None:
            return
        for out in list(self._waiting):
            fragment, before = out.fragment, self._readers.before(out.fragment)
            host = chosen(self._hosts.values(), out.homes, before, out.avoid, fragment.bytes)
            if host is None:
                return
            self._readers.put(fragment, host.name, {each.name for each in self._hosts.values()})
            del self._waiting[out]
            self._send(out, host)

    def _send(self, out: Out, host: Host) -> None:
        self._tokens += 1
        out.token = f"{self._process}-{id(out.mailbox):x}-{self._tokens}"
        out.host, out.began = host, False
        host.bytes += out.fragment.bytes
        host.attempts += 1
        self._of_token[out.token] = out
        out.mailbox.put(Placed(out.attempt, host.address))
        assert self._door is not None
        out.task = self._start(self._carry(self._door, out, host, out.token))

    async def _carry(self, door: Door, out: Out, host: Host, token: str) -> None:
        """Send an attempt, wait until it is done, and bring its piece."""
        try:
            if await out.lots.given(out.fragment, host, self._ask):
                async with door.running(token, out.content, host.address):
                    self._end(out, await self._brought(door, out, host, token))
            # a worker that does not take what it is given is silent, which others notice
        except WorkerEnded as ended:
            self._lose(self._hosts.pop(ended.address, host), ended=True)
        except SchedulerGone:
            if out.token == token:
                self._lost.set()
        except Exception as error:
            sentence = f"A fragment was not carried: {type(error).__name__}: {error}"
            self._end(out, Failed(out.attempt, QskyError("internal", sentence)))

    async def _brought(self, door: Door, out: Out, host: Host, token: str) -> Brought | Failed:
        """The piece of an attempt that is done, or why there is none."""
        header, bodies = unpacked(await self._ask(host, "take", token=token) or NOTHING)
        if "none" in header:
            host = self._hosts.get(await door.where(token) or "", host)
            header, bodies = unpacked(await self._ask(host, "take", token=token) or NOTHING)
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
                part = await self._ask(host, "pull", token=token, offset=pulled.bytes, length=length)
                if not part:
                    return None
                await asyncio.to_thread(pulled.add, part)
            table = await asyncio.to_thread(pulled.table)
        return None if table is None else piece_of(header, table, filed=True)

    def _end(self, out: Out, report: Brought | Failed) -> None:
        """An attempt is over, unless nobody wants it any more."""
        if self._outs.get(out.key) is out:
            self._drop(out.key)
            out.mailbox.put(report)

    def _drop(self, key: tuple[int, int]) -> None:
        out = self._outs.pop(key, None)
        if out is not None:
            self._recall(out)

    def _recall(self, out: Out) -> None:
        """Let the cluster forget an attempt; it may be sent again."""
        self._waiting.pop(out, None)
        host, token, task = out.host, out.token, out.task
        out.host, out.token, out.task = None, "", None
        if host is None or task is None:
            return
        del self._of_token[token]
        host.bytes -= out.fragment.bytes
        host.attempts -= 1
        if not task.done() and task is not asyncio.current_task():
            task.cancel()
            stopping = self._start(self._ask(host, "cancel", tokens=[token]))
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    # -- other works

    async def _order(self, worker: str, work: Any) -> Any:
        host = next((host for host in self.hosts if host.name == worker), None)
        if host is None or self._door is None:
            raise QskyError("no-cluster", f"There is no worker {worker} at {self._name}.")
        return await self._door.obey(work, host.address)

    async def _statuses(self) -> dict[str, dict[str, Any]]:
        hosts = self.hosts
        said = await asyncio.gather(*(self._ask(host, "status") for host in hosts))
        return {host.name: each for host, each in zip(hosts, said, strict=True) if each is not None}


def _unfetched(out: Out) -> Failed:
    return Failed(out.attempt, QskyError("damaged", "A piece of the answer did not come whole from its worker."))
