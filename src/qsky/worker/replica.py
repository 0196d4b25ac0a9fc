"""A worker's copies of parts, and its obedience to the keeper: pull, verify, delete, quarantine, publish, retract.

A station hands it orders, one part each, in any order and as often as it likes. It acts only under the highest epoch it
has ever seen, deletes only what other holders have verified in that epoch, and leaves of a crash the old state or the new.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.fragment import Outcome, ReplicaKind, ReplicaOrder, ReplicaReport
from qsky.storage.partname import checked_part
from qsky.storage.store import io_errors
from qsky.worker.folder import DataFolder, why_bad
from qsky.worker.held import stamp_of
from qsky.worker.inventory import Inventory, Noticed, Stock
from qsky.worker.parts import Fetch, Heard, Notice, Parts

_LINK_REFUSED: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)


class Replica:
    """The parts that lie on the disk of the worker named `worker`. Every method may be called by many threads at once."""

    def __init__(
        self,
        worker: str,
        data_folder: Path,
        fetch: Fetch,
        settings: Settings,
        *,
        publish: Notice,
        retract: Notice,
        on_bad: Heard,
    ) -> None:
        self.worker = worker
        self.folder = DataFolder(data_folder)
        self.folder.remove_rubbish()
        self._publish, self._retract, self._heard = publish, retract, on_bad
        self.parts = Parts(self.folder, fetch, settings, on_bad=self._lost, retract=retract)
        self.stock = Stock(self.folder, settings.inventory_changes_max)

    def obey(self, order: ReplicaOrder) -> ReplicaReport:
        """Do what is asked, or say why not. Raises nothing but what is a defect."""
        acts: dict[ReplicaKind, Callable[[ReplicaOrder], Outcome]] = {
            ReplicaKind.PULL: self._pull,
            ReplicaKind.VERIFY: self._verify,
            ReplicaKind.DELETE: self._delete,
            ReplicaKind.QUARANTINE: self._quarantine,
            ReplicaKind.PUBLISH: self._published,
            ReplicaKind.RETRACT: self._retracted,
        }
        try:
            checked_part(order.part)
            self._accept(order)
            with self.parts.one_at_a_time.busy(order.part), io_errors(order.part):
                return self._report(order, acts[order.kind](order))
        except QskyError as error:
            return self._report(order, _ENDS.get(error.code.name, Outcome.FAILED), error)
        except FileNotFoundError:  # it went while it was looked at; the disk says what is there
            self.stock.look_at(order.part)
            return self._report(order, Outcome.MISSING)

    def receive(self, name: str, size: int, source: Path) -> Path:
        """Take in a part written on this machine: link or copy, check, name, publish; where it lies. `source` stays.

        Raises damaged if its bytes are not the part's; no-input if it is gone; disk-full; what `publish` raises, when
        the part is in already.
        """
        path = self.folder.part(name)
        with self.parts.one_at_a_time.busy(name):
            if not self._has(name, size):
                with self.folder.aside() as aside:
                    _linked(source, aside)
                    why = why_bad(aside, name, size)
                    if why:
                        raise QskyError("damaged", f"{source.name} is not the part {name}: {why}.")
                    self._enter(aside, name, size)
            self._publish(name)
        return path

    def inventory(self, since: int = 0, process: str = "") -> Inventory:
        """The parts that lie here, or what changed since a number told before by the same process."""
        return self.stock.inventory(since, process)

    def look(self) -> Noticed:
        """Compare the disk with what is known, remove what dead processes left, and tell of parts that went."""
        self.folder.remove_rubbish()
        noticed = self.stock.look()
        for name in noticed.vanished:
            self._heard(name, "it is gone from the disk")
        for name in noticed.resized:
            self._heard(name, "its size has changed")
        return noticed

    def suspect(self, name: str) -> bool:
        """Somebody read bad bytes: hash the part; whether it was bad, and then it is in quarantine."""
        with self.parts.one_at_a_time.busy(name):
            held = self.stock.held(name)
            return held is not None and not self._has(name, held.bytes)

    def close(self) -> None:
        """End; nothing may be held or obeyed any more."""
        self.parts.close()
        self.folder.close()

    # -- orders, one at a time of each part

    def _pull(self, order: ReplicaOrder) -> Outcome:
        here = self._has(order.part, order.bytes)
        if not here:
            with self.folder.aside() as aside:
                self.parts.fetch_aside(order.part, order.bytes, aside)
                self._accept(order)  # a newer keeper may have come meanwhile
                self._enter(aside, order.part, order.bytes)
        self.stock.verified(order.part, order.bytes, order.epoch)
        self._publish(order.part)
        return Outcome.ALREADY if here else Outcome.DONE

    def _verify(self, order: ReplicaOrder) -> Outcome:
        there = self.folder.part(order.part).exists()
        if self._has(order.part, order.bytes):
            self.stock.verified(order.part, order.bytes, order.epoch)
            return Outcome.DONE
        self.stock.went(order.part)
        return Outcome.BAD if there else Outcome.MISSING

    def _delete(self, order: ReplicaOrder) -> Outcome:
        path = self.folder.part(order.part)
        others = {holder for holder, epoch in order.verified if epoch == order.epoch} - {self.worker}
        if not others:
            raise QskyError("order-refused", f"Nobody else has verified {order.part} in epoch {order.epoch}.")
        if not path.exists():
            self.stock.went(order.part)
            return Outcome.ALREADY
        if order.part in self.parts.pins:
            raise _in_use(order)
        self._retract(order.part)
        try:
            self._unlink(order, path)
        except QskyError:
            self._publish(order.part)
            raise
        return Outcome.DONE

    def _unlink(self, order: ReplicaOrder, path: Path) -> None:
        """Under the lock on epochs: a newer keeper begins after this or stops it."""
        with self.folder.epochs() as epochs:
            if epochs.highest(order.lease) != order.epoch:
                raise _outdated(order, epochs.highest(order.lease))
            with self.parts.pins.unread(order.part) as unread:
                if not unread:
                    raise _in_use(order)
                self.parts.checked.forget(path)
                self.folder.unlink(path, self.folder.parts)
        self.stock.went(order.part)

    def _quarantine(self, order: ReplicaOrder) -> Outcome:
        try:
            self._retract(order.part)
            self.parts.checked.forget(self.folder.part(order.part))
            self.folder.to_quarantine(self.folder.part(order.part), order.part, f"ordered in epoch {order.epoch}")
        except FileNotFoundError:
            return Outcome.ALREADY
        finally:
            self.stock.look_at(order.part)
        return Outcome.DONE

    def _published(self, order: ReplicaOrder) -> Outcome:
        if not self.folder.part(order.part).exists():
            return Outcome.MISSING
        self._publish(order.part)
        return Outcome.DONE

    def _retracted(self, order: ReplicaOrder) -> Outcome:
        self._retract(order.part)
        return Outcome.DONE

    # -- steps

    def _accept(self, order: ReplicaOrder) -> None:
        with self.folder.epochs() as epochs:
            if not epochs.accept(order.lease, order.epoch):
                raise _outdated(order, epochs.highest(order.lease))

    def _has(self, name: str, size: int) -> bool:
        """Whether the part is here and right, hashed now; a bad copy goes to quarantine."""
        try:
            why = self.parts.check(self.folder.part(name), name, size)
            if why:
                self.parts.set_aside(name, why)
        except FileNotFoundError:
            return False
        return not why

    def _enter(self, aside: Path, name: str, size: int) -> None:
        """Give a checked file its name."""
        path = self.folder.part(name)
        self.folder.enter(aside, path)
        self.parts.checked.note(path, stamp_of(path))
        self.stock.came(name, size)

    def _lost(self, name: str, why: str) -> None:
        self.stock.look_at(name)
        self._heard(name, why)

    def _report(self, order: ReplicaOrder, outcome: Outcome, error: QskyError | None = None) -> ReplicaReport:
        highest = 0
        with suppress(QskyError), self.folder.epochs() as epochs:
            highest = epochs.highest(order.lease)
        code, message = (error.code.name, error.message) if error else ("", "")
        return ReplicaReport(order, self.worker, outcome, highest, code, message)


_ENDS: Final = {"order-refused": Outcome.REFUSED, "part-in-use": Outcome.BUSY}


def _outdated(order: ReplicaOrder, highest: int) -> QskyError:
    return QskyError("order-refused", f"The order is of epoch {order.epoch} of {order.lease}; {highest} was seen.")


def _in_use(order: ReplicaOrder) -> QskyError:
    return QskyError("part-in-use", f"A query reads {order.part}.")


def _linked(source: Path, aside: Path) -> None:
    """The file under a second name, or a copy where that cannot be. Raises no-input, disk-full."""
    try:
        with io_errors(source.name):
            try:
                os.link(source, aside)
            except OSError as error:
                if error.errno not in _LINK_REFUSED:
                    raise
                shutil.copyfile(source, aside)
    except FileNotFoundError:
        raise QskyError("no-input", f"There is no file {source}.") from None
