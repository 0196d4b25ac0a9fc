"""Bounded copies of parts that lie elsewhere: those used longest ago go first, those in use never.

`parts` calls it, and `replica` when the disk is full. Other processes may use the same folder: each counts for itself.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from qsky.errors import QskyError
from qsky.worker.folder import DataFolder
from qsky.worker.held import Pins


class Cache:
    """The copies by part name, those used last at the end. A copy counts from before it is fetched."""

    def __init__(self, folder: DataFolder, bytes_max: int, pins: Pins) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._pins = pins
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict(_found(folder.cache))
        self._bytes = sum(self._sizes.values())
        self._evict_until(lambda: self._bytes <= bytes_max)

    @property
    def bytes(self) -> int:
        """Bytes of all copies, also of those on their way."""
        return self._bytes

    def used(self, name: str) -> None:
        """This copy goes last now."""
        with self._lock:
            if name in self._sizes:
                self._sizes.move_to_end(name)

    def reserve(self, name: str, size: int) -> None:
        """Make room for a part that its reader has pinned. Raises limit-cache if what is in use leaves none."""
        with self._lock:
            self._count_out(name)
            self._evict_until(lambda: self._bytes + size <= self._bytes_max)
            if self._bytes + size > self._bytes_max:
                raise QskyError(
                    "limit-cache",
                    f"No room for the {size} bytes of {name}: {self._bytes} of cache_bytes_max "
                    f"({self._bytes_max}) are in use.",
                    hint="Raise QSKY_CACHE_BYTES_MAX, or run fewer queries at once.",
                )
            self._sizes[name] = size
            self._bytes += size

    def drop(self, name: str) -> None:
        """Forget and remove a copy: it was bad, or never came."""
        with self._lock:
            self._count_out(name)
            self._remove(name)

    def empty(self) -> int:
        """Remove all copies that nobody reads, for the disk is full; the bytes they had."""
        with self._lock:
            before = self._bytes
            self._evict_until(lambda: False)
            return before - self._bytes

    def _evict_until(self, enough: Callable[[], bool]) -> None:
        for name in list(self._sizes):
            if enough():
                return
            with self._pins.unread(name) as unread:
                if unread:
                    self._count_out(name)
                    self._remove(name)

    def _count_out(self, name: str) -> None:
        self._bytes -= self._sizes.pop(name, 0)

    def _remove(self, name: str) -> None:
        self._folder.unlink(self._folder.cached(name), self._folder.cache, durable=False)


def _found(folder: Path) -> list[tuple[str, int]]:
    """The copies of a process before, those written first at the beginning."""
    found = []
    for base, _, names in os.walk(folder):
        for name in names:
            state = os.stat(os.path.join(base, name))
            path = os.path.relpath(os.path.join(base, name), folder)
            found.append((state.st_mtime_ns, path, state.st_size))
    return [(name, size) for _, name, size in sorted(found)]
