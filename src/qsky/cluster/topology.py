"""The hosts of a cluster, and the patches of sky that lie together: values, and arithmetic on arrays of cells.

A *placement unit* holds every part (director, overlap, children, match) of the chunks inside it, for all directors of a
database, so that whatever joins inside a chunk finds its files on one host. Units follow from the tilings and one
setting alone, never from the hosts: a unit keeps its name as long as the tilings keep their coarse leaves.

Called by the keeper's shell and by whoever asks where a part should lie. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qsky.catalog.snapshot import Tiling
from qsky.sky.healpix import ORDER_MAX, Ints, range_of

EVERYWHERE: Final = "*"
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Host:
    """One worker as placement sees it. `zone` is what fails together (a rack, a room), "" where nobody said.

    `capacity_bytes` is the size of its disks: hosts get bytes in proportion; 0 means as much as the others.
    """

    name: str
    zone: str = ""
    capacity_bytes: int = 0
    draining: bool = False
    alive: bool = True


@dataclass(frozen=True, eq=False)
class Units:
    """The placement units of one database: a tiling of the sphere in which every leaf of its tilings lies whole."""

    database: str
    cells: Tiling

    def __len__(self) -> int:
        return len(self.cells)

    def of_leaves(self, orders: NDArray[np.uint8], npix: Ints) -> Ints:
        """The unit (its place here) of each leaf (order, npix), shapes (n,) to (n,).

        A leaf of a tiling these units do not know may be larger than a unit; it goes with its first cell.
        """
        return self.cells.leaf_of(npix << (2 * (ORDER_MAX - orders.astype(np.int64))))

    def of_leaf(self, order: int, npix: int) -> int:
        """The unit of one leaf."""
        return int(self.cells.leaf_of(np.array([range_of(order, npix)[0]]))[0])

    def name(self, place: int) -> str:
        """What the unit is called, by its cell: the same in every revision that has it."""
        return f"{self.database}/{self.cells.orders[place]}/{self.cells.npix[place]}"

    def names(self) -> list[str]:
        """The names of all units."""
        pairs = zip(self.cells.orders.tolist(), self.cells.npix.tolist(), strict=True)
        return [f"{self.database}/{order}/{npix}" for order, npix in pairs]


def everywhere(database: str) -> str:
    """The unit of the replicated tables of a database, which every host holds."""
    return f"{database}/{EVERYWHERE}"


def is_everywhere(unit: str) -> bool:
    """Whether every host holds the parts of the unit."""
    return unit.endswith(f"/{EVERYWHERE}")


def units_of(database: str, tilings: Sequence[Tiling], placement_order: int) -> Units:
    """The units of a database: the cells of one order, and in their place every coarser leaf of any tiling.

    HEALPix cells lie in each other or apart, so the coarsest at each place cover the sphere once.
    """
    starts, orders = _coarse_leaves(tilings, placement_order)
    step = 1 << (2 * (ORDER_MAX - placement_order))
    fine = np.arange(12 << (2 * placement_order), dtype=np.int64) * step
    if len(starts):
        ends = starts + (np.int64(1) << (2 * (ORDER_MAX - orders)))
        place = np.searchsorted(starts, fine, side="right") - 1
        fine = fine[(place < 0) | (fine >= ends[np.maximum(place, 0)])]
    all_starts = np.concatenate((starts, fine))
    all_orders = np.concatenate((orders, np.full(len(fine), placement_order, dtype=np.int64)))
    sequence = np.argsort(all_starts, kind="stable")
    all_starts, all_orders = all_starts[sequence], all_orders[sequence]
    npix = all_starts >> (2 * (ORDER_MAX - all_orders))
    return Units(database, Tiling(all_orders.astype(np.uint8), npix))


def _coarse_leaves(tilings: Sequence[Tiling], placement_order: int) -> tuple[Ints, Ints]:
    """(starts, orders) of the leaves above the order that lie in no other, sorted."""
    none = np.empty(0, dtype=np.int64)
    coarse = [tiling.orders < placement_order for tiling in tilings]
    starts = np.concatenate([none, *(t.starts[c] for t, c in zip(tilings, coarse, strict=True))])
    orders = np.concatenate([none, *(t.orders[c].astype(np.int64) for t, c in zip(tilings, coarse, strict=True))])
    sequence = np.lexsort((orders, starts))
    starts, orders = starts[sequence], orders[sequence]
    ends = starts + (np.int64(1) << (2 * (ORDER_MAX - orders)))
    before = np.concatenate((none, np.zeros(min(1, len(ends)), dtype=np.int64), np.maximum.accumulate(ends)[:-1]))
    keep = starts >= before
    return starts[keep], orders[keep]


def hashes_of(names: Sequence[str]) -> Hashes:
    """64 bits of each name, the same on every machine; shape (n,)."""
    digests = b"".join(blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
