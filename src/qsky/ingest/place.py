"""Where rows go: the `_healpix_29` of each row of a batch, by its own position or by that of its director.

A child, or the end of a match, lies where its director lies. A row whose director is not known waits as an orphan:
at its own position if it has one, else at a cell made from its key, so that it is stored and counted like any other.
Called by `ingest.load` and `ingest.orphans`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from qsky.catalog.model import Kind, Table
from qsky.catalog.types import INTEGERS, arrow_type
from qsky.errors import QskyError
from qsky.ingest.build import ORPHAN_COLUMN, OTHER_END_COLUMN
from qsky.ingest.runs import with_cells
from qsky.sky.healpix import CELLS_29, ORDER_MAX, Floats, Ints, cells_of, centres_of
from qsky.storage.keyindex import keys_of, lookup
from qsky.storage.store import Store

_SCATTER: Final = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd: spreads neighbouring keys
NOWHERE: Final = -1
_CELL_DEG: Final = 2e-7  # the width of a cell of order 29, rounded up


@dataclass
class Placer:
    """Places the rows of one table. Safe for several threads. `ends` are the directors the keys point to, in order."""

    store: Store
    table: Table
    ends: tuple[tuple[Table, str], ...] = ()  # (director, column that holds its key)
    own_angle_deg: float = 0.0
    orphan_rows: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def place(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows with `_healpix_29` in front and, for children and matches, the hidden columns `build` wants."""
        if self.table.kind is Kind.DIRECTOR:
            return with_cells(rows, cells_of(_floats(rows, self.table.ra), _floats(rows, self.table.dec)))
        found = [self._cells_of_directors(rows, director, key) for director, key in self.ends]
        cells = found[0] if len(found) == 1 else np.where(found[0] >= 0, found[0], found[1])
        orphan = cells < 0
        self._note(rows, cells, found, orphan)
        if orphan.any():
            cells = np.where(orphan, self._own_cells(rows), cells)
        placed = with_cells(rows, cells).append_column(ORPHAN_COLUMN, pa.array(orphan.astype(np.int8)))
        if self.table.kind is Kind.MATCH:
            other = np.where((found[0] >= 0) & (found[1] >= 0), found[1], NOWHERE)
            placed = placed.append_column(OTHER_END_COLUMN, pa.array(other))
        return placed

    def _cells_of_directors(self, rows: pa.RecordBatch, director: Table, key: str) -> Ints:
        """The director's cell of each row, NOWHERE if the key is NULL or unknown."""
        column = rows.column(key)
        cells = np.full(rows.num_rows, NOWHERE, dtype=np.int64)
        known = pc.indices_nonzero(column.is_valid()).to_numpy()
        if len(known):
            keys = keys_of(as_key(column.take(pa.array(known)), director))
            places, found = lookup(self.store.folder, director.index, keys)
            cells[known[places]] = found
        return cells

    def _own_cells(self, rows: pa.RecordBatch) -> Ints:
        """For orphans: the cell of the row's own position, or one made from its key."""
        column = rows.column(self.ends[0][1])
        present = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        scattered = keys_of(column.take(pa.array(present))).high.view(np.uint64) * _SCATTER
        cells = np.zeros(rows.num_rows, dtype=np.int64)
        cells[present] = (scattered % np.uint64(CELLS_29)).astype(np.int64)
        if self.table.ra and self.table.dec:
            ra, dec = _floats(rows, self.table.ra), _floats(rows, self.table.dec)
            known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
            cells[known] = cells_of(ra[known], dec[known])
        return cells

    def _note(self, rows: pa.RecordBatch, cells: Ints, found: list[Ints], orphan: NDArray[np.bool_]) -> None:
        """Count orphans, and how far rows lie from their director, or the ends of a match apart, at most."""
        if self.table.kind is Kind.CHILD:
            angle = own_angle_deg(rows.filter(pa.array(~orphan)), self.table, cells[~orphan])
        else:
            angle = apart_deg(*found)
        with self._lock:
            self.own_angle_deg = max(self.own_angle_deg, angle)
            self.orphan_rows += int(orphan.sum())


def apart_deg(first: Ints, second: Ints) -> float:
    """How far two cells that are both known lie apart at most, never 0: that would say it was not measured."""
    both = (first >= 0) & (second >= 0)
    if not both.any():
        return _CELL_DEG
    ends = (*centres_of(first[both], ORDER_MAX), *centres_of(second[both], ORDER_MAX))
    return max(float(separation_deg(*ends).max()), _CELL_DEG)


def as_key(column: Any, director: Table) -> Any:
    """Keys in the type of the director's own, so that the same key has the same form. Raises family-mismatch."""
    own = director.column(director.key)
    assert own is not None
    wanted = pa.int64() if own.type in INTEGERS else arrow_type(own.type)
    if column.type == wanted or (pa.types.is_integer(column.type) and own.type in INTEGERS):
        return column
    try:
        return pc.cast(column, wanted)
    except pa.ArrowException as error:
        why = str(error).rstrip(".")
        raise QskyError(
            "family-mismatch",
            f"The keys are {column.type} and cannot all be keys of {director.name}, which are {own.type}: {why}.",
            hint="Is this the column that holds the director's key? Name another with --key.",
        ) from error


def own_angle_deg(rows: pa.RecordBatch | pa.Table, table: Table, cells: Ints) -> float:
    """How far rows' own positions lie from the cells of their directors at most; 0 if they have none."""
    if not (table.ra and table.dec):
        return 0.0
    ra, dec = _floats(rows, table.ra), _floats(rows, table.dec)
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if len(known) == 0:
        return 0.0
    return float(separation_deg(ra[known], dec[known], *centres_of(cells[known], ORDER_MAX)).max())


def rounded_up_arcsec(angle_deg: float) -> float:
    """A little more than measured: the director's position is known to its cell, 0.4 milliarcseconds."""
    return angle_deg * 3600 * (1 + 1e-9) + 1e-3 if angle_deg else 0.0


def _floats(rows: pa.RecordBatch | pa.Table, name: str) -> Floats:
    """A floating column as an array, NULL as NaN."""
    # Without NULLs the conversion is a view, and does not import pandas.
    column = pc.fill_null(pc.cast(rows.column(name), pa.float64()), float("nan"))
    values: Floats = column.to_numpy()
    return values


def separation_deg(ra1: Floats, dec1: Floats, ra2: Floats, dec2: Floats) -> Floats:
    """Great-circle distances in degrees, by the haversine formula; shapes (n,)."""
    half_dec = np.radians(dec2 - dec1) / 2
    half_ra = np.radians(ra2 - ra1) / 2
    squared = np.sin(half_dec) ** 2 + np.cos(np.radians(dec1)) * np.cos(np.radians(dec2)) * np.sin(half_ra) ** 2
    distances: Floats = np.degrees(2 * np.arcsin(np.sqrt(np.clip(squared, 0, 1))))
    return distances
