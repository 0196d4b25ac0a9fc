"""Sub-queries in expressions: one value, EXISTS, IN, ANY and ALL. Pure; expression uses it.

Without columns of the query around it a sub-query is a stage, answered once before; with them it stays in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from qsky.sql import operators as op
from qsky.sql.parts import free_columns
from qsky.sql.query import Expression, Query, SubQuery, SubQueryForm
from qsky.sql.tables import Surroundings, refuse_other_args

if TYPE_CHECKING:
    from qsky.sql.expression import Binder


def bind_value(self: Binder, node: Any) -> Expression:
    """(SELECT ...) as a value: NULL if it has no row."""
    query = _query(self, node)
    _one_column(self, node, query, 1)
    return _placed(self, query, SubQuery(type=query.items[0].expression.type, form="value"))


def bind_exists(self: Binder, node: Any) -> Expression:
    """EXISTS (SELECT ...)."""
    query = _query(self, node.this)
    return _placed(self, query, SubQuery(type="BOOLEAN", form="exists"), exists=True)


def bind_in(self: Binder, node: Any) -> Expression:
    """x IN (SELECT ...) and (x, y) IN (SELECT ...)."""
    self.only(node, "this", "query", "negate")
    left = node.this.expressions if isinstance(node.this, exp.Tuple) else [node.this]
    operands = [self.bind(part) for part in left]
    query = _query(self, node.args["query"])
    _one_column(self, node, query, len(operands))
    operands, query = _alike(operands, query)
    blank = SubQuery(type="BOOLEAN", form="in", operands=tuple(operands), negated=bool(node.args.get("negate")))
    return _placed(self, query, blank)


def bind_quantified(self: Binder, operator: str, node: Any) -> Expression:
    """x < ALL (SELECT ...), x = ANY (SELECT ...)."""
    quantified = node.expression
    form: SubQueryForm = "all" if isinstance(quantified, exp.All) else "any"
    operand = self.bind(node.this)
    query = _query(self, quantified.this)
    _one_column(self, node, query, 1)
    operands, query = _alike([operand], query)
    if operator == "<=>":
        raise self.error(node, "syntax", "<=> cannot be followed by ANY or ALL.")
    return _placed(self, query, SubQuery(type="BOOLEAN", form=form, operands=tuple(operands), operator=operator))


def _query(self: Binder, node: Any) -> Query:
    tree = node
    while isinstance(tree, exp.Subquery | exp.Paren):
        refuse_other_args(self.parsed, tree, {"this"}, "a sub-query")
        tree = tree.this
    if not isinstance(tree, exp.Query):
        raise self.error(node, "syntax", "A sub-query must be a SELECT in parentheses.")
    return self.tables.nested(tree, Surroundings(self.ctes, self.scope))


def _one_column(self: Binder, node: Any, query: Query, count: int) -> None:
    if len(query.items) != count:
        wanted = "1 column" if count == 1 else f"{count} columns"
        raise self.error(node, "bad-query", f"The sub-query must give {wanted}, and gives {len(query.items)}.")


def _alike(operands: Sequence[Expression], query: Query) -> tuple[list[Expression], Query]:
    """Operands and columns in types that compare without loss, both without case where one of them ignores it."""
    left, items = [], []
    for operand, item in zip(operands, query.items, strict=True):
        expression = item.expression
        ci = op.collation_of(operand, expression) == "ci"
        one, other = op.comparable(operand, expression)
        if ci:
            one, other = op.lowered(one), op.lowered(other)
        left.append(one)
        items.append(replace(item, expression=other))
    return left, _with_items(query, tuple(items))


def _with_items(query: Query, items: Any) -> Query:
    """The query with its columns changed, and what sorts by them left as it is."""
    if all(new.expression == old.expression for new, old in zip(items, query.items, strict=True)):
        return query
    return replace(query, items=items)


def _placed(self: Binder, query: Query, blank: SubQuery, *, exists: bool = False) -> Expression:
    outer = free_columns(query)
    if not outer:
        if exists and query.limit is None and not query.offset:
            query = replace(query, limit=1, order_by=())
        return replace(blank, stage=self.tables.stage(query))
    return replace(blank, query=query, outer=outer)
