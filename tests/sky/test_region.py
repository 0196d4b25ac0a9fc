"""Regions: what contains says is always covered, in the declination range and in what widening leaves."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsky.errors import QskyError
from qsky.sky.cover import at_most, everything, ranges_within, vectors
from qsky.sky.healpix import CELLS_29, cells_of
from qsky.sky.region import Box, Cone, Ellipse, Polygon, Region, region_of

RA = st.one_of(st.floats(0, 360), st.sampled_from([0.0, 360.0, 45.0, 90.0, 1e-9, 359.9999999]))
DEC = st.one_of(st.floats(-90, 90), st.sampled_from([90.0, -90.0, 0.0, 41.8103148957786, 89.9999999]))
SIZE = st.one_of(st.floats(0, 180), st.floats(1e-9, 1e-3), st.sampled_from([0.0, 1 / 60, 90.0, 180.0]))


def covered(cells: np.ndarray, ranges: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Whether each cell lies in one of the ranges."""
    starts, ends = ranges
    if not len(starts):
        return np.zeros(len(cells), dtype=bool)
    at = np.searchsorted(starts, cells, side="right") - 1
    return (at >= 0) & (cells < ends[np.maximum(at, 0)])


def around(ra: float, dec: float, radius_deg: float, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Positions within and just beyond a radius of a point, many of them on the circle itself."""
    rng = np.random.default_rng(11)
    distance = np.radians(radius_deg * np.concatenate((np.ones(count // 3), rng.uniform(0, 1.2, count - count // 3))))
    bearing = rng.uniform(0, 2 * np.pi, count)
    centre = vectors(np.array([ra]), np.array([dec]))[0]
    a, d = np.radians(ra), np.radians(dec)
    east = np.array([-np.sin(a), np.cos(a), 0.0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    side = np.sin(distance)[:, None] * (np.cos(bearing)[:, None] * north + np.sin(bearing)[:, None] * east)
    points = np.cos(distance)[:, None] * centre + side
    return np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360, np.degrees(
        np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    )


def check(region: Region, ra: np.ndarray, dec: np.ndarray) -> None:
    """Everything the region promises, for the given positions and some over the whole sky."""
    rng = np.random.default_rng(7)
    ra = np.concatenate((ra, rng.uniform(0, 360, 300), [0.0, 0.0]))
    dec = np.concatenate((dec, np.degrees(np.arcsin(rng.uniform(-1, 1, 300))), [90.0, -90.0]))
    inside = region.contains(ra, dec)
    cover = region.cover()
    assert len(cover[0]) <= 64
    assert (cover[0] < cover[1]).all() and (cover[0][1:] > cover[1][:-1]).all()
    assert covered(cells_of(ra, dec), cover)[inside].all()
    low, high = region.dec_range()
    assert -90 <= low <= high <= 90
    assert ((dec >= low) & (dec <= high))[inside].all()
    _check_widened(region, ra[inside], dec[inside])


def _check_widened(region: Region, ra: np.ndarray, dec: np.ndarray) -> None:
    for angle in (0.0, 0.01, 5.0):
        wider = region.widened(angle)
        reach = wider.cover()
        near = ranges_within(*region.cover(), angle)
        for position in list(zip(ra, dec, strict=True))[:5]:
            close = around(*position, angle, 30)
            distance = Cone(*position, angle).contains(*close)
            assert wider.contains(*close)[distance].all()
            assert covered(cells_of(*close), reach)[distance].all()
            assert covered(cells_of(*close), near)[distance].all()


@settings(max_examples=25, deadline=None)
@given(RA, DEC, SIZE)
def test_cones(ra: float, dec: float, radius: float) -> None:
    check(Cone(ra, dec, radius), *around(ra, dec, radius))


@settings(max_examples=25, deadline=None)
@given(RA, DEC, st.floats(0, 400), st.floats(0, 180))
def test_boxes(ra: float, dec: float, width: float, height: float) -> None:
    box = Box(ra, dec, ra + width, min(90.0, dec + height))
    rng = np.random.default_rng(2)
    inside_ra = np.concatenate((ra + width * rng.uniform(0, 1, 200), [ra, ra + width] * 20)) % 360
    inside_dec = dec + (box.dec_max - dec) * rng.uniform(0, 1, 240)
    check(box, inside_ra, inside_dec)


@settings(max_examples=25, deadline=None)
@given(RA, RA, DEC)
def test_boxes_over_zero(first: float, second: float, dec: float) -> None:
    low, high = sorted((first, second))
    box = Box(high, dec, low, min(90.0, dec + 3))
    check(box, np.array([0.0, high, low, 359.9999999]), np.array([dec] * 4))
    assert box.contains(np.array([0.0]), np.array([dec])).all() or high == low


@settings(max_examples=25, deadline=None)
@given(RA, DEC, st.floats(0.001, 36_000), st.floats(0, 1), st.floats(-360, 360))
def test_ellipses(ra: float, dec: float, semi_major: float, ratio: float, angle: float) -> None:
    ellipse = Ellipse(ra, dec, semi_major, semi_major * ratio, angle)
    check(ellipse, *around(ra, dec, semi_major / 3600))


@settings(max_examples=25, deadline=None)
@given(RA, DEC, st.floats(0.001, 80), st.integers(3, 20), st.booleans())
def test_polygons(ra: float, dec: float, radius: float, count: int, reverse: bool) -> None:
    corners_ra, corners_dec = around(ra, dec, radius, 3 * count)
    bearing = np.linspace(0, 2 * np.pi, count, endpoint=False)
    order = np.argsort(bearing)[:: -1 if reverse else 1]
    a, d, r = np.radians(ra), np.radians(dec), np.radians(radius)
    east = np.array([-np.sin(a), np.cos(a), 0.0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    side = np.cos(bearing)[:, None] * north + np.sin(bearing)[:, None] * east
    points = (np.cos(r) * vectors(np.array([ra]), np.array([dec])) + np.sin(r) * side)[order]
    vertices = zip(
        np.degrees(np.arctan2(points[:, 1], points[:, 0])),
        np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))),
        strict=True,
    )
    polygon = Polygon(tuple((float(x), float(y)) for x, y in vertices))
    assert polygon.contains(np.array([ra]), np.array([dec])).all()
    check(polygon, corners_ra, corners_dec)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(RA, DEC), min_size=3, max_size=8))
def test_any_vertices_at_all(vertices: list[tuple[float, float]]) -> None:
    """Crossed, concave or larger than a hemisphere: whatever it contains is covered."""
    ra, dec = (np.array(values) for values in zip(*vertices, strict=True))
    check(Polygon(tuple(vertices)), ra, dec)


def test_the_orion_quadrilateral_knows_its_corners() -> None:
    polygon = Polygon(((78.63, -8.20), (86.94, -9.67), (88.79, 7.41), (81.28, 6.35)))
    assert polygon.convex
    assert polygon.dec_range() == pytest.approx((-9.67, 7.41), abs=1e-2)
    assert not polygon.contains(np.array([78.0, 84.0]), np.array([0.0, 8.0])).any()
    assert not Polygon(((0, 0), (1, 1), (1, 0), (0, 1))).convex


def test_a_polygon_around_the_pole_reaches_it() -> None:
    assert Polygon(((0, 80), (120, 80), (240, 80))).dec_range()[1] == 90


def test_degenerate_regions_are_points_and_the_whole_sky() -> None:
    assert Cone(10, 20, 0).contains(np.array([10.0]), np.array([20.0])).all()
    starts, ends = Cone(10, 20, 180).cover()
    assert (starts[0], ends[-1]) == (0, CELLS_29)
    assert ranges_within(*everything(), 0.1)[1][-1] == CELLS_29
    assert Box(350, 0, 370, 1).contains(np.array([5.0, 15.0]), np.array([0.5, 0.5])).tolist() == [True, False]


def test_null_positions_are_in_no_region() -> None:
    nothing = np.array([np.nan])
    for region in (Cone(0, 0, 180), Box(0, -90, 360, 90), Ellipse(0, 0, 10, 5, 0), Polygon(((0, 0), (1, 0), (0, 1)))):
        assert not region.contains(nothing, nothing).any()


@pytest.mark.parametrize(
    ("function", "numbers", "said"),
    [
        ("qserv_areaspec_circle", (0, 0, -1), "The radius of the circle is -1"),
        ("qserv_areaspec_circle", (0, 91, 1), "beyond the pole"),
        ("qserv_areaspec_circle", (0, 1), "described by 3 numbers, not 2"),
        ("scisql_s2PtInBox", (0, 5, 10, -5), "south of where it begins"),
        ("scisql_s2PtInBox", (400, 5, 10, 15), "only within 0 to 360"),
        ("scisql_s2PtInEllipse", (0, 0, 5, 10, 0), "the first is the major one"),
        ("scisql_s2PtInEllipse", (0, 0, 36001, 10, 0), "at most 36000"),
        ("qserv_areaspec_ellipse", (0, 0, 5, 1, float("inf")), "position angle"),
        ("qserv_areaspec_poly", (0, 0, 1, 1), "2 vertices"),
        ("qserv_areaspec_poly", (0, 0, 1, 1, 2), "no pairs"),
        ("scisql_s2PtInCPoly", (float("nan"), 0, 1, 1, 2, 0), "no position"),
    ],
)
def test_what_is_no_region_is_refused(function: str, numbers: tuple[float, ...], said: str) -> None:
    with pytest.raises(QskyError) as caught:
        region_of(function, numbers)
    assert caught.value.code.name == "bad-region"
    assert said in caught.value.message


def test_regions_by_the_names_of_their_functions() -> None:
    assert region_of("scisql_s2PtInCircle", (1, 2, 3)) == Cone(1, 2, 3)
    assert region_of("QSERV_AREASPEC_BOX", (1, 2, 3, 4)) == Box(1, 2, 3, 4)
    assert region_of("qserv_areaspec_poly", (0, 0, 1, 0, 0, 1)) == Polygon(((0, 0), (1, 0), (0, 1)))


def test_too_many_ranges_close_their_smallest_gaps() -> None:
    starts, ends = np.array([0, 10, 100, 111]), np.array([5, 20, 110, 120])
    closed = at_most((starts, ends), 2)
    assert closed[0].tolist() == [0, 100] and closed[1].tolist() == [20, 120]
    low, high = at_most((starts, ends), 1)
    assert low.tolist() == [0] and high.tolist() == [120]


def test_a_small_cone_is_covered_fast_and_tightly() -> None:
    cone = Cone(10, 20, 1 / 60)
    seconds = []
    for _ in range(50):
        begin = time.perf_counter()
        starts, ends = cone.cover()
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.01, "a fifth of a millisecond on a machine at rest"
    area = 2 * np.pi * (1 - np.cos(np.radians(1 / 60)))
    assert (ends - starts).sum() / CELLS_29 * 4 * np.pi < 3 * area
