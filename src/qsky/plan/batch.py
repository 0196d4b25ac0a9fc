"""The rule `batch`: the chunks a query needs, in batches of one fragment each, and how each reference is read there.

A function of the plan's inputs alone, never of the machine's cores, so that one revision folds its floating sums the
same way every time. Small neighbouring chunks share a fragment, unless they may lie on different workers
(`fragment_cell_order`); heavy ones are cut by ranges of cells. Rows without a
director join only each other: their parts make one more batch. Where overlap is read, a fragment has one chunk,
because a row may lie in the overlap of several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qsky.catalog.snapshot import NO_KEY, Parts
from qsky.plan.cells import common
from qsky.plan.draft import Draft
from qsky.plan.leaves import Leaves, chunks_of, leaves_of
from qsky.plan.model import NO_BATCHES, Batches, Cells, Reading, Ref, Role, Team
from qsky.plan.near import grids_of
from qsky.plan.predicate import KeyIn
from qsky.plan.prune import probe_of
from qsky.sky.cover import ranges_within
from qsky.sky.healpix import CELLS_29, ORDER_MAX, Ints
from qsky.sql.parts import windows_in

_CUTS_MAX: Final = 64
# Scans are spread over at least so many fragments, unless these would be tiny.
_FRAGMENTS_WANTED: Final = 16
_FRAGMENT_BYTES_LEAST: Final = 4 << 20


def batch(draft: Draft) -> Draft:
    """Batches and readings of a query that runs in chunks, or once."""
    if draft.gather:
        return draft.kept("batch", "each table is read alone, in fragments of its own")
    whole = sum(int(ref.snapshot.parts.bytes.sum()) for ref in draft.refs.values() if not ref.table.partitioned)
    if not draft.partitioned:
        readings = {a: _reading(draft, a, "whole", 0.0, None) for a in draft.refs}
        draft = draft.kept("batch", "no partitioned table: one fragment")
        return replace(draft, readings=readings, batches=NO_BATCHES.with_one_more(whole, orphans=False))
    cells = [_team_cells(team, draft) for team in draft.teams]
    anchor = draft.teams[0]
    own = reduce(common, (_reached(c, t) for c, t in zip(cells[1:], draft.teams[1:], strict=True)), cells[0])
    required = [draft.refs[alias] for alias in anchor.aliases if alias not in draft.optional]
    leaves = leaves_of(required, [draft.refs[alias] for alias in anchor.aliases], own)
    single = any(team.overlap for team in draft.teams)
    batches = _batches(leaves, own, anchor, single, draft)
    batches = _with_orphans(batches, anchor, required, draft)
    batches = replace(batches, sizes=batches.sizes + whole)
    total = chunks_of(required[0].snapshot.parts)
    why = f"{batches.chunks} of {total} chunks in {len(batches)} fragments"
    if batches.orphans:
        why += ", the last for rows without a director"
    draft = draft.fired("batch", why, chunks_total=total, batches=batches)
    return replace(draft, readings=_readings(draft, cells, own))


def _team_cells(team: Team, draft: Draft) -> Cells | None:
    """What the predicates of all members leave: joined on the key, they share the director's cell."""
    return reduce(common, (draft.cells.get(alias) for alias in team.aliases), None)


def _reached(cells: Cells | None, team: Team) -> Cells | None:
    """Where the anchor's rows lie if a team's rows lie in `cells`."""
    return None if cells is None else ranges_within(*cells, team.reach_deg)


def _batches(leaves: Leaves, cells: Cells | None, anchor: Team, single: bool, draft: Draft) -> Batches:
    """Neighbouring chunks together up to the target, heavy ones in several batches."""
    count = len(leaves.starts)
    if count == 0:
        return NO_BATCHES
    settings = draft.settings
    total = int(leaves.bytes.sum())
    largest = max(settings.fragment_bytes_target, total // settings.fragments_target)
    target = min(max(total // _FRAGMENTS_WANTED, _FRAGMENT_BYTES_LEAST), largest)
    by_bytes = (np.cumsum(leaves.bytes) - leaves.bytes) // target
    group = np.concatenate(([0], np.cumsum((np.diff(by_bytes) != 0) | _apart(leaves, settings.fragment_cell_order))))
    first_rows = _gives_first_rows(draft, cells)
    if first_rows:
        group[1:] += 1  # the first chunk by itself
    inside = np.arange(count) - np.searchsorted(group, group, side="left")
    chunks_max = 1 if single else settings.fragment_chunks_max
    firsts = np.flatnonzero(inside % chunks_max == 0)
    lasts = np.append(firsts[1:], count)
    sizes = np.add.reduceat(leaves.bytes, firsts)
    heavy = (lasts - firsts == 1) & (sizes >= 2 * largest)
    if not all(draft.refs[alias].cell_column for alias in anchor.aliases):
        heavy[:] = False
    pieces = np.where(heavy, np.minimum(-(-sizes // target), _CUTS_MAX), 1)
    if first_rows:
        pieces[0] = max(pieces[0], min(-(-sizes[0] // settings.first_rows_bytes_target), _CUTS_MAX))
    return _cut(leaves, cells, firsts, lasts, sizes, pieces)


def _apart(leaves: Leaves, order: int) -> NDArray[np.bool_]:
    """Whether each two neighbours lie in different cells of an order, so that no worker need have both."""
    if order < 0:
        return np.zeros(len(leaves.starts) - 1, dtype=np.bool_)
    return np.asarray(np.diff(leaves.starts >> (2 * (ORDER_MAX - order))) != 0)


def _gives_first_rows(draft: Draft, cells: Cells | None) -> bool:
    """Whether the rows of the first fragment are the first of the answer, and can come sooner from a part of a chunk."""
    query = draft.query
    passes = not (query.aggregates or query.distinct or query.order_by or windows_in(query))
    (ref, *others) = draft.refs.values()
    return passes and cells is None and not others and bool(ref.cell_column)


def _cut(leaves: Leaves, cells: Cells | None, firsts: Ints, lasts: Ints, sizes: Ints, pieces: Ints) -> Batches:
    """Each batch as so many pieces, by equal ranges of the cells that can have rows."""
    lows, highs = leaves.starts[firsts], leaves.ends[lasts - 1]
    if cells is not None:
        lows = np.maximum(lows, cells[0][np.searchsorted(cells[1], lows, side="right")])
        highs = np.minimum(highs, cells[1][np.searchsorted(cells[0], highs, side="left") - 1])
    pieces = np.maximum(np.minimum(pieces, highs - lows), 1)
    piece = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    step, whole = np.repeat((highs - lows) // pieces, pieces), np.repeat(pieces == 1, pieces)
    low, last = np.repeat(lows, pieces) + piece * step, piece == np.repeat(pieces, pieces) - 1
    high = np.where(last, np.repeat(highs, pieces), low + step)
    return Batches(
        leaves.starts,
        leaves.ends,
        np.repeat(firsts, pieces),
        np.repeat(lasts, pieces),
        np.repeat(sizes // pieces, pieces),
        np.where(whole, 0, low),
        np.where(whole, CELLS_29, high),
    )


def batches_of_one(draft: Draft, alias: str) -> Batches:
    """The batches that read one reference alone, whole or pruned by its own predicates."""
    ref = draft.refs[alias]
    if not ref.table.partitioned:
        return NO_BATCHES.with_one_more(int(ref.snapshot.parts.bytes.sum()), orphans=False)
    cells, team = draft.cells.get(alias), Team((alias,))
    return _with_orphans(_batches(leaves_of([ref], [ref], cells), cells, team, False, draft), team, [ref], draft)


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


def _with_orphans(batches: Batches, anchor: Team, required: list[Ref], draft: Draft) -> Batches:
    """One batch more for rows without a director, if there can be joined rows of them."""
    elsewhere = set(draft.partitioned) - set(anchor.aliases) - draft.optional
    if elsewhere and not draft.gather:
        return batches
    if any(len(orphan_places(ref, draft)) == 0 for ref in required):
        return batches
    members = [draft.refs[alias] for alias in anchor.aliases]
    size = sum(int(ref.snapshot.parts.bytes[orphan_places(ref, draft)].sum()) for ref in members)
    return batches.with_one_more(size, orphans=True)


# -- readings


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
