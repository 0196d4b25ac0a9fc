"""The rule `statistics`: COUNT(*) of one whole table is the sum of the rows its manifests name; nothing is read."""

from __future__ import annotations

from dataclasses import replace

from qsky.plan.draft import Draft
from qsky.plan.model import Plan
from qsky.plan.split import answer_columns
from qsky.sql.parts import aggregates_in, windows_in
from qsky.sql.query import Expression, Literal_, Query, TableRef, columns_in
from qsky.sql.rewrite import rewritten
from qsky.sql.statement import select_text, whole


def statistics(draft: Draft) -> Draft:
    """The finished plan of a query for nothing but COUNT(*) of a table."""
    query = draft.query
    if not isinstance(query.source, TableRef) or not _only_counts(query):
        return draft.kept("statistics", "only COUNT(*) of one table without WHERE is answered from manifests")
    if query.source.table.attached is not None:
        return draft.kept("statistics", "the rows of an attached catalogue are known in sum, not exactly")
    parts = draft.refs[query.source.alias].snapshot.parts
    count = Literal_(type="BIGINT", value=int(parts.rows.sum()))
    by: dict[Expression, Expression] = dict.fromkeys(aggregates_in(query), count)
    select = rewritten(replace(whole(query), order_by=()), by.get)
    done = draft.fired("statistics", f"{count.value} rows by the manifests; no file is read")
    total = len(set(parts.leaf_starts.tolist())) if draft.partitioned else 0
    plan = Plan(
        (), select_text(select, ""), answer_columns(query.items), done.notes, chunks_total=total, given=draft.given
    )
    return replace(done, plan=plan)


def _only_counts(query: Query) -> bool:
    if query.where is not None or query.group_by or query.having is not None or query.distinct:
        return False
    counts = aggregates_in(query)
    plain = all(a.function == "COUNT" and not a.arguments and not a.distinct for a in counts)
    if windows_in(query) or query.nested:
        return False
    return bool(counts) and plain and not any(columns_in(item.expression) for item in query.items)
