"""Aggregates in two steps: partial ones in each fragment, folded above the line.

COUNT becomes a sum of counts, AVG a sum and a count, SUM, MIN and MAX themselves. With DISTINCT inside an aggregate
the fragments also group by its arguments. Floating sums are carried as DOUBLE, exact ones as wide decimals, so that no
part overflows where the whole would not. Called by plan.split; pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from qsky.catalog.types import INTEGERS
from qsky.plan.model import PIECES
from qsky.plan.rewrite import aggregates_in, replaced
from qsky.plan.spell import Select
from qsky.sql.query import Aggregate, Binary, Case, Cast, ColumnRef, Expression, IsNull, Literal_, Query

_WIDE: Final = "DECIMAL(38,0)"


@dataclass
class _Parts:
    """The columns of a piece as they are found to be needed: group keys, distinct arguments, partial aggregates."""

    groups: dict[Expression, str] = field(default_factory=dict)
    partials: dict[Expression, str] = field(default_factory=dict)

    def group(self, expression: Expression) -> ColumnRef:
        name = self.groups.setdefault(expression, f"g{len(self.groups)}")
        collation = expression.collation if isinstance(expression, ColumnRef) else ""
        return ColumnRef(type=expression.type, table=PIECES, column=name, collation=collation)

    def partial(self, expression: Expression) -> ColumnRef:
        name = self.partials.setdefault(expression, f"p{len(self.partials)}")
        return ColumnRef(type=expression.type, table=PIECES, column=name)

    def items(self) -> Iterator[tuple[str, Expression]]:
        for columns in (self.groups, self.partials):
            yield from ((name, expression) for expression, name in columns.items())


def split_aggregates(query: Query) -> tuple[Select, Select, str]:
    """The statement of a fragment, the statement over all pieces, and what was done in words."""
    parts = _Parts()
    by: dict[Expression, Expression] = {group: parts.group(group) for group in query.group_by}
    shown = tuple(item.expression for item in query.items)
    having = () if query.having is None else (query.having,)
    orders = tuple(order.expression for order in query.order_by)
    found = aggregates_in((*shown, *having, *orders))
    for aggregate in found:
        by[aggregate] = _folded(aggregate, parts, grouped=bool(query.group_by))
    distinct = len(parts.groups) > len(by) - len(found)
    under = Select(
        items=tuple(parts.items()) or (("p0", Literal_(type="INTEGER", value=1)),),
        where=query.where,
        group_by=tuple(parts.groups),
    )
    above = Select(
        items=tuple((f"c{place}", replaced(expression, by)) for place, expression in enumerate(shown)),
        group_by=tuple(by[group] for group in query.group_by),
        having=None if query.having is None else replaced(query.having, by),
        order_by=tuple(replace(order, expression=replaced(order.expression, by)) for order in query.order_by),
        limit=query.limit,
        offset=query.offset,
        distinct=query.distinct,
    )
    why = "partial aggregates in the fragments, folded above"
    return under, above, why + ("; DISTINCT arguments are grouped in the fragments" if distinct else "")


def _folded(aggregate: Aggregate, parts: _Parts, *, grouped: bool) -> Expression:
    """What stands above the line for an aggregate; the columns it needs are noted in `parts`."""
    function, arguments = aggregate.function, aggregate.arguments
    if aggregate.distinct and function not in ("MIN", "MAX"):
        return replace(aggregate, arguments=tuple(parts.group(argument) for argument in arguments))
    if function == "COUNT":
        return _counted(aggregate, parts, grouped=grouped)
    if function in ("MIN", "MAX"):
        return replace(aggregate, distinct=False, arguments=(parts.partial(replace(aggregate, distinct=False)),))
    total = _sum(parts.partial(_partial_sum(arguments[0])))
    if function == "SUM":
        return _as(total, aggregate.type)
    count = _sum(parts.partial(Aggregate(type="BIGINT", function="COUNT", arguments=arguments)))
    halves = (_as(total, "DOUBLE"), _as(count, "DOUBLE"))
    return _as(Binary(type="DOUBLE", operator="/", left=halves[0], right=halves[1]), aggregate.type)


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
