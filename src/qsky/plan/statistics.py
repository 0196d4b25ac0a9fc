"""The rule `statistics`: COUNT(*), MIN and MAX of one whole table, from what its manifests say; no file is read.

Manifests hold of each part its rows, and the smallest and largest director key (if an integer) and order-29 cell.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qsky.catalog.model import HEALPIX_COLUMN
from qsky.catalog.snapshot import NO_KEY
from qsky.catalog.types import INTEGERS
from qsky.plan.draft import Draft
from qsky.plan.model import Plan, Ref
from qsky.plan.split import answer_columns
from qsky.sql.parts import aggregates_in, windows_in
from qsky.sql.query import Aggregate, ColumnRef, Expression, Literal_, Query, TableRef
from qsky.sql.rewrite import rewritten
from qsky.sql.statement import select_text, whole


def statistics(draft: Draft) -> Draft:
    """The finished plan of a query for nothing but what manifests know of one table."""
    query = draft.query
    if not isinstance(query.source, TableRef) or not _one_row_of_all(query):
        why = "only COUNT(*), MIN and MAX of one table without WHERE are answered from manifests"
        return draft.kept("statistics", why)
    if query.source.table.attached is not None:
        return draft.kept("statistics", "the rows of an attached catalogue are known in sum, not exactly")
    ref = draft.refs[query.source.alias]
    known: dict[Expression, Expression] = {}
    for aggregate in aggregates_in(query):
        value = _known(aggregate, ref)
        if value is None:
            why = "of aggregates manifests know COUNT(*), and MIN and MAX of an integer director key and _healpix_29"
            return draft.kept("statistics", why)
        known[aggregate] = value
    select = rewritten(replace(whole(query), order_by=()), known.get)
    parts = ref.snapshot.parts
    done = draft.fired("statistics", f"{int(parts.rows.sum())} rows by the manifests; no file is read")
    total = len(set(parts.leaf_starts.tolist())) if draft.partitioned else 0
    plan = Plan(
        (), select_text(select, ""), answer_columns(query.items), done.notes, chunks_total=total, given=draft.given
    )
    return replace(done, plan=plan)


def _one_row_of_all(query: Query) -> bool:
    if query.where is not None or query.group_by or query.having is not None or query.distinct:
        return False
    return bool(aggregates_in(query)) and not windows_in(query) and not query.nested


def _known(aggregate: Aggregate, ref: Ref) -> Literal_ | None:
    """The value of an aggregate over all rows, None if manifests do not say."""
    parts = ref.snapshot.parts
    if aggregate.function == "COUNT" and not aggregate.arguments and not aggregate.distinct:
        return Literal_(type="BIGINT", value=int(parts.rows.sum()))
    if aggregate.function not in ("MIN", "MAX") or not isinstance(aggregate.arguments[0], ColumnRef):
        return None
    column, least = aggregate.arguments[0], aggregate.function == "MIN"
    if column.column == HEALPIX_COLUMN and ref.cell_column == HEALPIX_COLUMN:
        values = parts.hp_min if least else parts.hp_max
    elif column.column == ref.table.key and column.type in INTEGERS:
        values = parts.key_min if least else parts.key_max
    else:
        return None
    values = values[parts.rows > 0]
    if bool(np.any(values == NO_KEY)):  # a part of NULLs alone, or the smallest integer there is
        return None
    found = (values.min() if least else values.max()) if len(values) else None
    return Literal_(type=column.type, value=None if found is None else int(found))
