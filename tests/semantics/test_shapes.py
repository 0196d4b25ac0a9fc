"""Regions against brute force: polygons with dents, shapes that differ from row to row, areas, centroids."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qsky.errors import QskyError
from qsky.sky.cover import vectors
from qsky.sky.region import Cone, Polygon
from qsky.sky.shapes import _touch, _within, area_of
from qsky.sky.triangles import bounding_circle, centroid, triangles
from qsky.sql.units import conversion
from tests.semantics.world import Ours, alike

STAR = tuple(
    ((40 + 8 * (1 + at % 2) * math.cos(at * math.pi / 5)) % 360, 8 * (1 + at % 2) * math.sin(at * math.pi / 5))
    for at in range(10)
)
ARROW = ((10.0, 10.0), (20.0, 15.0), (10.0, 20.0), (13.0, 15.0))
COMB = (
    (0.0, 0.0),
    (9.0, 0.0),
    (9.0, 5.0),
    (7.0, 5.0),
    (7.0, 2.0),
    (5.0, 2.0),
    (5.0, 5.0),
    (3.0, 5.0),
    (3.0, 2.0),
    (0.0, 2.0),
)
POLAR = ((0.0, 80.0), (90.0, 80.0), (180.0, 80.0), (270.0, 89.0))


def crossings(vertices: tuple[tuple[float, float], ...], points: np.ndarray) -> np.ndarray:
    """Inside by the sum of the angles at which the edges are seen: +-360 degrees, or 0."""
    corners = vectors(*np.array(vertices).T)
    total = np.zeros(len(points))
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        a, b = start - points * (points @ start)[:, None], end - points * (points @ end)[:, None]
        total += np.arctan2((np.cross(a, b) * points).sum(axis=1), (a * b).sum(axis=1))
    return np.abs(total) > math.pi


def scattered(vertices: tuple[tuple[float, float], ...], count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    circle = bounding_circle(vertices)
    assert circle is not None
    rng = np.random.default_rng(1)
    centre = vectors(np.array(circle[:1]), np.array(circle[1:2]))[0]
    points = centre + rng.normal(0, math.radians(circle[2]) / 1.5, (count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360, np.degrees(np.arcsin(points[:, 2]))


@pytest.mark.parametrize("vertices", [STAR, ARROW, COMB, POLAR], ids=["star", "arrow", "comb", "polar"])
@pytest.mark.parametrize("turned", [False, True])
def test_triangles_fill_the_polygon(vertices: tuple[tuple[float, float], ...], turned: bool) -> None:
    vertices = vertices[::-1] if turned else vertices
    pieces, circle = triangles(vertices), bounding_circle(vertices)
    assert pieces is not None and circle is not None
    ra, dec = scattered(vertices)
    inside = crossings(vertices, vectors(ra, dec))
    covered = np.any([Polygon(piece).contains(ra, dec) for piece in pieces], axis=0)
    assert 50 < inside.sum() < len(ra) - 50
    assert (inside == covered).all()
    assert not (inside & ~Cone(*circle).contains(ra, dec)).any()


def test_what_crosses_itself_has_no_triangles() -> None:
    assert triangles(((0.0, 0.0), (10.0, 10.0), (10.0, 0.0), (0.0, 10.0))) is None
    assert triangles(((0.0, 0.0), (120.0, 0.0), (240.0, 0.0))) is None


def test_centroids() -> None:
    assert centroid(((0.0, -1.0), (2.0, -1.0), (2.0, 1.0), (0.0, 1.0))) == pytest.approx((1.0, 0.0), abs=1e-9)
    found = centroid(ARROW)
    pieces = triangles(ARROW)
    assert found is not None and pieces is not None
    total = np.zeros(3)
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(9, 21, 200_000), np.degrees(np.arcsin(rng.uniform(math.sin(0.15), math.sin(0.37), 200_000)))
    points = vectors(ra, dec)
    total = points[crossings(ARROW, points)].sum(axis=0)
    wanted = np.degrees(np.arctan2(total[1], total[0])), np.degrees(np.arctan2(total[2], np.hypot(*total[:2])))
    assert found == pytest.approx(wanted, abs=0.05)


def test_areas() -> None:
    assert area_of([0, 0, 90, 0, 0, 90]) == pytest.approx(4 * math.pi / 8 * math.degrees(1) ** 2)
    assert area_of([10, 20, 90]) == pytest.approx(2 * math.pi * math.degrees(1) ** 2)
    assert area_of([10, 20, 1e-6]) == pytest.approx(math.pi * 1e-12, rel=1e-9)
    assert area_of([10, 20]) == 0


def random_shape(rng: np.random.Generator) -> list[float]:
    ra, dec = float(rng.uniform(0, 4)), float(rng.uniform(-2, 2))
    if rng.random() < 0.5:
        return [ra, dec, float(rng.uniform(0.1, 1.5))]
    angles = np.sort(rng.uniform(0, 2 * math.pi, 5))
    while np.diff(np.append(angles, angles[0] + 2 * math.pi)).max() > 3:
        angles = np.sort(rng.uniform(0, 2 * math.pi, 5))
    size = rng.uniform(0.3, 1.5)
    return [float(n) for a in angles for n in (ra + size * math.cos(a), dec + size * math.sin(a))]


def inside(shape: list[float], ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    if len(shape) == 3:
        return Cone(*shape).contains(ra, dec)
    return Polygon(tuple(zip(shape[::2], shape[1::2], strict=True))).contains(ra, dec)


def test_pairs_of_shapes_as_their_points_say() -> None:
    """Of 200 random pairs: a common point means touching, a point outside means not within; nearly all are decided."""
    rng = np.random.default_rng(4)
    grid_ra, grid_dec = (each.ravel() for each in np.meshgrid(np.linspace(-2, 6, 161), np.linspace(-4, 4, 161)))
    decided = 0
    for _ in range(200):
        one, other = random_shape(rng), random_shape(rng)
        a, b = inside(one, grid_ra, grid_dec), inside(other, grid_ra, grid_dec)
        if (a & b).any():
            assert _touch(one, other) and _touch(other, one)
        if (a & ~b).any():
            assert not _within(one, other)
        decided += bool((a & b).any()) + (not _touch(one, other))
        if not _within(one, other):
            continue
        assert not (a & ~b).any()
    assert decided > 190


# -- as expressions

EXPRESSIONS: list[tuple[str, object]] = [
    ("CONTAINS(POINT(x, y), CIRCLE(0, 0, 5))", "scisql_s2PtInCircle(x, y, 0, 0, 5)"),
    ("CONTAINS(POINT(x, y), BOX(1, 1, 4, 2))", "scisql_s2PtInBox(x, y, -1, 0, 3, 2)"),
    (
        "CONTAINS(POINT(x, y), BOX(1 + 0 * k, 1, 4, 2))",
        "CASE WHEN k IS NULL THEN 0 ELSE scisql_s2PtInBox(x, y, -1, 0, 3, 2) END",
    ),
    (
        "CONTAINS(POINT(x, y), POLYGON(-3, -3, 3, -3, 3, 3, -3, 3))",
        "scisql_s2PtInCPoly(x, y, -3, -3, 3, -3, 3, 3, -3, 3)",
    ),
    (
        "CONTAINS(POINT(x, y), POLYGON(-3, -3, 3, -3, 3, 3, 0, -2, -3, 3))",
        "(scisql_s2PtInCPoly(x, y, -3, -3, 0, -2, -3, 3) = 1 OR scisql_s2PtInCPoly(x, y, 3, -3, 3, 3, 0, -2) = 1"
        " OR scisql_s2PtInCPoly(x, y, -3, -3, 3, -3, 0, -2) = 1)",
    ),
    ("INTERSECTS(CIRCLE(0, 0, 5), POINT(x, y))", "scisql_s2PtInCircle(x, y, 0, 0, 5)"),
    ("DISTANCE(POINT(x, y), POINT(1, 2))", "scisql_angSep(x, y, 1, 2)"),
    ("DISTANCE(x, y, 1, 2)", "scisql_angSep(x, y, 1, 2)"),
    ("COORD1(POINT(x, y))", "x"),
    ("COORD2(CENTROID(CIRCLE(x, y, 1)))", "y"),
    ("AREA(CIRCLE(x, 0, 90)) / 10000 - 2.0626480624709636", "0 * x"),
    ("COORD1(ivo_epoch_prop_pos(x, y, NULL, 10, 20, NULL, 2000, 2016))", "epoch_ra(x, y, 10, 20, 2000, 2016)"),
    ("COORD2(ivo_apply_pm(x, y, 0.001, 0.002, 16))", "epoch_dec(x, y, 3600, 7200, 2000, 2016)"),
    ("COORD1(ivo_geom_transform('ICRS', 'GALACTIC', POINT(x, y)))", "galactic_l(x, y)"),
    ("COORD2(ivo_healpix_center(3, ABS(k)))", "healpix_dec(3, ABS(k))"),
    ("ivo_healpix_index(5, POINT(x, y))", "healpix(5, x, y)"),
    ("ivo_hashlist_has('a#B', s)", "CASE WHEN s IS NULL THEN NULL ELSE LOWER(s) IN ('a', 'b') END"),
    ("ivo_nocasematch(s, 'A%')", "LOWER(s) LIKE 'a%'"),
    ("ivo_interval_overlaps(k, k + 1, 0, 2)", "k <= 2 AND 0 <= k + 1"),
    ("COORDSYS(POINT(x, y))", "'ICRS'"),
]


@pytest.mark.parametrize(("adql", "mysql"), EXPRESSIONS, ids=[text for text, _ in EXPRESSIONS])
def test_adql_as_qservs_functions(ours: Ours, adql: str, mysql: str) -> None:
    found, wanted = ours.select(adql, "adql"), ours.select(mysql)
    for mine, other in zip(found, wanted, strict=True):
        assert alike(mine, other) or (mine or 0) == pytest.approx(other or 0, abs=1e-9), (mine, other)


def test_polygons_as_bytes(ours: Ours) -> None:
    plain = ours.select("scisql_s2PtInCPoly(x, y, -3, -3, 3, -3, 3, 3, -3, 3)")
    assert ours.select("scisql_s2PtInCPoly(x, y, s2CPolyToBin(-3, -3, 3, -3, 3, 3, -3, 3))") == plain
    by_row = ours.select("scisql_s2PtInCPoly_0_3_9(x, y, -3 + 0 * id, -3, 3, -3, 3, 3, -3, 3)")
    assert by_row == plain and 0 < sum(each or 0 for each in plain) < len(plain)
    assert {len(raw) for raw in ours.select("s2CPolyToBin(-3, -3, 3, -3, 3, 3 + 0 * id)")} == {96}
    assert ours.select("LENGTH(HEX(s2CPolyToBin(-3, -93, 3, -3, 3, 3 + 0 * id)))")[0] is None


def test_what_scisql_has_besides(ours: Ours) -> None:
    assert ours.select("scisql_getVersion()")[0] == "0.3.9"
    assert ours.select("scisql_extractInt64(UNHEX('0100000000000000FFFFFFFFFFFFFFFF'), 1)")[0] == -1
    assert ours.select("scisql_extractInt64(UNHEX('0100000000000000'), 1)")[0] is None
    with pytest.raises(QskyError, match="stop here"):
        ours.select("scisql_raiseError('stop here')")


def test_julian_dates(ours: Ours) -> None:
    assert ours.select("MJD('2000-01-01 12:00:00')")[0] == 51544.5
    assert ours.select("gavo_to_jd(TIMESTAMP '2000-01-01 12:00:00')", "adql")[0] == 2451545.0
    back = ours.select("MJD_TIME(MJD(w))")
    for found, wanted in zip(back, ours.select("w"), strict=True):
        assert (found is None) == (wanted is None) and (wanted is None or abs((found - wanted).total_seconds()) < 2e-6)


def test_random_numbers_belong_to_rows(ours: Ours) -> None:
    first, again, other = ours.select("RAND()"), ours.select("RAND()"), ours.select("RAND(1)")
    assert first == again != other
    assert len(set(first)) > 140 and all(0 <= value < 1 for value in first) and 0.4 < sum(first) / len(first) < 0.6


def test_factors_between_units() -> None:
    assert conversion("deg", "arcsec") == pytest.approx(3600, rel=1e-15)
    assert conversion("mas/yr", "deg/d") == pytest.approx(1 / 3.6e6 / 365.25)
    for start, end in (("mag", "m"), ("deg", "no such unit")):
        with pytest.raises(ValueError, match=r"\.$"):
            conversion(start, end)
