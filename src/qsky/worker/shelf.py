"""Rows on the disk of a worker, by name, for whoever asks for them piece by piece: bounded, and gone when the process is.

Called by `worker.pieces` and `worker.station`, from many threads. It knows neither fragments nor who asks.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from typing import IO, Any

import pyarrow as pa

from qsky.carried import Lot, table_of
from qsky.errors import QskyError


@dataclass(eq=False)
class _File:
    file: IO[bytes]
    bytes: int = 0
    digest: Any = field(default_factory=lambda: blake2b(digest_size=16))
    asked: float = field(default_factory=monotonic)
    writing: threading.Lock = field(default_factory=threading.Lock)


class Shelf:
    """Files without names in a folder of their own; the bytes of all are bounded."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        """The folder is made empty: what a process that was killed left behind is nobody's."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self._bytes_max = bytes_max
        self._files: dict[str, _File] = {}
        self._lock = threading.Lock()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._files)

    def put(self, name: str, table: pa.Table) -> Lot:
        """Write a table as an IPC stream. Raises disk-full."""
        kept = _File(self._opened())
        try:
            with pa.ipc.new_stream(
                pa.PythonFile(_Writer(lambda data: self._append(kept, data)), "w"), table.schema
            ) as to:
                to.write_table(table)
            kept.file.flush()
        except BaseException:
            self._let_go(kept)
            raise
        with self._lock:
            self._files[name] = kept
        return Lot(kept.bytes, kept.digest.hexdigest())

    def append(self, name: str, offset: int, content: bytes | memoryview) -> int:
        """Add to the end of a file, which the first call makes; how many bytes it has now. Raises disk-full."""
        with self._lock:
            if name not in self._files:
                self._files[name] = _File(self._opened())
            kept = self._files[name]
        with kept.writing:
            kept.asked = monotonic()
            if offset == kept.bytes:  # of two who send the same rows, one is first
                self._append(kept, content)
                kept.file.flush()
        return kept.bytes

    def size(self, name: str) -> int:
        """Bytes of a file that is or is being made; 0 if there is none."""
        kept = self._files.get(name)
        return kept.bytes if kept is not None else 0

    def read(self, name: str, offset: int, length: int) -> bytes:
        """A range of a file. Raises KeyError if there is none."""
        kept = self._files[name]
        kept.asked = monotonic()
        return os.pread(kept.file.fileno(), length, offset)

    def table(self, name: str, lot: Lot) -> pa.Table | None:
        """The table of a file, mapped; None if it is not there as a whole, and then it may be sent again."""
        kept = self._files.get(name)
        if kept is None or kept.bytes != lot.bytes or kept.digest.hexdigest() != lot.digest:
            self.drop(name)
            return None
        kept.asked = monotonic()
        return table_of(mmap.mmap(kept.file.fileno(), 0, access=mmap.ACCESS_READ))

    def drop(self, name: str) -> None:
        """Let go of a file, if there is one."""
        with self._lock:
            kept = self._files.pop(name, None)
        if kept is not None:
            self._let_go(kept)

    def sweep(self, seconds: float) -> list[str]:
        """Let go of files nobody has asked for so long; their names."""
        old = [name for name, kept in list(self._files.items()) if monotonic() - kept.asked > seconds]
        for name in old:
            self.drop(name)
        return old

    def close(self) -> None:
        for name in list(self._files):
            self.drop(name)
        with suppress(OSError):
            self._folder.rmdir()

    def _opened(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._folder)

    def _append(self, kept: _File, content: bytes | memoryview) -> None:
        size = len(memoryview(content))
        with self._lock:
            if self.bytes + size > self._bytes_max:
                raise QskyError(
                    "disk-full", f"The pieces on this worker's disk are more than {self._bytes_max:,} bytes."
                )
            self.bytes += size
            kept.bytes += size
        try:
            kept.file.write(content)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise QskyError("disk-full", "The disk for pieces is full.") from error
        kept.digest.update(content)

    def _let_go(self, kept: _File) -> None:
        kept.file.close()
        with self._lock:
            self.bytes -= kept.bytes


class _Writer:
    """What Arrow needs of a file to write to."""

    closed = False

    def __init__(self, append: Callable[[bytes], None]) -> None:
        self._append = append

    def write(self, content: bytes) -> int:
        self._append(content)
        return len(memoryview(content))

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        self.closed = True
