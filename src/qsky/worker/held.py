"""What a worker's process remembers of parts: which files it has checked, who reads them, who is busy with one.

Values in memory under one short lock; no I/O happens here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from qsky.errors import QskyError

Stamp = tuple[int, int, int]


def stamp_of(path: Path) -> Stamp:
    """What changes when a file does: time, size, inode. Raises FileNotFoundError."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


class Checked:
    """Files whose digest was right in this process, as they were then."""

    def __init__(self) -> None:
        self._stamps: dict[Path, Stamp] = {}

    def note(self, path: Path, stamp: Stamp) -> None:
        self._stamps[path] = stamp

    def forget(self, path: Path) -> None:
        self._stamps.pop(path, None)

    def still(self, path: Path, size: int) -> bool:
        """Whether the file is the one that was checked. Raises FileNotFoundError."""
        stamp = stamp_of(path)
        return stamp[1] == size and self._stamps.get(path) == stamp


@dataclass
class _Busy:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    failure: QskyError | None = None


class OneAtATime:
    """One thread at a time is busy with a part; those that waited for one that failed fail with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: dict[str, _Busy] = {}

    @contextmanager
    def busy(self, name: str, *, share_failure: bool = False) -> Iterator[None]:
        """Wait until nobody else is busy with the part. `share_failure`: raises what the thread before us met."""
        with self._lock:
            busy = self._busy.setdefault(name, _Busy())
            busy.users += 1
        try:
            with busy.lock:
                if share_failure and busy.failure is not None:
                    raise busy.failure
                try:
                    yield
                    busy.failure = None
                except QskyError as error:
                    busy.failure = error if share_failure else None
                    raise
        finally:
            with self._lock:
                busy.users -= 1
                if not busy.users:
                    del self._busy[name]


class Pins:
    """How many readers each part has."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: dict[str, int] = {}

    def add(self, names: tuple[str, ...]) -> None:
        with self._lock:
            for name in names:
                self._readers[name] = self._readers.get(name, 0) + 1

    def drop(self, names: tuple[str, ...]) -> None:
        with self._lock:
            for name in names:
                self._readers[name] -= 1
                if not self._readers[name]:
                    del self._readers[name]

    def __contains__(self, name: str) -> bool:
        with self._lock:
            return name in self._readers

    @contextmanager
    def unread(self, name: str) -> Iterator[bool]:
        """Whether nobody reads the part; nobody begins to meanwhile. For an unlink, nothing longer."""
        with self._lock:
            yield name not in self._readers
