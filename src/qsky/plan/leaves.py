"""The chunks that can have an answer, and what is to be read of each: binary searches on arrays. Pure.

Called by plan.batch, plan.gather and plan.spell. With cells given, the work grows with the chunks found, not with the
chunks there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qsky.catalog.snapshot import Parts
from qsky.plan.model import Cells, Ref
from qsky.sky.healpix import Ints


@dataclass(frozen=True, eq=False)
class Leaves:
    """Chunks as ranges of cells, and the bytes of the parts to be read of each. Shapes (n,)."""

    starts: Ints
    ends: Ints
    bytes: Ints


def places_in(parts: Parts, cells: Cells | None) -> Ints:
    """Places of the own parts, orphans aside, that may have a row in the cells; sorted."""
    if cells is None:
        return np.flatnonzero(~parts.orphans)
    first = np.searchsorted(parts.leaf_ends, cells[0], side="right")
    last = np.searchsorted(parts.leaf_starts, cells[1], side="left")
    return meeting(parts, _distinct(first, last), cells)


def _distinct(first: Ints, last: Ints) -> Ints:
    """The places in the half-open spans, sorted, each once; the spans are sorted and may overlap."""
    counts = np.maximum(last - first, 0)
    at = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    return at[np.concatenate(([True], np.diff(at) > 0))] if len(at) and np.all(np.diff(at) >= 0) else np.unique(at)


def meeting(parts: Parts, places: Ints, cells: Cells | None) -> Ints:
    """Those of the places, orphans aside, whose smallest and largest cell allow a row in the cells."""
    keep = ~parts.orphans[places]
    if cells is not None:
        first = np.searchsorted(cells[1], parts.hp_min[places], side="right")
        inside = first < len(cells[0])
        meets = np.zeros(len(places), dtype=bool)
        meets[inside] = cells[0][first[inside]] <= parts.hp_max[places][inside]
        keep = keep & meets
    return places[keep]


def chunks_of(parts: Parts) -> int:
    """How many chunks have rows, orphans aside."""
    return len(_run_starts(parts.leaf_starts[~parts.orphans]))


def _run_starts(ordered: Ints) -> Ints:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.concatenate((np.ones(min(len(ordered), 1), dtype=bool), ordered[1:] != ordered[:-1])))


def leaves_of(required: list[Ref], members: list[Ref], cells: Cells | None) -> Leaves:
    """The chunks in which every required member has rows, with the bytes of all members."""
    starts: Ints | None = None
    for ref in required:
        parts = ref.snapshot.parts
        own = parts.leaf_starts[places_in(parts, cells)]
        mine = own[_run_starts(own)]
        starts = mine if starts is None else np.intersect1d(starts, mine, assume_unique=True)
    assert starts is not None, "the side a LEFT JOIN keeps is partitioned"
    parts = required[0].snapshot.parts
    ends = parts.leaf_ends[np.searchsorted(parts.leaf_starts, starts)]
    sizes = np.zeros(len(starts), dtype=np.int64)
    if len(starts):
        for ref in members:
            sizes += _sizes(ref.snapshot.parts, places_in(ref.snapshot.parts, cells), starts)
    return Leaves(starts, ends, sizes)


def _sizes(parts: Parts, places: Ints, starts: Ints) -> Ints:
    """Bytes of the parts in each chunk. Parts of one chunk are neighbours, so most of the work is adding runs."""
    sizes = np.zeros(len(starts), dtype=np.int64)
    if len(places):
        own = parts.leaf_starts[places]
        runs = _run_starts(own)
        mine, sums = own[runs], np.add.reduceat(parts.bytes[places], runs)
        if np.array_equal(mine, starts):
            return sums
        at = np.minimum(np.searchsorted(starts, mine), len(starts) - 1)
        there = starts[at] == mine
        sizes[at[there]] = sums[there]
    return sizes
