"""The transport of one machine: threads, each with a DuckDB of its own that is opened once and kept.

Called by `dispatch.run`; made by whoever makes an Engine. As many permits as cores share the memory; one more is
reserved for interactive fragments, so that a cone never waits behind a scan. It decides nothing about retries.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from qsky.dispatch.state import Failed
from qsky.dispatch.transport import Brought, Mailbox
from qsky.duck import Duck
from qsky.errors import QskyError
from qsky.fragment import Fragment
from qsky.worker.execute import execute

# An interrupt that comes between two steps of DuckDB is lost, so it is repeated until the attempt has ended.
_INTERRUPT_SECONDS: Final = 0.01
# A thread without work opens its DuckDB after this time, so that no later query waits for it.
_OPEN_AFTER_SECONDS: Final = 0.5


@dataclass(eq=False)
class _Task:
    attempt: int
    fragment: Fragment
    mailbox: Mailbox
    stopped: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class LocalTransport:
    """`permits` threads for everything and one for interactive fragments alone.

    `open_duck` opens an instance; it is told whether that is for interactive fragments alone.
    """

    def __init__(self, permits: int, open_duck: Callable[[bool], Duck]) -> None:
        self._permits = permits
        self._open_duck = open_duck
        self._lock = threading.Lock()
        self._general = threading.Condition(self._lock)  # where threads for everything wait
        self._reserved = threading.Condition(self._lock)  # where the one for interactive fragments waits
        self._reserved_idle = False
        self._scans: deque[_Task] = deque()
        self._interactive: deque[_Task] = deque()
        self._running: dict[_Task, Duck | None] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._opened = 0  # counts how often instances had to be opened anew

    @property
    def slots(self) -> int:
        """One being run and one waiting behind it for each permit, so that no permit waits for the caller."""
        return 2 * self._permits

    def submit(self, attempt: int, fragment: Fragment, mailbox: Mailbox) -> None:
        task = _Task(attempt, fragment, mailbox)
        with self._lock:
            if self._closed:
                raise QskyError("internal", "A query came after its engine was closed.")
            (self._interactive if fragment.interactive else self._scans).append(task)
            self._start_threads()
            if fragment.interactive and self._reserved_idle:
                self._reserved_idle = False
                self._reserved.notify()
            else:
                self._general.notify()

    def _start_threads(self) -> None:
        """The first thread serves interactive fragments alone, the others everything; all at the first use."""
        for number in range(len(self._threads), self._permits + 1):
            thread = threading.Thread(target=self._serve, args=(number == 0,), name=f"qsky-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def cancel(self, attempt: int, mailbox: Mailbox) -> None:
        with self._lock:
            for queue in (self._scans, self._interactive):
                for task in [task for task in queue if task.attempt == attempt and task.mailbox is mailbox]:
                    queue.remove(task)
            running = [task for task in self._running if task.attempt == attempt and task.mailbox is mailbox]
            for task in running:
                task.stopped = True
        for task in running:
            threading.Thread(target=self._stop, args=(task,), name="qsky-stop", daemon=True).start()

    def _stop(self, task: _Task) -> None:
        """Interrupt a running attempt until it has ended; never the one that follows it on the same DuckDB."""
        while not task.ended.wait(_INTERRUPT_SECONDS):
            with self._lock:
                duck = self._running.get(task)
                if duck is not None:
                    duck.interrupt()

    def _serve(self, interactive_only: bool) -> None:
        duck: Duck | None = None
        opened = -1
        while not self._closed:
            task = self._next(interactive_only, None if duck is not None else _OPEN_AFTER_SECONDS)
            try:
                if duck is None or opened != self._opened:
                    wanted = self._opened
                    duck = self._replaced(duck, interactive_only)
                    opened = wanted
                if task is not None:
                    self._run(task, duck)
            except Exception as error:
                if task is not None:
                    task.mailbox.put(Failed(task.attempt, _as_qsky_error(error)))
            finally:
                if task is not None:
                    with self._lock:
                        self._running.pop(task, None)
                    task.ended.set()
        if duck is not None:
            duck.close()

    def _replaced(self, duck: Duck | None, interactive_only: bool) -> Duck:
        if duck is not None:
            duck.close()
        return self._open_duck(interactive_only)

    def renew(self) -> None:
        """Let every thread open its DuckDB anew before its next fragment."""
        self._opened += 1

    def _next(self, interactive_only: bool, seconds: float | None) -> _Task | None:
        """The next task, marked as running; None if none came for so long, or when the transport is closed."""
        with self._lock:
            while not self._closed:
                if self._interactive:
                    task = self._interactive.popleft()
                elif self._scans and not interactive_only:
                    task = self._scans.popleft()
                elif self._rest(interactive_only, seconds):
                    continue
                else:
                    return None
                self._running[task] = None
                return task
            return None

    def _rest(self, interactive_only: bool, seconds: float | None) -> bool:
        """Wait for work, under the lock; False if the time was over first."""
        if not interactive_only:
            return self._general.wait(seconds)
        self._reserved_idle = True
        called = self._reserved.wait(seconds)
        self._reserved_idle = False
        return called

    def _run(self, task: _Task, duck: Duck) -> None:
        with self._lock:
            if task.stopped:
                return
            self._running[task] = duck
        piece = execute(duck, task.fragment)
        with self._lock:
            # from here on an interrupt would meet the next task
            self._running[task] = None
        task.mailbox.put(Brought(task.attempt, piece))

    def close(self) -> None:
        """Stop what runs and end the threads; waits for them a moment."""
        with self._lock:
            self._closed = True
            self._scans.clear()
            self._interactive.clear()
            running = list(self._running)
            self._general.notify_all()
            self._reserved.notify_all()
        for task in running:
            self._stop(task)
        for thread in self._threads:
            thread.join(timeout=5)


def _as_qsky_error(error: Exception) -> QskyError:
    if isinstance(error, QskyError):
        return error
    return QskyError("internal", f"A fragment failed in an unforeseen way: {type(error).__name__}: {error}")
