"""The adaptive tiling of a director: leaves are split while they hold more rows, or bytes, than a chunk may.

Pure. Counts are kept per cell of the deepest order allowed; the tree is cut from the top, so that siblings stay whole
where nothing asks for a split and the leaves cover the whole sphere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsky.catalog.snapshot import Tiling
from qsky.sky.healpix import CELLS_29, ORDER_MAX, Ints

Weights = NDArray[np.float64]


class CountMap:
    """How much lies in each cell of one order; weights of the same cell add up."""

    def __init__(self, order: int) -> None:
        self.order = order
        # Pages of cells that nothing touches are never made, so a sparse sky costs little.
        self._weights: Weights = np.zeros(12 << (2 * order), dtype=np.float64)

    def add(self, cells_29: Ints) -> None:
        """Count rows by their sorted cells."""
        if len(cells_29) == 0:
            return
        cells = cells_29 >> (2 * (ORDER_MAX - self.order))
        first = np.flatnonzero(np.concatenate(([True], cells[1:] != cells[:-1])))
        self._weights[cells[first]] += np.diff(np.append(first, len(cells)))

    def cells(self) -> tuple[Ints, Weights]:
        """The cells that hold something, sorted, and what they hold."""
        cells = np.flatnonzero(self._weights)
        return cells, self._weights[cells]


def tiling_of(cells: Ints, weights: Weights, order: int) -> Tiling:
    """Cut the sphere so that no leaf above `order` holds more than 1.0.

    `cells` are sorted cells of `order`, `weights` what they hold in units of a full chunk.
    """
    total = np.concatenate(([0.0], np.cumsum(weights)))
    leaves: list[tuple[NDArray[np.uint8], Ints]] = []
    candidates = np.arange(12, dtype=np.int64)
    for depth in range(order + 1):
        shift = 2 * (order - depth)
        low = np.searchsorted(cells, candidates << shift)
        high = np.searchsorted(cells, (candidates + 1) << shift)
        # One row more than the limit must split; rounding of the sums must not.
        heavy = (total[high] - total[low] > 1.0 + 1e-9) & (depth < order)
        done = candidates[~heavy]
        leaves.append((np.full(len(done), depth, dtype=np.uint8), done))
        candidates = ((candidates[heavy] << 2)[:, None] + np.arange(4)).ravel()
        if len(candidates) == 0:
            break
    orders = np.concatenate([order for order, _ in leaves])
    npix = np.concatenate([cells for _, cells in leaves])
    by_start = np.argsort(npix << (2 * (ORDER_MAX - orders.astype(np.int64))))
    return Tiling(orders[by_start], npix[by_start])


def tiling_covering(orders: NDArray[np.uint8], npix: Ints) -> Tiling:
    """A tiling of the whole sphere that has the given leaves (sorted, disjoint); gaps become the largest cells that fit."""
    shift = 2 * (ORDER_MAX - orders.astype(np.int64))
    starts, ends = npix << shift, (npix + 1) << shift
    gap_starts = np.concatenate(([0], ends))
    gap_ends = np.concatenate((starts, [CELLS_29]))
    filled = [
        cell for low, high in zip(gap_starts, gap_ends, strict=True) for cell in _cells_filling(int(low), int(high))
    ]
    fill_orders = np.array([order for order, _ in filled], dtype=np.uint8)
    fill_npix = np.array([cell for _, cell in filled], dtype=np.int64)
    all_orders, all_npix = np.concatenate((orders, fill_orders)), np.concatenate((npix, fill_npix))
    by_start = np.argsort(all_npix << (2 * (ORDER_MAX - all_orders.astype(np.int64))))
    return Tiling(all_orders[by_start], all_npix[by_start])


def _cells_filling(low: int, high: int) -> list[tuple[int, int]]:
    """The fewest cells (order, npix) that make up a half-open range of order-29 cells."""
    cells = []
    while low < high:
        aligned = (low & -low).bit_length() - 1 if low else 58
        fits = (high - low).bit_length() - 1
        depth = min(aligned, fits, 58) // 2
        cells.append((ORDER_MAX - depth, low >> (2 * depth)))
        low += 1 << (2 * depth)
    return cells
