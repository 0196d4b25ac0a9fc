"""From sorted runs to staged parts: every leaf of the tiling written by one thread while others write theirs.

For directors and match tables the copies around chunks are collected on the way and written at the end. Called by
`ingest.load` and `ingest.regenerate`; publishes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from qsky.catalog.model import HEALPIX_COLUMN, Kind, Table
from qsky.catalog.snapshot import Tiling
from qsky.config import Settings
from qsky.events import Listener, Progress
from qsky.ingest.overlap import copies_of
from qsky.ingest.parts import PartRow, PartWriter
from qsky.ingest.runs import Ranges, Runs, ints_of
from qsky.sky.healpix import Ints

ORPHAN_COLUMN: Final = "_qsky_orphan"
OTHER_END_COLUMN: Final = "_qsky_other_end"
LEAF_COLUMN: Final = "_qsky_leaf"
_SPILL_BYTES: Final = 64 << 20


class RowSource(Protocol):
    """Rows by ranges of cells: the sorted runs of a load, or the parts of an older generation."""

    @property
    def rows(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    def pieces(self, start: int, end: int, rows_max: int) -> Iterator[pa.Table]: ...

    def count(self, start: int, end: int) -> int: ...


@dataclass(frozen=True)
class Built:
    """The staged parts of one table and of its overlap; `own_angle_deg` if placing the rows again has measured it."""

    parts: list[PartRow]
    overlap: list[PartRow]
    own_angle_deg: float = 0.0

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def overlap_rows(self) -> int:
        return sum(part.rows for part in self.overlap)

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts + self.overlap)

    @property
    def orphan_rows(self) -> int:
        return sum(part.rows for part in self.parts if part.orphans)


def build_parts(
    source: RowSource,
    table: Table,
    tiling: Tiling,
    writer: PartWriter,
    scratch: Path,
    settings: Settings,
    listener: Listener,
) -> Built:
    """Write every row of `source` as parts of `table` in the chunks of `tiling`, and the copies they need."""
    spill = Spill(scratch / f"copies-{table.name}")
    leaves = leaves_with_rows(source, tiling)
    parts = write_leaves(source, table, tiling, leaves, writer, spill, settings, listener)
    overlap = write_copies(spill.runs.ranges(), table, tiling, spill.leaves(), writer, settings, listener)
    spill.runs.remove()
    return Built(parts, overlap)


def leaves_with_rows(source: RowSource, tiling: Tiling) -> list[int]:
    """The leaves that hold a row of `source`."""
    ends = tiling.ends
    return [leaf for leaf in range(len(tiling)) if source.count(int(tiling.starts[leaf]), int(ends[leaf]))]


def write_leaves(
    source: RowSource,
    table: Table,
    tiling: Tiling,
    leaves: Sequence[int],
    writer: PartWriter,
    spill: Spill,
    settings: Settings,
    listener: Listener,
) -> list[PartRow]:
    """Write the rows of some leaves as parts; the copies they need, for whatever leaf, are left in `spill`."""
    rows_max = _rows_at_a_time(source, settings)

    def write_leaf(leaf: int) -> list[PartRow]:
        return _write_leaf(source, table, tiling, leaf, rows_max, writer, spill)

    parts = _in_threads(write_leaf, leaves, settings.cores, listener, f"writing {table.name}")
    spill.flush()
    return parts


def write_copies(
    copies: Ranges,
    table: Table,
    tiling: Tiling,
    leaves: Sequence[int],
    writer: PartWriter,
    settings: Settings,
    listener: Listener,
) -> list[PartRow]:
    """Write the copies that go to some leaves, from what `write_leaves` left, as overlap parts."""

    def write_leaf(leaf: int) -> list[PartRow]:
        rows = copies.rows_of(leaf, leaf + 1)
        assert rows is not None
        rows = rows.drop_columns([LEAF_COLUMN])
        rows = rows.take(pa.array(np.argsort(ints_of(rows, HEALPIX_COLUMN), kind="stable")))
        return writer.write(rows, table, _leaf_name(tiling, leaf), overlap=True)

    return _in_threads(write_leaf, leaves, settings.cores, listener, f"writing the overlap of {table.name}")


def _rows_at_a_time(source: RowSource, settings: Settings) -> int:
    """Rows one thread may hold: a leaf is held about four times over while it is sorted and encoded."""
    row_bytes = max(1.0, source.bytes / max(1, source.rows))
    return max(1000, int(settings.load_memory_bytes_max / (4 * settings.cores * row_bytes)))


def _write_leaf(
    source: RowSource, table: Table, tiling: Tiling, leaf: int, rows_max: int, writer: PartWriter, spill: Spill
) -> list[PartRow]:
    written = []
    for rows in source.pieces(int(tiling.starts[leaf]), int(tiling.ends[leaf]), rows_max):
        spill.add(*_copies(rows, table, tiling))
        stored = rows.drop_columns([name for name in (ORPHAN_COLUMN, OTHER_END_COLUMN) if name in rows.column_names])
        for chosen, orphans in _orphans_apart(rows, stored):
            written += writer.write(chosen, table, _leaf_name(tiling, leaf), orphans=orphans)
    return written


def _orphans_apart(rows: pa.Table, stored: pa.Table) -> Iterator[tuple[pa.Table, bool]]:
    """Rows whose director is known, and rows whose director is not, which get parts of their own."""
    if ORPHAN_COLUMN not in rows.column_names:
        yield stored, False
        return
    orphan = rows[ORPHAN_COLUMN].to_numpy()
    for flag in (False, True):
        places = np.flatnonzero(orphan == flag)
        if len(places) == stored.num_rows:
            yield stored, flag
        elif len(places):
            yield stored.take(pa.array(places)), flag


def _copies(rows: pa.Table, table: Table, tiling: Tiling) -> tuple[pa.Table, Ints]:
    """The rows to copy, once per copy, and the leaf each copy goes to."""
    if table.kind is Kind.DIRECTOR:
        places, leaves = copies_of(ints_of(rows, HEALPIX_COLUMN), tiling, table.overlap_arcsec)
    elif table.kind is Kind.MATCH:
        other = ints_of(rows, OTHER_END_COLUMN)
        home = tiling.leaf_of(ints_of(rows, HEALPIX_COLUMN))
        there = np.where(other >= 0, tiling.leaf_of(np.maximum(other, 0)), home)
        places = np.flatnonzero(there != home)
        leaves = there[places]
    else:
        places = leaves = np.empty(0, dtype=np.int64)
    hidden = [name for name in (ORPHAN_COLUMN, OTHER_END_COLUMN) if name in rows.column_names]
    return rows.drop_columns(hidden).take(pa.array(places)), leaves


def _leaf_name(tiling: Tiling, leaf: int) -> tuple[int, int]:
    return int(tiling.orders[leaf]), int(tiling.npix[leaf])


class Spill:
    """Copies on their way: held until there are enough for a run, then on scratch disk, sorted by the leaf they go to."""

    def __init__(self, folder: Path) -> None:
        self.runs = Runs(folder, by=LEAF_COLUMN)
        self._held: list[pa.Table] = []
        self._bytes = 0
        self._number = 0
        self._leaves: set[int] = set()
        self._lock = threading.Lock()

    def add(self, rows: pa.Table, leaves: Ints) -> None:
        if rows.num_rows == 0:
            return
        with self._lock:
            self._held.append(rows.append_column(LEAF_COLUMN, pa.array(leaves, type=pa.int64())))
            self._bytes += rows.nbytes
            self._leaves.update(np.unique(leaves).tolist())
            if self._bytes > _SPILL_BYTES:
                self._flush()

    def flush(self) -> None:
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            # The order pieces arrive in depends on threads; sorting by cell makes a load's files reproducible.
            rows = pa.concat_tables(self._held).combine_chunks()
            rows = rows.take(pa.array(np.argsort(ints_of(rows, HEALPIX_COLUMN), kind="stable")))
            self.runs.add(self._number, rows.to_batches()[0])
            self._number += 1
            self._held, self._bytes = [], 0

    def leaves(self) -> list[int]:
        return sorted(self._leaves)


def _in_threads(
    work: Callable[[int], list[PartRow]], items: Sequence[int], threads: int, listener: Listener, stage: str
) -> list[PartRow]:
    """`work` on every item, a few ahead of the listener; the first error stops the rest."""
    results: list[PartRow] = []
    with ThreadPoolExecutor(threads, thread_name_prefix="qsky-load") as pool:
        pending: list[Future[list[PartRow]]] = [pool.submit(work, item) for item in items]
        try:
            for done, future in enumerate(pending, 1):
                results += future.result()
                listener(Progress(stage, done, len(items), "chunks"))
        except BaseException:
            for future in pending:
                future.cancel()
            raise
    return results
