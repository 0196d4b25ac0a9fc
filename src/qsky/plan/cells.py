"""Sets of order-29 cells as sorted half-open ranges: intersection and membership. Called by the rules of `plan`; pure."""

from __future__ import annotations

import numpy as np

from qsky.plan.model import Cells
from qsky.sky.healpix import CELLS_29, Ints, merge_ranges

EVERYWHERE: Cells = (np.array([0], dtype=np.int64), np.array([CELLS_29], dtype=np.int64))


def common(left: Cells | None, right: Cells | None) -> Cells | None:
    """The cells in both; None is the whole sphere."""
    if left is None or right is None:
        return right if left is None else left
    first = np.searchsorted(right[1], left[0], side="right")
    last = np.searchsorted(right[0], left[1], side="left")
    counts = np.maximum(last - first, 0)
    mine = np.repeat(np.arange(len(left[0])), counts)
    theirs = np.arange(len(mine)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    return np.maximum(left[0][mine], right[0][theirs]), np.minimum(left[1][mine], right[1][theirs])


def of_single(cells: Ints) -> Cells:
    """Ranges that hold exactly the given cells, in any order, repeated or not."""
    return merge_ranges(cells, cells + 1)


def within(low: int, high: int) -> Cells:
    """The half-open range, cut to the sphere; empty if there is nothing in it."""
    low, high = max(low, 0), min(high, CELLS_29)
    if low >= high:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    return np.array([low], dtype=np.int64), np.array([high], dtype=np.int64)
