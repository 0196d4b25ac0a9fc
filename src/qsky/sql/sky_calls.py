"""Functions of the sky, as data for `sql.functions`: scisql's, HEALPix, coordinates, proper motion, the VO's.

scisql's photometry answers NULL where an argument or the result is not finite, an error is negative, or a zero point is
not positive. The arithmetic of positions is in `sky.functions`, as macros and Arrow functions.
"""

from __future__ import annotations

import math
from typing import Final

from qsky.sql.signature import Function, double, finite, when

AB_ZERO: Final = 48.6

_AB_SCALE: Final = repr(10 ** (-0.4 * AB_ZERO))
_ERROR: Final = repr(2.5 / math.log(10))
_INVERSE: Final = repr(0.4 * math.log(10))
_NANOJANSKY: Final = "pow(10e0, -0.4e0 * ({0} - 31.4e0))"
_AB_FLUX: Final = "pow(10e0, -0.4e0 * ({0} + 48.6e0))"
# fluxMag0 and its error, as arguments 2 and 3, with an error in argument 1
_ERRORS: Final = "{1} >= 0 AND {2} > 0 AND {3} >= 0"

MAGNITUDES: Final = (
    double("scisql_fluxToAbMag", finite("(-2.5e0 * log10({0}) - 48.6e0)", "{0} > 0")),
    double("scisql_fluxToAbMagSigma", finite(f"({_ERROR}e0 * {{1}} / {{0}})", "{0} > 0 AND {1} >= 0"), "nn"),
    double("scisql_abMagToFlux", finite(_AB_FLUX, "isfinite({0})")),
    double("scisql_abMagToFluxSigma", finite(f"({_INVERSE}e0 * {{1}} * {_AB_FLUX})", "{1} >= 0"), "nn"),
    double("scisql_nanojanskyToAbMag", finite("(-2.5e0 * log10({0}) + 31.4e0)", "{0} > 0")),
    double("scisql_nanojanskyToAbMagSigma", finite(f"({_ERROR}e0 * {{1}} / {{0}})", "{0} > 0 AND {1} >= 0"), "nn"),
    double("scisql_abMagToNanojansky", finite(_NANOJANSKY, "isfinite({0})")),
    double("scisql_abMagToNanojanskySigma", finite(f"({_INVERSE}e0 * {{1}} * {_NANOJANSKY})", "{1} >= 0"), "nn"),
    double("scisql_dnToAbMag", finite("(-2.5e0 * log10({0} / {1}))", "{0} > 0 AND {1} > 0"), "nn"),
    double(
        "scisql_dnToAbMagSigma",
        finite(f"({_ERROR}e0 * sqrt(pow({{1}} / {{0}}, 2) + pow({{3}} / {{2}}, 2)))", f"{{0}} > 0 AND {_ERRORS}"),
        "nnnn",
    ),
    double("scisql_abMagToDn", finite("({1} * pow(10e0, -0.4e0 * {0}))", "isfinite({0}) AND {1} > 0"), "nn"),
    double(
        "scisql_abMagToDnSigma",
        finite(f"(pow(10e0, -0.4e0 * {{0}}) * sqrt(pow({_INVERSE}e0 * {{1}} * {{2}}, 2) + pow({{3}}, 2)))", _ERRORS),
        "nnnn",
    ),
    double("scisql_dnToFlux", finite(f"({_AB_SCALE} * {{0}} / {{1}})", "{1} > 0"), "nn"),
    double(
        "scisql_dnToFluxSigma",
        finite(f"({_AB_SCALE} * sqrt(pow({{1}}, 2) + pow({{0}} * {{3}} / {{2}}, 2)) / {{2}})", _ERRORS),
        "nnnn",
    ),
    double("scisql_fluxToDn", finite(f"({{0}} * {{1}} / {_AB_SCALE})", "{1} > 0"), "nn"),
    double(
        "scisql_fluxToDnSigma",
        finite(f"(sqrt(pow({{1}} * {{2}}, 2) + pow({{0}} * {{3}}, 2)) / {_AB_SCALE})", _ERRORS),
        "nnnn",
    ),
)

_HTM_BITS: Final = "length(bin(CAST({0} AS BIGINT)))"

SKY: Final = (
    double("scisql_angSep", "scisql_angSep({*})", "nnnn"),
    double("qsky_angSepVectors", "qsky_angSepVectors({*})", "nnnnnn"),
    Function("scisql_s2PtInCircle", "nnnnn", "INTEGER", "scisql_s2PtInCircle({*})"),
    Function("scisql_s2PtInBox", "nnnnnn", "INTEGER", "scisql_s2PtInBox({*})"),
    Function("scisql_s2PtInEllipse", "nnnnnnn", "INTEGER", "scisql_s2PtInEllipse({*})"),
    # printed from its vertices, see print.py
    Function("scisql_s2PtInCPoly", "nnnnnnnn*n", "INTEGER", ""),
    Function("qsky_inPolygonBytes", "nnb", "INTEGER", "qsky_inPolygonBytes({*})"),
    Function("qsky_inPolygonList", "nnnnnnnn*n", "INTEGER", "qsky_inPolygonBytes({0}, {1}, qsky_polygonBytes([{rest}]))"),
    Function("scisql_s2CPolyToBin", "nnnnnn*n", "BLOB", "qsky_polygonBytes([{doubles}])"),
    Function("scisql_s2HtmId", "nni", "BIGINT", "qsky_htm({0}, {1}, CAST({2} AS BIGINT))"),
    Function("scisql_s2HtmLevel", "i", "INTEGER", when(
        f"{{0}} >= 8 AND {_HTM_BITS} % 2 = 0 AND {_HTM_BITS} <= 52", f"CAST(({_HTM_BITS} - 4) // 2 AS INTEGER)"
    )),
    Function("scisql_extractInt64", "bi", "BIGINT", "qsky_int64({0}, CAST({1} AS BIGINT))"),
    Function("scisql_getVersion", "", "VARCHAR", "'0.3.9'"),
    Function("scisql_raiseError", "s", "INTEGER", "CAST(error({0}) AS INTEGER)"),
    Function("healpix", "inn", "BIGINT", "healpix(CAST({0} AS BIGINT), {1}, {2})"),
    double("healpix_ra", "healpix_ra(CAST({0} AS BIGINT), CAST({1} AS BIGINT))", "ii"),
    double("healpix_dec", "healpix_dec(CAST({0} AS BIGINT), CAST({1} AS BIGINT))", "ii"),
    Function("qserv_chunk", "nnii", "BIGINT", "qserv_chunk({0}, {1}, CAST({2} AS BIGINT), CAST({3} AS BIGINT))"),
)  # fmt: skip

# From ICRS and back, in degrees: sky.functions has the rotations.
COORDINATE_NAMES: Final = (
    "galactic_l", "galactic_b", "galactic_ra", "galactic_dec",
    "ecliptic_lon", "ecliptic_lat", "ecliptic_ra", "ecliptic_dec",
)  # fmt: skip
_MOVED: Final = "({0}, {1}, {2}, {3}, 0, 0, {5} - {4})"
_MOVED_IN_SPACE: Final = "({0}, {1}, {3}, {4}, coalesce({2}, 0), coalesce({5}, 0), {7} - {6})"

COORDINATES: Final = (
    *(double(name, f"qsky_{name}({{*}})", "nn") for name in COORDINATE_NAMES),
    *(double(f"epoch_{name}", f"qsky_epoch_{name}{_MOVED}", "nnnnnn") for name in ("ra", "dec")),
    *(double(f"epoch_{name}_in_space", f"qsky_epoch_{name}{_MOVED_IN_SPACE}", "nnnnnnnn") for name in ("ra", "dec")),
)

_BELONGS: Final = "list_contains(string_split(lower({0}), '#'), lower({1}))"

VO: Final = (
    Function("ivo_hashlist_has", "ss", "INTEGER", f"CAST({_BELONGS} AS INTEGER)"),
    Function("ivo_nocasematch", "ss", "INTEGER", "CAST(lower({0}) LIKE lower({1}) AS INTEGER)"),
    Function(
        "ivo_hasword",
        "ss",
        "INTEGER",
        "CAST(regexp_matches({0}, '\\b' || regexp_escape({1}) || '\\b', 'i') AS INTEGER)",
    ),
    Function("ivo_interval_overlaps", "nnnn", "INTEGER", "CAST({0} <= {3} AND {2} <= {1} AS INTEGER)"),
    Function("gavo_match", "ss", "INTEGER", "CAST(regexp_matches({1}, {0}) AS INTEGER)"),
    Function("region_area", "a", "DOUBLE", "qsky_regionArea({0})"),
    Function("regions_touch", "aa", "INTEGER", "qsky_regionsTouch({0}, {1})"),
    Function("region_within", "aa", "INTEGER", "qsky_regionWithin({0}, {1})"),
    # a shape as VOTable writes it: the numbers of a point, circle or polygon
    Function("shape", "nn*n", "DOUBLE[]", "[{doubles}]"),
)
