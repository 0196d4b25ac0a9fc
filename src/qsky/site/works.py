"""What a worker of a site does besides fragments: takes parts in, says what it holds, obeys the keeper.

The values travel through Dask; `works` gives the station the functions that do them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsky.errors import QskyError
from qsky.fragment import ReplicaOrder, ReplicaReport
from qsky.site.lease import LEASE
from qsky.storage.store import io_errors
from qsky.worker.replica import Replica


@dataclass(frozen=True)
class Deliver:
    """A block of a part that a load has written; the last one makes it a part here. `offset` counts from 0."""

    part: str
    offset: int
    content: bytes
    size_bytes: int


@dataclass(frozen=True)
class Tell:
    """Say which parts are held."""


@dataclass(frozen=True)
class Told:
    """The parts held, by name with their bytes. `serial` grows with every change, restarts included; `process` with those."""

    worker: str
    process: int
    serial: int
    parts: Mapping[str, int]


@dataclass(frozen=True)
class Obey:
    """An order of the keeper to one `process` of a worker, which is not for the next one of the same name.

    Of two about the same part that with the lower `number` came too late.
    """

    order: ReplicaOrder
    number: int
    process: int


@dataclass(frozen=True)
class Obeyed:
    """What came of it; the worker's parts are then those of `serial`."""

    report: ReplicaReport
    serial: int


class Works:
    """The works of one worker process. Every method may be called by many threads at once."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._began = time.time_ns()
        self._newest: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def by_name(self) -> dict[str, Callable[[Any], Any]]:
        return {"Deliver": self.deliver, "Tell": self.tell, "Obey": self.obey}

    def deliver(self, block: Deliver) -> int:
        """Write a block aside; how many bytes are there.

        Raises damaged, disk-full, and order-refused for a block that follows on one this process has not got.
        """
        aside = self._replica.folder.unnamed(block.part)
        held = block.offset + len(block.content)
        try:
            _write(aside, block)
            if held == block.size_bytes:
                self._replica.receive(block.part, block.size_bytes, aside)
                aside.unlink(missing_ok=True)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        return held

    def tell(self, _: Tell) -> Told:
        """What lies here."""
        found = self._replica.inventory()
        return Told(
            self._replica.worker,
            self._began,
            self._began + found.number,
            {held.part: held.bytes for held in found.parts},
        )

    def obey(self, work: Obey) -> Obeyed:
        """Do what the keeper asks, unless it asked for something else since. Raises order-refused."""
        order = work.order
        if order.lease != LEASE:
            raise QskyError("order-refused", f"Nobody gives orders under the lease {order.lease} here.")
        if work.process != self._began:
            raise QskyError("order-refused", "The order was for a process that has ended.")
        with self._lock:
            newest = self._newest.get(order.part, (0, 0))
            if (order.epoch, work.number) < newest:
                raise QskyError("order-refused", f"A newer order about {order.part} has come already.")
            self._newest[order.part] = (order.epoch, work.number)
        report = self._replica.obey(order)
        return Obeyed(report, self._began + self._replica.stock.number)


def _write(aside: Path, block: Deliver) -> None:
    try:
        with io_errors(block.part), aside.open("r+b" if block.offset else "wb") as file:
            file.truncate(block.offset)
            file.seek(block.offset)
            file.write(block.content)
    except FileNotFoundError:
        raise QskyError("order-refused", f"The blocks of {block.part} before this one are not here.") from None
