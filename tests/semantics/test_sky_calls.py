"""Functions of the sky against references of their own: scisql's photometry, HTM, coordinates and epochs (astropy)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import BarycentricMeanEcliptic, SkyCoord
from astropy.time import Time
from erfa import ErfaWarning

from qsky.duck import Duck
from qsky.sky.functions import ARROW_FUNCTIONS, MACROS
from qsky.sky.htm import htm_ids
from qsky.sql.functions import FUNCTIONS, call_text

SCALE = 10 ** (-48.6 / 2.5)
SPREAD = 2.5 / math.log(10)


@pytest.fixture(scope="module")
def duck() -> Iterator[Duck]:
    with Duck(macros=MACROS) as opened:
        for each in ARROW_FUNCTIONS:
            opened.register_function(each.name, each.function, each.arguments, each.result)
        yield opened


def answers(duck: Duck, name: str, columns: list[list[Any]]) -> list[Any]:
    """A function of the registry over columns of doubles."""
    names = [f"a{at}" for at in range(len(columns))]
    table = pa.table({each: pa.array(values, pa.float64()) for each, values in zip(names, columns, strict=True)})
    text = call_text(FUNCTIONS[name], tuple(names), "DOUBLE")
    return duck.answer(f"SELECT {text} AS v FROM given", {"given": table}).table.column(0).to_pylist()


def random_numbers(rng: np.random.Generator, count: int) -> list[Any]:
    """Fluxes and errors of all signs and sizes, zeros, infinities of arithmetic, NULLs."""
    values = rng.normal(0, 1, count) * 10.0 ** rng.integers(-32, 33, count)
    special = rng.choice([0.0, 1.0, -1.0, 1e308, 5e-324, 25.0, -48.6], count)
    chosen = np.where(rng.random(count) < 0.3, special, values).tolist()
    return [None if rng.random() < 0.05 else value for value in chosen]


def flux_of(mag: float) -> float:
    return 10 ** (-0.4 * (mag + 48.6))


def in_nanojansky(mag: float) -> float:
    return 10 ** (-0.4 * (mag - 31.4))


# name: (which values are good, the formula); every result that is not finite is NULL
PHOTOMETRY: dict[str, tuple[Callable[..., bool], Callable[..., float]]] = {
    "scisql_fluxToAbMag": (lambda f: f > 0, lambda f: -2.5 * math.log10(f) - 48.6),
    "scisql_fluxToAbMagSigma": (lambda f, s: f > 0 and s >= 0, lambda f, s: SPREAD * s / f),
    "scisql_abMagToFlux": (lambda m: True, flux_of),
    "scisql_abMagToFluxSigma": (lambda m, s: s >= 0, lambda m, s: s * flux_of(m) / SPREAD),
    "scisql_nanojanskyToAbMag": (lambda f: f > 0, lambda f: -2.5 * math.log10(f) + 31.4),
    "scisql_nanojanskyToAbMagSigma": (lambda f, s: f > 0 and s >= 0, lambda f, s: SPREAD * s / f),
    "scisql_abMagToNanojansky": (lambda m: True, in_nanojansky),
    "scisql_abMagToNanojanskySigma": (lambda m, s: s >= 0, lambda m, s: s * in_nanojansky(m) / SPREAD),
    "scisql_dnToAbMag": (lambda d, z: d > 0 and z > 0, lambda d, z: -2.5 * math.log10(d / z)),
    "scisql_dnToAbMagSigma": (
        lambda d, s, z, t: d > 0 and s >= 0 and z > 0 and t >= 0,
        lambda d, s, z, t: SPREAD * math.sqrt((s / d) ** 2 + (t / z) ** 2),
    ),
    "scisql_abMagToDn": (lambda m, z: z > 0, lambda m, z: z * 10 ** (-0.4 * m)),
    "scisql_abMagToDnSigma": (
        lambda m, s, z, t: s >= 0 and z > 0 and t >= 0,
        lambda m, s, z, t: 10 ** (-0.4 * m) * math.sqrt((s / SPREAD * z) ** 2 + t**2),
    ),
    "scisql_dnToFlux": (lambda d, z: z > 0, lambda d, z: SCALE * d / z),
    "scisql_dnToFluxSigma": (
        lambda d, s, z, t: s >= 0 and z > 0 and t >= 0,
        lambda d, s, z, t: SCALE * math.sqrt(s**2 + (d * t / z) ** 2) / z,
    ),
    "scisql_fluxToDn": (lambda f, z: z > 0, lambda f, z: f * z / SCALE),
    "scisql_fluxToDnSigma": (
        lambda f, s, z, t: s >= 0 and z > 0 and t >= 0,
        lambda f, s, z, t: math.sqrt((s * z) ** 2 + (f * t) ** 2) / SCALE,
    ),
}


def reference(name: str, row: tuple[Any, ...]) -> float | None:
    good, formula = PHOTOMETRY[name]
    if None in row or not good(*row):
        return None
    try:
        value = formula(*row)
    except (OverflowError, ValueError, ZeroDivisionError):
        return None
    return value if math.isfinite(value) else None


@pytest.mark.parametrize("name", PHOTOMETRY)
def test_photometry_as_scisql(duck: Duck, name: str) -> None:
    rng = np.random.default_rng(len(name))
    columns = [random_numbers(rng, 400) for _ in range(FUNCTIONS[name].arity[0])]
    found = answers(duck, name, columns)
    for row, value in zip(zip(*columns, strict=True), found, strict=True):
        wanted = reference(name, row)
        assert (value is None) == (wanted is None), (row, value, wanted)
        assert value is None or value == pytest.approx(wanted, rel=1e-11, abs=1e-300), row


def test_a_vector_has_an_angle_only_if_it_has_a_length(duck: Duck) -> None:
    assert answers(duck, "qsky_angSepVectors", [[1.0], [0.0], [0.0], [-2.0], [0.0], [0.0]]) == [180.0]
    assert answers(duck, "qsky_angSepVectors", [[0.0], [0.0], [0.0], [1.0], [0.0], [0.0]]) == [None]


# -- HTM


def test_htm_ids_nest_and_hold_their_points() -> None:
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 2000), np.degrees(np.arcsin(rng.uniform(-1, 1, 2000)))
    before = htm_ids(ra, dec, 0)
    assert set(before.tolist()) == set(range(8, 16))
    assert ((before < 12) == (dec < 0)).all()
    for level in range(1, 25):
        ids = htm_ids(ra, dec, level)
        assert (ids >> 2 == before).all()
        before = ids


def test_htm_of_known_points(duck: Duck) -> None:
    """The octants by hand, and what is no position or level."""
    found = answers(duck, "scisql_s2HtmId", [[1.0, 91.0, 181.0, 271.0] * 2, [1.0] * 4 + [-1.0] * 4, [0.0] * 8])
    assert found == [15, 14, 13, 12, 8, 9, 10, 11]
    assert (
        answers(duck, "scisql_s2HtmId", [[0.0, 0.0, None, 0.0], [91.0, 0.0, 0.0, 0.0], [1.0, 25.0, 1.0, -1.0]])
        == [None] * 4
    )


def test_htm_levels(duck: Duck) -> None:
    ids = pa.array([7, 8, 15, 16, 32, 63, -8, None, 8 << 48, 8 << 50], pa.int64())
    text = call_text(FUNCTIONS["scisql_s2HtmLevel"], ("i",), "BIGINT")
    found = duck.answer(f"SELECT {text} FROM given", {"given": pa.table({"i": ids})}).table.column(0).to_pylist()
    assert found == [None, 0, 0, None, 1, 1, None, None, 24, None]


# -- coordinates and epochs


def positions(count: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    return np.concatenate((ra, [0, 0, 0, 180])), np.concatenate((dec, [90, -90, 0, 0]))


@pytest.mark.parametrize(
    ("system", "axes", "frame"),
    [("galactic", ("l", "b"), "galactic"), ("ecliptic", ("lon", "lat"), BarycentricMeanEcliptic())],
)
def test_coordinates_as_astropy(duck: Duck, system: str, axes: tuple[str, str], frame: Any) -> None:
    ra, dec = positions()
    sky = SkyCoord(ra * u.deg, dec * u.deg).transform_to(frame).spherical
    found = [np.array(answers(duck, f"{system}_{axis}", [ra.tolist(), dec.tolist()])) for axis in axes]
    assert (found[0] >= 0).all() and (found[0] < 360).all()
    apart = SkyCoord(*found, unit="deg").separation(SkyCoord(sky.lon, sky.lat)).deg
    assert apart.max() < 1e-11
    back = [answers(duck, f"{system}_{axis}", [each.tolist() for each in found]) for axis in ("ra", "dec")]
    assert SkyCoord(*back, unit="deg").separation(SkyCoord(ra, dec, unit="deg")).deg.max() < 1e-11


def test_no_coordinates_of_no_position(duck: Duck) -> None:
    for name in ("galactic_l", "ecliptic_dec"):
        assert answers(duck, name, [[None, 1.0, 1.0, math.inf], [1.0, None, 90.1, 0.0]]) == [None] * 4


def test_epochs_as_astropy(duck: Duck) -> None:
    """Straight motion in space, as astropy's Cartesian coordinates have it; ERFA adds light travel time, of order v/c."""
    rng = np.random.default_rng(6)
    ra, dec = positions(200)
    count = len(ra)
    pm_ra, pm_dec = rng.normal(0, 3000, count), rng.normal(0, 3000, count)
    parallax, velocity = rng.uniform(1, 500, count), rng.normal(0, 100, count)
    sky = SkyCoord(
        ra * u.deg, dec * u.deg, distance=1000 / parallax * u.pc, pm_ra_cosdec=pm_ra * u.mas / u.yr,
        pm_dec=pm_dec * u.mas / u.yr, radial_velocity=velocity * u.km / u.s, obstime=Time("J2016.0"),
    )  # fmt: skip
    straight = sky.cartesian.without_differentials() + sky.velocity.to_cartesian() * (50 * u.yr)
    wanted = SkyCoord(straight, frame="icrs")
    years = [[2016.0] * count, [2066.0] * count]
    given = [each.tolist() for each in (ra, dec, parallax, pm_ra, pm_dec, velocity)] + years
    found = SkyCoord(*[answers(duck, f"epoch_{axis}_in_space", given) for axis in ("ra", "dec")], unit="deg")
    regular = np.abs(dec) < 89.99
    assert found.separation(wanted).to_value(u.mas)[regular].max() < 1e-5
    travelled = found.separation(SkyCoord(ra, dec, unit="deg"))
    with pytest.warns(ErfaWarning):
        light = sky.apply_space_motion(Time("J2066.0"))
    assert (found.separation(SkyCoord(light.ra, light.dec)) / travelled).to_value("")[regular].max() < 1e-4


def test_motion_without_distance_is_straight(duck: Duck) -> None:
    ra, dec = positions(100)
    moved = [[100.0] * len(ra), [-200.0] * len(ra), [2000.0] * len(ra), [2010.0] * len(ra)]
    found = [answers(duck, f"epoch_{axis}", [ra.tolist(), dec.tolist(), *moved]) for axis in ("ra", "dec")]
    apart = SkyCoord(*found, unit="deg").separation(SkyCoord(ra, dec, unit="deg")).to_value(u.mas)
    assert np.allclose(apart, math.hypot(1000, 2000), rtol=1e-9)
    still = [[0.0] * len(ra), [0.0] * len(ra), *moved[2:]]
    same = [answers(duck, f"epoch_{axis}", [ra.tolist(), dec.tolist(), *still]) for axis in ("ra", "dec")]
    assert np.allclose(same[1], dec, atol=1e-13)
