"""Sorted runs: the rows of a load, each run sorted by one column, so that any range is a few slices.

The first runs are held in memory, up to a budget; later ones are written to scratch disk once and then read slice by
slice through a memory map. Called by `ingest.load` and `ingest.build`;
knows nothing of tables or revisions.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from qsky.catalog.model import HEALPIX_COLUMN
from qsky.sky.healpix import Ints
from qsky.storage.store import io_errors


@dataclass(frozen=True)
class Run:
    """One sorted run: the sorted column and all columns, both mapped."""

    sorted: Ints
    table: pa.Table

    def slice(self, start: int, end: int) -> pa.Table:
        """The rows whose sorted column lies in the half-open range."""
        low, high = np.searchsorted(self.sorted, (start, end), side="left")
        return self.table.slice(low, high - low)


@dataclass
class Runs:
    """All runs of one load. `add` may be called from several threads; reading starts when all are added."""

    folder: Path
    by: str = HEALPIX_COLUMN
    held_bytes_max: int = 0
    rows: int = 0
    bytes: int = 0
    _runs: dict[int, Run | Path] = field(default_factory=dict)
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
        run = Run(values, pa.Table.from_batches([rows])) if hold else self._written(number, rows)
        with self._lock:
            self._runs[number] = run
        return values

    def _written(self, number: int, rows: pa.RecordBatch) -> Path:
        path = self.folder / f"run-{number:08d}.arrow"
        with io_errors(path.name):
            self.folder.mkdir(parents=True, exist_ok=True)
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
                writer.write_batch(rows)
        return path

    def runs(self) -> list[Run]:
        """The runs in the order of their numbers, opened once."""
        with self._lock:
            for number, run in self._runs.items():
                if isinstance(run, Path):
                    self._runs[number] = self._open(run)
            return [run for _, run in sorted(self._runs.items()) if isinstance(run, Run)]

    def _open(self, path: Path) -> Run:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        return Run(ints_of(table, self.by), table)

    def count(self, start: int, end: int) -> int:
        """How many rows a range holds."""
        return sum(int(np.diff(np.searchsorted(run.sorted, (start, end)))[0]) for run in self.runs())

    def rows_of(self, start: int, end: int) -> pa.Table | None:
        """All rows of a range, sorted, rows of one value in the order they were read; None if there are none."""
        slices = [piece for run in self.runs() if (piece := run.slice(start, end)).num_rows]
        if not slices:
            return None
        if len(slices) == 1:
            return slices[0]
        rows = pa.concat_tables(slices)
        return rows.take(pa.array(np.argsort(ints_of(rows, self.by), kind="stable")))

    def pieces(self, start: int, end: int, rows_max: int) -> Iterator[pa.Table]:
        """The rows of a range in pieces of about `rows_max` rows, cut where the sorted column changes its value."""
        count = self.count(start, end)
        if count <= rows_max:
            cuts = np.array([start, end])
        else:
            values = np.sort(
                np.concatenate([run.sorted[slice(*np.searchsorted(run.sorted, (start, end)))] for run in self.runs()])
            )
            cuts = np.unique(np.concatenate(([start], values[rows_max::rows_max], [end])))
        for low, high in zip(cuts[:-1], cuts[1:], strict=True):
            if (rows := self.rows_of(int(low), int(high))) is not None:
                yield rows

    def remove(self) -> None:
        """Let go of everything; the folder is scratch and goes with the load's."""
        self._runs.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


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
