"""The typed Query: what `bind` makes of a text, what `plan` splits, what `print` turns into DuckDB's SQL.

Every name is resolved, every expression has a type, every dialect is gone: a node means one thing, and `print` has one
text for it. Values only; equality is by value, so plans can be cached and compared.

A text is a `Statement`: stages that are answered one after the other, and the query whose answer is wanted. Whatever
can be answered on its own (a derived table, a CTE, a sub-query without outer columns, an operand of UNION) is a stage;
later ones read its rows by its number. A sub-query with outer columns stays where it was written (`SubQuery.query`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Any, Literal

from qsky.catalog.model import Table

JoinKind = Literal["inner", "left", "cross", "full"]


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
        kind: Any = self.__class__  # to mypy a class with a __hash__ of its own is not hashable itself
        for name in _field_names(kind):
            yield from _expressions_in(getattr(self, name))


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    """Kept, because planning walks over every expression many times."""
    return tuple(spec.name for spec in fields(kind) if spec.name != "type")


def _expressions_in(value: Any) -> Iterable[Expression]:
    if isinstance(value, str):
        return ()
    if isinstance(value, Expression):
        return (value,)
    if isinstance(value, Order):
        return (value.expression,)
    if isinstance(value, tuple):
        return [found for item in value for found in _expressions_in(item)]
    return ()


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


@dataclass(frozen=True)
class Order:
    expression: Expression
    descending: bool = False
    nulls_first: bool = True


@dataclass(frozen=True, kw_only=True)
class Aggregate(Expression):
    """`function` is a name of sql.aggregates; no argument means COUNT(*). `order_by` orders what GROUP_CONCAT joins."""

    function: str
    arguments: tuple[Expression, ...]
    distinct: bool = False
    order_by: tuple[Order, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Window(Expression):
    """A function over other rows of the answer; `function` is an aggregate or a name of sql.windows.

    `frame` is (ROWS | RANGE | GROUPS, start, end), each bound written out in full.
    """

    function: str
    arguments: tuple[Expression, ...]
    partition_by: tuple[Expression, ...]
    order_by: tuple[Order, ...]
    frame: tuple[str, str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class SubQuery(Expression):
    """A query inside an expression: its one value, whether it has rows, or a comparison with its rows.

    `form` is value, exists, in, any or all; `operands` stand before IN, or the comparison `operator` of any and all.
    Either `stage` says which stage it is, or `query` reads columns of the queries around it, which are `outer`.
    """

    form: SubQueryForm
    stage: int | None = None
    query: Query | None = None
    operands: tuple[Expression, ...] = ()
    operator: str = "="
    negated: bool = False
    outer: tuple[ColumnRef, ...] = ()


SubQueryForm = Literal["value", "exists", "in", "any", "all"]


@dataclass(frozen=True)
class TableRef:
    """One mention of a table in FROM. `database` is where `table` lives; `alias` is unique in the statement."""

    alias: str
    database: str
    table: Table


@dataclass(frozen=True)
class GivenRef:
    """The rows of an earlier stage in FROM; its columns are c0, c1, ... of these types."""

    alias: str
    stage: int
    types: tuple[str, ...]


@dataclass(frozen=True)
class Combined:
    """UNION, INTERSECT or EXCEPT of rows of equal types; the columns are c0, c1, ..."""

    alias: str
    operator: str
    all: bool
    left: GivenRef | Combined
    right: GivenRef | Combined
    types: tuple[str, ...]


@dataclass(frozen=True)
class Join:
    kind: JoinKind
    left: From
    right: From
    on: Expression | None


From = TableRef | GivenRef | Combined | Join


@dataclass(frozen=True)
class Item:
    """One column of the answer; unit, ucd and description are those of a bare column."""

    expression: Expression
    name: str
    unit: str = ""
    ucd: str = ""
    description: str = ""


@dataclass(frozen=True)
class Query:
    """One SELECT. `limit` None means no limit."""

    items: tuple[Item, ...]
    source: From | None
    where: Expression | None = None
    group_by: tuple[Expression, ...] = ()
    having: Expression | None = None
    order_by: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    distinct: bool = False

    @property
    def tables(self) -> tuple[TableRef, ...]:
        """The table references of FROM, in the order of the text."""
        return tuple(table_refs(self.source))

    @cached_property
    def nested(self) -> tuple[SubQuery, ...]:
        """Every sub-query that stays where it was written, also those inside others; the outer ones first."""
        return tuple(_nested(self))

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


@dataclass(frozen=True)
class Statement:
    """A text: stages in the order they are answered, then the query. Stage i may read the stages before it.

    `revisions` says which revision each database was bound at.
    """

    stages: tuple[Query, ...]
    query: Query
    revisions: tuple[tuple[str, int], ...] = ()


def sources_of(source: From | None) -> Iterator[TableRef | GivenRef | Combined]:
    """Every leaf of a FROM, left to right."""
    if isinstance(source, Join):
        yield from sources_of(source.left)
        yield from sources_of(source.right)
    elif source is not None:
        yield source


def expressions_of(query: Query) -> Iterator[Expression]:
    """Every expression of a query itself: items, conditions, groups, orders, and the conditions of its joins."""
    yield from expressions_after_where(query)
    if query.where is not None:
        yield query.where
    yield from conditions_of(query.source)


def expressions_after_where(query: Query) -> Iterator[Expression]:
    """What is worked out of the joined and filtered rows: items, groups, HAVING, ORDER BY."""
    yield from (item.expression for item in query.items)
    yield from query.group_by
    if query.having is not None:
        yield query.having
    yield from (order.expression for order in query.order_by)


def conditions_of(source: From | None) -> Iterator[Expression]:
    """The ON conditions of a join tree."""
    if isinstance(source, Join):
        yield from conditions_of(source.left)
        yield from conditions_of(source.right)
        if source.on is not None:
            yield source.on


def _nested(query: Query) -> Iterator[SubQuery]:
    for expression in expressions_of(query):
        for part in walk(expression):
            if isinstance(part, SubQuery) and part.query is not None:
                yield part
                yield from _nested(part.query)


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and everything inside it, outside first."""
    todo = [expression]
    while todo:
        part = todo.pop()
        yield part
        todo.extend(reversed(tuple(part.children())))


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
