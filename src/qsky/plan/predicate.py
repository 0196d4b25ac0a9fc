"""Predicates the planner understands, as values: regions, keys, cells, joins on a key, near neighbours.

Called by `prune`, `join` and `planner.probes_of`. Everything recognised here rejects rows in which the columns are
NULL, so it may prune any side of a join when it stands in WHERE or in the ON of an inner join. Unrecognised is None,
which is always sound: the user's predicate is kept in the SQL in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from qsky.catalog.model import HEALPIX_COLUMN, Kind
from qsky.catalog.types import INTEGERS
from qsky.errors import QskyError
from qsky.plan.axes import OnAxis, on_axis
from qsky.plan.cells import of_single, within
from qsky.plan.constant import constant
from qsky.plan.model import Cells, Near, Ref
from qsky.sky.healpix import CELLS_29
from qsky.sky.region import Region, region_of
from qsky.sql.query import (
    Aggregate,
    Between,
    Binary,
    Call,
    Cast,
    ColumnRef,
    Expression,
    InList,
    Literal_,
    SubQuery,
    Window,
    columns_in,
    walk,
)

Refs = Mapping[str, Ref]
_Position = tuple[Expression, Expression]
_Pair = tuple[str, _Position]
_NO_POSITION: Final = (SubQuery, Aggregate, Window)
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
_REGIONS: Final = ("scisql_s2PtInCircle", "scisql_s2PtInBox", "scisql_s2PtInEllipse", "scisql_s2PtInCPoly")
_INT64: Final = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True)
class InRegion:
    """The reference's own position lies in a region."""

    alias: str
    region: Region


@dataclass(frozen=True)
class KeyIn:
    """The director key of the reference is one of these values."""

    alias: str
    keys: tuple[int | str, ...]


@dataclass(frozen=True)
class CellsIn:
    """The reference's `_healpix_29` lies in these cells."""

    alias: str
    cells: Cells


@dataclass(frozen=True)
class SameKey:
    """Two references of one family have the same director key."""

    left: str
    right: str


@dataclass(frozen=True)
class Linked:
    """A match table and the director of one of its ends, joined on that end's key: their rows lie this near."""

    left: str
    right: str
    radius_deg: float


Fact = InRegion | OnAxis | KeyIn | CellsIn | SameKey | Linked | Near


def recognise(predicate: Expression, refs: Refs) -> Fact | None:
    """What a predicate says about places, if it is of a known form. `refs` by alias."""
    return on_axis(predicate, refs) or _otherwise(predicate, refs)


def _otherwise(predicate: Expression, refs: Refs) -> Fact | None:
    if isinstance(predicate, InList) and not predicate.negated and not predicate.collation:
        return _in_list(predicate, refs)
    if isinstance(predicate, Between) and not predicate.negated and isinstance(predicate.operand, ColumnRef):
        low, high = constant(predicate.low), constant(predicate.high)
        return _cells_between(predicate.operand, low, high, refs)
    if isinstance(predicate, Binary) and predicate.operator in _FLIPPED:
        return _comparison(predicate, refs)
    return None


def _comparison(predicate: Binary, refs: Refs) -> Fact | None:
    left, right, operator = predicate.left, predicate.right, predicate.operator
    if isinstance(right, ColumnRef | Call) and not isinstance(left, ColumnRef | Call):
        left, right, operator = right, left, _FLIPPED[operator]
    if isinstance(left, ColumnRef) and isinstance(right, ColumnRef):
        if operator != "=" or predicate.collation or left.collation or right.collation or not alike(left, right):
            return None
        return _match_end(left, right, refs) or _match_end(right, left, refs) or _same_key(left, right, refs)
    if isinstance(left, Call):
        return _call(left, operator, constant(right), refs)
    if not isinstance(left, ColumnRef) or predicate.collation:
        return None
    if left.column == HEALPIX_COLUMN:
        return _cells_compared(left, operator, constant(right), refs)
    return key_in(left, (right,), refs) if operator == "=" else None


# -- keys


def _in_list(predicate: InList, refs: Refs) -> Fact | None:
    if not isinstance(predicate.operand, ColumnRef):
        return None
    if predicate.operand.column == HEALPIX_COLUMN:
        numbers = [constant(item) for item in predicate.items]
        if any(not isinstance(number, int) for number in numbers) or not _has_cells(predicate.operand, refs):
            return None
        inside = [number for number in numbers if isinstance(number, int) and 0 <= number < CELLS_29]
        return CellsIn(predicate.operand.table, of_single(np.array(inside, dtype=np.int64)))
    return key_in(predicate.operand, predicate.items, refs)


def key_in(column: ColumnRef, items: tuple[Expression, ...], refs: Refs) -> KeyIn | None:
    """The column as one of the items, if it is a director key and they are plain values of its type."""
    ref = refs[column.table]
    if ref.table.kind not in (Kind.DIRECTOR, Kind.CHILD) or ref.table.key != column.column or column.collation:
        return None
    values = [_key_value(item, column.type) for item in items]
    if any(value is None for value in values):
        return None
    return KeyIn(column.table, tuple(v for v in values if isinstance(v, str) or (v is not None and v in _INT64)))


def _key_value(item: Expression, type_: str) -> int | str | None:
    """The literal as a key of that type, None where it is no plain literal of the type itself."""
    if type_ in INTEGERS:
        number = constant(item)
        return number if isinstance(number, int) else None
    if type_ == "VARCHAR" and isinstance(item, Literal_) and isinstance(item.value, str):
        return item.value
    return None


def _same_key(left: ColumnRef, right: ColumnRef, refs: Refs) -> SameKey | None:
    one, other = refs[left.table], refs[right.table]
    kinds = (Kind.DIRECTOR, Kind.CHILD)
    if one.table.kind not in kinds or other.table.kind not in kinds:
        return None
    on_keys = left.column == one.table.key and right.column == other.table.key
    placed = one.family == other.family and one.table.tiling == other.table.tiling
    if not (on_keys and placed) or left.table == right.table:
        return None
    return SameKey(left.table, right.table) if one.table.key_unique and other.table.key_unique else None


def alike(left: ColumnRef, right: ColumnRef) -> bool:
    """Whether equal keys of these types have one form."""
    return left.type == right.type or (left.type in INTEGERS and right.type in INTEGERS)


def _match_end(link: ColumnRef, end: ColumnRef, refs: Refs) -> SameKey | Linked | None:
    """A match table beside a director it links, on that key.

    Its rows lie with their first end if that is known, else with the second, and no farther from the second than the
    ends of any row are apart. This holds for the director alone: a child may have keys that no director has.
    """
    match, director = refs[link.table], refs[end.table]
    if match.table.kind is not Kind.MATCH or director.table.kind is not Kind.DIRECTOR:
        return None
    keyed = end.column == director.table.key and director.table.key_unique
    if not keyed or match.snapshot.database != director.snapshot.database:
        return None
    ends = [at for at, e in enumerate(match.table.match) if (e.director, e.key) == (director.table.name, link.column)]
    if ends[:1] == [0] and match.table.tiling == director.table.tiling:
        return SameKey(link.table, end.table)
    apart_deg = match.table.own_angle_arcsec_max / 3600
    if not ends or not apart_deg:
        return None
    order = list(refs)
    left, right = sorted((link.table, end.table), key=order.index)
    return Linked(left, right, apart_deg)


# -- cells


def _has_cells(column: ColumnRef, refs: Refs) -> bool:
    return refs[column.table].cell_column == column.column


def _cells_compared(column: ColumnRef, operator: str, value: int | float | None, refs: Refs) -> CellsIn | None:
    if not isinstance(value, int) or not _has_cells(column, refs):
        return None
    low = {"=": value, ">=": value, ">": value + 1}.get(operator, 0)
    high = {"=": value + 1, "<": value, "<=": value + 1}.get(operator, CELLS_29)
    return CellsIn(column.table, within(low, high))


def _cells_between(column: ColumnRef, low: int | float | None, high: int | float | None, refs: Refs) -> CellsIn | None:
    if column.column != HEALPIX_COLUMN or not _has_cells(column, refs):
        return None
    if not isinstance(low, int) or not isinstance(high, int):
        return None
    return CellsIn(column.table, within(low, high + 1))


# -- regions and angles


def _call(call: Call, operator: str, value: int | float | None, refs: Refs) -> Fact | None:
    if value is None:
        return None
    if call.function == "scisql_angSep" and operator in ("<", "<=") and len(call.arguments) == 4:
        return _separation(call, float(value), refs)
    if operator == "=" and value == 1 and len(call.arguments) > 2:
        alias = _position_of(call.arguments[:2], refs)
        numbers = [constant(argument) for argument in call.arguments[2:]]
        if alias is None or any(number is None for number in numbers):
            return None
        region = _region(call.function, [float(number) for number in numbers if number is not None])
        return None if region is None else InRegion(alias, region)
    return None


def _region(function: str, numbers: list[float]) -> Region | None:
    """The region a point-in-region function tests; None if there is no such region (the function answers NULL)."""
    if function not in _REGIONS:
        return None
    try:
        return region_of(function, tuple(numbers))
    except QskyError:
        return None


def _separation(call: Call, radius_deg: float, refs: Refs) -> Fact | None:
    """angSep of a position and a point is a cone; of two references' positions, near neighbours."""
    one, other = _pair(call.arguments[:2], refs), _pair(call.arguments[2:], refs)
    if one is not None and other is not None:
        return _near(one, other, radius_deg, refs) if one[0] != other[0] and radius_deg >= 0 else None
    alias = _position_of(call.arguments[:2] if one is not None else call.arguments[2:], refs)
    point = call.arguments[2:] if one is not None else call.arguments[:2]
    ra, dec = (constant(argument) for argument in point)
    if alias is None or ra is None or dec is None:
        return None
    region = _region("scisql_s2PtInCircle", [float(ra), float(dec), radius_deg])
    return None if region is None else InRegion(alias, region)


def _near(one: _Pair, other: _Pair, radius_deg: float, refs: Refs) -> Near:
    order = list(refs)
    left, right = sorted((one, other), key=lambda pair: order.index(pair[0]))
    placed = all(
        refs[alias].table.kind is Kind.DIRECTOR and (refs[alias].table.ra, refs[alias].table.dec) == _names(position)
        for alias, position in (left, right)
    )
    return Near(left[0], right[0], min(radius_deg, 180.0), left[1], right[1], placed)


def _pair(arguments: tuple[Expression, ...], refs: Refs) -> _Pair | None:
    """(alias, (ra, dec)) if the arguments are made of columns of one reference, and would be the same made twice."""
    aliases = {alias for argument in arguments for alias, _ in columns_in(argument)}
    parts = [part for argument in arguments for part in walk(argument)]
    chance = any(isinstance(part, Call) and part.function in ("RAND", "UUID") for part in parts)
    if len(aliases) != 1 or chance or any(isinstance(part, _NO_POSITION) for part in parts) or not aliases <= set(refs):
        return None
    ra, dec = (_bare(argument) or argument for argument in arguments)
    return aliases.pop(), (ra, dec)


def _names(position: _Position) -> tuple[str, ...]:
    """The columns a position is, none if it is worked out."""
    return tuple(part.column for part in position if isinstance(part, ColumnRef))


def _position_of(arguments: tuple[Expression, ...], refs: Refs) -> str | None:
    """The alias whose own position the two arguments are, if they are one."""
    pair = _pair(arguments, refs)
    if pair is None or len(_names(pair[1])) < 2:
        return _cell_of(arguments, refs)
    table = refs[pair[0]].table
    placed = table.kind in (Kind.DIRECTOR, Kind.CHILD) and table.ra != ""
    return pair[0] if placed and (table.ra, table.dec) == _names(pair[1]) else None


def _cell_of(arguments: tuple[Expression, ...], refs: Refs) -> str | None:
    """The alias whose order-29 cell the two arguments are the centre of."""
    cells = []
    for argument, function in zip(arguments, ("healpix_ra", "healpix_dec"), strict=True):
        if not isinstance(argument, Call) or argument.function != function or constant(argument.arguments[0]) != 29:
            return None
        cells.append(argument.arguments[1])
    column = cells[0]
    if not isinstance(column, ColumnRef) or cells[1] != column or not _has_cells(column, refs):
        return None
    return column.table if refs[column.table].table.kind is Kind.DIRECTOR else None


def _bare(argument: Expression) -> ColumnRef | None:
    """The column an argument is, also behind a widening cast to DOUBLE."""
    if isinstance(argument, Cast) and argument.type == "DOUBLE":
        argument = argument.operand
    return argument if isinstance(argument, ColumnRef) else None
