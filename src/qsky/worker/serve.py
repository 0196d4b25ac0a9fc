"""A worker: threads with a DuckDB each that do what the loop says, and the decoded columns they share.

Called by the transports. It decides nothing about order or sharing (`worker.loop` does), and nothing about retries
(`dispatch.state` does). `permits` threads take everything, some more take interactive fragments alone, so that a cone
never waits behind a scan.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from qsky.config import Settings
from qsky.duck import Duck
from qsky.errors import QskyError
from qsky.fragment import Fragment, Piece
from qsky.worker.bench import Bench
from qsky.worker.loop import Alone, Decode, Loop, Order, Shared, Unit, Work
from qsky.worker.needs import work_of

# An interrupt that comes between two steps of DuckDB is lost, so it is repeated until the work has ended.
_INTERRUPT_SECONDS: Final = 0.01
# A thread without work opens its DuckDB after this time, so that no later query waits for it.
_OPEN_AFTER_SECONDS: Final = 0.5
# Scans yield the processor to interactive fragments, planning and merging.
_SCAN_NICENESS: Final = 5

Deliver = Callable[[Piece | QskyError], None]


@dataclass(eq=False)
class _Task:
    work: Work
    fragment: Fragment
    deliver: Deliver


@dataclass(eq=False)
class _Doing:
    """An order that a thread carries out."""

    order: Order
    bench: Bench | None = None  # while an interrupt would meet this order
    stopped: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass
class Counts:
    """What a worker has done since it was made."""

    alone: int = 0
    shared: int = 0
    decoded_columns: int = 0


class Worker:
    """Runs fragments. Safe for several threads; nothing is started before the first fragment comes."""

    def __init__(self, settings: Settings, open_duck: Callable[[bool], Duck]) -> None:
        """`open_duck` opens an instance; it is told whether that is for interactive fragments alone."""
        self.permits = settings.permits
        self.counts = Counts()
        self._reserved_permits = settings.interactive_threads
        self._open_duck = open_duck
        self._lock = threading.Lock()
        self._general = threading.Condition(self._lock)  # where threads for everything wait
        self._reserved = threading.Condition(self._lock)  # where those for interactive fragments wait
        self._reserved_idle = 0
        self._loop = Loop(settings.scan_sharers_min, settings.decoded_bytes_max)
        self._tasks: dict[int, _Task] = {}
        self._held: dict[Unit, dict[str, pa.ChunkedArray]] = {}
        self._doing: dict[Order, _Doing] = {}
        self._threads: list[threading.Thread] = []
        self._submitted = 0
        self._renewals = 0
        self._closed = False

    @property
    def decoded_bytes(self) -> int:
        """Bytes of decoded columns that are held or about to be."""
        return self._loop.bytes

    @property
    def running(self) -> frozenset[int]:
        """Numbers of the fragments that threads run now."""
        return frozenset(order.number for order in list(self._doing) if not isinstance(order, Decode))

    @property
    def waiting(self) -> int:
        """How many fragments have come and neither run nor are done."""
        return max(0, len(self._tasks) - len(self.running))

    # -- what callers ask

    def submit(self, owner: Hashable, fragment: Fragment, deliver: Deliver) -> int:
        """Run a fragment for a query. `deliver` is called once, from a thread of the worker; the number cancels it."""
        with self._lock:
            if self._closed:
                raise QskyError("internal", "A query came after its engine was closed.")
            number = self._submitted = self._submitted + 1
            work = work_of(number, owner, fragment)
            self._tasks[number] = _Task(work, fragment, deliver)
            self._loop.submit(work)
            self._start_threads()
            if fragment.interactive and self._reserved_idle:
                self._reserved.notify()
            else:
                self._general.notify()
            return number

    def cancel(self, number: int) -> None:
        """Stop a fragment, or never start it; it may still be delivered. Never waits."""
        with self._lock:
            orders = self._loop.withdraw(number)
            doing = [self._doing[order] for order in orders if order in self._doing]
            if not any(isinstance(order, Alone | Shared) for order in orders):
                self._tasks.pop(number, None)
            for each in doing:
                each.stopped = True
            self._let_go()
            self._general.notify_all()  # what the others may have waited for is free
        for each in doing:
            threading.Thread(target=self._stop, args=(each,), name="qsky-stop", daemon=True).start()

    def renew(self) -> None:
        """Let every thread open its DuckDB anew before it goes on."""
        self._renewals += 1

    def close(self) -> None:
        """Stop what runs and end the threads; waits for them a moment."""
        with self._lock:
            self._closed = True
            doing = list(self._doing.values())
            for each in doing:
                each.stopped = True
            self._general.notify_all()
            self._reserved.notify_all()
        for each in doing:
            self._stop(each)
        for thread in self._threads:
            thread.join(timeout=5)
        self._held.clear()

    # -- threads

    def _start_threads(self) -> None:
        """The first threads serve interactive fragments alone, the others everything; all at the first use."""
        for number in range(len(self._threads), self.permits + self._reserved_permits):
            only = number < self._reserved_permits
            thread = threading.Thread(target=self._serve, args=(only,), name=f"qsky-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, interactive_only: bool) -> None:
        if not interactive_only:
            _be_nice()
        bench = Bench(lambda: self._open_duck(interactive_only))
        opened = False
        while not self._closed:
            doing = self._next(interactive_only, bench, None if opened else _OPEN_AFTER_SECONDS)
            try:
                bench.ready(self._renewals)
                opened = True
                if doing is not None:
                    self._carry_out(doing, bench)
            except Exception as error:
                if doing is not None:
                    self._failed(doing, _as_qsky_error(error))
            finally:
                if doing is not None:
                    doing.ended.set()
        bench.close()

    def _next(self, interactive_only: bool, bench: Bench, seconds: float | None) -> _Doing | None:
        """The next order; None if none came for so long, or when the worker is closed."""
        with self._lock:
            while not self._closed:
                order = self._loop.next(interactive_only)
                self._let_go()
                if order is not None:
                    doing = self._doing[order] = _Doing(order)
                    return doing
                bench.clear()
                if not self._rest(interactive_only, seconds):
                    return None
            return None

    def _rest(self, interactive_only: bool, seconds: float | None) -> bool:
        """Wait for work, under the lock; False if the time was over first."""
        if not interactive_only:
            return self._general.wait(seconds)
        self._reserved_idle += 1
        called = self._reserved.wait(seconds)
        self._reserved_idle -= 1
        return called

    # -- carrying out orders

    def _carry_out(self, doing: _Doing, bench: Bench) -> None:
        order = doing.order
        with self._lock:
            if doing.stopped:
                raise QskyError("cancelled", "The query was stopped.")
            doing.bench = bench
            task = None if isinstance(order, Decode) else self._tasks[order.number]
            held = {need.unit: dict(self._held.get(need.unit, {})) for need in task.work.needs} if task else {}
        if isinstance(order, Decode):
            self._decoded(doing, bench.decoded(order))
        elif task is not None:
            shared = isinstance(order, Shared)
            piece = bench.shared(task.fragment, task.work, held) if shared else bench.alone(task.fragment)
            self._delivered(doing, piece, shared=shared)

    def _decoded(self, doing: _Doing, columns: dict[str, pa.ChunkedArray]) -> None:
        assert isinstance(doing.order, Decode)
        with self._lock:
            self._held.setdefault(doing.order.unit, {}).update(columns)
            self.counts.decoded_columns += len(columns)
            self._end(doing, {text: column.nbytes for text, column in columns.items()})

    def _delivered(self, doing: _Doing, result: Piece | QskyError, *, shared: bool = False) -> None:
        assert not isinstance(doing.order, Decode)
        with self._lock:
            task = self._tasks.pop(doing.order.number)
            if isinstance(result, Piece):
                self.counts.shared += shared
                self.counts.alone += not shared
            self._end(doing, None)
        task.deliver(result)

    def _failed(self, doing: _Doing, error: QskyError) -> None:
        if not isinstance(doing.order, Decode):
            self._delivered(doing, error)
            return
        with self._lock:
            self._end(doing, None)

    def _end(self, doing: _Doing, sizes: dict[str, int] | None) -> None:
        """Tell the loop, under the lock; from here on an interrupt would meet the next order."""
        doing.bench = None
        del self._doing[doing.order]
        self._loop.ended(doing.order, sizes)
        self._let_go()
        self._general.notify_all()

    def _let_go(self) -> None:
        """Forget the columns that the loop has dropped."""
        for unit, text in self._loop.dropped:
            columns = self._held[unit]
            del columns[text]
            if not columns:
                del self._held[unit]
        self._loop.dropped.clear()

    def _stop(self, doing: _Doing) -> None:
        """Interrupt an order until it has ended; never the one that follows it on the same DuckDB."""
        while not doing.ended.wait(_INTERRUPT_SECONDS):
            with self._lock:
                if doing.bench is not None:
                    doing.bench.interrupt()


def _be_nice() -> None:
    """Lower the priority of this thread, where threads have one of their own and may change it."""
    if sys.platform != "linux":
        return
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.nice(0) + _SCAN_NICENESS)


def _as_qsky_error(error: Exception) -> QskyError:
    if isinstance(error, QskyError):
        return error
    return QskyError("internal", f"A fragment failed in an unforeseen way: {type(error).__name__}: {error}")
