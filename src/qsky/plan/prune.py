"""The rule `prune`: from predicates to the cells that can hold an answer, one set per table reference.

A director's rows lie at their own position; a child's rows lie at their director's, at most `own_angle_arcsec_max`
away. Rows without a director (orphans) are never pruned by cells: plan.batch keeps their parts. The user's own
predicates stay in the SQL; what is found here only leaves files and row groups unread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from qsky.catalog.model import Kind
from qsky.plan.axes import OnAxis, boxes, spans_text
from qsky.plan.cells import common, of_single
from qsky.plan.draft import Draft, binding_predicates
from qsky.plan.listed import listed_cells, listed_keys
from qsky.plan.model import Cells, Probe, Ref
from qsky.plan.predicate import CellsIn, Fact, InRegion, KeyIn, Refs, recognise
from qsky.sky.healpix import merge_ranges
from qsky.sky.region import Region

_NO_CELLS: Final = np.empty(0, dtype=np.int64)


def facts_of(predicates: Iterable[object], refs: Refs) -> tuple[Fact, ...]:
    """What the predicates say about places."""
    found = (recognise(predicate, refs) for predicate in predicates)  # type: ignore[arg-type]
    return tuple(fact for fact in found if fact is not None)


def probe_of(fact: KeyIn, refs: Refs) -> Probe | None:
    """The index lookup that says where those keys lie; None for tables without an index."""
    ref = refs[fact.alias]
    if ref.table.attached is not None or (ref.table.kind is Kind.DIRECTOR and not ref.table.index):
        return None
    return Probe(ref.snapshot.database, ref.table.family, fact.keys)


def prune(draft: Draft) -> Draft:
    """Cells and declinations each reference's rows must lie in, as far as predicates say."""
    facts = (*facts_of(binding_predicates(draft.query), draft.refs), *listed_keys(draft.query, draft.refs, draft.given))
    draft = replace(draft, facts=facts)
    cells: dict[str, Cells] = {}
    dec: dict[str, tuple[float, float]] = {}
    for fact in facts:
        if not isinstance(fact, InRegion | KeyIn | CellsIn):
            continue
        ref = draft.refs[fact.alias]
        found = _cells_of(fact, ref, draft)
        if found is not None:
            cells[fact.alias] = found if fact.alias not in cells else _both(cells[fact.alias], found)
            draft = draft.fired("prune", _sentence(fact, ref, found))
        if isinstance(fact, InRegion):
            low, high = fact.region.dec_range()
            old_low, old_high = dec.get(fact.alias, (-90.0, 90.0))
            dec[fact.alias] = max(low, old_low), min(high, old_high)
    more = ((alias, found, f"near {rows} rows of a list") for alias, rows, found in listed_cells(draft))
    for alias, found, said in (*_boxed(draft), *more):
        cells[alias] = found if alias not in cells else _both(cells[alias], found)
        draft = draft.fired("prune", f"{alias}: {said}, {len(found[0])} ranges of cells")
    if not cells:
        draft = draft.kept("prune", "no predicate at the top of WHERE limits the sky, a director key or _healpix_29")
    return replace(draft, cells=cells, dec_deg=dec)


def _boxed(draft: Draft) -> Iterator[tuple[str, Cells, str]]:
    """(alias, cells, why) of the references whose ra or dec is limited: all their limits together make boxes."""
    for alias, ref in draft.refs.items():
        facts = [fact for fact in draft.facts if isinstance(fact, OnAxis) and fact.alias == alias]
        found = boxes(facts, ref) if facts else None
        if found is not None:
            covers = [_placed(box, ref).cover() for box in found]
            yield alias, _any_of(covers), spans_text(facts) + _widened(ref)


def _any_of(covers: list[Cells]) -> Cells:
    starts, ends = (np.concatenate([_NO_CELLS, *(cover[end] for cover in covers)]) for end in (0, 1))
    return merge_ranges(starts, ends)


def _both(left: Cells, right: Cells) -> Cells:
    both = common(left, right)
    assert both is not None
    return both


def _cells_of(fact: InRegion | KeyIn | CellsIn, ref: Ref, draft: Draft) -> Cells | None:
    if isinstance(fact, CellsIn):
        return fact.cells
    if isinstance(fact, InRegion):
        return _placed(fact.region, ref).cover()
    probe = probe_of(fact, draft.refs)
    if probe is None or probe not in draft.answers:
        return None
    return of_single(draft.answers[probe].cells)


def _placed(region: Region, ref: Ref) -> Region:
    """Where the directors of rows in the region may lie."""
    if ref.table.kind is Kind.DIRECTOR:
        return region
    return region.widened(ref.table.own_angle_arcsec_max / 3600)


def _sentence(fact: InRegion | KeyIn | CellsIn, ref: Ref, cells: Cells) -> str:
    if isinstance(fact, InRegion):
        shape = type(fact.region).__name__.lower()
        return f"{ref.alias}: inside a {shape}{_widened(ref)}, {len(cells[0])} ranges of cells"
    if isinstance(fact, KeyIn):
        return f"{ref.alias}: {len(fact.keys)} keys of the director, found in {len(cells[0])} cells by its index"
    return f"{ref.alias}: _healpix_29 in {len(cells[0])} ranges"


def _widened(ref: Ref) -> str:
    return "" if ref.table.kind is Kind.DIRECTOR else f", widened by {ref.table.own_angle_arcsec_max:g} arcsec"
