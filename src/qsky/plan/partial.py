"""Aggregates in two steps: partial ones in each fragment, folded above the line.

COUNT becomes a sum of counts, AVG a sum and a count, SUM, MIN and MAX themselves. With DISTINCT inside an aggregate
the fragments also group by its arguments. Floating sums are carried as DOUBLE, exact ones as wide decimals, so that no
part overflows where the whole would not. MIN_BY carries its smallest key, a
variance the count, mean and sum of squared deviations. Called by plan.split; pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from qsky.catalog.types import INTEGERS
from qsky.plan.model import PIECES
from qsky.sql.operators import collation_of
from qsky.sql.parts import aggregates_in
from qsky.sql.query import Aggregate, Binary, Case, Cast, ColumnRef, Expression, IsNull, Literal_, Query
from qsky.sql.rewrite import rewritten
from qsky.sql.statement import Select, whole

_WIDE: Final = "DECIMAL(38,0)"
# Folded by themselves.
_SAME_AGAIN: Final = frozenset({"MIN", "MAX", "ANY_VALUE", "BIT_AND", "BIT_OR", "BIT_XOR", "BOOL_AND", "BOOL_OR"})
_KEYED: Final = {"MIN_BY": "MIN", "MAX_BY": "MAX"}
_MOMENTS: Final = frozenset({"VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV_SAMP"})
_SPLITTABLE: Final = frozenset({"COUNT", "SUM", "AVG", "FIRST", *_SAME_AGAIN, *_KEYED, *_MOMENTS})


@dataclass
class _Parts:
    """The columns of a piece as they are found to be needed: group keys, distinct arguments, partial aggregates."""

    groups: dict[Expression, str] = field(default_factory=dict)
    partials: dict[Expression, str] = field(default_factory=dict)

    def group(self, expression: Expression) -> ColumnRef:
        name = self.groups.setdefault(expression, f"g{len(self.groups)}")
        collation = collation_of(expression)
        return ColumnRef(type=expression.type, table=PIECES, column=name, collation=collation)

    def partial(self, expression: Expression) -> ColumnRef:
        name = self.partials.setdefault(expression, f"p{len(self.partials)}")
        return ColumnRef(type=expression.type, table=PIECES, column=name)

    def items(self) -> Iterator[tuple[str, Expression]]:
        for columns in (self.groups, self.partials):
            yield from ((name, expression) for expression, name in columns.items())


def unsplittable(query: Query) -> tuple[str, ...]:
    """The aggregates of a query that cannot be folded from parts."""
    found = aggregates_in(query)
    return tuple(dict.fromkeys(a.function for a in found if not _splittable(a)))


def _splittable(aggregate: Aggregate) -> bool:
    """Whether parts can be folded: those with DISTINCT are computed of the distinct values."""
    if aggregate.distinct:
        return (not aggregate.order_by and len(aggregate.arguments) == 1) or aggregate.function == "COUNT"
    return aggregate.function in _SPLITTABLE


def split_aggregates(query: Query) -> tuple[Select, Select, str]:
    """The statement of a fragment, the statement over all pieces, and what was done in words."""
    parts = _Parts()
    by: dict[Expression, Expression] = {group: parts.group(group) for group in query.group_by}
    found = aggregates_in(query)
    for aggregate in found:
        by[aggregate] = _folded(aggregate, parts, grouped=bool(query.group_by))
    distinct = len(parts.groups) > len(by) - len(found)
    under = Select(
        items=tuple(parts.items()) or (("p0", Literal_(type="INTEGER", value=1)),),
        where=query.where,
        group_by=tuple(parts.groups),
    )
    why = "partial aggregates in the fragments, folded above"
    return (
        under,
        above_of_pieces(query, by),
        why + ("; DISTINCT arguments are grouped in the fragments" if distinct else ""),
    )


def above_of_pieces(query: Query, by: Mapping[Expression, Expression]) -> Select:
    """All of a query but its WHERE, over pieces: `by` has columns of the pieces for parts of its expressions."""
    return rewritten(replace(whole(query), where=None), by.get)


def _folded(aggregate: Aggregate, parts: _Parts, *, grouped: bool) -> Expression:
    """What stands above the line for an aggregate; the columns it needs are noted in `parts`."""
    function, arguments = aggregate.function, aggregate.arguments
    if aggregate.distinct:
        return replace(aggregate, arguments=tuple(parts.group(argument) for argument in arguments))
    if function == "COUNT":
        return _counted(aggregate, parts, grouped=grouped)
    if function in _SAME_AGAIN:
        return replace(aggregate, arguments=(parts.partial(aggregate),))
    if function in _KEYED:
        return replace(aggregate, arguments=(parts.partial(aggregate), parts.partial(_smallest_key(aggregate))))
    if function == "FIRST":
        there = parts.partial(Aggregate(type="BIGINT", function="COUNT", arguments=()))
        return replace(aggregate, function="FOLD_FIRST", arguments=(parts.partial(aggregate), there))
    if function in _MOMENTS:
        return _from_moments(aggregate, parts)
    total = _sum(parts.partial(_partial_sum(arguments[0])))
    if function == "SUM":
        return _as(total, aggregate.type)
    count = _sum(parts.partial(Aggregate(type="BIGINT", function="COUNT", arguments=arguments)))
    halves = (_as(total, "DOUBLE"), _as(count, "DOUBLE"))
    return _as(Binary(type="DOUBLE", operator="/", left=halves[0], right=halves[1]), aggregate.type)


def _smallest_key(aggregate: Aggregate) -> Aggregate:
    """The key of MIN_BY or MAX_BY where it has a value: rows without one do not count."""
    value, key = aggregate.arguments
    known = IsNull(type="BOOLEAN", operand=value, negated=True)
    chosen = Case(type=key.type, branches=((known, key),), otherwise=None)
    return Aggregate(type=key.type, function=_KEYED[aggregate.function], arguments=(chosen,))


def _from_moments(aggregate: Aggregate, parts: _Parts) -> Expression:
    """Variances of count, mean and sum of squared deviations of the parts."""
    argument = aggregate.arguments[0]
    count = Aggregate(type="BIGINT", function="COUNT", arguments=(argument,))
    mean = Aggregate(type="DOUBLE", function="AVG", arguments=(argument,))
    spread = Aggregate(type="DOUBLE", function="VAR_POP", arguments=(argument,))
    squares = Binary(type="DOUBLE", operator="*", left=spread, right=_as(count, "DOUBLE"))
    found = tuple(parts.partial(part) for part in (count, mean, squares))
    return replace(aggregate, function=f"FOLD_{aggregate.function}", arguments=found)


def _counted(aggregate: Aggregate, parts: _Parts, *, grouped: bool) -> Expression:
    """A sum of counts; without groups there may be no piece row at all, and the count of nothing is 0."""
    total = _as(_sum(parts.partial(replace(aggregate, type="BIGINT"))), aggregate.type)
    if grouped:
        return total
    zero = Literal_(type=aggregate.type, value=0)
    return Case(type=aggregate.type, branches=((IsNull(type="BOOLEAN", operand=total), zero),), otherwise=total)


def _partial_sum(argument: Expression) -> Expression:
    return Aggregate(type=_sum_type(argument.type), function="SUM", arguments=(argument,))


def _sum_type(kind: str) -> str:
    """A type that holds every partial sum: decimals keep their scale."""
    if kind.startswith("DECIMAL("):
        return f"DECIMAL(38,{kind[8:-1].split(',')[1].strip()})"
    return _WIDE if kind in INTEGERS or kind == "BOOLEAN" else "DOUBLE"


def _sum(column: ColumnRef) -> Aggregate:
    return Aggregate(type=_sum_type(column.type), function="SUM", arguments=(column,))


def _as(expression: Expression, kind: str) -> Expression:
    return expression if expression.type == kind else Cast(type=kind, operand=expression)
