"""What the objects of one block of a synthetic sky truly are: places, companions, brightnesses, variability.

Called by `ingest.synth_rows`, which measures them. A block is `BLOCK_OBJECTS` objects with random numbers of its own,
so that any block can be made alone and in any thread. Brightnesses are float32, as catalogues store them. Reads and
writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qsky.ingest.synth_sky import (
    BANDS,
    INDEX_BITS,
    PATCH_ORDER,
    STREAM_OBJECTS,
    ZERO_POINT_MAG,
    Floats32,
    Sky,
    SkyPlan,
    stream,
)
from qsky.sky.healpix import Floats, Ints, cells_of

BLOCK_OBJECTS: Final = 65_536

Bools = NDArray[np.bool_]

# ln(flux) per magnitude.
PER_MAG: Final = np.float32(0.4 * np.log(10.0))
_COMPANION_SHARE: Final = 0.03
_COMPANION_ARCSEC: Final = (0.3, 8.0)  # even in log(separation)
_BLENDED_ARCSEC: Final = 1.5
_CLUSTERED_SHARE: Final = 0.15  # of the galaxies
_QUASAR_SHARE: Final = 0.01  # of the galaxies
# i magnitudes and the slopes of log10(counts) per magnitude: stars of the disk at high latitude, field galaxies.
_STAR_MAG: Final = (14.5, 24.3, 0.17)
_GALAXY_MAG: Final = (16.0, 24.3, 0.35)
# Extinction per E(B-V) in ugrizy (Schlafly and Finkbeiner 2011, Rv 3.1); stars have a third of the dust before them.
_EXTINCTION: Final = np.array([4.145, 3.237, 2.273, 1.684, 1.323, 1.088], dtype=np.float32)
_STAR_DUST_SHARE: Final = np.float32(0.3)
# Magnitudes in ugrizy less that in i, along g-i: the run of stars from turn-off to M dwarfs, and of galaxies.
_G_I: Final = np.array([-0.5, 0.2, 0.5, 1.0, 2.0, 3.0])
_STAR_COLOURS: Final = np.array(
    [
        [-0.7, 1.1, 1.55, 2.6, 4.5, 5.7],
        [-0.5, 0.2, 0.5, 1.0, 2.0, 3.0],
        [-0.2, 0.04, 0.12, 0.28, 0.68, 1.55],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.15, 0.0, -0.05, -0.12, -0.38, -0.8],
        [0.25, 0.0, -0.07, -0.18, -0.58, -1.2],
    ]
)
_GALAXY_COLOURS: Final = np.array(
    [
        [-0.6, 0.6, 1.3, 2.2, 3.6, 5.0],
        [-0.5, 0.2, 0.5, 1.0, 2.0, 3.0],
        [-0.2, 0.05, 0.18, 0.38, 0.75, 1.1],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.1, -0.05, -0.12, -0.22, -0.38, -0.5],
        [0.15, -0.1, -0.2, -0.35, -0.6, -0.8],
    ]
)


@dataclass(frozen=True)
class VariableClass:
    """A class of variable objects: its share of the stars, period and half-amplitude bounds, and shape.

    `harmonic` is the strength of the first overtone; an eclipsing binary dips twice per period.
    """

    name: str
    star_share: float
    period_days: tuple[float, float]
    amplitude_mag: tuple[float, float]
    harmonic: float = 0.0
    eclipses: bool = False


CLASSES: Final = (
    VariableClass("RRab", 0.004, (0.45, 0.80), (0.25, 0.55), 0.4),
    VariableClass("RRc", 0.0015, (0.25, 0.40), (0.15, 0.25), 0.05),
    VariableClass("EB", 0.008, (0.30, 12.0), (0.10, 0.70), 0.0, True),
    VariableClass("LPV", 0.002, (80.0, 500.0), (0.30, 1.50), 0.15),
    VariableClass("QSO", 0.0, (100.0, 2000.0), (0.05, 0.40), 0.5),
)
_QUASAR: Final = len(CLASSES) - 1
_BAND_AMPLITUDE: Final = np.array([1.15, 1.25, 1.0, 0.8, 0.7, 0.65], dtype=np.float32)


@dataclass(frozen=True)
class Truth:
    """The objects of one block; all shapes (n,) but `flux_njy`, (n, 6) in ugrizy.

    `cells` are of order `PATCH_ORDER`; `parent` is the row of the neighbour it blends with or -1; `classes` numbers
    `CLASSES`, -1 for constant objects, whose period, amplitude and phase mean nothing.
    """

    ids: Ints
    cells: Ints
    ra: Floats
    dec: Floats
    extended: Bools
    parent: Ints
    flux_njy: Floats32
    classes: NDArray[np.int8]
    period_days: Floats
    amplitude_mag: Floats32
    phase: Floats


def objects_in(plan: SkyPlan, block: int) -> int:
    """How many objects a block holds."""
    return min(BLOCK_OBJECTS, plan.objects - block * BLOCK_OBJECTS)


def blocks_of(plan: SkyPlan) -> int:
    """How many blocks a plan has."""
    return -(-plan.objects // BLOCK_OBJECTS)


def truth_of(sky: Sky, block: int) -> Truth:
    """The objects of a block."""
    random = stream(sky.plan, STREAM_OBJECTS, block)
    count = objects_in(sky.plan, block)
    galaxy = random.random(count) < sky.plan.galaxy_fraction
    quasar = galaxy & (random.random(count, dtype=np.float32) < _QUASAR_SHARE)
    cells, ra, dec = _places(sky, random, galaxy)
    parent, brightness_mag = _companions(random, cells, ra, dec, _brightness_mag(random, galaxy))
    classes = _classes(random, galaxy, quasar)
    period, amplitude, phase = _variability(random, classes)
    return Truth(
        ids=((cells + 1) << INDEX_BITS) | np.arange(block * BLOCK_OBJECTS, block * BLOCK_OBJECTS + count),
        cells=cells,
        ra=ra,
        dec=dec,
        extended=galaxy & ~quasar,
        parent=parent,
        flux_njy=_fluxes(random, brightness_mag, galaxy, quasar, sky.dust_mag[cells]),
        classes=classes,
        period_days=period,
        amplitude_mag=amplitude,
        phase=phase,
    )


def moved(ra_deg: Floats, dec_deg: Floats, east_arcsec: Floats32, north_arcsec: Floats32) -> tuple[Floats, Floats]:
    """Positions moved by small angles on the sky, exact also at the poles; shapes (n,), ra in [0, 360)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    east, north = np.radians(east_arcsec / 3600.0), np.radians(north_arcsec / 3600.0)
    sin_dec, cos_dec = np.sin(dec), np.cos(dec)
    # In the frame whose x axis points to the position's meridian: the tangent point, then a step along the tangents.
    outward, up = cos_dec - north * sin_dec, sin_dec + north * cos_dec
    moved_ra = np.degrees(ra + np.arctan2(east, outward)) % 360.0
    moved_ra[moved_ra == 360.0] = 0.0  # what % makes of a tiny negative angle
    return moved_ra, np.degrees(np.arctan2(up, np.hypot(outward, east)))


def dimming_mag(truth: Truth, rows: Ints, band: NDArray[np.int8], mjd: Floats) -> Floats32:
    """How much fainter than on average the variable objects in `rows` are at those times; shapes (n,)."""
    kind = truth.classes[rows]
    cycle = 2 * np.pi * ((mjd / truth.period_days[rows] + truth.phase[rows]) % 1.0)
    harmonic = np.array([c.harmonic for c in CLASSES])[kind]
    eclipses = np.array([c.eclipses for c in CLASSES])[kind]
    shape = np.where(eclipses, np.cos(cycle) ** 16, np.sin(cycle) + harmonic * np.sin(2 * cycle))
    dimming: Floats32 = (shape * truth.amplitude_mag[rows] * _BAND_AMPLITUDE[band]).astype(np.float32)
    return dimming


def _places(sky: Sky, random: np.random.Generator, galaxy: Bools) -> tuple[Ints, Floats, Floats]:
    count, galaxies = len(galaxy), np.flatnonzero(galaxy)
    cells = np.empty(count, dtype=np.int64)
    ra, dec = np.empty((2, count))
    stars = np.flatnonzero(~galaxy)
    cells[stars], ra[stars], dec[stars] = sky.stars.draw(random, len(stars))
    cells[galaxies], ra[galaxies], dec[galaxies] = sky.galaxies.draw(random, len(galaxies))
    members = galaxies[random.random(len(galaxies)) < _CLUSTERED_SHARE]
    cluster = random.integers(0, len(sky.clusters.ra), len(members))
    # A Plummer profile, cut at four core radii.
    within = random.random(len(members), dtype=np.float32) * np.float32(0.94)
    radius_arcsec = sky.clusters.core_arcsec[cluster] * np.sqrt(within / (1 - within))
    east, north = _towards(random, radius_arcsec)
    ra[members], dec[members] = moved(sky.clusters.ra[cluster], sky.clusters.dec[cluster], east, north)
    cells[members] = cells_of(ra[members], dec[members], PATCH_ORDER)
    return cells, ra, dec


def _towards(random: np.random.Generator, distance_arcsec: Floats32) -> tuple[Floats32, Floats32]:
    """(east, north) of steps in random directions."""
    angle = random.random(len(distance_arcsec), dtype=np.float32) * np.float32(2 * np.pi)
    return distance_arcsec * np.sin(angle), distance_arcsec * np.cos(angle)


def _companions(
    random: np.random.Generator, cells: Ints, ra: Floats, dec: Floats, brightness_mag: Floats32
) -> tuple[Ints, Floats32]:
    """Put some objects of the second half of a block beside one of the first half, fainter than it; changes places."""
    count = len(cells)
    half = (count + 1) // 2
    parent = np.full(count, -1, dtype=np.int64)
    companion = half + np.flatnonzero(random.random(count - half) < 2 * _COMPANION_SHARE)
    primary = companion - half
    low, high = np.log(_COMPANION_ARCSEC)
    distance_arcsec = np.exp(random.uniform(low, high, len(companion))).astype(np.float32)
    east, north = _towards(random, distance_arcsec)
    ra[companion], dec[companion] = moved(ra[primary], dec[primary], east, north)
    cells[companion] = cells_of(ra[companion], dec[companion], PATCH_ORDER)
    fainter = brightness_mag[primary] + random.exponential(1.0, len(companion)).astype(np.float32)
    brightness_mag[companion] = np.minimum(fainter, np.float32(_STAR_MAG[1]))
    blended = distance_arcsec < _BLENDED_ARCSEC
    parent[companion[blended]] = primary[blended]
    return parent, brightness_mag


def _brightness_mag(random: np.random.Generator, galaxy: Bools) -> Floats32:
    """i magnitudes whose counts rise as 10**(slope * m) between two limits."""
    bright, faint, slope = (np.where(galaxy, g, s) for g, s in zip(_GALAXY_MAG, _STAR_MAG, strict=True))
    least = 10.0 ** (-slope * (faint - bright))
    share = least + (1 - least) * random.random(len(galaxy))
    magnitudes: Floats32 = (faint + np.log10(share) / slope).astype(np.float32)
    return magnitudes


def _fluxes(random: np.random.Generator, i_mag: Floats32, galaxy: Bools, quasar: Bools, dust_mag: Floats32) -> Floats32:
    """True mean fluxes in ugrizy, nJy; shape (n, 6)."""
    count = len(galaxy)
    red = random.random(count, dtype=np.float32) < 0.45
    middle = np.where(galaxy, np.where(red, 1.9, 0.8), np.where(red, 2.25, 0.75))
    middle[quasar] = 0.15
    width = np.where(galaxy & red, 0.35, np.where(red, 0.45, 0.22))
    g_i = middle + width * random.standard_normal(count, dtype=np.float32)
    dust = dust_mag * np.where(galaxy, np.float32(1.0), _STAR_DUST_SHARE)
    scatter = random.standard_normal((count, len(BANDS)), dtype=np.float32) * np.float32(0.03)
    fluxes = np.empty((count, len(BANDS)), dtype=np.float32)
    for band in range(len(BANDS)):
        colour = np.interp(g_i, _G_I, _STAR_COLOURS[band])
        colour[galaxy] = np.interp(g_i[galaxy], _G_I, _GALAXY_COLOURS[band])
        fluxes[:, band] = i_mag + colour.astype(np.float32) + scatter[:, band] + dust * _EXTINCTION[band]
    made: Floats32 = np.exp((np.float32(ZERO_POINT_MAG) - fluxes) * PER_MAG)
    return made


def _classes(random: np.random.Generator, galaxy: Bools, quasar: Bools) -> NDArray[np.int8]:
    """The variable class of each object, -1 for most."""
    upto = np.cumsum([c.star_share for c in CLASSES])
    drawn = np.searchsorted(upto, random.random(len(galaxy)), side="right")
    classes = np.where((drawn < len(CLASSES)) & ~galaxy, drawn, -1).astype(np.int8)
    classes[quasar] = _QUASAR
    return classes


def _variability(random: np.random.Generator, classes: NDArray[np.int8]) -> tuple[Floats, Floats32, Floats]:
    """(period in days, half-amplitude in mag, phase) of the variable objects, 1, 0, 0 for the others."""
    rows = np.flatnonzero(classes >= 0)
    period, phase = np.ones(len(classes)), np.zeros(len(classes))
    amplitude = np.zeros(len(classes), dtype=np.float32)
    low, high = np.log([c.period_days for c in CLASSES])[classes[rows]].T
    faint, strong = np.array([c.amplitude_mag for c in CLASSES])[classes[rows]].T
    period[rows] = np.exp(random.uniform(low, high))
    amplitude[rows] = random.uniform(faint, strong)
    phase[rows] = random.random(len(rows))
    return period, amplitude, phase
