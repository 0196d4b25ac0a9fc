"""The rule `split`: what of a query runs under the line, once per fragment, and what is left for above it.

One fragment: everything under the line. Plain rows: projections and filters under it, and nothing above but OFFSET.
DISTINCT and ORDER BY ... LIMIT are done on both sides. Aggregates are folded in parts (plan.partial), unless each
group lies whole in one fragment. Columns are c0, c1, ... in all SQL; the engine gives them the user's names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from qsky.catalog.model import Kind
from qsky.plan.draft import Draft
from qsky.plan.model import PIECES, Plan, Reading, Scan, Template
from qsky.plan.near import condition
from qsky.plan.partial import split_aggregates
from qsky.plan.spell import Select, from_text, select_text
from qsky.sql.query import ColumnRef, Expression, Item, Literal_, Order, Query


@dataclass(frozen=True)
class Halves:
    """Under and above the line. With `above` None the pieces in order are the answer, from `offset` up to `limit`."""

    under: Select
    above: Select | None
    why: str


def split(draft: Draft) -> Draft:
    """The finished plan of a query that runs in chunks, or once."""
    halves = _halves(draft)
    source = from_text(draft.query.source, lambda alias: (draft.readings[alias],))
    also = [condition(near, number) for number, near in enumerate(draft.nears)]
    under = select_text(halves.under, source, also)
    merge = None if halves.above is None else text_above(halves.above, (f'"{PIECES}"',))
    scan = Scan(
        name=PIECES,
        template=under,
        readings=tuple(draft.readings.values()),
        batches=draft.batches,
        schema=tuple((name, expression.type) for name, expression in halves.under.items),
        interactive=draft.batches.chunks <= draft.settings.interactive_chunks_max,
    )
    streams = merge is None and len(draft.batches) > 1
    done = draft.fired("split", halves.why)
    plan = Plan(
        scans=(scan,),
        merge=merge,
        columns=answer_columns(draft.query.items),
        notes=done.notes,
        limit=draft.query.limit if streams else None,
        offset=draft.query.offset if streams else 0,
        chunks_chosen=draft.batches.chunks,
        chunks_total=draft.chunks_total,
        bytes=draft.batches.bytes,
    )
    return replace(done, plan=plan)


def text_above(select: Select, source: Template) -> str:
    """A statement without holes."""
    parts = select_text(select, source)
    assert not any(isinstance(part, Reading) for part in parts), "above the line there are no parts to read"
    return "".join(str(part) for part in parts)


def answer_columns(items: tuple[Item, ...]) -> tuple[tuple[str, str], ...]:
    """(name, type) of the answer's columns."""
    return tuple((item.name, item.expression.type) for item in items)


def whole(query: Query) -> Select:
    """The query as one statement."""
    return Select(
        items=tuple((f"c{place}", item.expression) for place, item in enumerate(query.items)),
        where=query.where,
        group_by=query.group_by,
        having=query.having,
        order_by=query.order_by,
        limit=query.limit,
        offset=query.offset,
        distinct=query.distinct,
    )


def _halves(draft: Draft) -> Halves:
    query = draft.query
    if len(draft.batches) == 1:
        return Halves(whole(query), None, "one fragment: the whole query runs there, nothing to merge")
    if query.aggregates:
        if _groups_whole(draft):
            return _rows(query, "each group lies whole in one fragment: aggregates and HAVING run there")
        under, above, why = split_aggregates(query)
        return Halves(under, above, why)
    return _rows(query, "projections and filters run in the fragments")


def _rows(query: Query, why: str) -> Halves:
    """Rows that are final under the line: only DISTINCT, ORDER BY and LIMIT remain above it."""
    everything = whole(query)
    top = None if query.limit is None else query.limit + query.offset
    if not query.distinct and not query.order_by:
        stop = "" if top is None else f"; reading stops after {top} rows"
        return Halves(replace(everything, limit=top, offset=0), None, why + stop)
    order, hidden = _order_above(query)
    under = replace(
        everything,
        items=everything.items + hidden,
        order_by=query.order_by if top is not None else (),
        limit=top,
        offset=0,
    )
    items = tuple((name, piece_column(name, expression.type)) for name, expression in everything.items)
    above = Select(items, order_by=order, limit=query.limit, offset=query.offset, distinct=query.distinct)
    if query.distinct:
        why += "; DISTINCT there and again above"
    if query.order_by:
        why += "; ORDER BY above" if top is None else f"; the first {top} rows in order there, and again above"
    return Halves(under, above, why)


def piece_column(name: str, kind: str, collation: str = "") -> ColumnRef:
    """A column of the collected pieces."""
    return ColumnRef(type=kind, table=PIECES, column=name, collation=collation)


def _order_above(query: Query) -> tuple[tuple[Order, ...], tuple[tuple[str, Expression], ...]]:
    """ORDER BY over the pieces, and the hidden columns it needs there."""
    shown = {item.expression: f"c{place}" for place, item in enumerate(query.items)}
    hidden: dict[Expression, str] = {}
    orders = []
    for order in query.order_by:
        expression = order.expression
        if isinstance(expression, Literal_):
            continue
        name = shown.get(expression) or hidden.setdefault(expression, f"o{len(hidden)}")
        collation = expression.collation if isinstance(expression, ColumnRef) else ""
        orders.append(replace(order, expression=piece_column(name, expression.type, collation)))
    return tuple(orders), tuple((name, expression) for expression, name in hidden.items())


def _groups_whole(draft: Draft) -> bool:
    """Whether rows of one group always meet in one fragment: they agree in a unique director key of the anchor."""
    if not draft.teams:
        return False
    for alias in draft.teams[0].aliases:
        table = draft.refs[alias].table
        if table.kind not in (Kind.DIRECTOR, Kind.CHILD) or not table.key_unique or alias in draft.optional:
            continue
        for group in draft.query.group_by:
            same = isinstance(group, ColumnRef) and (group.table, group.column) == (alias, table.key)
            if same and not group.collation:  # type: ignore[attr-defined]
                return True
    return False
