"""A derived table whose rows are final in the fragments is read there, by the query around it: no row of it is held.

`ROW_NUMBER() OVER (PARTITION BY a.id ...) AS k` in a derived table and `WHERE k = 1` outside, or an aggregate over
groups of a director's key, would otherwise collect all rows of the inner query before the outer looks at them.
Called by `engine`. Pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from qsky.config import Settings
from qsky.plan.draft import Draft, refs_of
from qsky.plan.model import Given, Note, Plan
from qsky.plan.split import answer_columns, under_and_above
from qsky.sql.parts import by_chance, queries_of, stages_of
from qsky.sql.query import GivenRef, Query, Statement, SubQuery, expressions_of, walk
from qsky.sql.statement import given_name, split_holes


def lone_stages(statement: Statement) -> frozenset[int]:
    """Stages read once, by a query that reads nothing else: their rows need not be there before it is planned."""
    queries = (*statement.stages, statement.query)
    uses: Counter[int] = Counter()
    alone = set()
    for query in queries:
        uses.update(_stages_in(query))
        if isinstance(query.source, GivenRef) and not query.nested:
            alone.add(query.source.stage)
    # rows that would not be the same if a column were worked out twice
    chance = {number for number, stage in enumerate(statement.stages) if any(map(by_chance, expressions_of(stage)))}
    return frozenset(number for number in alone - chance if uses[number] == 1)


def _stages_in(query: Query) -> list[int]:
    """Every mention of a stage in a query, nested queries included."""
    queries = queries_of(query)
    found = [number for each in queries for number in stages_of(each.source)]
    parts = (part for each in queries for expression in expressions_of(each) for part in walk(expression))
    return found + [part.stage for part in parts if isinstance(part, SubQuery) and part.stage is not None]


def final_in_fragments(plan: Plan) -> bool:
    """Whether the pieces, one after the other, are the rows of the query."""
    return plan.merge is None and len(plan.scans) == 1 and plan.limit is None and not plan.offset


def over(query: Query, inner: Plan, given: Given, settings: Settings) -> Plan:
    """The plan of a query over the rows of a stage whose plan is `inner`, worked out where these are."""
    assert isinstance(query.source, GivenRef)
    scan = inner.scans[0]
    draft = Draft(query, refs_of(query, {}, given), {}, settings, given, batches=scan.batches)
    sides = under_and_above(draft)
    template = tuple(
        piece
        for part, is_hole in split_holes(sides.under)
        for piece in (("(", *scan.template, ")") if is_hole else (part,))
    )
    name = given_name(query.source.stage)
    streams = sides.merge is None and len(scan.batches) > 1
    notes = (
        *inner.notes,
        Note("nest", True, f"the query around reads the rows of {name} in the fragments that make them"),
        Note("split", True, sides.why),
    )
    return replace(
        inner,
        scans=(replace(scan, template=template, schema=sides.schema, alone=scan.alone or sides.sorts),),
        merge=sides.merge,
        columns=answer_columns(query.items),
        notes=notes,
        limit=query.limit if streams else None,
        offset=query.offset if streams else 0,
        gathers=sides.collects,
        given={**inner.given, **given},
    )
