"""The adaptive tiling of a director: leaves are split while they hold more rows, or bytes, than a chunk may.

Pure. Counts are kept per cell of the deepest order allowed; the tree is cut from the top, so that siblings stay whole
where nothing asks for a split and the leaves cover the whole sphere.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from qsky.catalog.snapshot import Tiling
from qsky.sky.healpix import CELLS_29, ORDER_MAX, Ints

Weights = NDArray[np.float64]
# A page has 4096 cells, more where there would be more pages than the sphere has cells of order 4.
_PAGE_BITS_LEAST: Final = 12
_PAGE_ORDER_MAX: Final = 4


class CountMap:
    """How much lies in each cell of one order; weights of the same cell add up.

    Kept by pages of neighbouring cells, made when first touched: a small table must not pay for the whole sphere.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        self._page_bits = max(_PAGE_BITS_LEAST, 2 * (order - _PAGE_ORDER_MAX))
        self._pages: dict[int, Weights] = {}

    def add(self, cells_29: Ints) -> None:
        """Count rows by their sorted cells."""
        if len(cells_29) == 0:
            return
        self.add_counted(*_counted(cells_29 >> (2 * (ORDER_MAX - self.order))))

    def add_counted(self, cells: Ints, counts: Ints | Weights) -> None:
        """Add what each of some sorted cells of this order holds; none twice."""
        if len(cells) == 0:
            return
        pages, lengths = _counted(cells >> self._page_bits)
        ends = np.cumsum(lengths)
        for page, low, high in zip(pages.tolist(), (ends - lengths).tolist(), ends.tolist(), strict=True):
            if page not in self._pages:
                self._pages[page] = np.zeros(1 << self._page_bits)
            self._pages[page][cells[low:high] - (page << self._page_bits)] += counts[low:high]

    def cells(self) -> tuple[Ints, Weights]:
        """The cells that hold something, sorted, and what they hold."""
        cells, weights = [np.empty(0, dtype=np.int64)], [np.empty(0)]
        for page, held in sorted(self._pages.items()):
            inside = np.flatnonzero(held)
            cells.append(inside + (page << self._page_bits))
            weights.append(held[inside])
        return np.concatenate(cells), np.concatenate(weights)


def _counted(ordered: Ints) -> tuple[Ints, Ints]:
    """The distinct values of a sorted array, which is not empty, and how often each occurs."""
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return ordered[first], np.diff(np.append(first, len(ordered)))


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
