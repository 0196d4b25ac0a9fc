"""One revision of a table, opened: its tiling and its parts as sorted arrays, so that pruning is a binary search.

Pure: made from bytes that `catalog.store` read. 150,000 parts are a few arrays.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qsky.catalog.model import Table
from qsky.sky.healpix import CELLS_29, ORDER_MAX, Ints

NO_KEY: Final = np.iinfo(np.int64).min
COLUMN_SEPARATOR: Final = "\x1f"

PARTS_SCHEMA: Final = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),  # relative to the database's folder, or an address
        pa.field("norder", pa.uint8(), nullable=False),
        pa.field("npix", pa.int64(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("hp_min", pa.int64(), nullable=False),
        pa.field("hp_max", pa.int64(), nullable=False),
        pa.field("key_min", pa.int64()),  # of integer keys
        pa.field("key_max", pa.int64()),
        pa.field("orphans", pa.bool_(), nullable=False),  # rows whose director is not there
        # The names of the columns it was written with, the same for all parts of one load.
        pa.field("columns", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    ]
)


@dataclass(frozen=True, eq=False)
class Tiling:
    """The leaves of an adaptive HEALPix tree over the whole sphere, in NESTED order. Shapes (n,)."""

    orders: NDArray[np.uint8]
    npix: Ints
    starts: Ints = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        shift = 2 * (ORDER_MAX - self.orders.astype(np.int64))
        object.__setattr__(self, "starts", self.npix << shift)
        ends = (self.npix + 1) << shift
        assert len(self.starts) > 0 and self.starts[0] == 0 and ends[-1] == CELLS_29
        assert bool(np.all(ends[:-1] == self.starts[1:])), "a tiling covers the sphere once"

    def __len__(self) -> int:
        return len(self.npix)

    @property
    def ends(self) -> Ints:
        return np.append(self.starts[1:], CELLS_29)

    def same_as(self, other: Tiling) -> bool:
        """Whether both have the same leaves."""
        return bool(np.array_equal(self.orders, other.orders) and np.array_equal(self.npix, other.npix))

    def leaf_of(self, cells_29: Ints) -> Ints:
        """The leaf (its place in this tiling) of each order-29 cell; shape (n,) to (n,)."""
        return np.searchsorted(self.starts, cells_29, side="right") - 1

    def leaves_in(self, starts: Ints, ends: Ints) -> Ints:
        """The leaves that meet any of the half-open ranges, sorted, each once."""
        return places_meeting(self.starts, self.ends, starts, ends)

    def to_bytes(self) -> bytes:
        return arrow_bytes(pa.table({"norder": pa.array(self.orders), "npix": pa.array(self.npix)}))

    @staticmethod
    def from_bytes(content: bytes) -> Tiling:
        table = pa.ipc.open_file(io.BytesIO(content)).read_all()
        return Tiling(table["norder"].to_numpy().astype(np.uint8), table["npix"].to_numpy())


def places_meeting(own_starts: Ints, own_ends: Ints, starts: Ints, ends: Ints) -> Ints:
    """Places of the sorted, disjoint own ranges that meet any of the sorted, disjoint half-open ranges given."""
    first = np.searchsorted(own_ends, starts, side="right")
    last = np.searchsorted(own_starts, ends, side="left")
    if len(first) == 0:
        return np.empty(0, dtype=np.int64)
    marks = np.zeros(len(own_starts) + 1, dtype=np.int64)
    keep = last > first
    np.add.at(marks, first[keep], 1)
    np.add.at(marks, last[keep], -1)
    return np.flatnonzero(np.cumsum(marks[:-1]) > 0)


def arrow_bytes(table: pa.Table) -> bytes:
    """A table as an Arrow IPC file, compressed, the same bytes for the same table."""
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of one table (or overlap), sorted by the start of their leaf, then path. Shapes (n,).

    `columns[schema_ids[i]]` names the columns part i was written with, `lacks[schema_ids[i]]` those of the table that
    came later.
    """

    paths: pa.StringArray
    norder: NDArray[np.uint8]
    npix: Ints
    rows: Ints
    bytes: Ints
    hp_min: Ints
    hp_max: Ints
    key_min: Ints
    key_max: Ints
    orphans: NDArray[np.bool_]
    schema_ids: NDArray[np.int32]
    columns: tuple[str, ...]
    lacks: tuple[tuple[str, ...], ...]
    leaf_starts: Ints = field(init=False, compare=False, repr=False)
    leaf_ends: Ints = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        shift = 2 * (ORDER_MAX - self.norder.astype(np.int64))
        object.__setattr__(self, "leaf_starts", self.npix << shift)
        object.__setattr__(self, "leaf_ends", (self.npix + 1) << shift)

    def __len__(self) -> int:
        return len(self.npix)

    def of_leaves(self, leaf_starts: Ints) -> Ints:
        """Places of the parts whose leaf starts at one of the given cells (sorted), sorted."""
        low = np.searchsorted(self.leaf_starts, leaf_starts, side="left")
        high = np.searchsorted(self.leaf_starts, leaf_starts, side="right")
        return _spans(low, high)

    def meeting(self, starts: Ints, ends: Ints) -> Ints:
        """Places of the parts with a row that may lie in one of the half-open ranges (sorted), by min and max."""
        first = np.searchsorted(ends, self.hp_min, side="right")
        inside = first < len(starts)
        meets = np.zeros(len(self), dtype=bool)
        meets[inside] = starts[first[inside]] <= self.hp_max[inside]
        return np.flatnonzero(meets)


def _spans(low: Ints, high: Ints) -> Ints:
    counts = high - low
    total = int(counts.sum())
    if total == 0:
        return np.empty(0, dtype=np.int64)
    offsets = np.repeat(low - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
    return np.arange(total) + offsets


def parts_of_manifests(manifests: list[pa.Table], columns: tuple[str, ...]) -> Parts:
    """The union of manifests, tables of `PARTS_SCHEMA`, seen from a table that now has `columns`."""
    table = pa.concat_tables(manifests) if manifests else PARTS_SCHEMA.empty_table()
    table = table.unify_dictionaries().combine_chunks()
    norder, npix = _ints(table, "norder"), _ints(table, "npix")
    order = np.lexsort((np.arange(len(npix)), npix << (2 * (ORDER_MAX - norder))))
    written = table["columns"].chunk(0) if table.num_rows else pa.array([], PARTS_SCHEMA.field("columns").type)
    return Parts(
        paths=table["path"].combine_chunks().take(pa.array(order)),
        norder=norder[order].astype(np.uint8),
        schema_ids=written.indices.to_numpy(zero_copy_only=False)[order].astype(np.int32),
        columns=tuple(written.dictionary.to_pylist()),
        lacks=tuple(_lacking(names, columns) for names in written.dictionary.to_pylist()),
        orphans=table["orphans"].to_numpy(zero_copy_only=False)[order].astype(bool),
        **{
            name: _ints(table, name)[order]
            for name in ("npix", "rows", "bytes", "hp_min", "hp_max", "key_min", "key_max")
        },
    )


def _lacking(written: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    have = set(written.split(COLUMN_SEPARATOR))
    return tuple(name for name in columns if name not in have)


def _ints(table: pa.Table, name: str) -> Ints:
    column: Any = table[name].cast(pa.int64()).fill_null(int(NO_KEY))
    values: Ints = column.to_numpy()
    return values


@dataclass(frozen=True)
class TableSnapshot:
    """One table at one revision, ready to plan on. `tiling` is None for replicated and attached tables' own use."""

    database: str
    revision: int
    table: Table
    folder: str  # the absolute folder (or address) part paths are relative to
    tiling: Tiling | None
    parts: Parts
    overlap: Parts

    def addresses(self, places: Ints, *, overlap: bool = False) -> list[str]:
        """Absolute addresses of parts."""
        parts = self.overlap if overlap else self.parts
        names = parts.paths.take(pa.array(places)).to_pylist()
        # The margin of an attached catalogue lies somewhere else, so its paths are whole already.
        return [name if name[:1] == "/" or "://" in name else f"{self.folder}/{name}" for name in names]


NO_PARTS: Final = parts_of_manifests([], ())
