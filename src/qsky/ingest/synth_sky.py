"""The sky that `qsky synth` makes, before any object: where stars and galaxies lie, clusters, fields and visits.

Stars follow the shipped map of real Gaia DR2 counts (`density.npz`, made by scripts/make_density.py), refined by linear
interpolation so that its cells do not show. Galaxies are uniform behind a layer of dust, and some gather in clusters.
Called by `ingest.synth` and `ingest.synth_rows`. Everything follows from the plan alone; it never reads a clock, and
holds about 30 MB whatever the number of objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qsky.errors import QskyError
from qsky.sky.healpix import NATIVE, ORDER_MAX, Floats, Ints, cells_of, centres_of

BANDS: Final = "ugrizy"
PATCH_ORDER: Final = 8  # cells of 0.23 deg: the grain of the sky and the patch of an object
TRACT_ORDER: Final = 5
FIELD_ORDER: Final = 4  # cells of 13 deg2: what one visit covers
INDEX_BITS: Final = 42  # an object's number within its id
OBJECTS_MAX: Final = 1 << 40
SOURCES_PER_OBJECT_MAX: Final = 1000.0

SURVEY_START_MJD: Final = 60_980.0
SURVEY_YEARS: Final = 10
# 5-sigma depth of one visit, AB magnitudes, near those that Rubin expects at zenith (lsst.org/scientists/keynumbers).
VISIT_DEPTH_MAG: Final = (23.9, 25.0, 24.7, 24.0, 23.3, 22.1)
VISIT_SHARE: Final = (0.07, 0.09, 0.22, 0.22, 0.20, 0.20)
ZERO_POINT_MAG: Final = 31.4  # AB magnitude of 1 nJy

# Streams of random numbers; a stream never depends on how many numbers another one took.
STREAM_VISITS: Final = 1
STREAM_CLUSTERS: Final = 2
STREAM_OBJECTS: Final = 3
STREAM_MEASURED: Final = 4
STREAM_SOURCES: Final = 5

_CLUSTER_OBJECTS: Final = 4000  # one cluster per so many objects
_CLUSTERS_MIN: Final = 24
_CLUSTERS_MAX: Final = 100_000
# Direction of the north galactic pole in ICRS (The Hipparcos Catalogue, volume 1, 1.5.3).
_GALACTIC_POLE: Final = (-0.8676661490190047, -0.1980763734312015, 0.4559837761750669)
_DUST_AT_POLE_MAG: Final = 0.02
_DUST_MAX_MAG: Final = 3.0
# Galaxies lost per magnitude of E(B-V): counts rise as 10**(0.35 m), and A_i = 1.7 E(B-V).
_LOST_PER_REDDENING: Final = 0.6

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class SkyPlan:
    """What sky to make. The same plan gives the same rows on every machine with the same NumPy.

    `dec_range_deg` and `cone_deg` (ra, dec, radius) limit it, to the nearest cell of 0.2 deg. With
    `sources_per_object` 0 there are no sources, else every object has at least one. Raises usage.
    """

    objects: int
    sources_per_object: float = 10.0
    seed: int = 1
    galaxy_fraction: float = 0.4
    dec_range_deg: tuple[float, float] = (-90.0, 90.0)
    cone_deg: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        bounds: tuple[tuple[str, float, float, float], ...] = (
            ("objects", self.objects, 1, OBJECTS_MAX),
            ("sources_per_object", self.sources_per_object, 0, SOURCES_PER_OBJECT_MAX),
            ("seed", self.seed, 0, 2**63 - 1),
            ("galaxy_fraction", self.galaxy_fraction, 0, 1),
        )
        for name, value, low, high in bounds:
            if not low <= value <= high:
                raise QskyError(
                    "usage", f"A synthetic sky has {name} between {low:g} and {high:g}; {value:g} was asked."
                )
        if 0 < self.sources_per_object < 1:
            raise QskyError(
                "usage",
                "Every object has at least one source, so sources_per_object is 0 or at least 1.",
                hint="Ask for 0 to make objects only.",
            )

    @property
    def visits_per_field(self) -> int:
        """A prime well above the sources of any object, so that steps through a field's visits never meet twice."""
        many = self.sources_per_object
        return _next_prime(int(many + 6 * many**0.5 + 12)) if many else 0


@dataclass(frozen=True)
class Visits:
    """The visits in the order of time; shapes (visits,), and `of_field` (fields, visits per field) into them."""

    mjd: Floats
    band: NDArray[np.int8]
    field: Ints
    seeing_arcsec: Floats32
    sky_noise_njy: Floats32
    of_field: NDArray[np.int32]


@dataclass(frozen=True)
class Clusters:
    """Clusters of galaxies: positions in degrees, core radii in arcsec; shapes (clusters,)."""

    ra: Floats
    dec: Floats
    core_arcsec: Floats32


@dataclass(frozen=True)
class Places:
    """Cells of order `PATCH_ORDER` and the cumulative share of objects up to each; shapes (cells,)."""

    cells: Ints
    cumulative: Floats

    def draw(self, random: np.random.Generator, count: int) -> tuple[Ints, Floats, Floats]:
        """(cells, ra, dec) of `count` places, uniform in area inside each cell.

        Every order-29 cell has the same area, so a random one of those inside the cell is a uniform place, to 0.4 mas.
        """
        # Sorted numbers are looked up several times faster; the shuffle afterwards gives the random order back.
        at = np.searchsorted(self.cumulative, np.sort(random.random(count)), side="right")
        random.shuffle(at)
        cells = self.cells[np.minimum(at, len(self.cells) - 1)]
        shift = 2 * (ORDER_MAX - PATCH_ORDER)
        deep = (cells << shift) | random.integers(0, 1 << shift, count)
        return cells, *centres_of(deep, ORDER_MAX)


@dataclass(frozen=True)
class Sky:
    """All that blocks of objects share. `dust_mag` is E(B-V) by cell of order `PATCH_ORDER`."""

    plan: SkyPlan
    stars: Places
    galaxies: Places
    clusters: Clusters
    visits: Visits
    dust_mag: Floats32


def stream(plan: SkyPlan, kind: int, block: int = 0) -> np.random.Generator:
    """The random numbers of one kind for one block."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence((plan.seed, kind, block))))


def star_density() -> Floats:
    """The shipped map: Gaia DR2 sources per deg2 in each NESTED cell of order 6; shape (49152,)."""
    with resources.files("qsky.ingest").joinpath("density.npz").open("rb") as file:
        hundreds: Floats = np.load(file, allow_pickle=False)["hundreds_per_deg2"].astype(np.float64)
    return hundreds * 100


@lru_cache(maxsize=2)
def sky_of(plan: SkyPlan) -> Sky:
    """The sky of a plan, kept for the last plans asked. Raises bad-region if no cell lies in its footprint."""
    cells = np.arange(12 << (2 * PATCH_ORDER), dtype=np.int64)
    ra, dec = centres_of(cells, PATCH_ORDER)
    dust_mag = _dust(ra, dec)
    inside = _footprint(plan, ra, dec)
    stars = _places(cells[inside], _interpolated(star_density(), ra[inside], dec[inside]))
    galaxies = _places(cells[inside], np.power(10.0, -_LOST_PER_REDDENING * dust_mag[inside], dtype=np.float64))
    return Sky(plan, stars, galaxies, _clusters(plan, galaxies), _visits(plan), dust_mag)


def _places(cells: Ints, weights: Floats) -> Places:
    cumulative = np.cumsum(weights)
    return Places(cells, cumulative / cumulative[-1])


def _interpolated(per_cell: Floats, ra_deg: Floats, dec_deg: Floats) -> Floats:
    """A map read between the centres of its cells (bilinear); shapes (n,)."""
    order = (len(per_cell) // 12).bit_length() // 2
    cells, weights = np.empty((len(ra_deg), 4), dtype=np.uint64), np.empty((len(ra_deg), 4))
    NATIVE.bilinear_interpolation(order, np.radians(ra_deg), np.radians(dec_deg), cells, weights, np.uint16(1))
    values: Floats = np.sum(per_cell[cells.view(np.int64)] * weights, axis=1)
    return values


def unit_vectors(ra_deg: Floats, dec_deg: Floats) -> Floats:
    """Directions as vectors; shapes (n,) each to (n, 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)), axis=-1)


def _dust(ra_deg: Floats, dec_deg: Floats) -> Floats32:
    """E(B-V) of a flat layer of dust, 0.02 mag at the galactic poles; shapes (n,)."""
    sin_b = np.abs(unit_vectors(ra_deg, dec_deg) @ np.array(_GALACTIC_POLE))
    thickness = _DUST_AT_POLE_MAG / np.maximum(sin_b, _DUST_AT_POLE_MAG / _DUST_MAX_MAG)
    made: Floats32 = thickness.astype(np.float32)
    return made


def _footprint(plan: SkyPlan, ra_deg: Floats, dec_deg: Floats) -> NDArray[np.bool_]:
    low, high = plan.dec_range_deg
    inside: NDArray[np.bool_] = (dec_deg >= low) & (dec_deg <= high)
    if plan.cone_deg is not None:
        ra, dec, radius = plan.cone_deg
        centre = unit_vectors(np.array([ra]), np.array([dec]))[0]
        inside &= unit_vectors(ra_deg, dec_deg) @ centre >= np.cos(np.radians(min(radius, 180.0)))
        if -90 <= dec <= 90:
            # A cone smaller than a cell still has the cell it lies in.
            inside[cells_of(np.array([ra % 360.0]), np.array([dec]), PATCH_ORDER)] |= low <= dec <= high
    if not inside.any():
        raise QskyError("bad-region", "The limits leave nothing of the synthetic sky.")
    return inside


def _clusters(plan: SkyPlan, galaxies: Places) -> Clusters:
    random = stream(plan, STREAM_CLUSTERS)
    count = min(max(plan.objects // _CLUSTER_OBJECTS, _CLUSTERS_MIN), _CLUSTERS_MAX)
    _, ra, dec = galaxies.draw(random, count)
    return Clusters(ra, dec, random.uniform(30.0, 150.0, count).astype(np.float32))


def _visits(plan: SkyPlan) -> Visits:
    """Each field is visited when it is up at night: within 100 days of its opposition to the Sun."""
    random = stream(plan, STREAM_VISITS)
    fields = 12 << (2 * FIELD_ORDER)
    count = fields * plan.visits_per_field
    field = np.repeat(np.arange(fields, dtype=np.int64), plan.visits_per_field)
    ra, _ = centres_of(field, FIELD_ORDER)
    # The Sun stands at ra 0 on 20 March, 121 days after the survey starts.
    opposition_day = (121 + (ra - 180.0) / 360.0 * 365.25) % 365.25
    day = np.floor(opposition_day + random.uniform(-100, 100, count)) % 365.25
    mjd = SURVEY_START_MJD + np.floor(day + 365.25 * random.integers(0, SURVEY_YEARS, count))
    mjd += random.uniform(0.0, 0.4, count)
    by_time = np.argsort(mjd, kind="stable")
    of_field = np.empty(count, dtype=np.int32)
    of_field[by_time] = np.arange(count, dtype=np.int32)
    band = random.choice(len(BANDS), count, p=VISIT_SHARE).astype(np.int8)
    seeing = random.lognormal(np.log(0.85), 0.18, count).astype(np.float32)
    depth_njy = 10.0 ** ((ZERO_POINT_MAG - np.array(VISIT_DEPTH_MAG, dtype=np.float32)) / 2.5) / 5
    return Visits(
        mjd[by_time],
        band,
        field[by_time],
        seeing,
        depth_njy.astype(np.float32)[band] * seeing / np.float32(0.85),
        of_field.reshape(fields, plan.visits_per_field),
    )


def _next_prime(at_least: int) -> int:
    number = at_least | 1
    while any(number % factor == 0 for factor in range(3, int(number**0.5) + 1, 2)):
        number += 2
    return number
