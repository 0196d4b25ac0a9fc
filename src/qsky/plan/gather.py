"""The rule `gather`: what no chunk can join is collected in one place, filtered and projected, and joined there.

Every reference is scanned alone (own rows, each once) into a table of its own; the whole query runs over these above
the line. It makes any join sound, and is bounded: what is known to be too much beforehand is refused here, the rest by
the engine while it collects.
"""

from __future__ import annotations

import math
from dataclasses import replace

from qsky.errors import QskyError
from qsky.events import size_text
from qsky.plan.batch import batches_of_one, orphan_places, reading_of_one
from qsky.plan.draft import Draft, binding_predicates, optional_in
from qsky.plan.leaves import places_in
from qsky.plan.model import NO_BATCHES, Plan, Ref, Scan
from qsky.plan.near import conditions, grids_of, side_rad, tangent_axes, with_grid
from qsky.plan.predicate import recognise
from qsky.plan.spell import scan_width, template_of
from qsky.plan.split import answer_columns
from qsky.sql.query import ColumnRef, Expression, Literal_, SubQuery, columns_in, conjunction, walk
from qsky.sql.statement import Select, filled, from_text, hole, quoted, select_text, whole


def gather(draft: Draft) -> Draft:
    """The plan of a query whose joins no chunk can do alone."""
    if not draft.gather:
        return draft.kept("gather", "nothing has to be joined in one place")
    tables = [alias for alias, ref in draft.refs.items() if not ref.given]
    scans = tuple(_scan(draft, alias, f"gathered_{place}") for place, alias in enumerate(tables))
    known = sum(_bytes_known(draft, alias) for alias in tables)
    if known > draft.settings.gather_bytes_max:
        raise too_much(known, draft.settings.gather_bytes_max, draft.gather)
    merge = _merge_text(draft, {scan.readings[0].ref.alias: scan.name for scan in scans})
    said = ", ".join(f"{scan.readings[0].ref.alias} ({len(scan.batches)} fragments)" for scan in scans)
    done = draft.fired("gather", f"filtered and projected rows of {said} are joined in one place")
    total = sum(
        len(set(ref.snapshot.parts.leaf_starts.tolist())) for ref in draft.refs.values() if ref.table.partitioned
    )
    plan = Plan(
        scans=scans,
        merge=merge,
        columns=answer_columns(draft.query.items),
        notes=done.notes,
        chunks_chosen=sum(scan.batches.chunks for scan in scans),
        chunks_total=total,
        bytes=sum(scan.batches.bytes for scan in scans),
        gathers=True,
        given=draft.given,
    )
    return replace(done, plan=plan)


def too_much(bytes_found: int, bytes_max: int, why: str) -> QskyError:
    """The refusal to collect more than the setting allows."""
    return QskyError(
        "limit-gather",
        f"This query has to collect {size_text(bytes_found)} or more in one place, and may {size_text(bytes_max)}"
        + (f": {why}." if why else "."),
        hint="Filter the tables more, join them on the director key or by angSep, or raise QSKY_GATHER_BYTES_MAX.",
    )


def _scan(draft: Draft, alias: str, name: str) -> Scan:
    ref = draft.refs[alias]
    items: tuple[tuple[str, Expression], ...] = tuple(
        (column, ColumnRef(type=kind, table=alias, column=column)) for column, kind in ref.columns
    )
    items = items or (("nothing", Literal_(type="BOOLEAN", value=True)),)
    reading = reading_of_one(draft, alias)
    batches = batches_of_one(draft, alias)
    source = f"{hole(alias)} AS {quoted(alias)}"
    return Scan(
        name=name,
        template=template_of(
            select_text(Select(items, where=conjunction(_own_predicates(draft, alias))), source), {alias: reading}
        ),
        readings=(reading,),
        batches=batches,
        schema=tuple((column, expression.type) for column, expression in items),
        interactive=batches.chunks <= draft.settings.interactive_chunks_max,
    )


def _own_predicates(draft: Draft, alias: str) -> tuple[Expression, ...]:
    """The predicates that may be applied to a reference before it is joined.

    Where its rows may be missing, only predicates that reject missing rows.
    """
    query = draft.owner(alias)
    own = [p for p in binding_predicates(query) if {table for table, _ in columns_in(p)} == {alias} and _alone(p)]
    if alias in optional_in(query):
        own = [p for p in own if recognise(p, draft.refs) is not None]
    return tuple(own)


def _alone(predicate: Expression) -> bool:
    """Whether it reads nothing but the row: no sub-query that has to be answered for it."""
    return not any(isinstance(part, SubQuery) and part.query is not None for part in walk(predicate))


def _bytes_known(draft: Draft, alias: str) -> int:
    """Bytes surely to be collected of a reference: all its rows if nothing filters them, else unknown and 0."""
    if _own_predicates(draft, alias):
        return 0
    ref = draft.refs[alias]
    return _rows(draft, ref) * scan_width(ref.columns)


def _rows(draft: Draft, ref: Ref) -> int:
    parts = ref.snapshot.parts
    if not ref.table.partitioned:
        return int(parts.rows.sum())
    kept = int(parts.rows[places_in(parts, draft.cells.get(ref.alias))].sum())
    return kept + int(parts.rows[orphan_places(ref, draft)].sum())


def _merge_text(draft: Draft, names: dict[str, str]) -> str:
    """The whole query over the gathered tables."""
    axes = tangent_axes(NO_BATCHES.starts, NO_BATCHES.ends)
    # as if they lay all over the sky: where they do not, cells are wider than they should be, within bounds
    density = max((_rows(draft, ref) for ref in draft.refs.values()), default=0) / (4 * math.pi)

    def relation(alias: str) -> str:
        text = draft.refs[alias].given or quoted(names[alias])
        for grid in grids_of(alias, draft.nears, draft.refs):
            text = with_grid(text, grid, axes, side_rad(grid.reach_rad, density))
        return text

    also = conditions(draft.nears)
    return filled(select_text(whole(draft.query), from_text(draft.query.source), also), relation)
