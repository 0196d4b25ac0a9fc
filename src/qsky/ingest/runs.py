"""Sorted runs: the rows of a load, each run sorted by one column, so that any range is a few slices.

The first runs are held in memory, up to a budget; later ones are written to scratch disk in small batches, of which a
range reads just those it needs. They are read, not mapped: pages of a map count as memory of the process, and a load
would seem to hold all its rows. Called by `ingest.load` and `ingest.build`; knows nothing of tables or revisions.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from qsky.catalog.model import HEALPIX_COLUMN
from qsky.sky.healpix import Ints
from qsky.storage.store import io_errors

# A range reads up to two batches of each run too much; a batch costs some microseconds.
_BATCH_ROWS: Final = 2048
_MAGIC_BYTES: Final = 8


@dataclass(frozen=True)
class HeldRun:
    """One sorted run in memory: the sorted column and all columns."""

    sorted: Ints
    table: pa.Table

    def slice(self, start: int, end: int) -> pa.Table:
        """The rows whose sorted column lies in the half-open range."""
        low, high = np.searchsorted(self.sorted, (start, end), side="left")
        return self.table.slice(low, high - low)

    def marks(self, start: int, end: int) -> Ints:
        """The sorted column of one row in `_BATCH_ROWS` of the range, of at least one if there is any."""
        return self.sorted[slice(*np.searchsorted(self.sorted, (start, end)))][::_BATCH_ROWS]

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of all rows."""
        return self.table.select(list(dict.fromkeys(names)))


@dataclass(frozen=True)
class WrittenRun:
    """One sorted run on scratch disk, `by` its sorted column, and the first value of each of its batches.

    `offsets` are where the batches begin in the file, and where the last one ends.
    """

    path: Path
    by: str
    firsts: Ints
    offsets: Ints

    def slice(self, start: int, end: int) -> pa.Table:
        low, high = batches_meeting(self.firsts, start, end)
        with pa.OSFile(str(self.path)) as file:
            reader = pa.ipc.open_file(file)
            rows = pa.Table.from_batches([reader.get_batch(at) for at in range(low, high)], reader.schema)
        first, last = np.searchsorted(ints_of(rows, self.by), (start, end), side="left")
        return rows.slice(first, last - first)

    def marks(self, start: int, end: int) -> Ints:
        return self.firsts[slice(*batches_meeting(self.firsts, start, end))]

    def columns(self, names: Sequence[str]) -> pa.Table:
        with pa.OSFile(str(self.path)) as file:
            places = sorted({pa.ipc.open_file(file).schema.get_field_index(name) for name in names})
            options = pa.ipc.IpcReadOptions(included_fields=places)
            return pa.ipc.open_file(file, options=options).read_all()


class Run(Protocol):
    """Rows sorted by one column, wherever they lie."""

    def slice(self, start: int, end: int) -> pa.Table:
        """The rows whose sorted column lies in the half-open range."""
        ...

    def marks(self, start: int, end: int) -> Ints:
        """The sorted column of about one row in `_BATCH_ROWS` of the range, of at least one if there may be any."""
        ...


def batches_meeting(firsts: Ints, start: int, end: int) -> tuple[int, int]:
    """The batches, by their first values, that may have a row of the range; equal values may have begun one earlier."""
    low = max(0, int(np.searchsorted(firsts, start, side="left")) - 1)
    return low, int(np.searchsorted(firsts, end, side="left"))


@dataclass
class Runs:
    """The runs of a load as they are made. `add` may be called from several threads; reading starts when all are added."""

    folder: Path
    by: str = HEALPIX_COLUMN
    held_bytes_max: int = 0
    rows: int = 0
    bytes: int = 0
    _runs: dict[int, HeldRun | WrittenRun] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, number: int, rows: pa.RecordBatch) -> Ints:
        """Sort one batch and write it; its sorted column. `number` orders the runs."""
        values = ints_of(rows, self.by)
        if rows.num_rows == 0:
            return values
        if not bool(np.all(values[1:] >= values[:-1])):
            order = np.argsort(values, kind="stable")
            rows, values = rows.take(pa.array(order)), values[order]
        with self._lock:
            hold = self.bytes + rows.nbytes <= self.held_bytes_max
            self.rows += rows.num_rows
            self.bytes += rows.nbytes
        run = HeldRun(values, pa.Table.from_batches([rows])) if hold else self._written(number, rows, values)
        with self._lock:
            self._runs[number] = run
        return values

    def _written(self, number: int, rows: pa.RecordBatch, values: Ints) -> WrittenRun:
        path = self.folder / f"run-{number:08d}.arrow"
        with io_errors(path.name):
            self.folder.mkdir(parents=True, exist_ok=True)
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
                # The schema is written with the first batch, after the eight letters every such file begins with.
                offsets = [_MAGIC_BYTES + rows.schema.serialize().size]
                for first in range(0, rows.num_rows, _BATCH_ROWS):
                    writer.write_batch(rows.slice(first, _BATCH_ROWS))
                    offsets.append(sink.tell())
        return WrittenRun(path, self.by, values[::_BATCH_ROWS].copy(), np.array(offsets))

    def runs(self) -> list[HeldRun | WrittenRun]:
        """The runs in the order of their numbers."""
        with self._lock:
            return [run for _, run in sorted(self._runs.items())]

    def written(self) -> list[WrittenRun]:
        """The runs, all on disk; only where none may be held."""
        assert self.held_bytes_max == 0
        return [run for run in self.runs() if isinstance(run, WrittenRun)]

    def ranges(self) -> Ranges:
        """All rows, when all are added."""
        return Ranges(self.runs(), self.by, self.rows, self.bytes)

    def remove(self) -> None:
        """Let go of everything; the folder is scratch and goes with the load's."""
        self._runs.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Ranges:
    """The rows of several runs by ranges of the column they are sorted by: what `build` reads from.

    `rows` and `bytes` say how much all of them hold; `runs` are in the order they were read.
    """

    runs: Sequence[Run]
    by: str
    rows: int
    bytes: int

    def count(self, start: int, end: int) -> int:
        """About how many rows a range holds, never less; 0 only if it has none."""
        return sum(_BATCH_ROWS * len(run.marks(start, end)) for run in self.runs)

    def rows_of(self, start: int, end: int) -> pa.Table | None:
        """All rows of a range, sorted, rows of one value in the order they were read; None if there are none."""
        slices = [piece for run in self.runs if (piece := run.slice(start, end)).num_rows]
        if not slices:
            return None
        if len(slices) == 1:
            return slices[0]
        rows = pa.concat_tables(slices)
        return rows.take(pa.array(np.argsort(ints_of(rows, self.by), kind="stable")))

    def pieces(self, start: int, end: int, rows_max: int) -> Iterator[pa.Table]:
        """The rows of a range in pieces of about `rows_max` rows, cut where the sorted column changes its value."""
        marks = np.sort(np.concatenate([run.marks(start, end) for run in self.runs]))
        step = max(1, rows_max // _BATCH_ROWS)
        inner = marks[step::step]
        cuts = np.unique(np.concatenate(([start], inner[(inner > start) & (inner < end)], [end])))
        for low, high in zip(cuts[:-1], cuts[1:], strict=True):
            if (rows := self.rows_of(int(low), int(high))) is not None:
                yield rows


def ints_of(rows: pa.RecordBatch | pa.Table, name: str) -> Ints:
    """A whole-number column without NULLs as an array; shape (n,)."""
    column = rows.column(name)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    values: Ints = column.to_numpy()
    return values


def with_cells(rows: pa.RecordBatch, cells: Ints) -> pa.RecordBatch:
    """The rows with `_healpix_29` as their first column."""
    fields = [pa.field(HEALPIX_COLUMN, pa.int64()), *rows.schema]
    return pa.RecordBatch.from_arrays([pa.array(cells), *rows.columns], schema=pa.schema(fields))
