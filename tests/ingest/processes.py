"""Units of a load in processes of this machine: each worker a process of its own, which may die.

A dead worker is noticed, its unit lost, and a new one takes its place. Called by tests and by loads that use several
processes on one machine.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final

from qsky.fragment import LoadUnit, UnitOutcome
from qsky.ingest.carry import WorkerLostError
from qsky.ingest.units import Ground, run_unit

# A fork would take along locks that threads of this process hold.
_SPAWN: Final = multiprocessing.get_context("spawn")


@dataclass
class ProcessCarrier:
    """So many processes, one unit at a time in each. `ground` makes, in the process, where the units of a host run.

    To be used as a context; at its end the processes are gone. `pids` are those that live, by host.
    """

    processes: int
    ground: Callable[[str], Ground]
    pids: dict[str, int] = field(default_factory=dict)
    _waiting: deque[tuple[LoadUnit, frozenset[str], Future[UnitOutcome]]] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ending: bool = False
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def slots(self) -> int:
        return self.processes

    def __enter__(self) -> ProcessCarrier:
        for number in range(self.processes):
            thread = threading.Thread(target=self._serve, args=(f"w{number}",), name=f"qsky-load-w{number}")
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        for pid in list(self.pids.values()):
            process = next((p for p in multiprocessing.active_children() if p.pid == pid), None)
            if process is not None:
                process.kill()
        for thread in self._threads:
            thread.join()

    def submit(self, unit: LoadUnit, avoid: frozenset[str]) -> Future[UnitOutcome]:
        future: Future[UnitOutcome] = Future()
        with self._changed:
            self._waiting.append((unit, avoid, future))
            self._changed.notify_all()
        return future

    def _serve(self, host: str) -> None:
        """Keep one worker at work, and replace it when it dies."""
        while True:
            here, there = _SPAWN.Pipe()
            process = _SPAWN.Process(target=_work, args=(host, self.ground, there), name=f"qsky-{host}", daemon=True)
            process.start()
            there.close()
            assert process.pid is not None
            self.pids[host] = process.pid
            alive = self._serve_with(host, process, here)
            self.pids.pop(host, None)
            process.kill()
            process.join()
            here.close()
            if not alive:
                return

    def _serve_with(self, host: str, process: BaseProcess, worker: Connection) -> bool:
        """Hand units to a process until it dies (True) or all ends (False)."""
        while True:
            taken = self._next(host)
            if taken is None:
                return False
            unit, future = taken
            if not future.set_running_or_notify_cancel():
                continue
            try:
                worker.send(unit)
                answer = worker.recv()
            except (EOFError, OSError):
                process.join()
                future.set_exception(WorkerLostError(host, f"its process ended ({process.exitcode})"))
                return not self._ending
            if isinstance(answer, UnitOutcome):
                future.set_result(answer)
            else:
                future.set_exception(answer)

    def _next(self, host: str) -> tuple[LoadUnit, Future[UnitOutcome]] | None:
        """The next unit for a host: one that need not avoid it, unless every host is to be avoided."""
        with self._changed:
            while not self._ending:
                for entry in self._waiting:
                    unit, avoid, future = entry
                    if host not in avoid or len(avoid) >= self.processes:
                        self._waiting.remove(entry)
                        return unit, future
                self._changed.wait()
        return None


def _work(host: str, ground: Callable[[str], Ground], units: Connection) -> None:
    """The life of a worker process."""
    mine = ground(host)
    while True:
        try:
            unit = units.recv()
        except EOFError:
            return
        answer: Any
        try:
            answer = run_unit(unit, mine)
        except BaseException as error:
            answer = error
        units.send(answer)
