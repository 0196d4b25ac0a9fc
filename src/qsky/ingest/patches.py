"""Patches: the pieces of sky of a database that stay together, whatever its tables' tilings are.

A patch is the coarsest of all leaves over a place, or a cell of a fixed order if that is coarser; it holds every part
of every chunk in it. Pure. Called by `ingest.spread`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qsky.catalog.snapshot import Tiling
from qsky.sky.healpix import ORDER_MAX, Ints


def patch_starts(tilings: Sequence[Tiling], order: int) -> Ints:
    """Where the patches begin, as sorted order-29 cells; the first is 0, each ends where the next begins. Shape (n,)."""
    fixed = np.arange(12 << 2 * order, dtype=np.int64) << 2 * (ORDER_MAX - order)
    starts = np.concatenate([fixed, *(tiling.starts for tiling in tilings)])
    sizes = np.full(len(fixed), np.int64(1) << 2 * (ORDER_MAX - order))
    ends = np.concatenate([fixed + sizes, *(tiling.ends for tiling in tilings)])
    by_place = np.lexsort((-ends, starts))
    starts, ends = starts[by_place], ends[by_place]
    # Cells of one tree are nested or apart: one is coarsest if it begins where all before it have ended.
    reach = np.concatenate(([0], np.maximum.accumulate(ends)[:-1]))
    found: Ints = starts[starts >= reach]
    return found


def bundles(patches: Ints, leaf_starts: Ints, leaf_bytes: Ints, bytes_target: int) -> list[list[int]]:
    """Leaves (places in `leaf_starts`) in bundles of whole patches, of about `bytes_target` unless a patch is heavier.

    Only leaves with bytes are listed. Neighbouring patches are bundled.
    """
    patch_of = np.searchsorted(patches, leaf_starts, side="right") - 1
    found: list[list[int]] = []
    held, last = bytes_target + 1, -1
    for leaf in np.flatnonzero(leaf_bytes).tolist():
        if patch_of[leaf] != last and held + _patch_bytes(patch_of, leaf_bytes, leaf) > bytes_target:
            found.append([])
            held = 0
        found[-1].append(leaf)
        held += int(leaf_bytes[leaf])
        last = int(patch_of[leaf])
    return found


def _patch_bytes(patch_of: Ints, leaf_bytes: Ints, leaf: int) -> int:
    """The bytes of the patch that begins with a leaf."""
    end = int(np.searchsorted(patch_of, patch_of[leaf], side="right"))
    return int(leaf_bytes[leaf:end].sum())
