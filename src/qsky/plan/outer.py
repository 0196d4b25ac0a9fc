"""LEFT JOINs and sub-queries of near neighbours: the grid goes into ON, or into the WHERE of the sub-query, so that each
kept row meets what lies near it and no more.

The kept side stands in its cells once, the other spreads; so a row without a neighbour stays one row, and NOT EXISTS
finds it. Called by the rule `join` before anything else looks at FROM. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from qsky.plan.draft import Draft, binding_predicates
from qsky.plan.model import Near
from qsky.plan.near import condition_expressions
from qsky.plan.predicate import Refs, recognise
from qsky.sql.query import Expression, From, Join, SubQuery, conjunction, conjuncts, sources_of
from qsky.sql.rewrite import rewritten


@dataclass
class _Grids:
    """The near joins found so far; their numbers follow those of the inner ones."""

    refs: Refs
    first: int
    found: list[Near] = field(default_factory=list)
    nested: dict[SubQuery, SubQuery] = field(default_factory=dict)

    def condition(self, near: Near) -> tuple[Expression, ...]:
        """What joins the two sides on the next grid."""
        outer = replace(near, outer=True)
        self.found.append(outer)
        return condition_expressions(outer, self.first + len(self.found) - 1)

    def in_nested(self, part: Expression) -> Expression | None:
        """A sub-query with outer columns, its neighbours on a grid; the same one each time it is met."""
        if not isinstance(part, SubQuery) or part.query is None:
            return None
        if part not in self.nested:
            own = {leaf.alias for leaf in sources_of(part.query.source)}
            facts = (recognise(predicate, self.refs) for predicate in binding_predicates(part.query))
            nears = [f for f in facts if isinstance(f, Near) and f.right in own and f.left not in own]
            where = (*(each for near in nears for each in self.condition(near)), *conjuncts(part.query.where))
            query = replace(part.query, where=conjunction(where))
            self.nested[part] = replace(part, query=query) if nears else part
        return self.nested[part]

    def gridded(self, source: From | None) -> From | None:
        if not isinstance(source, Join):
            return source
        left, right = self.gridded(source.left), self.gridded(source.right)
        assert left is not None and right is not None
        conditions = conjuncts(source.on)
        if source.kind == "left":
            for near in crossing(source, self.refs):
                conditions = (*self.condition(near), *conditions)
        return replace(source, left=left, right=right, on=conjunction(conditions))


def crossing(join: Join, refs: Refs) -> tuple[Near, ...]:
    """The near neighbours in the ON of a join, a row of its left side beside one of its right."""
    left = {leaf.alias for leaf in sources_of(join.left)}
    right = {leaf.alias for leaf in sources_of(join.right)}
    facts = (recognise(predicate, refs) for predicate in conjuncts(join.on))
    return tuple(f for f in facts if isinstance(f, Near) and f.left in left and f.right in right)


def with_outer_nears(draft: Draft, inner: int) -> Draft:
    """The draft with grids in the ON of LEFT JOINs and in sub-queries; `inner` near joins are numbered before them."""
    grids = _Grids(draft.refs, inner)
    query = replace(draft.query, source=grids.gridded(draft.query.source))
    query = rewritten(query, grids.in_nested)
    return replace(draft, query=query, outer_nears=tuple(grids.found)) if grids.found else draft
