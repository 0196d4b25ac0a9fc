"""Aggregates written with more than parentheses: WITHIN GROUP, FILTER, GROUP_CONCAT with its order. Pure; expression uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from qsky.sql import operators as op
from qsky.sql.aggregates import FORMS, aggregate_named, bind_aggregate
from qsky.sql.dialect import GroupConcat
from qsky.sql.query import Expression, Order

if TYPE_CHECKING:
    from qsky.sql.expression import Binder


def _within_group(self: Binder, node: Any) -> Expression:
    """PERCENTILE_CONT(q) WITHIN GROUP (ORDER BY x)."""
    call, orders = node.this, node.expression.expressions
    form = aggregate_named(call.name, self.parsed.lang) if isinstance(call, exp.Anonymous) else None
    if form is None or form.name not in ("QUANTILE_CONT", "QUANTILE_DISC") or len(orders) != 1:
        raise self.error(node, "not-supported", "WITHIN GROUP can follow only PERCENTILE_CONT and PERCENTILE_DISC.")
    if orders[0].args.get("desc"):
        raise self.error(node, "not-supported", "WITHIN GROUP (ORDER BY ... DESC) is not supported; use 1 - q.")
    swapped = exp.Anonymous(this=call.this, expressions=[orders[0].this, *call.expressions])
    swapped.meta.update(call.meta)
    return bind_aggregate(self, swapped, form)


def _filtered(self: Binder, node: Any) -> Expression:
    """aggregate(...) FILTER (WHERE ...)."""
    call = node.this
    form = aggregate_named(call.name, self.parsed.lang) if isinstance(call, exp.Anonymous | GroupConcat) else None
    if form is None:
        raise self.error(node, "syntax", "FILTER can follow only an aggregate.")
    condition = self.within_aggregate().predicate(node.expression.this)
    return bind_aggregate(self, call, form, _orders_inside(self, call), condition)


def _group_concat(self: Binder, node: Any) -> Expression:
    """GROUP_CONCAT(DISTINCT a, b ORDER BY c SEPARATOR ',') as sql.dialect reads it."""
    return bind_aggregate(self, node, FORMS["GROUP_CONCAT"], _orders_inside(self, node))


def _orders_inside(self: Binder, node: Any) -> list[Order]:
    """ORDER BY inside the parentheses of GROUP_CONCAT."""
    inner = self.within_aggregate()
    return [
        Order(
            op.without_case(op.as_value(inner.bind(o.this))), bool(o.args.get("desc")), bool(o.args.get("nulls_first"))
        )
        for o in node.args.get("order") or ()
    ]


AGGREGATE_TERMS: Final[Mapping[type[Any], Callable[[Binder, Any], Expression]]] = {
    exp.WithinGroup: _within_group,
    exp.Filter: _filtered,
    GroupConcat: _group_concat,
}
