"""Reads a worker's parts again in rotation, slowly, so that damage is found while other copies still exist.

A thread of its own, nicer than the rest of the process: it holds nothing that a query waits for. What looks bad is
handed to `Replica.suspect`, which hashes it once more before it goes to quarantine.
"""

from __future__ import annotations

import hashlib
import os
import threading
from bisect import bisect_right
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.storage.partname import digest_of
from qsky.storage.store import DIGEST_LETTERS, Store
from qsky.worker.replica import Replica

_BLOCK_BYTES: Final = 1 << 20
_PLACE: Final = "scrubbed.txt"
_NICE: Final = 15


class Scrub:
    """The rotation of one worker; where it stopped is kept in the data folder."""

    def __init__(self, replica: Replica, settings: Settings) -> None:
        self._replica = replica
        self._rate = settings.scrub_bytes_per_second
        self._pause_seconds = settings.scrub_pause_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="qsky-scrub", daemon=True)
        self._due = 0.0
        self.bytes = 0
        self.parts = 0
        self.bad = 0

    def start(self) -> None:
        """Begin, unless the rate is 0."""
        if self._rate:
            self._thread.start()

    def stop(self) -> None:
        """End soon, in the middle of a part too."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while not self._stop.is_set():
            names = self._replica.stock.names()
            for part in names[bisect_right(names, self._place()) :]:
                if self._stop.is_set():
                    return
                with suppress(QskyError):  # this part is looked at again in the next round
                    self._look_at(part)
                self._write_place(part)
            self._write_place("")
            self._stop.wait(self._pause_seconds)

    def _look_at(self, part: str) -> None:
        try:
            digest = self._digest(self._replica.folder.part(part))
        except FileNotFoundError:
            return
        except OSError:
            digest = "unreadable"
        if self._stop.is_set():
            return
        self.parts += 1
        if digest != digest_of(part) and self._replica.suspect(part):
            self.bad += 1

    def _digest(self, path: Path) -> str:
        """The digest of a file, read no faster than the rate allows; of a part of it when stopped."""
        hashed = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while not self._stop.is_set() and (block := file.read(min(_BLOCK_BYTES, self._rate))):
                hashed.update(block)
                self.bytes += len(block)
                self._due = max(self._due, monotonic()) + len(block) / self._rate
                self._stop.wait(max(self._due - monotonic(), 0))
        return hashed.hexdigest()[:DIGEST_LETTERS]

    def _place(self) -> str:
        try:
            return Store(self._replica.folder.folder).read(_PLACE).decode()
        except (FileNotFoundError, QskyError, ValueError):
            return ""

    def _write_place(self, part: str) -> None:
        with suppress(OSError):
            (self._replica.folder.folder / _PLACE).write_text(part)
