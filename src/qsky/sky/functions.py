"""Functions on positions as DuckDB meets them: SQL macros as texts, and the HEALPix functions SQL cannot say.

Whoever opens a DuckDB for queries gives it `MACROS` and registers `ARROW_FUNCTIONS`. The rules for NULL and values out
of range are scisql's: in a point-in-region function a NULL makes 0 and a bad value NULL; elsewhere both make NULL.
Borders belong to the region. `sky.region.*.contains` is the same arithmetic in numpy.

Macro parameters are typed, so that FLOAT columns are widened before any trigonometry. DuckDB replaces a macro by its
text: whoever prints a call must not nest long arguments in them (sql.print does not).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qsky.errors import QskyError
from qsky.sky.arrow_function import ArrowFunction
from qsky.sky.coordinates import coordinate_macros
from qsky.sky.healpix import ORDER_MAX, Floats, Ints, cells_of, centres_of
from qsky.sky.htm import HTM_LEVEL_MAX, htm_ids
from qsky.sky.shapes import REGION_FUNCTIONS


def _haversine(ra1: str, dec1: str, ra2: str, dec2: str) -> str:
    """Squares as products: pow costs more than a second sine."""
    d_ra, d_dec = f"sin(radians({ra2} - {ra1}) / 2)", f"sin(radians({dec2} - {dec1}) / 2)"
    return f"({d_dec} * {d_dec} + cos(radians({dec1})) * cos(radians({dec2})) * ({d_ra} * {d_ra}))"


_HAVERSINE: Final = _haversine("ra1", "dec1", "ra2", "dec2")
# Near the antipode the haversine has lost half its digits; Vincenty's formula for the sphere has not.
_VINCENTY: Final = (
    "atan2(sqrt(pow(cos(radians(dec2)) * sin(radians(ra2 - ra1)), 2)"
    " + pow(cos(radians(dec1)) * sin(radians(dec2))"
    " - sin(radians(dec1)) * cos(radians(dec2)) * cos(radians(ra2 - ra1)), 2)),"
    " sin(radians(dec1)) * sin(radians(dec2))"
    " + cos(radians(dec1)) * cos(radians(dec2)) * cos(radians(ra2 - ra1)))"
)


def _any_null(*names: str) -> str:
    return " OR ".join(f"{name} IS NULL" for name in names)


def _in_region(parameters: Sequence[str], valid: str, inside: str) -> str:
    """NULL anywhere is 0; what is not `valid` is NULL; else whether `inside`."""
    finite = " AND ".join(f"isfinite({name})" for name in parameters)
    return (
        f"CASE WHEN {_any_null(*parameters)} THEN 0 WHEN NOT ({finite} AND {valid}) THEN NULL"
        f" WHEN {inside} THEN 1 ELSE 0 END"
    )


def _macro(name: str, parameters: Sequence[str], body: str) -> str:
    typed = ", ".join(f"{parameter} DOUBLE" for parameter in parameters)
    return f"CREATE MACRO {name}({typed}) AS {body}"


def _ang_sep() -> str:
    wrong = "abs(dec1) > 90 OR abs(dec2) > 90 OR NOT isfinite(ra1 + dec1 + ra2 + dec2)"
    near = f"degrees(2 * asin(sqrt({_HAVERSINE})))"
    body = f"CASE WHEN {wrong} THEN NULL WHEN {_HAVERSINE} < 0.99 THEN {near} ELSE degrees({_VINCENTY}) END"
    return _macro("scisql_angSep", ("ra1", "dec1", "ra2", "dec2"), body)


def _ang_sep_vectors() -> str:
    cross = (
        "sqrt(pow(y1 * z2 - z1 * y2, 2) + pow(z1 * x2 - x1 * z2, 2) + pow(x1 * y2 - y1 * x2, 2))",
        "x1 * x2 + y1 * y2 + z1 * z2",
    )
    body = (
        "CASE WHEN NOT isfinite(x1 + y1 + z1 + x2 + y2 + z2) THEN NULL"
        " WHEN (x1 = 0 AND y1 = 0 AND z1 = 0) OR (x2 = 0 AND y2 = 0 AND z2 = 0) THEN NULL"
        f" ELSE degrees(atan2({cross[0]}, {cross[1]})) END"
    )
    return _macro("qsky_angSepVectors", ("x1", "y1", "z1", "x2", "y2", "z2"), body)


def _circle() -> str:
    parameters = ("ra", "dec", "ra0", "dec0", "radius")
    inside = f"radius = 180 OR {_haversine('ra0', 'dec0', 'ra', 'dec')} <= pow(sin(radians(radius) / 2), 2)"
    valid = "abs(dec) <= 90 AND abs(dec0) <= 90 AND radius BETWEEN 0 AND 180"
    return _macro("scisql_s2PtInCircle", parameters, _in_region(parameters, valid, inside))


def _box() -> str:
    parameters = ("ra", "dec", "ra_min", "dec_min", "ra_max", "dec_max")
    here, low, high = (f"({name} - 360 * floor({name} / 360))" for name in ("ra", "ra_min", "ra_max"))
    valid = (
        "abs(dec) <= 90 AND abs(dec_min) <= 90 AND abs(dec_max) <= 90"
        " AND (ra_min <= ra_max OR (ra_min <= 360 AND ra_max >= 0))"
    )
    between = (
        f"CASE WHEN {low} <= {high} THEN {here} BETWEEN {low} AND {high} ELSE {here} >= {low} OR {here} <= {high} END"
    )
    inside = f"dec BETWEEN dec_min AND dec_max AND (ra_max - ra_min >= 360 OR {between})"
    return _macro("scisql_s2PtInBox", parameters, _in_region(parameters, valid, inside))


def _ellipse() -> str:
    parameters = ("ra", "dec", "ra0", "dec0", "semi_major", "semi_minor", "position_angle")
    east = "(cos(radians(dec)) * sin(radians(ra - ra0)))"
    north = "(sin(radians(dec)) * cos(radians(dec0)) - cos(radians(dec)) * sin(radians(dec0)) * cos(radians(ra - ra0)))"
    depth = "(sin(radians(dec)) * sin(radians(dec0)) + cos(radians(dec)) * cos(radians(dec0)) * cos(radians(ra - ra0)))"
    sine, cosine = "sin(radians(position_angle))", "cos(radians(position_angle))"
    major, minor = f"({east} * {sine} + {north} * {cosine})", f"({east} * {cosine} - {north} * {sine})"
    a, b = "radians(semi_major / 3600)", "radians(semi_minor / 3600)"
    inside = (
        f"{depth} > 0 AND pow({major}, 2) + pow({minor}, 2) <= pow({a}, 2)"
        f" AND pow({major} * {b}, 2) + pow({minor} * {a}, 2) <= pow({a} * {b}, 2)"
    )
    valid = (
        "abs(dec) <= 90 AND abs(dec0) <= 90 AND semi_minor >= 0 AND semi_minor <= semi_major AND semi_major <= 36000"
    )
    return _macro("scisql_s2PtInEllipse", parameters, _in_region(parameters, valid, inside))


def _polygon_guard() -> str:
    """What a polygon asks of its point; the edges are printed by `polygon_text`."""
    return _macro(
        "qsky_inPolygon",
        ("ra", "dec"),
        "CASE WHEN ra IS NULL OR dec IS NULL THEN 0 WHEN NOT (isfinite(ra) AND abs(dec) <= 90) THEN NULL ELSE 1 END",
    )


def polygon_text(ra: str, dec: str, normals: Floats) -> str:
    """`scisql_s2PtInCPoly` of a position for the inward normals of a polygon's edges (sky.region.Polygon)."""
    edges = " AND ".join(
        f"cos(radians({dec})) * ({_number(x)} * cos(radians({ra})) + {_number(y)} * sin(radians({ra})))"
        f" + {_number(z)} * sin(radians({dec})) >= 0"
        for x, y, z in normals.tolist()
    )
    return f"CASE WHEN {edges} THEN qsky_inPolygon({ra}, {dec}) ELSE qsky_inPolygon({ra}, {dec}) * 0 END"


def _number(value: float) -> str:
    text = repr(float(value))
    return f"({text}e0)" if "e" not in text else f"({text})"


MACROS: Final[tuple[str, ...]] = (
    *coordinate_macros(),
    _ang_sep(),
    _ang_sep_vectors(),
    _circle(),
    _box(),
    _ellipse(),
    _polygon_guard(),
)


def _healpix(order: Any, ra: Any, dec: Any) -> pa.Array:
    """Cell of each position at its order, NESTED; NULL where the position or the order is none."""
    orders, right, high = (np.asarray(column, dtype=np.float64) for column in (order, ra, dec))
    good = np.isfinite(right) & (np.abs(high) <= 90) & (orders >= 0) & (orders <= ORDER_MAX)
    cells = cells_of(np.where(good, right, 0.0), np.where(good, high, 0.0))
    shift = 2 * (ORDER_MAX - np.where(good, orders, 0).astype(np.int64))
    return pa.array(cells >> shift, mask=~good)


def _centre(order: Any, cell: Any, which: int) -> pa.Array:
    orders, cells = np.asarray(order, dtype=np.float64), cell
    known = ~np.asarray(cells.is_null()) & (orders >= 0) & (orders <= ORDER_MAX)
    shift = 2 * (ORDER_MAX - np.where(known, orders, 0).astype(np.int64))
    numbers = np.asarray(cells.fill_null(-1), dtype=np.int64)
    good = known & (numbers >= 0) & (numbers < np.int64(12) << (58 - shift))
    degrees = np.zeros(len(numbers))
    for one in np.unique(shift[good]).tolist():
        here = good & (shift == one)
        degrees[here] = centres_of(numbers[here], ORDER_MAX - one // 2)[which]
    return pa.array(degrees, mask=~good)


def _healpix_ra(order: Any, cell: Any) -> pa.Array:
    """Right ascension in degrees of the centre of each cell, NESTED; NULL where there is no such cell."""
    return _centre(order, cell, 0)


def _healpix_dec(order: Any, cell: Any) -> pa.Array:
    """Declination in degrees of the centre of each cell, NESTED; NULL where there is no such cell."""
    return _centre(order, cell, 1)


def _qserv_chunk(ra: Any, dec: Any, stripes: Any, sub_stripes: Any) -> pa.Array:
    """Qserv's chunk number of each position; NULL where the position is none. Stripes must be constant."""
    right, high = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
    cut = np.stack([np.asarray(column, dtype=np.float64) for column in (stripes, sub_stripes)], axis=1)
    good = np.isfinite(right) & (np.abs(high) <= 90) & np.isfinite(cut).all(axis=1)
    chunks = np.zeros(len(right), dtype=np.int64)
    for count, sub_count in np.unique(cut[good], axis=0).tolist():
        here = good & (cut == (count, sub_count)).all(axis=1)
        chunks[here] = qserv_chunks(right[here], high[here], int(count), int(sub_count))
    return pa.array(chunks, mask=~good)


_STRIPES_MAX: Final = 10_000


def _segments(low_deg: NDArray[Any], high_deg: NDArray[Any], width_deg: float) -> Ints:
    """How many segments at least `width_deg` wide fit around each band of latitude."""
    latitude = np.maximum(np.abs(low_deg), np.abs(high_deg))
    polar = latitude > 90 - 1 / 3600
    width, lat = np.radians(width_deg), np.radians(np.where(polar, 0.0, latitude))
    x, u = np.cos(width) - np.sin(lat) ** 2, np.cos(lat) ** 2
    angle = np.degrees(np.arctan2(np.sqrt(np.abs(u * u - x * x)), x))
    return np.where(polar | (width_deg >= 180), 1, np.floor(360.0 / np.abs(angle))).astype(np.int64)


@lru_cache(maxsize=16)
def _qserv_layout(stripes: int, sub_stripes: int) -> tuple[Ints, Ints, float]:
    """Chunks of each stripe, sub-chunks per chunk of each sub-stripe, and the height of a sub-stripe."""
    height, sub_height = 180.0 / stripes, 180.0 / (stripes * sub_stripes)
    south = np.arange(stripes, dtype=np.float64) * height - 90.0
    chunks = _segments(south, south + height, height)
    sub_south = np.arange(stripes * sub_stripes, dtype=np.float64) * sub_height - 90.0
    sub_chunks = _segments(sub_south, sub_south + sub_height, sub_height) // np.repeat(chunks, sub_stripes)
    return chunks, sub_chunks, sub_height


def qserv_chunks(ra: Floats, dec: Floats, stripes: int, sub_stripes: int) -> Ints:
    """The chunk of each position in Qserv's spherical-box partitioning; raises bad-argument for odd stripes.

    Chunk = 2 * stripes * stripe + the chunk's place along its stripe.
    """
    if not (0 < stripes <= _STRIPES_MAX and sub_stripes > 0 and stripes * sub_stripes <= 100 * _STRIPES_MAX):
        raise QskyError("bad-argument", f"qserv_chunk cannot cut the sky into {stripes} stripes of {sub_stripes}.")
    chunks, sub_chunks, sub_height = _qserv_layout(int(stripes), int(sub_stripes))
    sub_stripe = np.clip(np.floor((dec + 90) / sub_height), 0, len(sub_chunks) - 1).astype(np.int64)
    stripe = sub_stripe // sub_stripes
    around = sub_chunks[sub_stripe] * chunks[stripe]
    wrapped = ra - 360.0 * np.floor(ra / 360.0)
    place = np.minimum(np.floor(wrapped / (360.0 / around)).astype(np.int64), around - 1)
    return np.asarray(2 * stripes * stripe + place // sub_chunks[sub_stripe], dtype=np.int64)


def _crc32(text: Any) -> pa.Array:
    """The CRC-32 of each text's UTF-8 bytes."""
    return pa.array([None if each is None else crc32(each.encode()) for each in text.to_pylist()], pa.int64())


def _htm(ra: Any, dec: Any, level: Any) -> pa.Array:
    """HTM id of each position; NULL where the position or the level (0 to 24) is none."""
    right, high, levels = (np.asarray(column, dtype=np.float64) for column in (ra, dec, level))
    good = np.isfinite(right) & (np.abs(high) <= 90) & (levels >= 0) & (levels <= HTM_LEVEL_MAX)
    found = np.zeros(len(right), dtype=np.int64)
    for one in np.unique(levels[good]).tolist():
        here = good & (levels == one)
        found[here] = htm_ids(right[here], high[here], int(one))
    return pa.array(found, mask=~good)


def _int64(data: Any, place: Any) -> pa.Array:
    """The n-th 64-bit integer, little-endian, of each byte string; NULL where there is none."""

    def one(raw: bytes | None, at: int | None) -> int | None:
        if raw is None or at is None or not 0 <= at < len(raw) // 8:
            return None
        return int.from_bytes(raw[8 * at : 8 * at + 8], "little", signed=True)

    return pa.array(map(one, data.to_pylist(), place.to_pylist()), pa.int64())


ARROW_FUNCTIONS: Final = (
    ArrowFunction("qsky_crc32", _crc32, ("VARCHAR",), "BIGINT"),
    ArrowFunction("qsky_htm", _htm, ("DOUBLE", "DOUBLE", "BIGINT"), "BIGINT"),
    ArrowFunction("qsky_int64", _int64, ("BLOB", "BIGINT"), "BIGINT"),
    *REGION_FUNCTIONS,
    ArrowFunction("healpix", _healpix, ("BIGINT", "DOUBLE", "DOUBLE"), "BIGINT"),
    ArrowFunction("healpix_ra", _healpix_ra, ("BIGINT", "BIGINT"), "DOUBLE"),
    ArrowFunction("healpix_dec", _healpix_dec, ("BIGINT", "BIGINT"), "DOUBLE"),
    ArrowFunction("qserv_chunk", _qserv_chunk, ("DOUBLE", "DOUBLE", "BIGINT", "BIGINT"), "BIGINT"),
)
