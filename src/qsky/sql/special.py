"""Calls that are more than a function of the registry: operators in disguise, the clock, units of time, formats.

`sql.calls` asks here first. Pure: NOW() stays a call until `sql.moments` puts the time of the query in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from qsky.catalog.model import Kind
from qsky.sql import operators as op
from qsky.sql.casts import read_time
from qsky.sql.moments import SESSION_VALUES
from qsky.sql.plain_calls import bind_function
from qsky.sql.query import Call, Case, ColumnRef, Expression, IsNull, Literal_, columns_in
from qsky.sql.times import UNITS, duckdb_format, moved_name
from qsky.sql.types import is_exact, is_text, is_time
from qsky.sql.units import conversion, unit_of
from qsky.version import VERSION

if TYPE_CHECKING:
    from qsky.sql.expression import Binder

Special = Callable[["Binder", Any, list[Any]], Expression]
_SEED_DEFAULT: Final = 0


def bind_special(self: Binder, node: Any) -> Expression | None:
    """The call as an expression if it is one of these, else None."""
    name = node.name.upper()
    known = _SPECIAL.get(name)
    if known is None or (self.parsed.lang == "adql" and name not in _OF_ADQL):
        return None
    special, low, high = known
    count = len(node.expressions)
    if not low <= count <= high:
        if name == "IF" or name == "MOD" or low == high:
            raise self.error(node, "bad-argument", f"{name} takes {low} argument{'s' * (low != 1)}, not {count}.")
        raise self.error(node, "bad-argument", f"{name} takes {low} to {high} arguments, not {count}.")
    return special(self, node, list(node.expressions))


# -- operators in disguise


def _mod(self: Binder, node: Any, given: list[Any]) -> Expression:
    return op.calculate("%", self.bind(given[0]), self.bind(given[1]))


def _is_null(self: Binder, node: Any, given: list[Any]) -> Expression:
    return IsNull(type="BOOLEAN", operand=self.bind(given[0]))


def _if(self: Binder, node: Any, given: list[Any]) -> Expression:
    values = op.unify([op.as_value(self.bind(each)) for each in given[1:]], node.name.upper())
    return Case(type=values[0].type, branches=((self.predicate(given[0]), values[0]),), otherwise=values[1])


def _nvl2(self: Binder, node: Any, given: list[Any]) -> Expression:
    values = op.unify([op.as_value(self.bind(each)) for each in given[1:]], "NVL2")
    known = IsNull(type="BOOLEAN", operand=self.bind(given[0]), negated=True)
    return Case(type=values[0].type, branches=((known, values[0]),), otherwise=values[1])


def _field(self: Binder, node: Any, given: list[Any]) -> Expression:
    """The place of the first value among the others; 0 if it is not there, or NULL."""
    wanted, *others = [op.as_value(self.bind(each)) for each in given]
    branches = [(op.compare("=", wanted, other), op.number(at)) for at, other in enumerate(others, 1)]
    return Case(type="INTEGER", branches=tuple(branches), otherwise=op.number(0))


def _elt(self: Binder, node: Any, given: list[Any]) -> Expression:
    """The n-th of the others; NULL if there is none."""
    place, *others = [op.as_value(self.bind(each)) for each in given]
    values = op.unify(others, "ELT")
    branches = [(op.compare("=", place, op.number(at)), value) for at, value in enumerate(values, 1)]
    return Case(type=values[0].type, branches=tuple(branches), otherwise=None)


def _name_const(self: Binder, node: Any, given: list[Any]) -> Expression:
    """NAME_CONST('name', value): the value; a collation said inside does not reach what it is compared with."""
    named, value = self.bind(given[0]), self.bind(given[1])
    if not (isinstance(named, Literal_) and is_text(named.type)) or columns_in(value):
        raise self.error(node, "bad-argument", "NAME_CONST takes a name in quotes and a constant.")
    return op.by_bytes(value)


def _joined_set(self: Binder, node: Any, given: list[Any]) -> Expression:
    """POSITION(x IN y), which sqlglot reads as a comparison."""
    if len(given) == 1 and isinstance(given[0], exp.In) and given[0].args.get("field") is not None:
        given = [given[0].this, given[0].args["field"]]
    if len(given) != 2:
        raise self.error(node, "syntax", "POSITION is written POSITION(part IN text).")
    return bind_function(self, node, "LOCATE", tuple(self.bind(each) for each in given))


def _in_unit(self: Binder, node: Any, given: list[Any]) -> Expression:
    """IN_UNIT(column, 'unit'): a factor known when the query is bound."""
    value = self.bind(given[0])
    unit = self.bind(given[1])
    if not (isinstance(unit, Literal_) and is_text(unit.type)):
        raise self.error(given[1], "bad-argument", "The unit of IN_UNIT must be a constant text.")
    columns = [(c.expression, c.unit) for source in self.scope.sources for c in source.columns]
    own = unit_of(value, {(e.table, e.column): unit for e, unit in columns if isinstance(e, ColumnRef)})
    if own is None:
        hint = "IN_UNIT takes a column that says its unit, or its negative."
        raise self.error(given[0], "bad-argument", "The unit of this value is not known.", hint)
    try:
        factor = conversion(own, str(unit.value))
    except ValueError as wrong:
        raise self.error(given[1], "bad-argument", str(wrong)) from None
    return op.calculate("*", op.cast(op.to_number(value, "IN_UNIT"), "DOUBLE"), op.number(factor))


# -- what a session knows


def _version(self: Binder, node: Any, given: list[Any]) -> Expression:
    return Literal_(type="VARCHAR", value=f"Qsky {VERSION}")


def _asked(name: str) -> Special:
    def bound(self: Binder, node: Any, given: list[Any]) -> Expression:
        return Call(type=SESSION_VALUES[name], function=name, arguments=())

    return bound


def _unix_timestamp(self: Binder, node: Any, given: list[Any]) -> Expression:
    moment: Expression = Call(type="TIMESTAMP", function="NOW", arguments=())
    if given:
        moment = _time(self, given[0])
    seconds = Call(type="DOUBLE", function="UNIX_TIMESTAMP", arguments=(moment,))
    return op.cast(seconds, "BIGINT") if moment.type == "DATE" or not given else seconds


def _random(self: Binder, node: Any, given: list[Any]) -> Expression:
    """A hash of the seed and of what makes the row: its keys where they are unique, else all it has."""
    seed = self.bind(given[0]) if given else op.number(_SEED_DEFAULT)
    if not (isinstance(seed, Literal_) and (is_exact(seed.type) or seed.value is None)):
        raise self.error(node, "bad-argument", f"The seed of {node.name.upper()} must be a constant integer.")
    return Call(type="DOUBLE", function="RAND", arguments=(seed, *_identity(self)))


def _identity(self: Binder) -> Iterator[Expression]:
    """What makes a row: the key of a director, all columns of any other table."""
    for source in self.scope.sources:
        table = source.table.table if source.table is not None else None
        key = table.key if table is not None and table.kind is Kind.DIRECTOR else ""
        own = [column for column in source.columns if key and column.name == key]
        yield from (column.expression for column in own or source.columns)


# -- times


def _time(self: Binder, node: Any) -> Expression:
    return read_time(self.bind(node))


def _unit(self: Binder, node: Any, word: Any) -> str:
    """The unit of a span, from a bare word."""
    name = word.name.upper().removeprefix("SQL_TSI_") if word is not None else "DAY"
    name = name.removesuffix("S") if name.removesuffix("S") in UNITS else name
    if name not in UNITS:
        hint = f"Known: {', '.join(UNITS)}."
        raise self.error(node, "not-supported", f"The unit of time {name} is not supported.", hint)
    return name


def moved(self: Binder, node: Any, start: Expression, count: Expression, unit: str, backwards: bool) -> Expression:
    """A time some units later."""
    start = read_time(start)
    if not is_time(start.type) and start.type != "NULL":
        raise op.Mismatch("An interval can be added only to a date or time.", "Use CAST(... AS DATETIME).")
    if isinstance(count, Literal_) and is_text(count.type) and str(count.value).lstrip("-").isdecimal():
        count = op.number(int(count.value))
    if not (is_exact(count.type) or count.type in ("NULL", "BOOLEAN")):
        raise op.Mismatch(
            "The length of an interval must be an integer.", "Use a smaller unit, or CAST(... AS SIGNED)."
        )
    count = op.negate(count) if backwards else count
    name = moved_name(unit, start.type)
    return Call(type="DATE" if name.endswith("_DATE") else "TIMESTAMP", function=name, arguments=(start, count))


def span(self: Binder, node: Any) -> tuple[Expression, str]:
    """The length and unit of INTERVAL n UNIT."""
    self.only(node, "this", "unit")
    if node.this is None or node.args.get("unit") is None:
        raise self.error(node, "syntax", "An interval is written INTERVAL 3 DAY.")
    return self.bind(node.this), _unit(self, node, node.args["unit"])


def _shifted(backwards: bool) -> Special:
    """DATE_ADD(d, INTERVAL n UNIT); ADDDATE(d, n) means days."""

    def bound(self: Binder, node: Any, given: list[Any]) -> Expression:
        start = self.bind(given[0])
        if isinstance(given[1], exp.Interval):
            count, unit = span(self, given[1])
        elif node.name.upper() in ("ADDDATE", "SUBDATE"):
            count, unit = self.bind(given[1]), "DAY"
        else:
            raise self.error(given[1], "syntax", f"{node.name.upper()} needs INTERVAL n UNIT as its second argument.")
        return moved(self, node, start, count, unit, backwards)

    return bound


def _timestamp_add(self: Binder, node: Any, given: list[Any]) -> Expression:
    return moved(self, node, self.bind(given[2]), self.bind(given[1]), _unit(self, node, given[0]), False)


def _timestamp_diff(self: Binder, node: Any, given: list[Any]) -> Expression:
    unit = _unit(self, node, given[0])
    ends = tuple(op.cast(_time(self, each), "TIMESTAMP") for each in given[1:])
    return bind_function(self, node, f"{unit}S_BETWEEN", ends)


def _week(self: Binder, node: Any, given: list[Any]) -> Expression:
    """WEEK(d[, mode]): mode 0, and 3 (ISO)."""
    mode = self.bind(given[1]) if len(given) > 1 else op.number(0)
    if not isinstance(mode, Literal_) or mode.value not in (0, 3):
        raise self.error(node, "not-supported", "WEEK is supported with the modes 0 and 3 only.")
    return bind_function(self, node, "WEEKOFYEAR" if mode.value == 3 else "WEEK", (_time(self, given[0]),))


def _format(self: Binder, node: Any, words: Any) -> tuple[Literal_, bool]:
    text = self.bind(words)
    if not (isinstance(text, Literal_) and is_text(text.type)):
        raise self.error(words, "bad-argument", f"The format of {node.name.upper()} must be a constant text.")
    try:
        made, timed = duckdb_format(str(text.value))
    except KeyError as unknown:
        raise self.error(words, "not-supported", f"The format letter %{unknown.args[0]} is not supported.") from None
    return Literal_(type="VARCHAR", value=made), timed


def _date_format(self: Binder, node: Any, given: list[Any]) -> Expression:
    return bind_function(self, node, "DATE_FORMAT", (_time(self, given[0]), _format(self, node, given[1])[0]))


def _from_unixtime(self: Binder, node: Any, given: list[Any]) -> Expression:
    moment = bind_function(self, node, "FROM_UNIXTIME", (self.bind(given[0]),))
    if len(given) == 1:
        return moment
    return bind_function(self, node, "DATE_FORMAT", (moment, _format(self, node, given[1])[0]))


def _str_to_date(self: Binder, node: Any, given: list[Any]) -> Expression:
    words, timed = _format(self, node, given[1])
    return bind_function(self, node, "STR_TO_DATE" if timed else "STR_TO_DAY", (self.bind(given[0]), words))


_SPECIAL: Final[dict[str, tuple[Special, int, int]]] = {
    "MOD": (_mod, 2, 2),
    "ISNULL": (_is_null, 1, 1),
    "IF": (_if, 3, 3),
    "IIF": (_if, 3, 3),
    "NVL2": (_nvl2, 3, 3),
    "FIELD": (_field, 2, 1000),
    "ELT": (_elt, 2, 1000),
    "POSITION": (_joined_set, 1, 2),
    "NAME_CONST": (_name_const, 2, 2),
    "IN_UNIT": (_in_unit, 2, 2),
    "VERSION": (_version, 0, 0),
    **{name: (_asked("DATABASE"), 0, 0) for name in ("DATABASE", "SCHEMA", "CURRENT_DATABASE")},
    **{name: (_asked("USER"), 0, 0) for name in ("USER", "CURRENT_USER", "SESSION_USER")},
    **{name: (_asked("NOW"), 0, 1) for name in ("NOW", "SYSDATE", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP",
                                                "UTC_TIMESTAMP")},
    **{name: (_asked("TODAY"), 0, 0) for name in ("CURDATE", "CURRENT_DATE", "UTC_DATE", "TODAY")},
    **{name: (_asked("CLOCK"), 0, 1) for name in ("CURTIME", "CURRENT_TIME", "UTC_TIME")},
    "UNIX_TIMESTAMP": (_unix_timestamp, 0, 1),
    "RAND": (_random, 0, 1),
    "RANDOM": (_random, 0, 0),
    "DATE_ADD": (_shifted(False), 2, 2),
    "ADDDATE": (_shifted(False), 2, 2),
    "DATE_SUB": (_shifted(True), 2, 2),
    "SUBDATE": (_shifted(True), 2, 2),
    "TIMESTAMPADD": (_timestamp_add, 3, 3),
    "TIMESTAMPDIFF": (_timestamp_diff, 3, 3),
    "WEEK": (_week, 1, 2),
    "DATE_FORMAT": (_date_format, 2, 2),
    "FROM_UNIXTIME": (_from_unixtime, 1, 2),
    "STR_TO_DATE": (_str_to_date, 2, 2),
}  # fmt: skip
_OF_ADQL: Final = frozenset({"MOD", "RAND", "IN_UNIT"})
