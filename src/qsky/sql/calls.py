"""Calls: functions of the registry, aggregates, and the few that are really operators. Pure; expression calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from qsky.sql import operators as op
from qsky.sql.plain_calls import bind_function
from qsky.sql.query import AGGREGATES, Aggregate, Expression
from qsky.sql.shapes import GEOMETRY, bind_geometry, spread_points
from qsky.sql.special import bind_special
from qsky.sql.types import NULL, family, is_number, sum_type

if TYPE_CHECKING:
    from qsky.sql.expression import Binder

_RESTRICTOR: Final = "qserv_areaspec_"
# aggregates of one argument, operators of ADQL with two
_OF_TWO_BITS: Final = frozenset({"BIT_AND", "BIT_OR", "BIT_XOR"})


def bind_call(self: Binder, node: Any) -> Expression:
    """The call as an expression. Raises unknown-name, bad-argument, type-mismatch, bad-query, not-supported."""
    self.only(node, "this", "expressions")
    name = node.name
    upper = name.upper()
    if upper in AGGREGATES and not (upper in _OF_TWO_BITS and len(node.expressions) == 2):
        return _aggregate(self, node, upper)
    if any(isinstance(argument, exp.Star | exp.Distinct) for argument in node.expressions):
        raise self.error(node, "syntax", f"* and DISTINCT have no meaning in {name}(...).")
    if self.parsed.lang == "adql" and upper in GEOMETRY:
        return bind_geometry(self, node)
    if upper.startswith(_RESTRICTOR.upper()):
        raise self.error(
            node, "bad-query", f"{name} may stand only at the top of WHERE, joined to the rest by AND.", ""
        )
    special = bind_special(self, node)
    if special is not None:
        return special
    return bind_function(self, node, name, spread_points(self, node.expressions))


# -- aggregates


def _aggregate(self: Binder, node: Any, name: str) -> Expression:
    if self.inside_aggregate:
        raise self.error(node, "bad-query", f"{name} stands inside another aggregate.")
    if not self.aggregates:
        hint = "Use HAVING to filter groups." if self.clause == "WHERE" else ""
        raise self.error(node, "bad-query", f"The aggregate {name} cannot stand in {self.clause}.", hint)
    given = node.expressions
    if len(given) == 1 and isinstance(given[0], exp.Star):
        if name != "COUNT":
            raise self.error(node, "bad-argument", f"{name}(*) has no meaning.")
        return Aggregate(type="BIGINT", function="COUNT", arguments=())
    distinct = len(given) == 1 and isinstance(given[0], exp.Distinct)
    inner = self.within_aggregate()
    arguments = [op.as_value(inner.bind(a)) for a in (given[0].expressions if distinct else given)]
    if not arguments or (len(arguments) > 1 and not (name == "COUNT" and distinct)):
        raise self.error(node, "bad-argument", f"{name} takes 1 argument, not {len(arguments)}.")
    _check_aggregate(self, node, name, arguments, distinct)
    if name in ("SUM", "AVG"):
        arguments = [op.to_number(argument, name) for argument in arguments]
    distinct = distinct and name == "COUNT"
    kind = _aggregate_type(name, arguments[0].type)
    return Aggregate(type=kind, function=name, arguments=tuple(arguments), distinct=distinct)


def _check_aggregate(self: Binder, node: Any, name: str, arguments: list[Expression], distinct: bool) -> None:
    kind = arguments[0].type
    if name in ("SUM", "AVG"):
        if distinct:
            raise self.error(node, "not-supported", f"{name}(DISTINCT ...) is not supported yet.")
        if not (is_number(kind) or kind in ("BOOLEAN", NULL)):
            raise self.error(node, "type-mismatch", f"{name} needs a number, not {family(kind)}.")
    folded = (name == "COUNT" and distinct) or name in ("MIN", "MAX")
    if folded and op.collation_of(*arguments) == "ci":
        hint = "Use LOWER(...) inside it."
        raise self.error(node, "not-supported", f"{name} of a column that ignores case is not supported yet.", hint)


def _aggregate_type(name: str, kind: str) -> str:
    if name == "COUNT":
        return "BIGINT"
    if name == "AVG":
        return "DOUBLE"
    if kind == NULL:
        return "DOUBLE" if name == "SUM" else "INTEGER"
    return sum_type(kind) if name == "SUM" else kind
