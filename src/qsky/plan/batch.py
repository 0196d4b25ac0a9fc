"""The rule `batch`: the chunks a query needs, in batches of one fragment each, and how each reference is read there.

A function of the plan's inputs alone, never of the machine's cores, so that one revision folds its floating sums the
same way every time. Small neighbouring chunks share a fragment, heavy ones are cut by ranges of cells. Rows without a
director join only each other: their parts make one more batch. Where overlap is read, a fragment has one chunk,
because a row may lie in the overlap of several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qsky.catalog.snapshot import NO_KEY, Parts
from qsky.plan.cells import common
from qsky.plan.draft import Draft
from qsky.plan.model import NO_CHUNK, Batch, Cells, Reading, Ref, Role, Team
from qsky.plan.near import grids_of
from qsky.plan.predicate import KeyIn
from qsky.plan.prune import probe_of
from qsky.sky.cover import ranges_within
from qsky.sky.healpix import Ints

_CUTS_MAX: Final = 64
# Scans are spread over at least so many fragments, unless these would be tiny.
_FRAGMENTS_WANTED: Final = 16
_FRAGMENT_BYTES_LEAST: Final = 4 << 20


@dataclass(frozen=True)
class _Leaves:
    """The chunks of the anchor: ranges of cells and bytes of the parts to be read of each. Shapes (n,)."""

    starts: Ints
    ends: Ints
    bytes: Ints


def batch(draft: Draft) -> Draft:
    """Batches and readings of a query that runs in chunks, or once."""
    if draft.gather:
        return draft
    if not draft.partitioned:
        readings = {a: _reading(draft, a, "whole", 0.0, None) for a in draft.refs}
        return replace(draft, readings=readings, batches=(NO_CHUNK,))
    cells = [_team_cells(team, draft) for team in draft.teams]
    anchor = draft.teams[0]
    own = reduce(common, (_reached(c, t) for c, t in zip(cells[1:], draft.teams[1:], strict=True)), cells[0])
    required = [draft.refs[alias] for alias in anchor.aliases if alias not in draft.optional]
    leaves = _leaves(required, [draft.refs[alias] for alias in anchor.aliases], own)
    single = any(team.overlap for team in draft.teams)
    whole = _bytes_whole(draft)
    batches = [*_batches(leaves, own, anchor, single, draft)]
    orphans = _orphans(anchor, required, draft)
    total = len(np.unique(required[0].snapshot.parts.leaf_starts[~required[0].snapshot.parts.orphans]))
    batches = [replace(b, bytes=b.bytes + whole) for b in (*batches, *orphans)]
    why = f"{len(leaves.starts)} of {total} chunks in {len(batches)} fragments"
    if orphans:
        why += ", the last for rows without a director"
    draft = draft.fired("batch", why, chunks_total=total, batches=tuple(batches))
    return replace(draft, readings=_readings(draft, cells, own))


def _team_cells(team: Team, draft: Draft) -> Cells | None:
    """What the predicates of all members leave: joined on the key, they share the director's cell."""
    return reduce(common, (draft.cells.get(alias) for alias in team.aliases), None)


def _reached(cells: Cells | None, team: Team) -> Cells | None:
    """Where the anchor's rows lie if a team's rows lie in `cells`."""
    return None if cells is None else ranges_within(*cells, team.reach_deg)


def usable(parts: Parts, cells: Cells | None) -> NDArray[np.bool_]:
    """Which parts, orphans aside, may have a row in the cells. Shape (n,)."""
    keep: NDArray[np.bool_] = ~parts.orphans
    if cells is not None:
        meeting = np.zeros(len(parts), dtype=bool)
        meeting[parts.meeting(*cells)] = True
        keep = keep & meeting
    return keep


def _leaves(required: list[Ref], members: list[Ref], cells: Cells | None) -> _Leaves:
    """The chunks in which every required member has rows."""
    starts: Ints | None = None
    for ref in required:
        mine = np.unique(ref.snapshot.parts.leaf_starts[usable(ref.snapshot.parts, cells)])
        starts = mine if starts is None else np.intersect1d(starts, mine, assume_unique=True)
    assert starts is not None, "the side a LEFT JOIN keeps is partitioned"
    parts = required[0].snapshot.parts
    ends = parts.leaf_ends[np.searchsorted(parts.leaf_starts, starts)]
    sizes = np.zeros(len(starts), dtype=np.int64)
    if len(starts) == 0:
        return _Leaves(starts, ends, sizes)
    for ref in members:
        parts = ref.snapshot.parts
        place = np.minimum(np.searchsorted(starts, parts.leaf_starts), len(starts) - 1)
        keep = usable(parts, cells) & (starts[place] == parts.leaf_starts)
        np.add.at(sizes, place[keep], parts.bytes[keep])
    return _Leaves(starts, ends, sizes)


def _batches(leaves: _Leaves, cells: Cells | None, anchor: Team, single: bool, draft: Draft) -> list[Batch]:
    count = len(leaves.starts)
    if count == 0:
        return []
    settings = draft.settings
    fair = max(int(leaves.bytes.sum()) // _FRAGMENTS_WANTED, _FRAGMENT_BYTES_LEAST)
    target = min(fair, settings.fragment_bytes_target)
    chunks_max = 1 if single else settings.fragment_chunks_max
    cuttable = all(draft.refs[alias].cell_column for alias in anchor.aliases)
    by_bytes = (np.cumsum(leaves.bytes) - leaves.bytes) // target
    change = np.flatnonzero(np.diff(by_bytes) != 0) + 1
    firsts = [0, *change.tolist(), count]
    batches: list[Batch] = []
    for low, high in pairwise(firsts):
        for first in range(low, high, chunks_max):
            last = min(first + chunks_max, high)
            size = int(leaves.bytes[first:last].sum())
            whole = Batch(leaves.starts[first:last], leaves.ends[first:last], size)
            heavy = last - first == 1 and size >= 2 * settings.fragment_bytes_target and cuttable
            batches.extend(_cut(whole, -(-size // target), cells) if heavy else [whole])
    return batches


def _cut(whole: Batch, pieces: int, cells: Cells | None) -> list[Batch]:
    """One heavy chunk as several batches, by equal ranges of the cells that can have rows."""
    here = common((whole.starts, whole.ends), cells)
    assert here is not None
    if len(here[0]) == 0:
        return [whole]
    low, high, pieces = int(here[0][0]), int(here[1][-1]), min(pieces, _CUTS_MAX)
    borders = [low + (high - low) * i // pieces for i in range(pieces + 1)]
    cuts = [(a, b) for a, b in pairwise(borders) if a < b]
    return [replace(whole, bytes=whole.bytes // len(cuts), cut=cut) for cut in cuts]


def batches_of_one(draft: Draft, alias: str) -> tuple[Batch, ...]:
    """The batches that read one reference alone, whole or pruned by its own predicates."""
    ref = draft.refs[alias]
    if not ref.table.partitioned:
        return (replace(NO_CHUNK, bytes=int(ref.snapshot.parts.bytes.sum())),)
    cells, team = draft.cells.get(alias), Team((alias,))
    batches = _batches(_leaves([ref], [ref], cells), cells, team, False, draft)
    places = orphan_places(ref, draft)
    if len(places):
        batches.append(replace(NO_CHUNK, bytes=int(ref.snapshot.parts.bytes[places].sum()), orphans=True))
    return tuple(batches)


def reading_of_one(draft: Draft, alias: str) -> Reading:
    """How `batches_of_one` reads the reference."""
    ref = draft.refs[alias]
    role: Role = "own" if ref.table.partitioned else "whole"
    return Reading(ref, "t", role, 0.0, draft.cells.get(alias), draft.dec_deg.get(alias))


# -- orphans


def orphan_places(ref: Ref, draft: Draft) -> Ints:
    """Parts of rows without a director, those left out whose keys cannot be the wanted ones.

    A key that the director has is no orphan's.
    """
    parts = ref.snapshot.parts
    keep = parts.orphans.copy()
    for fact in draft.facts:
        if isinstance(fact, KeyIn) and fact.alias == ref.alias:
            probe = probe_of(fact, draft.refs)
            if probe is not None and probe in draft.answers and draft.answers[probe].all:
                return np.empty(0, dtype=np.int64)
            keys = [key for key in fact.keys if isinstance(key, int)]
            if len(keys) == len(fact.keys):
                keep &= _may_have(parts, keys)
    return np.flatnonzero(keep)


def _may_have(parts: Parts, keys: list[int]) -> NDArray[np.bool_]:
    known = (parts.key_min != NO_KEY) & (parts.key_max != NO_KEY)
    ordered = np.array(sorted(keys), dtype=np.int64)
    first = np.searchsorted(ordered, parts.key_min, side="left")
    last = np.searchsorted(ordered, parts.key_max, side="right")
    return np.asarray(~known | (last > first))


def _orphans(anchor: Team, required: list[Ref], draft: Draft) -> list[Batch]:
    """One batch for rows without a director, if there can be joined rows of them."""
    if len(draft.teams) > 1 or any(len(orphan_places(ref, draft)) == 0 for ref in required):
        return []
    size = 0
    for alias in anchor.aliases:
        ref = draft.refs[alias]
        size += int(ref.snapshot.parts.bytes[orphan_places(ref, draft)].sum())
    return [replace(NO_CHUNK, bytes=size, orphans=True)]


# -- readings


def _bytes_whole(draft: Draft) -> int:
    """Bytes of the replicated tables, which every fragment reads."""
    replicated = (ref for ref in draft.refs.values() if not ref.table.partitioned)
    return sum(int(ref.snapshot.parts.bytes.sum()) for ref in replicated)


def _readings(draft: Draft, cells: list[Cells | None], own: Cells | None) -> Mapping[str, Reading]:
    readings: dict[str, Reading] = {}
    for place, (team, limits) in enumerate(zip(draft.teams, cells, strict=True)):
        role: Role = "own" if place == 0 else "overlap" if team.overlap else "around"
        for alias in team.aliases:
            readings[alias] = _reading(draft, alias, role, team.reach_deg, own if place == 0 else limits)
    for alias in draft.refs:
        if alias not in readings:
            readings[alias] = _reading(draft, alias, "whole", 0.0, None)
    return {alias: readings[alias] for alias in draft.refs}


def _reading(draft: Draft, alias: str, role: Role, reach_deg: float, cells: Cells | None) -> Reading:
    ref = draft.refs[alias]
    grids = grids_of(alias, draft.nears, draft.refs)
    name = f"t{list(draft.refs).index(alias)}"
    return Reading(ref, name, role, reach_deg, cells, draft.dec_deg.get(alias), grids)
