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
        self._wake = threading.Condition()
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
        with self._wake:
            if self._closed:
                raise QskyError("internal", "A query came after its engine was closed.")
            (self._interactive if fragment.interactive else self._scans).append(task)
            self._start_threads()
            self._wake.notify_all()

    def _start_threads(self) -> None:
        """The first thread serves interactive fragments alone, the others everything; all at the first use."""
        for number in range(len(self._threads), self._permits + 1):
            thread = threading.Thread(target=self._serve, args=(number == 0,), name=f"qsky-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def cancel(self, attempt: int, mailbox: Mailbox) -> None:
        with self._wake:
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
            with self._wake:
                duck = self._running.get(task)
                if duck is not None:
                    duck.interrupt()

    def _serve(self, interactive_only: bool) -> None:
        duck: Duck | None = None
        opened = -1
        while (task := self._next(interactive_only)) is not None:
            try:
                if duck is None or opened != self._opened:
                    opened = self._opened
                    duck = self._replaced(duck, interactive_only)
                self._run(task, duck)
            except QskyError as error:
                task.mailbox.put(Failed(task.attempt, error))
            except Exception as error:
                message = f"A fragment failed in an unforeseen way: {type(error).__name__}: {error}"
                task.mailbox.put(Failed(task.attempt, QskyError("internal", message)))
            finally:
                with self._wake:
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

    def _next(self, interactive_only: bool) -> _Task | None:
        """The next task, marked as running; None when the transport is closed."""
        with self._wake:
            while not self._closed:
                if self._interactive:
                    task = self._interactive.popleft()
                elif self._scans and not interactive_only:
                    task = self._scans.popleft()
                else:
                    self._wake.wait()
                    continue
                self._running[task] = None
                return task
            return None

    def _run(self, task: _Task, duck: Duck) -> None:
        with self._wake:
            if task.stopped:
                return
            self._running[task] = duck
        piece = execute(duck, task.fragment)
        with self._wake:
            # from here on an interrupt would meet the next task
            self._running[task] = None
        task.mailbox.put(Brought(task.attempt, piece))

    def close(self) -> None:
        """Stop what runs and end the threads; waits for them a moment."""
        with self._wake:
            self._closed = True
            self._scans.clear()
            self._interactive.clear()
            running = list(self._running)
            self._wake.notify_all()
        for task in running:
            self._stop(task)
        for thread in self._threads:
            thread.join(timeout=5)
