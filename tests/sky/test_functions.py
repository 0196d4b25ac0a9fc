"""The functions on positions as DuckDB runs them: rules of scisql for NULL and range, and agreement with sky.region."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import cdshealpix
import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import Latitude, Longitude, SkyCoord
from astropy.units import deg

from qsky.duck import Duck
from qsky.errors import QskyError
from qsky.sky.functions import ARROW_FUNCTIONS, MACROS, polygon_text, qserv_chunks
from qsky.sky.region import Box, Cone, Ellipse, Polygon, Region


@pytest.fixture(scope="module")
def duck() -> Iterator[Duck]:
    with Duck(macros=MACROS) as opened:
        for each in ARROW_FUNCTIONS:
            opened.register_function(each.name, each.function, each.arguments, each.result)
        yield opened


def value(duck: Duck, sql: str) -> Any:
    return duck.answer(f"SELECT {sql} AS v").table.column(0)[0].as_py()


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("scisql_angSep(0, 0, 0, 1)", 1.0),
        ("scisql_angSep(10, 20, 10, 20)", 0.0),
        ("scisql_angSep(0, 0, 180, 0)", 180.0),
        ("scisql_angSep(0, 90, 123, 90)", 0.0),
        ("scisql_angSep(359.5, 0, 0.5, 0)", 1.0),
        ("scisql_angSep(0, 0, 180, 1e-7)", 180 - 1e-7),
        ("SCISQL_ANGSEP(0, 0, 0, 1)", 1.0),
        ("scisql_angSep(NULL, 0, 0, 1)", None),
        ("scisql_angSep(0, 90.1, 0, 1)", None),
        ("scisql_angSep(0, 0, 'inf'::DOUBLE, 1)", None),
        ("scisql_angSep(0, 0, 0, 'nan'::DOUBLE)", None),
        ("qsky_angSepVectors(1, 0, 0, 0, 2, 0)", 90.0),
        ("qsky_angSepVectors(1, 0, 0, 0, 0, 0)", None),
    ],
)
def test_separations(duck: Duck, sql: str, wanted: float | None) -> None:
    assert value(duck, sql) == (wanted if wanted is None else pytest.approx(wanted, rel=1e-13, abs=1e-13))


@pytest.mark.parametrize("scale", [1e-7, 1e-4, 0.1, 60.0, 179.9999])
def test_separations_are_precise_at_every_scale(duck: Duck, scale: float) -> None:
    rng = np.random.default_rng(1)
    first = SkyCoord(rng.uniform(0, 360, 200) * deg, rng.uniform(-89, 89, 200) * deg)
    second = first.directional_offset_by(rng.uniform(0, 360, 200) * deg, scale * deg)
    names = ("ra1", "dec1", "ra2", "dec2")
    columns = (first.ra.deg, first.dec.deg, second.ra.deg, second.dec.deg)
    positions = pa.table(dict(zip(names, columns, strict=True)))
    found = duck.answer("SELECT scisql_angSep(ra1, dec1, ra2, dec2) AS s FROM p", {"p": positions}).table
    assert found["s"].to_numpy() == pytest.approx(first.separation(second).deg, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("scisql_s2PtInCircle(0, 0, 0, 1, 1)", 1),
        ("scisql_s2PtInCircle(0, 0, 0, 1, 0.999)", 0),
        ("scisql_s2PtInCircle(NULL, 0, 0, 1, 1)", 0),
        ("scisql_s2PtInCircle(0, 0, 0, 1, NULL)", 0),
        ("scisql_s2PtInCircle(0, 0, 0, 1, -1)", None),
        ("scisql_s2PtInCircle(0, 0, 0, 1, 180.1)", None),
        ("scisql_s2PtInCircle(0, -91, 0, 1, 1)", None),
        ("scisql_s2PtInCircle(0, -90, 0, 90, 180)", 1),
        ("scisql_s2PtInBox(0, 0, 350, -1, 10, 1)", 1),
        ("scisql_s2PtInBox(20, 0, 350, -1, 10, 1)", 0),
        ("scisql_s2PtInBox(5, 0, 350, -1, 370, 1)", 1),
        ("scisql_s2PtInBox(-5, 0, 350, -1, 370, 1)", 1),
        ("scisql_s2PtInBox(10, 1, 350, -1, 10, 1)", 1),
        ("scisql_s2PtInBox(99, 0, 0, -1, 360, 1)", 1),
        ("scisql_s2PtInBox(99, 0, 0, 1, 360, -1)", 0),
        ("scisql_s2PtInBox(99, 0, 370, -1, 10, 1)", None),
        ("scisql_s2PtInBox(99, 0, 0, -91, 10, 1)", None),
        ("scisql_s2PtInBox(NULL, 0, 0, -1, 10, 1)", 0),
        ("scisql_s2PtInBox('nan'::DOUBLE, 0, 0, -1, 10, 1)", None),
        ("scisql_s2PtInEllipse(0, 0.01, 0, 0, 60, 30, 0)", 1),
        ("scisql_s2PtInEllipse(0.01, 0, 0, 0, 60, 30, 0)", 0),
        ("scisql_s2PtInEllipse(0.01, 0, 0, 0, 60, 30, 90)", 1),
        ("scisql_s2PtInEllipse(180, 0, 0, 0, 60, 30, 0)", 0),
        ("scisql_s2PtInEllipse(0, 0, 0, 0, 30, 60, 0)", None),
        ("scisql_s2PtInEllipse(0, 0, 0, 0, 36001, 60, 0)", None),
        ("scisql_s2PtInEllipse(0, 0, 0, 0, 60, -1, 0)", None),
        ("scisql_s2PtInEllipse(0, NULL, 0, 0, 60, 30, 0)", 0),
    ],
)
def test_points_in_regions(duck: Duck, sql: str, wanted: int | None) -> None:
    assert value(duck, sql) == wanted


@pytest.mark.parametrize(
    ("ra", "dec", "wanted"), [("0.2", "0.2", 1), ("2", "2", 0), ("NULL", "0", 0), ("0", "91", None), ("0", "0", 1)]
)
@pytest.mark.parametrize("vertices", [((0, 0), (1, 0), (0, 1)), ((0, 1), (1, 0), (0, 0))])
def test_points_in_polygons(duck: Duck, ra: str, dec: str, wanted: int | None, vertices: Any) -> None:
    assert value(duck, polygon_text(f"{ra}::DOUBLE", f"{dec}::DOUBLE", Polygon(vertices).normals())) == wanted


def test_a_crossed_polygon_holds_no_point(duck: Duck) -> None:
    crossed = Polygon(((0, 0), (1, 1), (1, 0), (0, 1)))
    assert value(duck, polygon_text("0.5", "0.25", crossed.normals())) == 0


REGIONS: tuple[Region, ...] = (
    Cone(10, 20, 30),
    Cone(0, 90, 10),
    Box(350, -5, 10, 5),
    Box(0, 80, 360, 90),
    Ellipse(0, 89, 36000, 18000, 30),
    Polygon(((0, 80), (120, 80), (240, 80))),
    Polygon(((350, -10), (350, 10), (20, 10), (20, -10))),
)


@pytest.mark.parametrize("region", REGIONS, ids=str)
def test_sql_and_numpy_draw_the_same_borders(duck: Duck, region: Region) -> None:
    rng = np.random.default_rng(1)
    ra = np.concatenate((rng.uniform(0, 360, 30_000), [0, 10, 350, 0, 120, 240, 10, 360, 0]))
    dec = np.concatenate((np.degrees(np.arcsin(rng.uniform(-1, 1, 30_000))), [90, 5, -5, 80, 80, 80, 50, 0, -90]))
    if isinstance(region, Polygon):
        test = polygon_text("ra", "dec", region.normals())
    else:
        shape = "Circle" if isinstance(region, Cone) else type(region).__name__
        numbers = ", ".join(repr(float(number)) for number in dataclasses.astuple(region))
        test = f"scisql_s2PtIn{shape}(ra, dec, {numbers})"
    found = duck.answer(f"SELECT {test} = 1 AS inside FROM p", {"p": pa.table({"ra": ra, "dec": dec})}).table
    assert np.array_equal(found["inside"].to_numpy(), region.contains(ra, dec))


def test_healpix_is_that_of_cdshealpix(duck: Duck) -> None:
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 500), rng.uniform(-90, 90, 500)
    positions = pa.table({"ra": ra, "dec": dec})
    for order in (0, 5, 29):
        found = duck.answer(f"SELECT healpix({order}, ra, dec) AS cell FROM p", {"p": positions}).table
        wanted = cdshealpix.lonlat_to_healpix(Longitude(ra * deg), Latitude(dec * deg), order)
        assert np.array_equal(found["cell"].to_numpy(), wanted.astype(np.int64))


@pytest.mark.parametrize("call", ["healpix(30, 0, 0)", "healpix(-1, 0, 0)", "healpix(3, NULL, 0)", "healpix(3, 0, 91)"])
def test_healpix_of_nothing_is_null(duck: Duck, call: str) -> None:
    assert value(duck, call) is None


def test_qserv_chunks(duck: Duck) -> None:
    """Numbers worked out by hand from the rule: 85 stripes of 12; the poles are one chunk each."""
    assert value(duck, "qserv_chunk(0, -90, 85, 12)") == 0
    assert value(duck, "qserv_chunk(123, 90, 85, 12)") == 2 * 85 * 84
    assert value(duck, "qserv_chunk(NULL, 0, 85, 12)") is None
    assert value(duck, "qserv_chunk(0, 0, NULL, 12)") is None
    assert qserv_chunks(np.array([0.0, 360.0, -1e-9]), np.zeros(3), 85, 12).tolist() == [7140, 7140, 7308]
    with pytest.raises(QskyError, match="cannot cut the sky"):
        qserv_chunks(np.zeros(1), np.zeros(1), 0, 12)


@pytest.mark.parametrize(("stripes", "sub_stripes", "chunks"), [(85, 12, 8983), (340, 3, 146_332)])
def test_qserv_has_as_many_chunks_as_it_says(stripes: int, sub_stripes: int, chunks: int) -> None:
    from qsky.sky.functions import _qserv_layout

    assert _qserv_layout(stripes, sub_stripes)[0].sum() == chunks
