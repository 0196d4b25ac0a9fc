"""Sets of order-29 cells that surely hold a region, as merged half-open ranges. Pure; sky.region and plan call it.

A cover is for leaving chunks and row groups unread, so it may be too large and must never be too small: every test
on a cell uses the circle around it. The exact question, whether a point is inside, is `contains` of the region.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qsky.sky.healpix import (
    CELLS_29,
    NATIVE,
    ORDER_MAX,
    Floats,
    Ints,
    centres_of,
    merge_ranges,
    order_for_neighbours,
)

Bools = NDArray[np.bool_]
Ranges = tuple[Ints, Ints]

# The largest distance from a cell's centre to its corners, in radians times 2**order, over all orders; sampled in
# tests/sky/test_healpix.py (0.841 at order 0, rising to 1.0690 deep down).
CIRCUMRADIUS_RAD: Final = 1.0695
# What rounding may move a point on the border of a region, and a little more.
SLACK_DEG: Final = 2e-9
_SLACK_RAD: Final = float(np.radians(SLACK_DEG))
# Larger cones are covered by our own refinement.
_SEARCHED_DEG_MAX: Final = 10.0
# How far below a cell its outer neighbours are named in `ranges_within`: finer is tighter and slower.
_FINER_MAX: Final = 4


def vectors(ra_deg: Floats, dec_deg: Floats) -> Floats:
    """Unit vectors of positions in degrees; shapes (n,) and (n,) to (n, 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)), axis=-1)


def everything() -> Ranges:
    """The whole sphere as one range."""
    return np.array([0], dtype=np.int64), np.array([CELLS_29], dtype=np.int64)


def ranges_of(cells: Ints, order: Ints | int) -> Ranges:
    """The ranges of cells, each of its own order or all of one; not merged."""
    shift = 2 * (ORDER_MAX - np.asarray(order, dtype=np.int64))
    cells = cells.astype(np.int64)
    return cells << shift, (cells + 1) << shift


def at_most(ranges: Ranges, ranges_max: int) -> Ranges:
    """A superset in no more than `ranges_max` ranges: the smallest gaps are closed first."""
    starts, ends = ranges
    if len(starts) <= ranges_max:
        return ranges
    if ranges_max == 1:
        return starts[:1], ends[-1:]
    gaps = starts[1:] - ends[:-1]
    kept = np.sort(np.argpartition(gaps, len(gaps) - (ranges_max - 1))[len(gaps) - (ranges_max - 1) :])
    return starts[np.concatenate(([0], kept + 1))], ends[np.concatenate((kept, [len(ends) - 1]))]


def cone_cover(ra_deg: float, dec_deg: float, radius_deg: float, ranges_max: int) -> Ranges:
    """The cells that a closed cone may touch.

    The compiled search is fast, and leaves cells out for cones beyond a hemisphere (seen with cdshealpix 0.9 at 137
    degrees); it is asked for small ones only.
    """
    radius = min(float(np.radians(radius_deg)) * (1 + 1e-12) + _SLACK_RAD, np.pi)
    if radius_deg > _SEARCHED_DEG_MAX:
        centre = vectors(np.array([ra_deg]), np.array([dec_deg]))[0]

        def touches(centres: Floats, reach: float) -> Bools:
            return np.asarray(centres @ centre >= np.cos(min(radius + reach, np.pi)) - 1e-15)

        return refined_cover(np.arange(12, dtype=np.int64), 0, touches, ranges_max)
    order = int(np.clip(np.floor(-np.log2(radius)) + 2, 0, ORDER_MAX))
    cells, orders = _searched(ra_deg, dec_deg, radius, order, flat=False)
    return at_most(merge_ranges(*ranges_of(cells, orders)), ranges_max)


def refined_cover(seeds: Ints, order: int, touches: Callable[[Floats, float], Bools], ranges_max: int) -> Ranges:
    """The cells below `seeds` (of one order) that a region may touch, as deep as the number of ranges allows.

    `touches(centres, radius_rad)` says for unit vectors (n, 3) whether the region may come within the radius of each;
    True is always allowed. A cell that the region holds wholly costs no more than its border does, since the ranges
    of neighbours merge.
    """
    kept = seeds
    while True:
        ra, dec = centres_of(kept, order)
        kept = kept[touches(vectors(ra, dec), CIRCUMRADIUS_RAD / 2**order + _SLACK_RAD)]
        starts, ends = merge_ranges(*ranges_of(kept, order))
        if len(starts) > ranges_max // 3 or len(kept) > 3 * ranges_max or order == ORDER_MAX or not len(kept):
            return at_most((starts, ends), ranges_max)
        kept = ((kept << 2)[:, None] + np.arange(4)).ravel()
        order += 1


def seeds_around(ra_deg: float, dec_deg: float, radius_deg: float) -> tuple[Ints, int]:
    """Some hundred cells of one order that surely hold a cone: where `refined_cover` may start.

    One search instead of many small steps: cdshealpix starts a thread for each call that takes an array.
    """
    if radius_deg > _SEARCHED_DEG_MAX:
        return np.arange(12, dtype=np.int64), 0
    radius = float(np.radians(radius_deg)) * (1 + 1e-12) + _SLACK_RAD
    order = int(np.clip(np.floor(-np.log2(radius)) + 3, 0, ORDER_MAX))
    return _searched(ra_deg, dec_deg, radius, order, flat=True)[0], order


def _searched(ra_deg: float, dec_deg: float, radius: float, order: int, *, flat: bool) -> tuple[Ints, Ints]:
    """The cells of a small cone (radius in radians) and their orders; all of one order if `flat`."""
    finer = min(2, ORDER_MAX - order)
    cells, orders, _ = NATIVE.cone_search(
        np.uint8(order), np.uint8(finer), np.radians(ra_deg % 360.0), np.radians(dec_deg), radius, flat
    )
    return cells.astype(np.int64), orders.astype(np.int64)


def _cells_in(ranges: Ranges, order_max: int) -> dict[int, Ints]:
    """Whole cells that make up the ranges, largest first, after rounding them outwards to `order_max`."""
    shift = 2 * (ORDER_MAX - order_max)
    starts, ends = merge_ranges((ranges[0] >> shift) << shift, (ranges[1] + (1 << shift) - 1) >> shift << shift)
    found: dict[int, Ints] = {}
    for order in range(order_max + 1):
        shift = 2 * (ORDER_MAX - order)
        first, last = (starts + (1 << shift) - 1) >> shift, ends >> shift
        whole = first < last
        if whole.any():
            runs = [np.arange(a, b, dtype=np.int64) for a, b in zip(first[whole], last[whole], strict=True)]
            found[order] = np.concatenate(runs)
            left = np.concatenate((starts[whole], last[whole] << shift, starts[~whole]))
            right = np.concatenate((first[whole] << shift, ends[whole], ends[~whole]))
            starts, ends = left[left < right], right[left < right]
    return found


def ranges_within(starts: Ints, ends: Ints, angle_deg: float, ranges_max: int = 4096) -> Ranges:
    """A cover of everything within `angle_deg` of the given ranges, themselves included: what neighbours may hold.

    A point near a cell lies in the cell, or in a neighbour of one of its sub-cells as long as these are wider than the
    angle; so each cell is taken with the ring of sub-cells around it.
    """
    order_max = order_for_neighbours(angle_deg + SLACK_DEG)
    if order_max < 0:
        return everything()
    pieces = [(starts.astype(np.int64), ends.astype(np.int64))]
    for order, cells in _cells_in(pieces[0], order_max).items():
        pieces.append(ranges_of(cells, order))
        pieces.append(ranges_of(*_ring_around(cells, order, min(_FINER_MAX, order_max - order))))
    merged = merge_ranges(np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces]))
    return at_most(merged, ranges_max)


def _ring_around(cells: Ints, order: int, finer: int) -> tuple[Ints, int]:
    """The cells of `order + finer` that touch each cell from outside; each once."""
    edges = np.zeros((len(cells), 4 << finer), dtype=np.uint64)
    corners = np.zeros((len(cells), 4), dtype=np.int64)
    NATIVE.external_neighbours(order, finer, cells.view(np.uint64), corners, edges, np.uint16(1))
    around = np.unique(np.concatenate((edges.view(np.int64).ravel(), corners.ravel())))
    return around[around >= 0], order + finer
