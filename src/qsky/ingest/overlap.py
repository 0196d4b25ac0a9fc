"""Which rows must be copied around which chunks: overlaps, complete by construction.

A row belongs to the overlap of a chunk if it lies in another chunk and within the overlap angle of this one. The
search is by cells of the order at which everything within the angle lies in a cell or its neighbours
(`order_for_neighbours`), so some rows farther off are copied too, as HATS allows; joins test distances themselves.
The tiling covers the whole sphere and never changes within a generation, so a row's copies depend on the row alone:
an append copies its own rows outwards, and the old rows around a chunk that was empty are there already.
Pure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsky.catalog.snapshot import Tiling
from qsky.sky.healpix import ORDER_MAX, Ints, neighbours_of, order_for_neighbours

_EVEN_BITS = 0x5555555555555555


def copies_of(cells_29: Ints, tiling: Tiling, overlap_arcsec: float) -> tuple[Ints, Ints]:
    """The copies that sorted rows need: (row, leaf) pairs, shapes (m,), each pair once.

    `row` counts in `cells_29`, `leaf` in the tiling.
    """
    nothing = np.empty(0, dtype=np.int64)
    if overlap_arcsec <= 0 or len(cells_29) == 0 or len(tiling) == 1:
        return nothing, nothing
    order = order_for_neighbours(overlap_arcsec / 3600)
    if order < 0:
        return _everywhere(cells_29, tiling)
    pixels = cells_29 >> (2 * (ORDER_MAX - order))
    first = np.flatnonzero(np.concatenate(([True], pixels[1:] != pixels[:-1])))
    border = _touches_border(pixels[first], order, tiling)
    counts = np.diff(np.append(first, len(pixels)))[border]
    first = first[border]
    pixel_place, leaf = _leaves_around(pixels[first], order, tiling)
    rows = _expand(first[pixel_place], counts[pixel_place])
    leaves = np.repeat(leaf, counts[pixel_place])
    foreign = tiling.leaf_of(cells_29[rows]) != leaves
    return rows[foreign], leaves[foreign]


def _everywhere(cells_29: Ints, tiling: Tiling) -> tuple[Ints, Ints]:
    """An angle so wide that every chunk needs every row."""
    rows = np.repeat(np.arange(len(cells_29)), len(tiling))
    leaves = np.tile(np.arange(len(tiling)), len(cells_29))
    foreign = tiling.leaf_of(cells_29[rows]) != leaves
    return rows[foreign], leaves[foreign]


def _touches_border(pixels: Ints, order: int, tiling: Tiling) -> NDArray[np.bool_]:
    """Whether each pixel lies on the rim of its leaf: one of its two in-leaf coordinates is all zeros or all ones.

    NESTED numbers interleave the two coordinates inside a base cell, so the test is four comparisons.
    """
    leaf = tiling.leaf_of(pixels << (2 * (ORDER_MAX - order)))
    depth = order - tiling.orders[leaf].astype(np.int64)
    inside = (np.int64(1) << (2 * np.maximum(depth, 0))) - 1
    x_mask = inside & _EVEN_BITS
    y_mask = inside & ~_EVEN_BITS
    x, y = pixels & x_mask, pixels & y_mask
    rim: NDArray[np.bool_] = (depth <= 0) | (x == 0) | (x == x_mask) | (y == 0) | (y == y_mask)
    return rim


def _leaves_around(pixels: Ints, order: int, tiling: Tiling) -> tuple[Ints, Ints]:
    """The leaves that meet each pixel or a neighbour of it: (place in `pixels`, leaf), each pair once."""
    around = neighbours_of(pixels, order)
    places, which = np.nonzero(around >= 0)
    shift = 2 * (ORDER_MAX - order)
    starts = around[places, which] << shift
    first = tiling.leaf_of(starts)
    last = tiling.leaf_of(starts + (1 << shift) - 1)
    leaves = _expand(first, last - first + 1)
    pairs = np.unique(np.repeat(places, last - first + 1) * len(tiling) + leaves)
    return pairs // len(tiling), pairs % len(tiling)


def _expand(starts: Ints, counts: Ints) -> Ints:
    """starts[0], starts[0]+1, ... counts[0] of them, then the next."""
    total = int(counts.sum())
    offsets = np.repeat(starts - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
    return offsets + np.arange(total)
