"""HEALPix cells of an answer with their values, in bounded memory: beyond a limit four cells become their parent.

Counts are summed, everything else is averaged. Cells are NESTED, so a parent is a shift. `output.plot` fills it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qsky.errors import QskyError
from qsky.output.picture import Picture
from qsky.sky.healpix import ORDER_MAX, Floats, Ints


@dataclass(frozen=True)
class Cells:
    """Distinct cells of one order, sorted, and a value for each.

    `order_of_answer` is what the answer had; `inferred` whether that was concluded from the numbers alone; `left_out`
    counts rows without cell or value.
    """

    order: int
    cells: Ints
    values: Floats
    summed: bool
    order_of_answer: int
    inferred: bool
    left_out: int
    rows: int

    def coarser(self, order: int) -> Cells:
        """The same at a lower order; counts are summed, other values averaged."""
        cells, sums, counts = _combined(self.cells >> 2 * (self.order - order), self.values, np.ones(len(self.cells)))
        values = sums if self.summed else sums / counts
        return Cells(order, cells, values, self.summed, self.order_of_answer, self.inferred, self.left_out, self.rows)


class CellTally:
    """The cells in the making."""

    def __init__(self, picture: Picture, rows_max: int | None) -> None:
        self._picture = picture
        self._summed = picture.colour is None or picture.colour.is_count
        self._rows_max = rows_max
        self._shift = 0
        self._largest = 0
        self._left_out = 0
        self._rows = 0
        self._held: list[tuple[Ints, Floats, Floats]] = []
        self._held_rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take some rows: the cell, and the value if there is one. Raises no-picture for a cell that cannot be one."""
        cells = whole_numbers(batch.column(0))
        values = numbers(batch.column(1)) if self._picture.colour is not None else np.ones(len(cells))
        self._rows += len(cells)
        if (cells < -1).any():
            raise self._no_cell(int(cells.min()))
        usable = (cells >= 0) & np.isfinite(values)
        self._left_out += int(len(cells) - usable.sum())
        cells, values = cells[usable], values[usable]
        self._largest = max(self._largest, int(cells.max(initial=0)))
        self._held.append((cells >> 2 * self._shift, values, np.ones(len(cells))))
        self._held_rows += len(cells)
        if self._rows_max is not None and self._held_rows > self._rows_max:
            self._shrink(self._rows_max)

    def cells(self) -> Cells:
        """What is held now. Raises no-picture if a cell does not exist at its order."""
        named = self._picture.order
        order = inferred_order(self._largest) if named is None else named
        if order > ORDER_MAX or self._largest >= 12 << 2 * order:
            raise self._no_cell(self._largest)
        cells, sums, counts = self._together()
        values = sums if self._summed else sums / counts
        # More shifts than the order has bits left cannot be: a thousand cells hold order 0 many times over.
        return Cells(order - self._shift, cells, values, self._summed, order, named is None, self._left_out, self._rows)

    def _together(self) -> tuple[Ints, Floats, Floats]:
        if not self._held:
            return np.empty(0, np.int64), np.empty(0), np.empty(0)
        cells, sums, counts = (np.concatenate(parts) for parts in zip(*self._held, strict=True))
        return _combined(cells, sums, counts)

    def _shrink(self, rows_max: int) -> None:
        """One row per cell; then parents, until half the limit is free, so that it does not happen at every batch."""
        cells, sums, counts = self._together()
        while len(cells) > rows_max / 2:
            self._shift += 1
            cells, sums, counts = _combined(cells >> 2, sums, counts)
        self._held, self._held_rows = [(cells, sums, counts)], len(cells)

    def _no_cell(self, cell: int) -> QskyError:
        order = f"at order {self._picture.order}" if self._picture.order is not None and cell >= 0 else "at any order"
        name = self._picture.x.name
        return QskyError(
            "no-picture", f"{name} holds {cell}, which is no HEALPix cell {order}.", hint="order= names another order."
        )


def inferred_order(largest: int) -> int:
    """The lowest order that has a cell of that number."""
    order = 0
    while largest >= 12 << 2 * order:
        order += 1
    return order


def numbers(values: pa.Array | pa.ChunkedArray) -> Floats:
    """Numbers as float64, NULL as NaN; moments as days since 1970 (UTC), as matplotlib counts them."""
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        microseconds = values.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.float64(), safe=False)
        return numbers(microseconds) / 86_400e6
    return np.asarray(values.cast(pa.float64(), safe=False).fill_null(float("nan")).to_numpy(zero_copy_only=False))


def whole_numbers(values: pa.Array) -> Ints:
    """Whole numbers as int64, NULL as -1. A number beyond int64 is below -1."""
    try:
        whole = values.cast(pa.int64())
    except pa.ArrowInvalid:
        return np.full(len(values), -2, np.int64)
    return np.asarray(pc.fill_null(whole, -1).to_numpy(zero_copy_only=False), np.int64)


def _combined(cells: Ints, sums: Floats, counts: Floats) -> tuple[Ints, Floats, Floats]:
    """One row per cell, sorted by cell."""
    distinct, place = np.unique(cells, return_inverse=True)
    return distinct, summed(place, sums, len(distinct)), summed(place, counts, len(distinct))


def summed(places: Ints, values: Floats, number: int) -> Floats:
    """The sum of the values at each of so many places; shapes (n,) and (n,) to (number,)."""
    return np.asarray(np.bincount(places, weights=values, minlength=number), dtype=np.float64)
