"""Files that the units of a load leave for each other: written once where a unit ran, named by digest, read in ranges.

How the bytes of another host's file get here is somebody else's business: an `Exchange` is handed in. `FolderExchange`
is one folder that all workers reach. Knows nothing of tables.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from qsky.ingest.runs import WrittenRun, batches_meeting, ints_of
from qsky.sky.healpix import Ints
from qsky.storage.store import DIGEST_LETTERS, digest_of_file, io_errors


@dataclass(frozen=True)
class ExchangeFile:
    """A file left by a unit: the host that has it, the load it belongs to, its name there, and its size."""

    host: str
    load: str
    name: str
    bytes: int


class ExchangeLostError(Exception):
    """A file that a unit left cannot be had any more: the unit must run again."""

    def __init__(self, host: str, name: str) -> None:
        super().__init__(host, name)  # so that it can be pickled


class Exchange(Protocol):
    """The files of all hosts, as one host sees them. Safe for several threads."""

    def folder(self, load: str) -> Path:
        """Where this host puts its own files."""
        ...

    def read(self, file: ExchangeFile, offset: int, length: int) -> bytes:
        """A range of a file's bytes. Raises ExchangeLostError."""
        ...

    def holds(self, file: ExchangeFile) -> bool:
        """Whether the file can still be read, whole."""
        ...

    def forget(self, load: str) -> None:
        """Remove what a load left, on every host that can be reached."""
        ...


@dataclass(frozen=True)
class FolderExchange:
    """One folder that every host reaches by the same path."""

    path: Path

    def folder(self, load: str) -> Path:
        return self.path / load

    def read(self, file: ExchangeFile, offset: int, length: int) -> bytes:
        try:
            with (self.path / file.load / file.name).open("rb") as opened:
                content = os.pread(opened.fileno(), length, offset)
        except FileNotFoundError:
            content = b""
        if len(content) != length:
            raise ExchangeLostError(file.host, file.name)
        return content

    def holds(self, file: ExchangeFile) -> bool:
        path = self.path / file.load / file.name
        return path.exists() and path.stat().st_size == file.bytes

    def forget(self, load: str) -> None:
        shutil.rmtree(self.path / load, ignore_errors=True)


def left(path: Path, host: str, load: str, exchange: Exchange) -> ExchangeFile:
    """Move a finished file to where others find it, under its digest."""
    with io_errors(path.name):
        folder = exchange.folder(load)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{digest_of_file(path)}{path.suffix}"
        size = path.stat().st_size
        os.replace(path, folder / name)
    return ExchangeFile(host, load, name, size)


@dataclass(frozen=True)
class RunFile:
    """A sorted run that a unit left: as `runs.WrittenRun`, but it travels. Arrays are bytes of int64."""

    file: ExchangeFile
    by: str
    schema: bytes
    firsts: bytes
    offsets: bytes


def run_left(run: WrittenRun, host: str, load: str, exchange: Exchange) -> RunFile:
    """A run on scratch disk as one that others can read."""
    with pa.OSFile(str(run.path)) as file:
        schema = pa.ipc.open_file(file).schema
    return RunFile(
        left(run.path, host, load, exchange),
        run.by,
        schema.serialize().to_pybytes(),
        run.firsts.astype(np.int64).tobytes(),
        run.offsets.astype(np.int64).tobytes(),
    )


@dataclass(frozen=True)
class ExchangeRun:
    """A run of any host, read in ranges: one read for each."""

    left: RunFile
    exchange: Exchange

    @cached_property
    def _schema(self) -> pa.Schema:
        return pa.ipc.read_schema(pa.py_buffer(self.left.schema))

    @cached_property
    def _firsts(self) -> Ints:
        return np.frombuffer(self.left.firsts, dtype=np.int64)

    @cached_property
    def _offsets(self) -> Ints:
        return np.frombuffer(self.left.offsets, dtype=np.int64)

    def marks(self, start: int, end: int) -> Ints:
        return self._firsts[slice(*batches_meeting(self._firsts, start, end))]

    def slice(self, start: int, end: int) -> pa.Table:
        """Raises ExchangeLostError."""
        rows = self._batches(*batches_meeting(self._firsts, start, end))
        first, last = np.searchsorted(ints_of(rows, self.left.by), (start, end), side="left")
        return rows.slice(first, last - first)

    def whole(self) -> pa.Table:
        """All rows. Raises ExchangeLostError."""
        return self._batches(0, len(self._firsts))

    def _batches(self, low: int, high: int) -> pa.Table:
        if low >= high:
            return self._schema.empty_table()
        begin, end = int(self._offsets[low]), int(self._offsets[high])
        reader = pa.BufferReader(self.exchange.read(self.left.file, begin, end - begin))
        batches = [pa.ipc.read_record_batch(pa.ipc.read_message(reader), self._schema) for _ in range(low, high)]
        return pa.Table.from_batches(batches, self._schema)


def text_key(*values: object) -> str:
    """A name for what values say: their digest."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[: 2 * DIGEST_LETTERS]
