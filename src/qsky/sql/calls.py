"""Calls: functions of the registry, aggregates, and the few that are really operators. Pure; expression calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from qsky.sql.aggregates import aggregate_named, bind_aggregate
from qsky.sql.plain_calls import bind_function
from qsky.sql.query import Expression
from qsky.sql.shapes import GEOMETRY, bind_geometry, spread_points
from qsky.sql.special import bind_special
from qsky.sql.windows import WINDOW_NAMES

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
    form = aggregate_named(name, self.parsed.lang)
    if form is not None and not (upper in _OF_TWO_BITS and len(node.expressions) == 2):
        return bind_aggregate(self, node, form)
    if upper in WINDOW_NAMES:
        raise self.error(node, "bad-query", f"{upper} needs OVER (...).")
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
