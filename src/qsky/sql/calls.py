"""Calls: functions of the registry, aggregates, and the few that are really operators. Pure; expression calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from qsky.catalog.model import HEALPIX_COLUMN, Kind
from qsky.errors import QskyError
from qsky.sql import operators as op
from qsky.sql.aggregates import aggregate_named, bind_aggregate
from qsky.sql.functions import Function, describe_mismatch, find_function, function_names
from qsky.sql.geometry import GEOMETRY, bind_geometry
from qsky.sql.query import Binary, Call, Case, ColumnRef, Expression, IsNull, Literal_
from qsky.sql.scope import near_miss
from qsky.sql.types import is_exact
from qsky.sql.windows import WINDOW_NAMES

if TYPE_CHECKING:
    from qsky.sql.expression import Binder

_RESTRICTOR: Final = "qserv_areaspec_"
_LATER: Final = frozenset({
    "NOW", "CURDATE", "CURTIME", "SYSDATE", "RAND", "UUID", "DATE_ADD",
    "DATE_SUB", "DATE_FORMAT", "DATEDIFF",
})  # fmt: skip


def bind_call(self: Binder, node: Any) -> Expression:
    """The call as an expression. Raises unknown-name, bad-argument, type-mismatch, bad-query, not-supported."""
    self.only(node, "this", "expressions")
    name = node.name
    upper = name.upper()
    form = aggregate_named(name, self.parsed.lang)
    if form is not None:
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
    arguments = [self.bind(argument) for argument in node.expressions]
    special = _operator_call(self, node, upper, arguments)
    return special if special is not None else _function_call(self, node, name, arguments)


def _operator_call(self: Binder, node: Any, name: str, arguments: list[Expression]) -> Expression | None:
    """MOD, IF and ISNULL are other ways of writing operators."""
    count = len(arguments)
    if name == "MOD" and count == 2:
        return op.calculate("%", *arguments)
    if name == "ISNULL" and count == 1:
        return IsNull(type="BOOLEAN", operand=arguments[0])
    if name == "IF" and count == 3:
        values = op.unify([op.as_value(argument) for argument in arguments[1:]], "IF")
        return Case(type=values[0].type, branches=((op.to_predicate(arguments[0]), values[0]),), otherwise=values[1])
    return None


def _function_call(self: Binder, node: Any, name: str, arguments: list[Expression]) -> Expression:
    function = find_function(name, self.parsed.lang, len(arguments))
    if function is None:
        raise _unknown(self, node, name)
    _check_arity(self, node, function, len(arguments))
    for at, argument in enumerate(arguments):
        if not function.takes(at, argument.type):
            raise self.error(node.expressions[at], "type-mismatch", describe_mismatch(function, at, argument.type))
    return _typed_call(self, function, [_as_argument(function, at, a) for at, a in enumerate(arguments)])


def _unknown(self: Binder, node: Any, name: str) -> QskyError:
    if name.upper() in _LATER:
        return self.error(node, "not-supported", f"The function {name} is not supported yet.")
    return self.error(node, "unknown-name", f"There is no function {name}.", near_miss(name, function_names()))


def _check_arity(self: Binder, node: Any, function: Function, count: int) -> None:
    low, high = function.arity
    polygon = function.name == "scisql_s2PtInCPoly"
    if low <= count <= high and not (polygon and (count % 2 or count > 42)):
        return
    wanted = f"{low}" if low == high else f"{low} or more" if high >= 1000 else f"{low} to {high}"
    wanted = "a position and 3 to 20 vertices" if polygon else f"{wanted} argument{'' if wanted == '1' else 's'}"
    raise self.error(node, "bad-argument", f"{function.name} takes {wanted}, not {count}.")


def _as_argument(function: Function, at: int, argument: Expression) -> Expression:
    """Truth values as numbers; constants of functions on floating numbers as floating ones, so that plan need not ask."""
    if function.letter(at) == "n":
        argument = op.to_number(argument, function.name)
        floating = function.result == "DOUBLE" or function.name.startswith("scisql_s2")
        return op.cast(argument, "DOUBLE") if floating and op.is_literal_number(argument) else argument
    return op.as_value(argument)


def _typed_call(self: Binder, function: Function, arguments: list[Expression]) -> Expression:
    if function.name == "healpix":
        shifted = _cell_of_director(self, arguments)
        if shifted is not None:
            return shifted
    if function.name == "scisql_s2PtInCPoly" and not all(op.is_literal_number(a) for a in arguments[2:]):
        raise op.Mismatch("The vertices of scisql_s2PtInCPoly must be constant numbers.")
    kind = function.result
    if function.result == "same":
        arguments = list(op.unify(arguments, function.name))
        kind = arguments[0].type
    elif function.result == "first":
        kind = arguments[0].type
        op.comparable(arguments[0], arguments[1])
    elif function.result == "whole":
        kind = "BIGINT" if is_exact(arguments[0].type) else "DOUBLE"
    return Call(type=kind, function=function.name, arguments=tuple(arguments))


def _cell_of_director(self: Binder, arguments: list[Expression]) -> Expression | None:
    """healpix(k, ra, dec) of a director's own position is a shift of its stored cell: no computing, and prunable."""
    order, ra, dec = arguments
    if not (isinstance(order, Literal_) and isinstance(order.value, int) and 0 <= order.value <= 29):
        return None
    if not (isinstance(ra, ColumnRef) and isinstance(dec, ColumnRef) and ra.table == dec.table):
        return None
    ref = self.tables.by_alias.get(ra.table)
    if ref is None:
        return None
    table = ref.table
    own = table.kind is Kind.DIRECTOR and table.attached is None
    if not own or (ra.column, dec.column) != (table.ra, table.dec):
        return None
    cell = ColumnRef(type="BIGINT", table=ra.table, column=HEALPIX_COLUMN)
    shift = op.number(2 * (29 - order.value))
    return Binary(type="BIGINT", operator=">>", left=cell, right=shift)
