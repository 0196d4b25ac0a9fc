"""The columns of the synthetic tables: names after Rubin's DP1 Object, Source and Visit, units, UCDs, descriptions.

Read by `ingest.synth` and `ingest.synth_rows`, and given to a load so that `describe` shows them. Values only.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from qsky.catalog.model import Column
from qsky.catalog.types import arrow_type
from qsky.ingest.synth_sky import BANDS


def _fluxes(band: str) -> tuple[Column, Column]:
    error = f"Standard error of {band}_psfFlux"
    ucd = {"u": "em.opt.U", "g": "em.opt.B", "r": "em.opt.R"}.get(band, "em.opt.I" if band != "y" else "em.IR.NIR")
    return (
        Column(f"{band}_psfFlux", "FLOAT", "nJy", f"phot.flux.density;{ucd}", f"Point-source flux in {band}; AB"),
        Column(f"{band}_psfFluxErr", "FLOAT", "nJy", f"stat.error;phot.flux.density;{ucd}", error),
    )


OBJECT_COLUMNS: Final[tuple[Column, ...]] = (
    Column("objectId", "BIGINT", "", "meta.id;meta.main", "Identifier of the object"),
    Column("parentObjectId", "BIGINT", "", "meta.id.parent", "Neighbour it was deblended from; NULL if isolated"),
    Column("tract", "INTEGER", "", "", "Tract: HEALPix cell of order 5, NESTED"),
    Column("patch", "SMALLINT", "", "", "Patch: HEALPix cell of order 8 within the tract"),
    Column("coord_ra", "DOUBLE", "deg", "pos.eq.ra;meta.main", "Right ascension, ICRS"),
    Column("coord_dec", "DOUBLE", "deg", "pos.eq.dec;meta.main", "Declination, ICRS"),
    Column("coord_raErr", "FLOAT", "deg", "stat.error;pos.eq.ra", "Standard error of coord_ra * cos(coord_dec)"),
    Column("coord_decErr", "FLOAT", "deg", "stat.error;pos.eq.dec", "Standard error of coord_dec"),
    Column("refBand", "VARCHAR", "", "meta.id;instr.filter", "Band in which position and shape were measured"),
    Column("refExtendedness", "FLOAT", "", "src.class.starGalaxy", "0 for a point source, 1 for an extended one"),
    *(column for band in BANDS for column in _fluxes(band)),
    Column("i_cModelFlux", "FLOAT", "nJy", "phot.flux.density;em.opt.I", "Flux of the composite galaxy model in i"),
    Column(
        "i_cModelFluxErr", "FLOAT", "nJy", "stat.error;phot.flux.density;em.opt.I", "Standard error of i_cModelFlux"
    ),
    Column("shape_xx", "FLOAT", "arcsec**2", "", "Adaptive second moment, east-east"),
    Column("shape_yy", "FLOAT", "arcsec**2", "", "Adaptive second moment, north-north"),
    Column("shape_xy", "FLOAT", "arcsec**2", "", "Adaptive second moment, east-north"),
    Column("blendedness", "FLOAT", "", "", "Share of the flux in the footprint that neighbours add"),
    Column("detect_isPrimary", "BOOLEAN", "", "meta.code", "True for the one best row of each piece of sky"),
    Column("deblend_nChild", "SMALLINT", "", "meta.number", "Objects deblended from this one"),
    Column("ebv", "FLOAT", "mag", "phot.color.excess", "E(B-V) of the whole line of sight"),
    Column("variable_class", "VARCHAR", "", "src.class", "True class of a variable object; NULL if constant"),
    Column("variable_period", "DOUBLE", "d", "time.period", "True period or time scale of a variable object"),
)

SOURCE_COLUMNS: Final[tuple[Column, ...]] = (
    Column("sourceId", "BIGINT", "", "meta.id;meta.main", "Identifier of the detection"),
    Column("objectId", "BIGINT", "", "meta.id.parent", "The object it was made of"),
    Column("visit", "BIGINT", "", "meta.id;obs", "The visit; see table visit"),
    Column("detector", "SMALLINT", "", "meta.id;instr.det", "Detector of the camera, 0 to 188"),
    Column("midpointMjdTai", "DOUBLE", "d", "time.epoch", "Middle of the exposure, MJD, TAI"),
    Column("band", "VARCHAR", "", "meta.id;instr.filter", "Filter: u, g, r, i, z or y"),
    Column("ra", "DOUBLE", "deg", "pos.eq.ra", "Right ascension of the detection, ICRS"),
    Column("dec", "DOUBLE", "deg", "pos.eq.dec", "Declination of the detection, ICRS"),
    Column("psfFlux", "FLOAT", "nJy", "phot.flux.density", "Point-source flux; NULL if the fit failed"),
    Column("psfFluxErr", "FLOAT", "nJy", "stat.error;phot.flux.density", "Standard error of psfFlux"),
    Column("psfFlux_flag", "BOOLEAN", "", "meta.code.error", "The fit of the point source failed"),
    Column("pixelFlags_saturated", "BOOLEAN", "", "meta.code.qual", "Saturated pixels in the footprint"),
    Column("pixelFlags_edge", "BOOLEAN", "", "meta.code.qual", "Close to the edge of the detector"),
)

VISIT_COLUMNS: Final[tuple[Column, ...]] = (
    Column("visit", "BIGINT", "", "meta.id;obs;meta.main", "Identifier of the visit, in the order of time"),
    Column("band", "VARCHAR", "", "meta.id;instr.filter", "Filter: u, g, r, i, z or y"),
    Column("ra", "DOUBLE", "deg", "pos.eq.ra", "Right ascension of the field's centre, ICRS"),
    Column("dec", "DOUBLE", "deg", "pos.eq.dec", "Declination of the field's centre, ICRS"),
    Column("midpointMjdTai", "DOUBLE", "d", "time.epoch", "Middle of the exposure, MJD, TAI"),
    Column("expTime", "FLOAT", "s", "time.duration;obs.exposure", "Exposure time"),
    Column("seeing", "FLOAT", "arcsec", "instr.obsty.seeing", "Width (FWHM) of point sources"),
    Column("skyNoise", "FLOAT", "nJy", "stat.error;instr.skyLevel", "Error of the flux of a very faint source"),
)

FILTER_COLUMNS: Final[tuple[Column, ...]] = (
    Column("band", "VARCHAR", "", "meta.id;instr.filter;meta.main", "Filter: u, g, r, i, z or y"),
    Column("wavelength", "FLOAT", "nm", "em.wl.effective", "Effective wavelength"),
    Column("depth", "FLOAT", "mag", "phot.mag;stat.max", "AB magnitude of a source of 5 sigma in one visit"),
)


def schema_of(columns: tuple[Column, ...]) -> pa.Schema:
    """The Arrow schema of the columns, text as dictionaries; unit, UCD, description go with each field as metadata."""
    words = pa.dictionary(pa.int8(), pa.string())
    return pa.schema(
        pa.field(
            column.name,
            words if column.type == "VARCHAR" else arrow_type(column.type),
            metadata={"unit": column.unit, "ucd": column.ucd, "description": column.description},
        )
        for column in columns
    )
