"""Geometry in SQL: ADQL's shapes and Qserv's area restrictors become the calls that plan knows. Pure; bind uses it.

CONTAINS(POINT, shape) is scisql_s2PtIn*, DISTANCE is scisql_angSep, CONTAINS in a circle around another column's
position is an angular separation; `qserv_areaspec_*` is one such call for every partitioned table of the query.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlglot import exp

from qsky.catalog.model import Kind, Table
from qsky.errors import QskyError
from qsky.sky.region import Polygon, region_of
from qsky.sql import operators as op
from qsky.sql.query import Binary, Call, ColumnRef, Expression, TableRef, conjuncts
from qsky.sql.types import is_number

if TYPE_CHECKING:
    from qsky.sql.expression import Binder

GEOMETRY: Final = frozenset({
    "POINT", "CIRCLE", "BOX", "POLYGON", "REGION", "CONTAINS", "INTERSECTS", "DISTANCE", "AREA", "CENTROID", "COORD1",
    "COORD2", "COORDSYS",
})  # fmt: skip
RESTRICTORS: Final = {
    "qserv_areaspec_box": "scisql_s2PtInBox",
    "qserv_areaspec_circle": "scisql_s2PtInCircle",
    "qserv_areaspec_ellipse": "scisql_s2PtInEllipse",
    "qserv_areaspec_poly": "scisql_s2PtInCPoly",
}


# -- ADQL


def bind_geometry(self: Binder, node: Any) -> Expression:
    """A geometry call as a number or condition. Raises not-supported, bad-argument, bad-region, type-mismatch."""
    name = node.name.upper()
    if name == "DISTANCE":
        return _distance(self, node)
    if name == "CONTAINS":
        return _contains(self, node)
    if name in ("POINT", "CIRCLE", "BOX", "POLYGON"):
        hint = "Use CONTAINS(POINT(ra, dec), CIRCLE(ra0, dec0, radius)) = 1."
        raise self.error(node, "not-supported", f"{name} is supported only inside CONTAINS or DISTANCE.", hint)
    raise self.error(node, "not-supported", f"{name} is not supported yet.")


def _distance(self: Binder, node: Any) -> Expression:
    given = node.expressions
    pair = len(given) == 2
    numbers = [n for point in given for n in _point(self, point)] if pair else _numbers(self, node, given)
    position = tuple(numbers)
    if len(position) != 4:
        raise self.error(node, "bad-argument", "DISTANCE takes two points, or four numbers.")
    return Call(type="DOUBLE", function="scisql_angSep", arguments=position)


def _contains(self: Binder, node: Any) -> Expression:
    if len(node.expressions) != 2:
        raise self.error(node, "bad-argument", f"CONTAINS takes 2 arguments, not {len(node.expressions)}.")
    position, shape = _point(self, node.expressions[0]), node.expressions[1]
    name = shape.name.upper() if isinstance(shape, exp.Anonymous) else ""
    if name not in ("CIRCLE", "BOX", "POLYGON"):
        raise self.error(shape, "not-supported", "CONTAINS needs a CIRCLE, BOX or POLYGON as its second argument.")
    numbers = _shape_numbers(self, shape)
    if not all(op.is_literal_number(n) for n in numbers):
        return _around_column(self, shape, name, position, numbers)
    values = tuple(float(n.value) for n in numbers)  # type: ignore[attr-defined]
    function = {"CIRCLE": "scisql_s2PtInCircle", "BOX": "scisql_s2PtInBox"}.get(name, "scisql_s2PtInCPoly")
    if name == "BOX":
        values = _box_borders(self, shape, values)
    region = checked_region(self, shape, function, values)
    if isinstance(region, Polygon) and not region.convex:
        raise self.error(shape, "not-supported", "A POLYGON that is not convex is not supported yet.")
    return Call(type="INTEGER", function=function, arguments=(*position, *(op.number(v) for v in values)))


def _around_column(
    self: Binder, shape: Any, name: str, position: Sequence[Expression], numbers: Sequence[Expression]
) -> Expression:
    """A circle whose centre or radius is not constant: a separation."""
    if name != "CIRCLE" or len(numbers) != 3:
        raise self.error(shape, "not-supported", f"A {name} of columns is not supported yet.")
    separation = Call(type="DOUBLE", function="scisql_angSep", arguments=(*position, *numbers[:2]))
    return op.compare("<=", separation, numbers[2])


def _box_borders(self: Binder, shape: Any, values: tuple[float, ...]) -> tuple[float, ...]:
    """Centre and extents as borders: ADQL's box is a range of both coordinates."""
    if len(values) != 4:
        raise self.error(shape, "bad-argument", "BOX takes a centre, a width and a height.")
    ra, dec, width, height = values
    if width < 0 or height < 0:
        raise self.error(shape, "bad-region", "The width or height of the BOX is negative.")
    return ra - width / 2, max(-90.0, dec - height / 2), ra + width / 2, min(90.0, dec + height / 2)


def _point(self: Binder, node: Any) -> tuple[Expression, Expression]:
    if not isinstance(node, exp.Anonymous) or node.name.upper() != "POINT":
        raise self.error(node, "not-supported", "Only POINT(ra, dec) is supported here.")
    numbers = _numbers(self, node, _without_frame(self, node.expressions))
    if len(numbers) != 2:
        raise self.error(node, "bad-argument", "POINT takes ra and dec.")
    return numbers[0], numbers[1]


def _shape_numbers(self: Binder, shape: Any) -> list[Expression]:
    """The numbers of a shape, points given as POINT(...) opened."""
    found: list[Expression] = []
    for part in _without_frame(self, shape.expressions):
        if isinstance(part, exp.Anonymous) and part.name.upper() == "POINT":
            found += _point(self, part)
        else:
            found += _numbers(self, shape, [part])
    return found


def _without_frame(self: Binder, given: Sequence[Any]) -> Sequence[Any]:
    """The arguments after the coordinate system of ADQL 2.0, which can only be ICRS."""
    if not given or not (isinstance(given[0], exp.Literal) and given[0].is_string):
        return given
    frame = given[0].name.upper()
    if frame.split()[:1] not in ([], ["ICRS"], ["UNKNOWNFRAME"]):
        raise self.error(given[0], "not-supported", f"Positions are in ICRS; {given[0].name!r} is not supported.")
    return given[1:]


def _numbers(self: Binder, node: Any, given: Sequence[Any]) -> list[Expression]:
    bound = [self.bind(each) for each in given]
    for each in bound:
        if not is_number(each.type):
            raise self.error(node, "type-mismatch", f"{node.name.upper()} takes numbers, in degrees.")
    return [op.cast(each, "DOUBLE") if op.is_literal_number(each) else each for each in bound]


def checked_region(self: Binder, node: Any, function: str, values: tuple[float, ...]) -> Any:
    """The region of constants; bad-region with its place if there is none."""
    try:
        return region_of(function, values)
    except QskyError as error:
        raise self.error(node, error.code.name, error.message, error.hint) from None


# -- qserv_areaspec_*


def is_restrictor(node: Any) -> bool:
    """Whether a condition is qserv_areaspec_*(...), alone or compared as `= 1`, which Qserv's users write too."""
    call = _restrictor_call(node)
    return isinstance(call, exp.Anonymous) and call.name.lower() in RESTRICTORS


def _restrictor_call(node: Any) -> Any:
    if not isinstance(node, exp.EQ):
        return node
    sides = (node.this.unnest(), node.expression.unnest())
    return next((call for call, one in (sides, sides[::-1]) if isinstance(one, exp.Literal) and one.sql() == "1"), node)


def bind_restrictor(self: Binder, node: Any, refs: Sequence[TableRef], links: Sequence[Expression]) -> list[Expression]:
    """One point-in-region test per partitioned table with positions; `links` are the query's join conditions.

    Raises bad-query, bad-argument, bad-region.
    """
    node = _restrictor_call(node)
    function = RESTRICTORS[node.name.lower()]
    bound = [self.bind(argument) for argument in node.expressions]
    if not all(op.is_literal_number(argument) for argument in bound):
        raise self.error(node, "bad-argument", f"{node.name} takes constant numbers, in degrees.")
    values = tuple(float(argument.value) for argument in bound)  # type: ignore[attr-defined]
    checked_region(self, node, function, values)
    partitioned = [ref for ref in refs if ref.table.partitioned]
    if not partitioned:
        raise self.error(node, "bad-query", f"{node.name} needs a table that is sharded over the sky in FROM.")
    numbers = tuple(op.number(value) for value in values)
    tests = []
    for ref in partitioned:
        position = _position(ref)
        if position:
            call = Call(type="INTEGER", function=function, arguments=(*position, *numbers))
            tests.append(op.compare("=", call, op.number(1)))
        elif not _placed_by_another(ref, partitioned, links):
            hint = "Join its director by the key."
            raise self.error(node, "bad-query", f"{node.name} cannot place {ref.alias}, which has no position.", hint)
    return tests


def _position(ref: TableRef) -> tuple[Expression, ...]:
    """(ra, dec) of a row, or () where it has none. An attached table may say only its cell, good to 0.4 mas."""
    table = ref.table
    if table.ra and table.dec:
        return _position_column(ref, table.ra), _position_column(ref, table.dec)
    if table.attached is not None and table.attached.of_points and table.cell_column:
        cell = ColumnRef(type="BIGINT", table=ref.alias, column=table.cell_column)
        calls = ("healpix_ra", "healpix_dec")
        return tuple(Call(type="DOUBLE", function=name, arguments=(op.number(29), cell)) for name in calls)
    return ()


def _position_column(ref: TableRef, name: str) -> ColumnRef:
    column = ref.table.column(name)
    assert column is not None
    return ColumnRef(type=column.type, table=ref.alias, column=name)


def _placed_by_another(ref: TableRef, refs: Sequence[TableRef], links: Sequence[Expression]) -> bool:
    """Whether a table without positions is joined by key to one that has them."""
    ends = _ends(ref.table)
    for link in links:
        for part in conjuncts(link):
            if isinstance(part, Binary) and part.operator == "=":
                sides = (part.left, part.right)
                for mine, theirs in (sides, sides[::-1]):
                    if _links(ref, ends, mine, theirs, refs):
                        return True
    return False


def _ends(table: Table) -> set[tuple[str, str]]:
    """(own column, director) pairs through which the table is placed."""
    if table.kind is Kind.MATCH:
        return {(end.key, end.director) for end in table.match}
    return {(table.key, table.director)}


def _links(
    ref: TableRef, ends: set[tuple[str, str]], mine: Expression, theirs: Expression, refs: Sequence[TableRef]
) -> bool:
    if not (isinstance(mine, ColumnRef) and isinstance(theirs, ColumnRef) and mine.table == ref.alias):
        return False
    other = next((r for r in refs if r.alias == theirs.table and r.table.ra), None)
    if other is None or other.database != ref.database or other.table.key != theirs.column:
        return False
    return (mine.column, other.table.family) in ends
