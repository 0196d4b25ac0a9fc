"""The rule `split`: what of a query runs under the line, once per fragment, and what is left for above it.

One fragment: everything under the line. Plain rows: projections and filters under it, and nothing above but OFFSET.
DISTINCT and ORDER BY ... LIMIT are done on both sides. Aggregates are folded in parts (plan.partial), unless each
group lies whole in one fragment. Columns are c0, c1, ... in all SQL; the engine gives them the user's names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from qsky.catalog.model import Kind
from qsky.plan.draft import Draft
from qsky.plan.model import PIECES, Plan, Scan
from qsky.plan.near import conditions
from qsky.plan.partial import above_of_pieces, split_aggregates, unsplittable
from qsky.plan.spell import template_of
from qsky.sql.operators import collation_of
from qsky.sql.parts import windows_in
from qsky.sql.query import (
    ColumnRef,
    Expression,
    GivenRef,
    Item,
    Literal_,
    Order,
    Query,
    SubQuery,
    TableRef,
    expressions_after_where,
    has_aggregate,
)
from qsky.sql.statement import Select, from_text, select_text, whole


@dataclass(frozen=True)
class Halves:
    """Under and above the line. With `above` None the pieces in order are the answer, from `offset` up to `limit`."""

    under: Select
    above: Select | None
    why: str
    collects: bool = False


def split(draft: Draft) -> Draft:
    """The finished plan of a query that runs in chunks, or once."""
    sides = under_and_above(draft)
    scan = Scan(
        name=PIECES,
        template=template_of(sides.under, draft.readings),
        readings=tuple(draft.readings.values()),
        batches=draft.batches,
        schema=sides.schema,
        interactive=draft.batches.chunks <= draft.settings.interactive_chunks_max,
        alone=sides.sorts,
    )
    streams = sides.merge is None and len(draft.batches) > 1
    done = draft.fired("split", sides.why)
    plan = Plan(
        scans=(scan,),
        merge=sides.merge,
        columns=answer_columns(draft.query.items),
        notes=done.notes,
        limit=draft.query.limit if streams else None,
        offset=draft.query.offset if streams else 0,
        chunks_chosen=draft.batches.chunks,
        chunks_total=draft.chunks_total,
        bytes=draft.batches.bytes,
        gathers=sides.collects,
        given=draft.given,
    )
    return replace(done, plan=plan)


@dataclass(frozen=True)
class Sides:
    """SQL under the line with holes, the columns of its pieces, merge SQL, and why.

    `collects` says that rows are collected for what stands above, `sorts` that rows are put in order under the line.
    """

    under: str
    schema: tuple[tuple[str, str], ...]
    merge: str | None
    why: str
    collects: bool
    sorts: bool


def under_and_above(draft: Draft) -> Sides:
    """What a query is on both sides of the line."""
    halves = _halves(draft)
    also = conditions(draft.nears)
    under = select_text(halves.under, from_text(draft.query.source), also, _folded_in_order(halves.under, draft))
    merge = None if halves.above is None else select_text(halves.above, f'"{PIECES}"')
    schema = tuple((name, expression.type) for name, expression in halves.under.items)
    return Sides(under, schema, merge, halves.why, halves.collects, bool(halves.under.order_by))


def _folded_in_order(under: Select, draft: Draft) -> str:
    """The reference whose rows must be folded in the order they are read in, "" where nothing changes it.

    Only a reference alone in FROM may be read for several queries at once (worker.needs), and only filters, its own or
    those of the rows it is made of, make rows wait.
    """
    source = draft.query.source
    folds = under.group_by or under.distinct or any(has_aggregate(expression) for _, expression in under.items)
    filtered = under.where is not None or any(reading.cells is not None for reading in draft.readings.values())
    if isinstance(source, GivenRef) and folds:
        return source.alias
    return source.alias if isinstance(source, TableRef) and folds and filtered else ""


def answer_columns(items: tuple[Item, ...]) -> tuple[tuple[str, str], ...]:
    """(name, type) of the answer's columns."""
    return tuple((item.name, item.expression.type) for item in items)


def _halves(draft: Draft) -> Halves:
    query = draft.query
    if len(draft.batches) == 1:
        return Halves(whole(query), None, "one fragment: the whole query runs there, nothing to merge")
    if query.aggregates:
        if _groups_whole(draft):
            return _rows(query, "each group lies whole in one fragment: aggregates and HAVING run there")
        unfolded = unsplittable(query)
        if unfolded:
            return _collected(query, f"{', '.join(unfolded)} cannot be folded from parts")
        under, above, why = split_aggregates(query)
        return Halves(under, above, why)
    windows = windows_in(query)
    if windows:
        if all(_key_among(window.partition_by, draft) for window in windows):
            return _rows(query, "each window lies whole in one fragment: window functions run there")
        return _collected(query, "windows reach over several fragments")
    return _rows(query, "projections and filters run in the fragments")


def _collected(query: Query, why: str) -> Halves:
    """Joined and filtered rows, of what is needed of them, from under the line; all the rest above it."""
    parts = (part for expression in expressions_after_where(query) for part in _of_a_row(expression))
    names = {part: f"k{place}" for place, part in enumerate(dict.fromkeys(parts))}
    by: dict[Expression, Expression] = {p: piece_column(name, p.type, collation_of(p)) for p, name in names.items()}
    under = tuple((name, part) for part, name in names.items())
    one: tuple[tuple[str, Expression], ...] = (("k0", Literal_(type="INTEGER", value=1)),)
    said = f"{why}: filtered and projected rows are collected, the rest is done above"
    return Halves(Select(under or one, where=query.where), above_of_pieces(query, by), said, collects=True)


def _of_a_row(expression: Expression) -> Iterator[Expression]:
    """The columns in an expression, and sub-queries that mind the row: above the line their tables are not at hand."""
    if isinstance(expression, ColumnRef) or (isinstance(expression, SubQuery) and expression.query is not None):
        yield expression
        return
    for part in expression.children():
        yield from _of_a_row(part)


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
        collation = collation_of(expression)
        orders.append(replace(order, expression=piece_column(name, expression.type, collation)))
    return tuple(orders), tuple((name, expression) for expression, name in hidden.items())


def _groups_whole(draft: Draft) -> bool:
    """Whether rows of one group always meet in one fragment."""
    return _key_among(draft.query.group_by, draft)


def _key_among(expressions: tuple[Expression, ...], draft: Draft) -> bool:
    """Whether rows that agree in all expressions lie in one fragment: one is a unique director key of the anchor."""
    if not draft.teams:
        return False
    for alias in draft.teams[0].aliases:
        table = draft.refs[alias].table
        if table.kind not in (Kind.DIRECTOR, Kind.CHILD) or not table.key_unique or alias in draft.optional:
            continue
        for expression in expressions:
            same = isinstance(expression, ColumnRef) and (expression.table, expression.column) == (alias, table.key)
            if same and not expression.collation:  # type: ignore[attr-defined]
                return True
    return False
