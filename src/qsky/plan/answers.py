"""Answers of sub-queries put into the query that asked: one value as a constant, few rows of IN as a list. Pure.

Called by `engine` before a query is planned, so that planning sees constants: a list of keys is looked up in the
director index like any other. What is not put in stays a sub-query over the rows of its stage.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from qsky.catalog.types import type_name
from qsky.errors import QskyError
from qsky.plan.model import Given
from qsky.sql.query import Binary, Expression, InList, Literal_, Query, SubQuery, Unary
from qsky.sql.rewrite import rewritten
from qsky.sql.statement import given_name

_LIST_MAX: Final = 5000
_LISTED: Final = frozenset(
    {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR", "DATE"}
)


def answered(query: Query, given: Given) -> Query:
    """The query with answers for what is known. Raises bad-query where a value has more than one row."""

    def change(part: Expression) -> Expression | None:
        if not isinstance(part, SubQuery) or part.stage is None or given_name(part.stage) not in given:
            return None
        asked = replace(part, operands=rewritten(part.operands, change))
        return _answer(asked, given[given_name(part.stage)])

    return rewritten(query, change)


def _answer(sub: SubQuery, rows: Any) -> Expression:
    if sub.form == "exists":
        return Literal_(type="BOOLEAN", value=(rows.num_rows > 0) != sub.negated)
    if sub.form == "value":
        return _value(sub, rows)
    if sub.form == "in" and len(sub.operands) == 1 and rows.num_rows <= _LIST_MAX:
        kind = _kind_of(rows.schema.field(0).type)
        if kind in _LISTED and sub.operands[0].type in _LISTED:
            return _listed(sub, rows, kind)
    return sub


def _kind_of(arrow: pa.DataType) -> str:
    """The type of the rows themselves: a fraction among them is no row of an integer column, however it would round."""
    return "NULL" if pa.types.is_null(arrow) else type_name(arrow)


def _value(sub: SubQuery, rows: Any) -> Expression:
    if rows.num_rows > 1:
        sentence = "A sub-query that stands for one value gives several rows."
        raise QskyError("bad-query", sentence, hint="Add LIMIT 1, an aggregate, or use IN.")
    value = rows.column(0)[0].as_py() if rows.num_rows else None
    return Literal_(type=sub.type, value=value) if sub.type in _LISTED or value is None else sub


def _listed(sub: SubQuery, rows: Any, kind: str) -> Expression:
    """IN over nothing is false, even for NULL; NULL among the rows makes a miss unknown."""
    operand = sub.operands[0]
    values = rows.column(0).unique().to_pylist()
    if not values:
        return Literal_(type="BOOLEAN", value=sub.negated)
    items = tuple(Literal_(type=kind, value=value) for value in values if value is not None)
    if len(items) == len(values):
        return InList(type="BOOLEAN", operand=operand, items=items, negated=sub.negated)
    unknown = Literal_(type="BOOLEAN", value=None)
    if not items:
        return unknown
    found = InList(type="BOOLEAN", operand=operand, items=items)
    either: Expression = Binary(type="BOOLEAN", operator="OR", left=found, right=unknown)
    if sub.negated:
        either = Unary(type="BOOLEAN", operator="NOT", operand=either)
    return either
