"""LEFT JOINs of near neighbours: the grid goes into ON, so that each kept row meets what lies near it and no more.

The kept side stands in its cells once, the other spreads; so a row without a neighbour stays one row. Called by the
rule `join` before anything else looks at FROM. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from qsky.plan.draft import Draft
from qsky.plan.model import Near
from qsky.plan.near import condition_expressions
from qsky.plan.predicate import Refs, recognise
from qsky.sql.query import From, Join, conjunction, conjuncts, sources_of


@dataclass
class _Grids:
    """The near joins found so far; their numbers follow those of the inner ones."""

    refs: Refs
    first: int
    found: list[Near] = field(default_factory=list)

    def gridded(self, source: From | None) -> From | None:
        if not isinstance(source, Join):
            return source
        left, right = self.gridded(source.left), self.gridded(source.right)
        assert left is not None and right is not None
        conditions = conjuncts(source.on)
        if source.kind == "left":
            for near in crossing(source, self.refs):
                outer = replace(near, outer=True)
                conditions = (*condition_expressions(outer, self.first + len(self.found)), *conditions)
                self.found.append(outer)
        return replace(source, left=left, right=right, on=conjunction(conditions))


def crossing(join: Join, refs: Refs) -> tuple[Near, ...]:
    """The near neighbours in the ON of a join, a row of its left side beside one of its right."""
    left = {leaf.alias for leaf in sources_of(join.left)}
    right = {leaf.alias for leaf in sources_of(join.right)}
    facts = (recognise(predicate, refs) for predicate in conjuncts(join.on))
    return tuple(f for f in facts if isinstance(f, Near) and f.left in left and f.right in right)


def with_outer_nears(draft: Draft, inner: int) -> Draft:
    """The draft with grids in the ON of LEFT JOINs; `inner` near joins are numbered before them."""
    grids = _Grids(draft.refs, inner)
    source = grids.gridded(draft.query.source)
    if not grids.found:
        return draft
    return replace(draft, query=replace(draft.query, source=source), outer_nears=tuple(grids.found))
