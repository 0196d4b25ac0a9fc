"""The typed Query: what `bind` makes of a text, what `plan` splits, what `print` turns into DuckDB's SQL.

Every name is resolved, every expression has a type, every dialect is gone: a node means one thing, and `print` has one
text for it. Values only; equality is by value, so plans can be cached and compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from qsky.catalog.model import Table

JoinKind = Literal["inner", "left", "cross"]
AGGREGATES: Final = ("COUNT", "SUM", "MIN", "MAX", "AVG")


@dataclass(frozen=True)
class Place:
    """Where in the user's text something stands; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, kw_only=True)
class Expression:
    """`type` is a name of catalog.types, or "NULL" for a bare NULL."""

    type: str

    def children(self) -> Iterator[Expression]:
        """The expressions directly inside this one, in the order of its fields."""
        for spec in fields(self):
            yield from _expressions_in(getattr(self, spec.name))


def _expressions_in(value: Any) -> Iterator[Expression]:
    if isinstance(value, Expression):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _expressions_in(item)


@dataclass(frozen=True, kw_only=True)
class ColumnRef(Expression):
    """A column of one table reference of the query; `table` is the reference's alias, unique in the query."""

    table: str
    column: str
    collation: str = ""


@dataclass(frozen=True, kw_only=True)
class Literal_(Expression):
    """A constant: int, float, Decimal, str, bytes, bool, date, datetime or None."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class Unary(Expression):
    """`operator` is one of - ~ NOT."""

    operator: str
    operand: Expression


@dataclass(frozen=True, kw_only=True)
class Binary(Expression):
    """`operator` is one of + - * / DIV % & | ^ << >> || = <> < <= > >= <=> AND OR; `collation` "ci" compares without case."""

    operator: str
    left: Expression
    right: Expression
    collation: str = ""


@dataclass(frozen=True, kw_only=True)
class Between(Expression):
    operand: Expression
    low: Expression
    high: Expression
    negated: bool = False
    collation: str = ""


@dataclass(frozen=True, kw_only=True)
class InList(Expression):
    operand: Expression
    items: tuple[Expression, ...]
    negated: bool = False
    collation: str = ""


@dataclass(frozen=True, kw_only=True)
class Like(Expression):
    operand: Expression
    pattern: Expression
    escape: str = "\\"
    negated: bool = False
    collation: str = ""


@dataclass(frozen=True, kw_only=True)
class IsNull(Expression):
    operand: Expression
    negated: bool = False


@dataclass(frozen=True, kw_only=True)
class Case(Expression):
    """Searched CASE; the simple form is bound to comparisons. `branches` are (condition, value)."""

    branches: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression | None


@dataclass(frozen=True, kw_only=True)
class Cast(Expression):
    """`operand` as `type`."""

    operand: Expression


@dataclass(frozen=True, kw_only=True)
class Call(Expression):
    """A scalar function of the registry (sky.functions, sql.functions) by its canonical name."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, kw_only=True)
class Aggregate(Expression):
    """`function` is one of AGGREGATES; no argument means COUNT(*)."""

    function: str
    arguments: tuple[Expression, ...]
    distinct: bool = False


@dataclass(frozen=True)
class TableRef:
    """One mention of a table in FROM. `database` is where `table` lives; `alias` is unique in the query."""

    alias: str
    database: str
    table: Table


@dataclass(frozen=True)
class Join:
    kind: JoinKind
    left: From
    right: From
    on: Expression | None


From = TableRef | Join


@dataclass(frozen=True)
class Item:
    """One column of the answer. `described` carries unit, ucd and description when the item is a bare column."""

    expression: Expression
    name: str
    unit: str = ""
    ucd: str = ""
    description: str = ""


@dataclass(frozen=True)
class Order:
    expression: Expression
    descending: bool = False
    nulls_first: bool = True


@dataclass(frozen=True)
class Query:
    """One SELECT. `limit` None means no limit; `revisions` says which revision each database was bound at."""

    items: tuple[Item, ...]
    source: From | None
    where: Expression | None = None
    group_by: tuple[Expression, ...] = ()
    having: Expression | None = None
    order_by: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    distinct: bool = False
    revisions: tuple[tuple[str, int], ...] = ()

    @property
    def tables(self) -> tuple[TableRef, ...]:
        """The table references in the order of the text."""
        return tuple(table_refs(self.source))

    @property
    def aggregates(self) -> bool:
        """Whether the answer has one row per group rather than per row."""
        inside = [i.expression for i in self.items] + [o.expression for o in self.order_by]
        return bool(self.group_by) or self.having is not None or any(map(has_aggregate, inside))


def table_refs(source: From | None) -> Iterator[TableRef]:
    """The leaves of a FROM, left to right."""
    if isinstance(source, TableRef):
        yield source
    elif isinstance(source, Join):
        yield from table_refs(source.left)
        yield from table_refs(source.right)


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and everything inside it, outside first."""
    yield expression
    for child in expression.children():
        yield from walk(child)


def has_aggregate(expression: Expression) -> bool:
    return any(isinstance(part, Aggregate) for part in walk(expression))


def columns_in(expression: Expression) -> set[tuple[str, str]]:
    """(alias, column) of every column the expression reads."""
    return {(part.table, part.column) for part in walk(expression) if isinstance(part, ColumnRef)}


def conjuncts(expression: Expression | None) -> tuple[Expression, ...]:
    """The predicates of a top-level AND, flattened, in the order of the text."""
    if expression is None:
        return ()
    if isinstance(expression, Binary) and expression.operator == "AND":
        return conjuncts(expression.left) + conjuncts(expression.right)
    return (expression,)


def conjunction(predicates: tuple[Expression, ...]) -> Expression | None:
    """The opposite of `conjuncts`."""
    result: Expression | None = None
    for predicate in predicates:
        result = predicate if result is None else Binary(type="BOOLEAN", operator="AND", left=result, right=predicate)
    return result
