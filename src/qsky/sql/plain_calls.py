"""Calls of the registry: which function a name means, whether its arguments fit, and the few that are bound as more.

`sql.calls` hands every call here that is neither an aggregate, nor geometry, nor one of `sql.special`; those two write
calls of the registry with it. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from qsky.catalog.model import HEALPIX_COLUMN, Kind
from qsky.errors import QskyError
from qsky.sql import operators as op
from qsky.sql.casts import read_time
from qsky.sql.functions import FUNCTIONS, Function, describe_mismatch, find_function, function_names
from qsky.sql.query import Binary, Call, Case, ColumnRef, Expression, Literal_
from qsky.sql.scope import near_miss
from qsky.sql.types import NULL, is_exact, is_number

if TYPE_CHECKING:
    from qsky.sql.expression import Binder

_LATER: Final = frozenset({"UUID"})
_OF_DIGITS: Final = frozenset({"ROUND", "TRUNCATE", "FORMAT"})
# What compares texts: by lower case where a column says so.
_IN_ANY_CASE: Final = frozenset({"INSTR", "LOCATE", "LOCATE_FIRST", "STRCMP", "FIND_IN_SET"})
# What scisql has for its own index, which Qsky does without.
_OF_HTM: Final = frozenset({"S2CPOLYHTMRANGES", "S2CIRCLEHTMRANGES"})


def bind_function(self: Binder, node: Any, name: str, arguments: Sequence[Expression]) -> Expression:
    """A call of the registry with bound arguments, for those who write other calls in its words."""
    arguments = list(arguments)
    function = find_function(name, self.parsed.lang, len(arguments))
    if function is None:
        raise _unknown(self, node, name)
    if function.name == "scisql_s2PtInCPoly" and len(arguments) == 3:
        function, arguments = _polygon_of_bytes(function, arguments)
    _check_arity(self, node, function, len(arguments))
    if function.name in _IN_ANY_CASE and op.collation_of(*arguments) == "ci":
        arguments = [_lower(argument) for argument in arguments]
    arguments = [_read(function, at, argument) for at, argument in enumerate(arguments)]
    for at, argument in enumerate(arguments):
        if not function.takes(at, argument.type):
            place = node.expressions[at] if at < len(node.expressions) else node
            raise self.error(place, "type-mismatch", describe_mismatch(function, at, argument.type))
    return _typed_call(self, function, [_as_argument(function, at, a) for at, a in enumerate(arguments)])


def _unknown(self: Binder, node: Any, name: str) -> QskyError:
    if name.upper() in _LATER:
        return self.error(node, "not-supported", f"The function {name} is not supported yet.")
    if name.upper().removeprefix("SCISQL_") in _OF_HTM:
        hint = "Restrict positions with qserv_areaspec_circle or qserv_areaspec_poly: Qsky finds the rows by itself."
        return self.error(node, "not-supported", f"The function {name} serves an index that Qsky does not have.", hint)
    others = [each for each in function_names() if each.upper() != name.upper()]  # it may exist in another language
    return self.error(node, "unknown-name", f"There is no function {name}.", near_miss(name, others))


def _check_arity(self: Binder, node: Any, function: Function, count: int) -> None:
    low, high = function.arity
    polygon = function.name in ("scisql_s2PtInCPoly", "scisql_s2CPolyToBin")
    if low <= count <= high and not (polygon and (count % 2 or count > 34 + low)):
        return
    wanted = f"{low}" if low == high else f"{low} or more" if high >= 1000 else f"{low} to {high}"
    around = "a position and " if function.name == "scisql_s2PtInCPoly" else ""
    wanted = f"{around}3 to 20 vertices" if polygon else f"{wanted} argument{'' if wanted == '1' else 's'}"
    same = not isinstance(node, exp.Anonymous) or node.name.upper() == function.name.upper()
    raise self.error(node, "bad-argument", f"{function.name if same else node.name} takes {wanted}, not {count}.")


def _lower(argument: Expression) -> Expression:
    return Call(type="VARCHAR", function="LOWER", arguments=(argument,)) if argument.type == "VARCHAR" else argument


def _read(function: Function, at: int, argument: Expression) -> Expression:
    """A text in quotes where a time is wanted is one."""
    return read_time(argument) if function.letter(at) == "t" else argument


def _as_argument(function: Function, at: int, argument: Expression) -> Expression:
    """Truth values as numbers; constants of functions on floating numbers as floating ones, so that plan need not ask."""
    if function.letter(at) == "n":
        argument = op.to_number(argument, function.name)
        floating = function.result == "DOUBLE" or function.name.startswith("scisql_s2")
        return op.cast(argument, "DOUBLE") if floating and op.is_literal_number(argument) else argument
    if function.letter(at) == "i":
        return op.to_number(argument, function.name)
    argument = op.as_value(argument)
    if function.name == "HEX" and is_number(argument.type):
        return op.cast(argument, "BIGINT")
    texts = function.letter(at) in ("s", "b") or function.name.startswith("CONCAT")
    return op.as_text(argument) if texts and argument.type not in ("VARCHAR", "BLOB", NULL) else argument


def _polygon_of_bytes(function: Function, arguments: list[Expression]) -> tuple[Function, list[Expression]]:
    """scisql_s2PtInCPoly(ra, dec, s2CPolyToBin(...)) is the polygon itself; bytes of a column are read row by row."""
    shape = arguments[2]
    if isinstance(shape, Call) and shape.function == "scisql_s2CPolyToBin":
        return function, [*arguments[:2], *shape.arguments]
    return FUNCTIONS["qsky_inPolygonBytes"], arguments


def _typed_call(self: Binder, function: Function, arguments: list[Expression]) -> Expression:
    if function.name == "healpix":
        shifted = _cell_of_director(self, arguments)
        if shifted is not None:
            return shifted
    if function.name in _OF_DIGITS:
        function, arguments = _in_decimals(function, arguments)
    if function.name == "ROUND" and self.parsed.lang != "duckdb" and not op.is_decimal(arguments[0]):
        function = FUNCTIONS["ROUND_EVEN"]
    if function.name == "scisql_s2PtInCPoly" and not all(op.is_literal_number(a) for a in arguments[2:]):
        return Call(type="INTEGER", function="qsky_inPolygonList", arguments=tuple(arguments))
    kind = function.result
    if function.result == "same":
        arguments = list(op.unify(arguments, function.name))
        kind = arguments[0].type
    elif function.result == "first":
        equal = op.compare("=", arguments[0], arguments[1])
        kind = arguments[0].type
        return Case(type=kind, branches=((equal, op.null(kind)),), otherwise=arguments[0])
    elif function.result == "whole":
        kind = "BIGINT" if is_exact(arguments[0].type) else "DOUBLE"
    return Call(type=kind, function=function.name, arguments=tuple(arguments))


def _in_decimals(function: Function, arguments: list[Expression]) -> tuple[Function, list[Expression]]:
    """Halves of a stored decimal are halves; as DOUBLE they would be a little more or less."""
    kind = arguments[0].type
    constant = all(isinstance(argument, Literal_) and argument.value is not None for argument in arguments[1:])
    if not (constant and kind.startswith("DECIMAL(") and not is_exact(kind)):
        return function, arguments
    if function.name != "FORMAT":
        return FUNCTIONS[f"{function.name}_DECIMAL"], arguments
    return function, [Call(type="DOUBLE", function="ROUND_DECIMAL", arguments=tuple(arguments)), arguments[1]]


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
