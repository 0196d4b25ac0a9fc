"""The rows of one block of a synthetic sky: its objects as measured, and their detections in visits.

Called by `ingest.synth`, in several threads at once. Detections are made from the truth of their block, not from the
object rows, so that each can be made without the other. Reads and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qsky.ingest.synth_columns import OBJECT_COLUMNS, SOURCE_COLUMNS, schema_of
from qsky.ingest.synth_sky import (
    BANDS,
    FIELD_ORDER,
    PATCH_ORDER,
    STREAM_MEASURED,
    STREAM_SOURCES,
    TRACT_ORDER,
    VISIT_DEPTH_MAG,
    ZERO_POINT_MAG,
    Floats32,
    Sky,
    stream,
)
from qsky.ingest.synth_truth import BLOCK_OBJECTS, CLASSES, PER_MAG, Bools, Truth, dimming_mag, moved, truth_of
from qsky.sky.healpix import Ints

# Sources made at a time: a block of objects with a thousand sources each must not be held whole.
_STEP_SOURCES: Final = 262_144
_VISIT_BITS: Final = 40  # bits of a source's id below the visit: the number of its object
_DETECTORS: Final = 189
_SCATTER_ARCSEC: Final = np.float32(0.07)  # per axis, 0.1 on the sky
# Noise of a flux: of the sky, of photons (nJy**2 per nJy; 0.5% at 20 mag in one visit), and 0.3% of calibration.
_PHOTON_NJY: Final = np.float32(0.9)
_CALIBRATION: Final = np.float32(0.003)
_I: Final = BANDS.index("i")
_COADDED: Final = 12  # visits per band behind an object's fluxes
_PSF_MOMENT_ARCSEC2: Final = np.float32(0.11)  # seeing of 0.78 arcsec
_SATURATED_NJY: Final = 4.0e6
# Shares of values that were not measured.
_NO_U: Final = 0.04
_NO_Y: Final = 0.02
_NO_SHAPE: Final = 0.01
_NO_SOURCE_FLUX: Final = 0.004


def object_rows(sky: Sky, block: int) -> pa.RecordBatch:
    """The objects of one block as measured on the sum of all visits."""
    truth = truth_of(sky, block)
    random = stream(sky.plan, STREAM_MEASURED, block)
    count = len(truth.ids)
    values = {**_identity(truth), **_positions(truth, random), **_photometry(truth, random), **_shapes(truth, random)}
    values["detect_isPrimary"] = random.random(count, dtype=np.float32) >= 0.03
    values["ebv"] = sky.dust_mag[truth.cells]
    constant = truth.classes < 0
    values["variable_class"] = _words(truth.classes, [c.name for c in CLASSES], constant)
    values["variable_period"] = pa.array(truth.period_days, mask=constant)
    columns = [values[column.name] for column in OBJECT_COLUMNS]
    return pa.RecordBatch.from_arrays([pa.array(c) for c in columns], schema=schema_of(OBJECT_COLUMNS))


def source_rows(sky: Sky, block: int) -> Iterator[pa.RecordBatch]:
    """The detections of the objects of one block, about `_STEP_SOURCES` rows at a time."""
    if not sky.plan.sources_per_object:
        return
    truth = truth_of(sky, block)
    random = stream(sky.plan, STREAM_SOURCES, block)
    step = max(1, min(BLOCK_OBJECTS, int(_STEP_SOURCES / sky.plan.sources_per_object)))
    for start in range(0, len(truth.ids), step):
        yield _detections(sky, truth, random, np.arange(start, min(start + step, len(truth.ids))))


def _detections(sky: Sky, truth: Truth, random: np.random.Generator, objects: Ints) -> pa.RecordBatch:
    rows, visit = _epochs(sky, truth, random, objects)
    count = len(rows)
    band, mjd = sky.visits.band[visit], sky.visits.mjd[visit]
    true_flux = truth.flux_njy.reshape(-1)[rows * len(BANDS) + band]
    varying = np.flatnonzero(truth.classes[rows] >= 0)
    true_flux[varying] *= np.exp(-PER_MAG * dimming_mag(truth, rows[varying], band[varying], mjd[varying]))
    flux, error = _measured(random, true_flux, sky.visits.sky_noise_njy[visit])
    scatter = random.standard_normal((2, count), dtype=np.float32) * _SCATTER_ARCSEC
    ra, dec = moved(truth.ra[rows], truth.dec[rows], scatter[0], scatter[1])
    luck = random.random(count, dtype=np.float32)
    failed = luck < _NO_SOURCE_FLUX
    values = {
        "sourceId": ((visit.astype(np.int64) + 1) << _VISIT_BITS) | (truth.ids[rows] & ((1 << _VISIT_BITS) - 1)),
        "objectId": truth.ids[rows],
        "visit": visit.astype(np.int64) + 1,
        "detector": random.integers(0, _DETECTORS, count, dtype=np.int16),
        "midpointMjdTai": mjd,
        "band": _words(band, list(BANDS)),
        "ra": ra,
        "dec": dec,
        "psfFlux": pa.array(flux, mask=failed),
        "psfFluxErr": pa.array(error, mask=failed),
        "psfFlux_flag": failed,
        "pixelFlags_saturated": true_flux > _SATURATED_NJY,
        "pixelFlags_edge": luck > 0.99,
    }
    columns = [pa.array(values[column.name]) for column in SOURCE_COLUMNS]
    return pa.RecordBatch.from_arrays(columns, schema=schema_of(SOURCE_COLUMNS))


def _epochs(sky: Sky, truth: Truth, random: np.random.Generator, objects: Ints) -> tuple[Ints, NDArray[np.int32]]:
    """(row of the object, visit) of each detection: a random start and stride through the visits of the field.

    The number of visits is a prime, so no stride meets a visit twice, and (visit, object) is a key.
    """
    plan, visits = sky.plan, sky.plan.visits_per_field
    many = np.minimum(1 + random.poisson(plan.sources_per_object - 1, len(objects)), visits)
    start, stride = random.integers(0, visits, len(objects)), random.integers(1, visits, len(objects))
    nth = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    at = (np.repeat(start, many) + nth * np.repeat(stride, many)) % visits
    rows = np.repeat(objects, many)
    field = truth.cells[rows] >> 2 * (PATCH_ORDER - FIELD_ORDER)
    return rows, sky.visits.of_field.reshape(-1)[field * visits + at]


def _measured(
    random: np.random.Generator, flux_njy: Floats32, sky_noise_njy: Floats32 | np.float32
) -> tuple[Floats32, Floats32]:
    """(flux, error) in nJy of sources of true flux before a sky of that noise."""
    error = np.sqrt(sky_noise_njy**2 + _PHOTON_NJY * flux_njy + (_CALIBRATION * flux_njy) ** 2)
    return flux_njy + error * random.standard_normal(len(flux_njy), dtype=np.float32), error


def _identity(truth: Truth) -> dict[str, Any]:
    alone = truth.parent < 0
    inside = 2 * (PATCH_ORDER - TRACT_ORDER)
    children = np.bincount(truth.parent[~alone], minlength=len(truth.ids)).astype(np.int16)
    return {
        "objectId": truth.ids,
        "parentObjectId": pa.array(truth.ids[truth.parent], mask=alone),
        "tract": (truth.cells >> inside).astype(np.int32),
        "patch": (truth.cells & ((1 << inside) - 1)).astype(np.int16),
        "deblend_nChild": children,
    }


def _positions(truth: Truth, random: np.random.Generator) -> dict[str, Any]:
    error_deg = _SCATTER_ARCSEC / np.float32(3600 * _COADDED**0.5)
    spread = random.random((2, len(truth.ids)), dtype=np.float32) * np.float32(0.4) + np.float32(0.8)
    return {
        "coord_ra": truth.ra,
        "coord_dec": truth.dec,
        "coord_raErr": error_deg * spread[0],
        "coord_decErr": error_deg * spread[1],
    }


def _photometry(truth: Truth, random: np.random.Generator) -> dict[str, Any]:
    values: dict[str, Any] = {}
    count = len(truth.ids)
    uncovered: dict[str, Bools] = {
        "u": random.random(count, dtype=np.float32) < _NO_U,
        "y": random.random(count, dtype=np.float32) < _NO_Y,
    }
    for number, band in enumerate(BANDS):
        flux, error = _measured(random, np.ascontiguousarray(truth.flux_njy[:, number]), _coadd_noise_njy(number))
        values[f"{band}_psfFlux"] = pa.array(flux, mask=uncovered.get(band))
        values[f"{band}_psfFluxErr"] = pa.array(error, mask=uncovered.get(band))
    # The point-source flux of a galaxy misses its outskirts; of a star both agree within the noise.
    missed = np.where(truth.extended, np.float32(1.1) + random.random(count, dtype=np.float32), np.float32(1.0))
    model, error = _measured(random, truth.flux_njy[:, _I] * missed, _coadd_noise_njy(_I))
    values["i_cModelFlux"], values["i_cModelFluxErr"] = model, error
    return values


def _coadd_noise_njy(band: int) -> np.float32:
    """The noise of the sky in the sum of all visits in a band."""
    return np.float32(10 ** ((ZERO_POINT_MAG - VISIT_DEPTH_MAG[band]) / 2.5) / 5 / _COADDED**0.5)


def _shapes(truth: Truth, random: np.random.Generator) -> dict[str, Any]:
    """Moments of a round point source, widened by an elliptical galaxy."""
    count = len(truth.ids)
    numbers = random.random((4, count), dtype=np.float32)
    size = np.where(truth.extended, np.exp(numbers[0] * np.float32(3.0) - np.float32(3.5)), np.float32(0.0))
    flattening, angle = numbers[1] * np.float32(0.6), numbers[2] * np.float32(2 * np.pi)
    noise = random.standard_normal((3, count), dtype=np.float32) * np.float32(0.002)
    unmeasured = numbers[3] < _NO_SHAPE
    # The faintest sources are sometimes taken for the other kind.
    confused = (truth.flux_njy[:, _I] < 1500) & (numbers[3] > 0.96)
    blend = np.where(truth.parent >= 0, numbers[0] * np.float32(0.5), numbers[0] * np.float32(0.02))
    return {
        "shape_xx": pa.array(_PSF_MOMENT_ARCSEC2 + size * (1 + flattening * np.cos(angle)) + noise[0], mask=unmeasured),
        "shape_yy": pa.array(_PSF_MOMENT_ARCSEC2 + size * (1 - flattening * np.cos(angle)) + noise[1], mask=unmeasured),
        "shape_xy": pa.array(size * flattening * np.sin(angle) + noise[2], mask=unmeasured),
        "refExtendedness": pa.array((truth.extended ^ confused).astype(np.float32), mask=unmeasured),
        "refBand": _words(np.full(count, _I, dtype=np.int8), list(BANDS)),
        "blendedness": pa.array(blend, mask=unmeasured),
    }


def _words(numbers: NDArray[np.int8], words: list[str], absent: Bools | None = None) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(numbers, mask=absent), pa.array(words))
