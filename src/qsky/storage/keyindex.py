"""The director index on disk: sorted (key, `_healpix_29`) pairs, memory-mapped, one lookup a binary search.

A segment is 64 bytes of header, then the keys, then the cells. Integer keys are stored as they are; any other key as
the two halves of its MD5, 128 bits, so that two different keys never meet in practice and no key is stored as text.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qsky.errors import QskyError
from qsky.sky.healpix import Ints

_MAGIC: Final = b"QSKYIDX1"
_HEADER: Final = 64


class Segment(Protocol):
    """What is known of a segment file: its name and its key fences (`low` and `high`, both inclusive)."""

    @property
    def file(self) -> str: ...
    @property
    def low(self) -> int: ...
    @property
    def high(self) -> int: ...


@dataclass(frozen=True)
class Keys:
    """Keys in a form that sorts: `high` alone for integers, (`high`, `low`) for hashed ones. Shapes (n,)."""

    high: Ints
    low: Ints | None = None

    def __len__(self) -> int:
        return len(self.high)

    def order(self) -> NDArray[np.intp]:
        """What sorts them; equal keys stay in the order they have."""
        if self.low is None:
            return np.argsort(self.high, kind="stable")
        return np.lexsort((self.low, self.high))

    def take(self, places: NDArray[np.intp] | Ints | slice) -> Keys:
        return Keys(self.high[places], None if self.low is None else self.low[places])

    def repeats(self) -> NDArray[np.bool_]:
        """For sorted keys: whether each equals the one before it. Shape (n,)."""
        same = np.zeros(len(self), dtype=bool)
        same[1:] = self.high[1:] == self.high[:-1]
        if self.low is not None:
            same[1:] &= self.low[1:] == self.low[:-1]
        return same


def keys_of(column: pa.Array | pa.ChunkedArray) -> Keys:
    """The sortable form of a column of keys without NULLs: integers as they are, others hashed."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_integer(column.type):
        return Keys(column.cast(pa.int64()).to_numpy())
    encoded = column.dictionary_encode()
    digests = b"".join(_digest(value) for value in encoded.dictionary.to_pylist())
    halves = np.frombuffer(digests, dtype=">i8").reshape(-1, 2).astype(np.int64)[encoded.indices.to_numpy()]
    return Keys(np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1]))


def _digest(value: object) -> bytes:
    content = value if isinstance(value, bytes) else str(value).encode()
    return hashlib.md5(content, usedforsecurity=False).digest()


def segment_bytes(keys: Keys, cells: Ints) -> bytes:
    """A segment file of keys that are sorted already."""
    kind = b"i" if keys.low is None else b"h"
    sink = io.BytesIO()
    sink.write((_MAGIC + kind + len(keys).to_bytes(8, "little")).ljust(_HEADER, b"\0"))
    for column in (keys.high, keys.low, cells):
        if column is not None:
            sink.write(np.ascontiguousarray(column, dtype="<i8").tobytes())
    return sink.getvalue()


@lru_cache(maxsize=1024)
def open_segment(path: Path) -> tuple[Keys, Ints]:
    """Keys and cells of a segment, mapped and not read. Raises damaged."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
        count = int.from_bytes(header[9:17], "little")
        columns = 2 if header[8:9] == b"i" else 3
        if header[:8] != _MAGIC or path.stat().st_size != _HEADER + columns * 8 * count:
            raise QskyError("damaged", f"The index file {path.name} is damaged.", hint="Run `qsky verify`.")
    except FileNotFoundError:
        raise QskyError("damaged", f"The index file {path.name} is missing.", hint="Run `qsky verify`.") from None
    if count == 0:
        empty = np.empty(0, dtype=np.int64)
        return Keys(empty, None if columns == 2 else empty), empty
    mapped = np.memmap(path, dtype="<i8", mode="r", offset=_HEADER, shape=(columns, count))
    return Keys(mapped[0], None if columns == 2 else mapped[1]), mapped[-1]


def lookup(folder: Path, segments: Sequence[Segment], keys: Keys) -> tuple[Ints, Ints]:
    """Every place a key is found: (places in `keys`, cells), shapes (m,), in the order of `keys`.

    A key that several segments hold is found several times. `folder` is what segment names are relative to.
    """
    places, cells = [], []
    sorter = np.argsort(keys.high, kind="stable")
    for segment in segments:
        own_keys, own_cells = open_segment(folder / segment.file)
        wanted = sorter[(keys.high[sorter] >= segment.low) & (keys.high[sorter] <= segment.high)]
        first = np.searchsorted(own_keys.high, keys.high[wanted], side="left")
        counts = np.searchsorted(own_keys.high, keys.high[wanted], side="right") - first
        found = np.repeat(wanted, counts)
        at = np.repeat(first - np.concatenate(([0], np.cumsum(counts)[:-1])), counts) + np.arange(int(counts.sum()))
        if keys.low is not None and own_keys.low is not None:
            same = own_keys.low[at] == keys.low[found]
            found, at = found[same], at[same]
        places.append(found)
        cells.append(own_cells[at])
    if not places:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    all_places, all_cells = np.concatenate(places), np.concatenate(cells)
    order = np.argsort(all_places, kind="stable")
    return all_places[order].astype(np.int64), np.asarray(all_cells[order], dtype=np.int64)
