"""Building the director index: the keys of a load sorted into segments, and every duplicate found on the way.

Keys are taken range by range, so that memory stays bounded however many there are. Called by `ingest.load` and
`ingest.regenerate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from qsky.catalog.model import IndexSegment, Table
from qsky.catalog.snapshot import Tiling
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.sky.healpix import Ints
from qsky.storage.keyindex import Keys, keys_of, lookup, segment_bytes
from qsky.storage.store import Store

_KEYS_AT_ONCE: Final = 12_000_000
_SAMPLES_PER_RUN: Final = 2_000


@dataclass(frozen=True)
class Indexed:
    """The segments of a load, and whether each key lies in one chunk only."""

    segments: tuple[IndexSegment, ...]
    unique: bool


# Gives the keys and cells of one run after the other; called again for each range of keys.
KeyColumns = Callable[[], Iterable[tuple[pa.ChunkedArray, Ints]]]


def build_index(
    columns: KeyColumns, store: Store, table: Table, tiling: Tiling, settings: Settings, *, allow_duplicates: bool
) -> Indexed:
    """Write the segments of these keys as side files. `table.index` is what is there already.

    Raises duplicate-keys, with examples, unless duplicates are allowed.
    """
    unique = table.key_unique
    segments = []
    for keys, cells in _sorted_ranges(columns, settings):
        old_places, old_cells = lookup(store.folder, table.index, keys)
        repeats = keys.repeats()
        if (repeats.any() or len(old_places)) and not allow_duplicates:
            raise _duplicates(table, keys, np.union1d(np.flatnonzero(repeats), old_places), settings)
        leaves = tiling.leaf_of(cells)
        unique &= not bool(np.any(repeats[1:] & (leaves[1:] != leaves[:-1])))
        unique &= bool(np.all(tiling.leaf_of(old_cells) == leaves[old_places]))
        name = store.create_side_file("index", segment_bytes(keys, cells), "idx")
        segments.append(IndexSegment(name, len(keys), int(keys.high[0]), int(keys.high[-1])))
    return Indexed(tuple(segments), unique)


def _sorted_ranges(columns: KeyColumns, settings: Settings) -> Iterator[tuple[Keys, Ints]]:
    """All keys in ascending order, a range at a time; equal keys are in one range."""
    at_once = max(1, min(_KEYS_AT_ONCE, settings.index_segment_bytes_max // 24))
    fences = _fences(columns, at_once)
    for low, high in zip([None, *fences], [*fences, None], strict=True):
        found: list[tuple[Keys, Ints]] = []
        for column, cells in columns():
            keys = keys_of(column)
            places = _between(keys.high, low, high)
            if len(places):
                found.append((keys.take(places), cells[places]))
        if found:
            yield _in_order(found)


def _in_order(found: list[tuple[Keys, Ints]]) -> tuple[Keys, Ints]:
    lows = [keys.low for keys, _ in found if keys.low is not None]
    keys = Keys(np.concatenate([keys.high for keys, _ in found]), np.concatenate(lows) if lows else None)
    cells = np.concatenate([cells for _, cells in found])
    found.clear()
    order = keys.order()
    return keys.take(order), cells[order]


def _fences(columns: KeyColumns, at_once: int) -> list[int]:
    """Values that cut the keys into about equal ranges of at most `at_once`, by a sample."""
    total, samples = 0, []
    for column, _ in columns():
        total += len(column)
        every = max(1, len(column) // _SAMPLES_PER_RUN)
        samples.append(np.repeat(keys_of(column.combine_chunks()[::every]).high, every))
    ranges = -(-total // at_once)
    if ranges <= 1:
        return []
    sample = np.sort(np.concatenate(samples))
    return sorted({int(sample[len(sample) * i // ranges]) for i in range(1, ranges)})


def _between(values: Ints, low: int | None, high: int | None) -> Ints:
    if low is None and high is None:
        return np.arange(len(values))
    inside = np.ones(len(values), dtype=bool)
    if low is not None:
        inside &= values >= low
    if high is not None:
        inside &= values < high
    return np.flatnonzero(inside)


def _duplicates(table: Table, keys: Keys, places: Ints, settings: Settings) -> QskyError:
    examples = ""
    if keys.low is None:
        values = np.unique(keys.high[places])[: settings.rejects_shown]
        examples = f": {', '.join(map(str, values))}{', ...' if len(places) > len(values) else ''}"
    return QskyError(
        "duplicate-keys",
        f"The key {table.key} of the director {table.name} is not unique; {len(places)} rows or more repeat a key{examples}.",
        hint="Load each key once, or pass --allow-duplicate-keys (joins on this key are then slower).",
    )
