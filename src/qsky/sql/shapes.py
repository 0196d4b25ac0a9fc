"""ADQL's geometry: shapes of constants and of columns, and what is asked of them, as calls that plan knows. Pure.

CONTAINS(POINT, shape) is scisql_s2PtIn*, DISTANCE is scisql_angSep, a circle around another column's position is an
angular separation. A polygon that is not convex is cut into triangles. Everything between two extended shapes is
computed row by row (`sky.shapes`). Positions are in degrees, ICRS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import degrees, radians, sin
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from sqlglot import exp

from qsky.sky.region import VERTICES_MAX, Polygon
from qsky.sky.triangles import bounding_circle, centroid, triangles
from qsky.sql import operators as op
from qsky.sql.geometry import checked_region
from qsky.sql.plain_calls import bind_function
from qsky.sql.query import Binary, Call, Expression, Literal_
from qsky.sql.types import is_number

if TYPE_CHECKING:
    from qsky.sql.expression import Binder

ShapeKind = Literal["POINT", "CIRCLE", "BOX", "POLYGON"]
_SHAPES: Final = ("POINT", "CIRCLE", "BOX", "POLYGON")
_POINT_FUNCTIONS: Final = (
    "IVO_EPOCH_PROP_POS",
    "IVO_APPLY_PM",
    "IVO_HEALPIX_CENTER",
    "IVO_GEOM_TRANSFORM",
    "GAVO_TRANSFORM",
)
_FRAMES: Final = {"": "ICRS", "ICRS": "ICRS", "UNKNOWNFRAME": "ICRS", "GALACTIC": "galactic", "ECLIPTIC": "ecliptic"}
_AXES: Final = {"galactic": ("l", "b"), "ecliptic": ("lon", "lat")}


@dataclass(frozen=True)
class Shape:
    """A shape and its numbers: ra, dec; with a radius; with a width and a height; or of each vertex."""

    kind: ShapeKind
    numbers: tuple[Expression, ...]

    @property
    def constants(self) -> tuple[float, ...] | None:
        """The numbers if all are constant."""
        if not all(op.is_literal_number(number) for number in self.numbers):
            return None
        return tuple(float(number.value) for number in self.numbers if isinstance(number, Literal_))

    def listed(self) -> Expression:
        """The numbers as a value of a row, as VOTable writes shapes."""
        return Call(type="DOUBLE[]", function="shape", arguments=self.numbers)


def bind_geometry(self: Binder, node: Any) -> Expression:
    """A geometry call as a number, condition or list. Raises not-supported, bad-argument, bad-region, type-mismatch."""
    name = node.name.upper()
    asked = _ASKED.get(name)
    if asked is not None:
        question, count = asked
        if len(node.expressions) != count:
            raise self.error(
                node, "bad-argument", f"{name} takes {count} argument{'s' * (count > 1)}, not {len(node.expressions)}."
            )
        return question(self, node, *node.expressions)
    if name == "DISTANCE":
        return _distance(self, node)
    if name == "REGION":
        hint = "Write the shape as CIRCLE(...), BOX(...) or POLYGON(...)."
        raise self.error(node, "not-supported", "REGION, a shape in a text, is not supported.", hint)
    shape = shape_of(self, node)
    if shape.kind == "BOX":
        raise self.error(node, "not-supported", "A BOX can be asked about, but not be shown.", "Use POLYGON.")
    return shape.listed()


def spread_points(self: Binder, given: Sequence[Any]) -> list[Expression]:
    """Bound arguments of a function; a point among ADQL's is its two numbers."""
    found: list[Expression] = []
    for each in given:
        point = self.parsed.lang == "adql" and isinstance(each, exp.Anonymous) and _is_point(each)
        found += shape_of(self, each).numbers if point else (self.bind(each),)
    return found


def _is_point(node: Any) -> bool:
    return node.name.upper() in ("POINT", "CENTROID", *_POINT_FUNCTIONS)


# -- shapes


def shape_of(self: Binder, node: Any) -> Shape:
    """The shape a node means."""
    name = node.name.upper() if isinstance(node, exp.Anonymous) else ""
    if name in _POINT_FUNCTIONS:
        return Shape("POINT", _point_of_function(self, node, name))
    if name == "CENTROID":
        if len(node.expressions) != 1:
            raise self.error(node, "bad-argument", "CENTROID takes 1 argument.")
        return Shape("POINT", _centre(self, node, shape_of(self, node.expressions[0])))
    if name not in _SHAPES:
        raise self.error(node, "not-supported", "Here must be a POINT, CIRCLE, BOX or POLYGON.")
    numbers = tuple(_numbers_of(self, node))
    wanted = {"POINT": "ra and dec", "CIRCLE": "a centre and a radius", "BOX": "a centre, a width and a height"}
    counts = {"POINT": 2, "CIRCLE": 3, "BOX": 4}
    if name == "POLYGON":
        if len(numbers) < 6 or len(numbers) % 2:
            raise self.error(node, "bad-argument", "POLYGON takes at least 3 vertices.")
        return Shape("POLYGON", numbers)
    if len(numbers) != counts[name]:
        raise self.error(node, "bad-argument", f"{name} takes {wanted[name]}.")
    shape = Shape(cast(ShapeKind, name), numbers)
    _check_constants(self, node, shape)
    return shape


def _check_constants(self: Binder, node: Any, shape: Shape) -> None:
    values = shape.constants
    if values is None:
        return
    if shape.kind in ("POINT", "CIRCLE"):
        checked_region(self, node, "scisql_s2PtInCircle", (*values, 0.0)[:3])
    elif min(values[2:]) < 0:
        raise self.error(node, "bad-region", "The width or height of the BOX is negative.")


def _numbers_of(self: Binder, node: Any) -> list[Expression]:
    """The numbers of a shape, points opened."""
    found: list[Expression] = []
    for part in _without_frame(self, node.expressions):
        if isinstance(part, exp.Anonymous) and _is_point(part) and node.name.upper() != "POINT":
            found += shape_of(self, part).numbers
        else:
            found.append(_number(self, node, part))
    return found


def _without_frame(self: Binder, given: Sequence[Any]) -> Sequence[Any]:
    """The arguments after the coordinate system of ADQL 2.0, which can only be ICRS."""
    if not given or not (isinstance(given[0], exp.Literal) and given[0].is_string):
        return given
    frame = given[0].name.upper()
    if frame.split()[:1] not in ([], ["ICRS"], ["UNKNOWNFRAME"]):
        raise self.error(given[0], "not-supported", f"Positions are in ICRS; {given[0].name!r} is not supported.")
    return given[1:]


def _number(self: Binder, node: Any, part: Any) -> Expression:
    bound = self.bind(part)
    if not is_number(bound.type) and bound.type != "NULL":
        raise self.error(part, "type-mismatch", f"{node.name.upper()} takes numbers, in degrees.")
    return op.cast(bound, "DOUBLE") if op.is_literal_number(bound) else bound


def _point_of_function(self: Binder, node: Any, name: str) -> tuple[Expression, ...]:
    """The functions of the VO that give a point."""
    if name in ("IVO_GEOM_TRANSFORM", "GAVO_TRANSFORM"):
        return _transformed(self, node)
    whole = name == "IVO_HEALPIX_CENTER"
    numbers = [self.bind(part) if whole else _number(self, node, part) for part in node.expressions]
    counts = {"IVO_EPOCH_PROP_POS": 8, "IVO_APPLY_PM": 5, "IVO_HEALPIX_CENTER": 2}
    if len(numbers) != counts[name]:
        raise self.error(node, "bad-argument", f"{name.lower()} takes {counts[name]} arguments, not {len(numbers)}.")
    if name == "IVO_HEALPIX_CENTER":
        return _pair(self, node, ("healpix_ra", "healpix_dec"), numbers)
    if name == "IVO_APPLY_PM":
        # degrees per year, where the others take milliarcseconds
        moves = [op.calculate("*", number, op.number(3600000.0)) for number in numbers[2:4]]
        numbers = [*numbers[:2], *moves, op.number(0), numbers[4]]
        return _pair(self, node, ("epoch_ra", "epoch_dec"), numbers)
    known = [
        Call(type="DOUBLE", function="COALESCE", arguments=(op.cast(n, "DOUBLE"), op.number(0.0))) for n in numbers[2:6]
    ]
    return _pair(self, node, ("epoch_ra_in_space", "epoch_dec_in_space"), [*numbers[:2], *known, *numbers[6:]])


def _pair(self: Binder, node: Any, names: tuple[str, str], numbers: Sequence[Expression]) -> tuple[Expression, ...]:
    return tuple(bind_function(self, node, name, numbers) for name in names)


def _transformed(self: Binder, node: Any) -> tuple[Expression, ...]:
    """ivo_geom_transform('ICRS', 'GALACTIC', point)."""
    if len(node.expressions) != 3:
        raise self.error(node, "bad-argument", f"{node.name} takes two systems and a point.")
    frames = [
        _FRAMES.get(word.name.upper() if isinstance(word, exp.Literal) else "?", "") for word in node.expressions[:2]
    ]
    if "" in frames:
        hint = "Known: 'ICRS', 'GALACTIC', 'ECLIPTIC'."
        raise self.error(node, "not-supported", f"{node.name} knows not these systems of coordinates.", hint)
    numbers = _point(self, node.expressions[2])
    start, end = frames
    if start != end and start != "ICRS":
        numbers = _pair(self, node, (f"{start}_ra", f"{start}_dec"), numbers)
    if start != end and end != "ICRS":
        numbers = _pair(self, node, tuple(f"{end}_{axis}" for axis in _AXES[end]), numbers)  # type: ignore[arg-type]
    return numbers


def _point(self: Binder, node: Any) -> tuple[Expression, ...]:
    shape = shape_of(self, node) if isinstance(node, exp.Anonymous) else None
    if shape is None or shape.kind != "POINT":
        raise self.error(node, "not-supported", "Only POINT(ra, dec) is supported here.")
    return shape.numbers


# -- questions


def _distance(self: Binder, node: Any) -> Expression:
    given = node.expressions
    numbers = (
        [n for point in given for n in _point(self, point)]
        if len(given) == 2
        else [_number(self, node, n) for n in given]
    )
    if len(numbers) != 4:
        raise self.error(node, "bad-argument", "DISTANCE takes two points, or four numbers.")
    return _separation(numbers[:2], numbers[2:])


def _separation(one: Sequence[Expression], other: Sequence[Expression]) -> Expression:
    return Call(type="DOUBLE", function="scisql_angSep", arguments=(*one[:2], *other[:2]))


def _contains(self: Binder, node: Any, inner: Any, outer: Any) -> Expression:
    small, large = shape_of(self, inner), shape_of(self, outer)
    if small.kind == "POINT":
        return _point_in(self, outer, small.numbers, large)
    return _of_both(self, node, "region_within", small, large)


def _intersects(self: Binder, node: Any, left: Any, right: Any) -> Expression:
    one, other = shape_of(self, left), shape_of(self, right)
    if one.kind == "POINT":
        return _point_in(self, right, one.numbers, other)
    if other.kind == "POINT":
        return _point_in(self, left, other.numbers, one)
    if one.kind == other.kind == "CIRCLE":
        reach = op.calculate("+", one.numbers[2], other.numbers[2])
        return op.compare("<=", _separation(one.numbers, other.numbers), reach)
    return _of_both(self, node, "regions_touch", one, other)


def _of_both(self: Binder, node: Any, function: str, one: Shape, other: Shape) -> Expression:
    for shape in (one, other):
        if shape.kind == "BOX":
            raise self.error(
                node, "not-supported", f"{node.name.upper()} takes a BOX only with a POINT.", "Use POLYGON."
            )
        _refuse_dents(self, node, shape)
    return Call(type="INTEGER", function=function, arguments=(one.listed(), other.listed()))


def _refuse_dents(self: Binder, node: Any, shape: Shape) -> None:
    values = shape.constants if shape.kind == "POLYGON" else None
    if values is not None and not Polygon(_pairs_of(values)).convex:
        sentence = f"{node.name.upper()} of a POLYGON that is not convex is supported only with a POINT."
        raise self.error(node, "not-supported", sentence)


def _pairs_of(values: Sequence[float]) -> tuple[tuple[float, float], ...]:
    return tuple(zip(values[::2], values[1::2], strict=True))


def _point_in(self: Binder, node: Any, position: Sequence[Expression], shape: Shape) -> Expression:
    values = shape.constants
    if shape.kind == "POINT":
        return op.compare("=", _separation(position, shape.numbers), op.number(0.0))
    if shape.kind == "BOX":
        return _in_box(self, node, position, shape, values)
    if shape.kind == "CIRCLE" and values is None:
        return op.compare("<=", _separation(position, shape.numbers), shape.numbers[2])
    if shape.kind == "CIRCLE":
        return _in_region("scisql_s2PtInCircle", position, shape.numbers)
    if values is None:
        return Call(type="INTEGER", function="qsky_inPolygonList", arguments=(*position, *shape.numbers))
    return _in_polygon(self, node, position, values)


def _in_region(function: str, position: Sequence[Expression], numbers: Sequence[Expression]) -> Expression:
    return Call(type="INTEGER", function=function, arguments=(*position, *numbers))


def _in_box(
    self: Binder, node: Any, position: Sequence[Expression], shape: Shape, values: tuple[float, ...] | None
) -> Expression:
    """ADQL's box as a range of both coordinates."""
    ra, dec, width, height = shape.numbers
    half_width, half_height = op.calculate("/", width, op.number(2.0)), op.calculate("/", height, op.number(2.0))
    west, east = op.calculate("-", ra, half_width), op.calculate("+", ra, half_width)
    south = _call("GREATEST", op.number(-90.0), op.calculate("-", dec, half_height))
    north = _call("LEAST", op.number(90.0), op.calculate("+", dec, half_height))
    if values is not None:
        x, y, w, h = values
        borders = (x - w / 2, max(-90.0, y - h / 2), x + w / 2, min(90.0, y + h / 2))
        checked_region(self, node, "scisql_s2PtInBox", borders)
        return _in_region("scisql_s2PtInBox", position, [op.number(border) for border in borders])
    return _in_region("scisql_s2PtInBox", position, (west, south, east, north))


def _call(function: str, *arguments: Expression) -> Expression:
    return Call(type="DOUBLE", function=function, arguments=tuple(op.cast(a, "DOUBLE") for a in arguments))


def _in_polygon(self: Binder, node: Any, position: Sequence[Expression], values: tuple[float, ...]) -> Expression:
    """One test where it is convex; else its triangles, within a circle around it that plan can prune by."""
    vertices = _pairs_of(values)
    for start in range(0, len(vertices), VERTICES_MAX):
        few = vertices[start : start + VERTICES_MAX]
        checked_region(
            self, node, "scisql_s2PtInCPoly", tuple(n for pair in (*few, *few[:2])[:VERTICES_MAX] for n in pair)
        )
    if len(vertices) <= VERTICES_MAX and Polygon(vertices).convex:
        return _in_region("scisql_s2PtInCPoly", position, [op.number(value) for value in values])
    pieces, circle = triangles(vertices), bounding_circle(vertices)
    if pieces is None or circle is None:
        hint = "Its edges may not cross each other, and it must be smaller than a hemisphere."
        raise self.error(node, "bad-region", "This POLYGON has no inside.", hint)
    around = _in_region("scisql_s2PtInCircle", position, [op.number(value) for value in circle])
    tests = [
        _in_region("scisql_s2PtInCPoly", position, [op.number(n) for pair in piece for n in pair]) for piece in pieces
    ]
    inside = op.chain("OR", [op.compare("=", test, op.number(1)) for test in tests])
    return Binary(type="BOOLEAN", operator="AND", left=op.compare("=", around, op.number(1)), right=inside)


def _area(self: Binder, node: Any, given: Any) -> Expression:
    shape = shape_of(self, given)
    _refuse_dents(self, node, shape)
    if shape.kind == "POINT":
        return op.number(0.0)
    if shape.kind == "BOX":
        values = shape.constants
        if values is None:
            raise self.error(node, "not-supported", "AREA of a BOX of columns is not supported.", "Use POLYGON.")
        return op.number(_area_of_box(*values))
    return Call(type="DOUBLE", function="region_area", arguments=(shape.listed(),))


def _area_of_box(_: float, dec: float, width: float, height: float) -> float:
    south, north = max(-90.0, dec - height / 2), min(90.0, dec + height / 2)
    return min(360.0, width) * degrees(sin(radians(north)) - sin(radians(south)))


def _centre(self: Binder, node: Any, shape: Shape) -> tuple[Expression, ...]:
    if shape.kind != "POLYGON":
        return shape.numbers[:2]
    values = shape.constants
    found = centroid(_pairs_of(values)) if values is not None else None
    if found is None:
        raise self.error(node, "not-supported", "CENTROID of a POLYGON is supported for constant, simple ones.")
    return tuple(op.number(value) for value in found)


def _coordinate(which: int) -> Callable[..., Expression]:
    def bound(self: Binder, node: Any, given: Any) -> Expression:
        return op.cast(_point(self, given)[which], "DOUBLE")

    return bound


def _system(self: Binder, node: Any, given: Any) -> Expression:
    shape_of(self, given)
    return Literal_(type="VARCHAR", value="ICRS")


def _shown_point(self: Binder, node: Any, *given: Any) -> Expression:
    return shape_of(self, node).listed()


_ASKED: Final[dict[str, tuple[Callable[..., Expression], int]]] = {
    "CONTAINS": (_contains, 2),
    "INTERSECTS": (_intersects, 2),
    "AREA": (_area, 1),
    "CENTROID": (_shown_point, 1),
    "COORD1": (_coordinate(0), 1),
    "COORD2": (_coordinate(1), 1),
    "COORDSYS": (_system, 1),
}
GEOMETRY: Final = frozenset({*_SHAPES, *_ASKED, *_POINT_FUNCTIONS, "REGION", "DISTANCE"})
