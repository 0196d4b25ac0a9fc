"""Answers to the queries that use Qserv's functions, worked out with NumPy and astropy from the whole tables.

Written by hand from what each query asks; MariaDB only hands over the columns. A comparison with NULL holds for no row,
and so does one with NaN, which NULL becomes here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.coordinates import SkyCoord, angular_separation

from tests.case01.cases import DATABASE
from tests.case01.compare import Row, columns
from tests.mariadb import MariaDB

Array = npt.NDArray[Any]
Columns = Mapping[str, Array]
Reference = Callable[[MariaDB], list[Row]]

_BANDS: Final = "ugrizy"
_FLUX: Final = u.erg / u.s / u.cm**2 / u.Hz


def columns_of(server: MariaDB, table: str, *names: str) -> Columns:
    """Whole columns: 64-bit integers, or 64-bit floats with NaN for NULL, or texts."""
    answer = server.query(f"SELECT {', '.join(names)} FROM {table}", database=DATABASE)
    return {name: np.array(values, _dtype(values)) for name, values in zip(names, columns(answer), strict=True)}


def _dtype(values: Sequence[Any]) -> Any:
    if any(isinstance(value, str) for value in values):
        return object
    return np.int64 if all(isinstance(value, int) for value in values) else np.float64


def ab_magnitude(flux: Array) -> Array:
    """AB magnitudes of fluxes in erg/s/cm2/Hz; NaN where a flux has no logarithm."""
    magnitudes: Array = (np.where(flux > 0, flux, np.nan) * _FLUX).to_value(u.ABmag)
    return magnitudes


def separation_deg(ra1: Array, dec1: Array, ra2: Array, dec2: Array) -> Array:
    """Angles in degrees of positions in degrees, by astropy's formula of Vincenty."""
    apart: Array = np.degrees(angular_separation(*(np.radians(one) for one in (ra1, dec1, ra2, dec2))))
    return apart


def _values(*columns: Array) -> list[Row]:
    """Rows of columns, NULL for NaN."""
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [tuple(None if value != value else value for value in row) for row in rows]


def _objects(server: MariaDB) -> dict[str, Array]:
    """Positions, keys, fluxes and magnitudes `u`..`y` of all objects."""
    fluxes = [f"{band}Flux_PS" for band in _BANDS]
    found = dict(columns_of(server, "Object", "objectId", "ra_PS", "decl_PS", "rFlux_PS_Sigma", *fluxes))
    return found | {band: ab_magnitude(found[flux]) for band, flux in zip(_BANDS, fluxes, strict=True)}


def _inside(o: Columns, ra_min: float, dec_min: float, ra_max: float, dec_max: float) -> Array:
    ra, dec = o["ra_PS"], o["decl_PS"]
    return (ra >= ra_min) & (ra <= ra_max) & (dec >= dec_min) & (dec <= dec_max)


def _between(values: Array, low: float, high: float) -> Array:
    return (values >= low) & (values <= high)


def _pairs(o: Columns, radius_deg: float) -> tuple[Array, Array, Array]:
    """(i, j, separation) of all pairs of objects closer than a radius, each object with itself too."""
    i, j = (grid.ravel() for grid in np.indices((len(o["ra_PS"]),) * 2))
    apart = separation_deg(o["ra_PS"][i], o["decl_PS"][i], o["ra_PS"][j], o["decl_PS"][j])
    close = apart < radius_deg
    return i[close], j[close], apart[close]


# -- the queries


def near_a_galaxy(server: MariaDB) -> list[Row]:
    o = _objects(server)
    v, centre, _ = _pairs(o, 0.016666)
    key = o["objectId"]
    keep = (key[centre] == 90030275138483) & (key[v] != key[centre]) & (o["rFlux_PS_Sigma"][v] > 1e-32)
    return _values(*(o[name][v[keep]] for name in ("objectId", "ra_PS", "decl_PS")))


def cone_of_colours(server: MariaDB) -> list[Row]:
    o = _objects(server)
    keep = _inside(o, 0.1, -6, 4, 6) & _between(o["z"], 20, 24)
    return [(int(np.sum(keep & _between(o["g"] - o["r"], 0.1, 0.9) & _between(o["i"] - o["z"], 0.1, 1.0))),)]


def cone_without_colours(server: MariaDB) -> list[Row]:
    o = _objects(server)
    keep = _inside(o, 0, -6, 4, -5) & _between(o["z"], 20, 24)
    return [(int(np.sum(keep & _between(o["g"] - o["r"], 0.1, 0.2) & _between(o["i"] - o["z"], 0.1, 0.2))),)]


def time_series(server: MariaDB) -> list[Row]:
    o = _objects(server)
    s = columns_of(server, "Source", "objectId", "filterId", "taiMidPoint", "psfFlux")
    f = columns_of(server, "Filter", "filterId", "filterName")
    green = f["filterId"][f["filterName"] == "g"]
    keep = np.isin(s["objectId"], o["objectId"][_inside(o, 355, 0, 360, 20)]) & np.isin(s["filterId"], green)
    order = np.lexsort((s["taiMidPoint"][keep], s["objectId"][keep]))
    found = (s["objectId"].astype(np.int64), s["taiMidPoint"], ab_magnitude(s["psfFlux"]))
    return _values(*(column[keep][order] for column in found))


def near_neighbours(server: MariaDB) -> list[Row]:
    o = _objects(server)
    i, j, apart = _pairs(o, 0.016)
    keep = _inside(o, 0, 0, 0.2, 1)[i] & _inside(o, 0, 0, 0.2, 1)[j] & (i != j)
    return _values(o["objectId"][i[keep]], o["objectId"][j[keep]], apart[keep])


def full_scan(server: MariaDB) -> list[Row]:
    o = _objects(server)
    g_r, r_i, i_z = o["g"] - o["r"], o["r"] - o["i"], o["i"] - o["z"]
    keep = ((g_r > 0.7) | (o["g"] > 22.3)) & (g_r > 0.1) & (i_z < 0.8)
    keep &= (r_i < 0.08 + 0.42 * (g_r - 0.96)) | (g_r > 1.26)
    order = np.argsort(o["objectId"][keep])
    return _values(*(o[name][keep][order] for name in ("objectId", *_BANDS, "ra_PS", "decl_PS")))


def similar_colours(server: MariaDB) -> list[Row]:
    o = _objects(server)
    i, j, _ = _pairs(o, 1)
    keep = i != j
    for one, other in ("gr", "ri", "iz"):
        colour = o[one] - o[other]
        keep &= np.abs(colour[i] - colour[j]) < 1
    return _values(o["objectId"][i[keep]], o["objectId"][j[keep]])


def by_colour(server: MariaDB) -> list[Row]:
    """(key, g - r) in the order of g - r, NULLs first, although the query shows the key alone."""
    o = _objects(server)
    keep = _between(o["z"], 20, 24)
    colour = (o["g"] - o["r"])[keep]
    order = np.argsort(np.where(np.isnan(colour), -np.inf, colour), kind="stable")
    return _values(o["objectId"][keep][order], colour[order])


def pairs_in_area(server: MariaDB) -> list[Row]:
    """A restrictor is about both objects."""
    o = _objects(server)
    i, j, _ = _pairs(o, 5)
    inside = _inside(o, 0.04, -3, 5, 3)
    return _values(*(o["objectId"][each[inside[i] & inside[j]]] for each in (i, j)))


def pairs_of_area(server: MariaDB) -> list[Row]:
    """Plain comparisons are about the first object only."""
    o = _objects(server)
    i, j, _ = _pairs(o, 5)
    return _values(*(o["objectId"][each[_inside(o, 0.04, -3, 5, 3)[i]]] for each in (i, j)))


OF_ACTIVE: Final[Mapping[str, Reference]] = {
    "0006_transientVarObjNearGalaxy": near_a_galaxy,
    "1002_coneMagColor": cone_of_colours,
    "1002_coneMagColor_noalias": cone_of_colours,
    "1003_coneMagColorEmptyRes": cone_without_colours,
    "1030_timeSeries": time_series,
    "1051_nn": near_neighbours,
    "2001_fullObjectScan": full_scan,
}


def count_in_polygon(server: MariaDB) -> list[Row]:
    o = _objects(server)
    return [(int(np.sum(inside_polygon(o["ra_PS"], o["decl_PS"], (359.5, -5, 0.05, -5, 0.05, 3.5, 359.5, 3.5)))),)]


def inside_polygon(ra: Array, dec: Array, vertices: Sequence[float]) -> Array:
    """Whether positions lie on one side of all edges, which are great circles, of a convex polygon; all in degrees."""
    corners = SkyCoord(vertices[::2] * u.deg, vertices[1::2] * u.deg).cartesian.xyz.value.T
    points = SkyCoord(ra * u.deg, dec * u.deg).cartesian.xyz.value.T
    sides = points @ np.cross(corners, np.roll(corners, -1, axis=0)).T
    inside: Array = np.all(sides >= 0, axis=1) | np.all(sides <= 0, axis=1)
    return inside
