"""Skies whose rows all stand at a border: chunk corners and edges, poles, the meridian, ragged and disjoint footprints.

Read by `test_near_borders`. Each `Border` says where its rows gather and how deep the chunks are there; `border_sky`
makes the tables of it, `pairs_within` is the global answer from a k-d tree over all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from cdshealpix import nested
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from qsky.catalog.model import Attached
from qsky.catalog.snapshot import Tiling
from qsky.sky.healpix import Floats, cells_of

from .made_sky import MadeSky, unit

OVERLAP_ARCSEC = 20.0
OVERLAP_DEG = OVERLAP_ARCSEC / 3600
RADII_DEG = (0.0, 1e-9, 1 / 3600, OVERLAP_DEG, 1.5 * OVERLAP_DEG, 0.5, 20.0)
Spots = list[tuple[float, float]]


@dataclass(frozen=True)
class Border:
    """`spots` are positions in degrees around which rows stand; chunks there are of `order`, in the other sky of `other`.

    `keeps` says which rows of the two directors exist.
    """

    spots: Spots
    order: int = 3
    other: int = 2
    keeps: Callable[[Floats, Floats, int], np.ndarray] = lambda ra, dec, table: np.ones(len(ra), dtype=bool)


def corner(order: int, npix: int, which: int = 0) -> tuple[float, float]:
    """A corner of a HEALPix cell: 0 south, 1 east, 2 north, 3 west."""
    lon, lat = nested.vertices(np.array([npix], np.uint64), order)
    return float(lon.deg[0][which]) % 360, float(lat.deg[0][which])


def edge(order: int, npix: int) -> tuple[float, float]:
    """The middle of a cell's south-east edge, which two chunks share."""
    lon, lat = nested.vertices(np.array([npix], np.uint64), order, step=2)
    return float(lon.deg[0][1]) % 360, float(lat.deg[0][1])


def _alternate(ra: Floats, dec: Floats, table: int) -> np.ndarray:
    """Every second chunk-sized cell is empty, the same in both."""
    return np.asarray(cells_of(ra, dec, 5) % 2 == 0)


def _apart(ra: Floats, dec: Floats, table: int) -> np.ndarray:
    """The first director has the even cells, the second the odd ones: they only touch."""
    return np.asarray(cells_of(ra, dec, 5) % 2 == table)


BORDERS: dict[str, Border] = {
    **{f"corner of order {at}": Border([corner(at, 5 * 4**at + 3)], at, max(at - 1, 0)) for at in (0, 1, 3, 6, 9)},
    **{f"edge of order {order}": Border([edge(order, 2 * 4**order + 1)], order, order + 1) for order in (0, 2, 5, 8)},
    "corner of a deep chunk among shallow ones": Border([corner(7, 9 * 4**7 + 2, 2)], 7, 0),
    "three base cells meet": Border([(0.0, 41.810314895778596)], 4, 2),
    "eight chunks, two skies of unlike depth": Border([(45.0, 0.0), (0.0, 0.0)], 6, 1),
    "north pole": Border([(0.0, 90.0)], 4, 2),
    "south pole": Border([(123.0, -90.0)], 4, 0),
    "ra 0 on the equator": Border([(0.0, 0.0), (360.0, 0.3)], 5, 3),
    "ra 0 near the pole": Border([(359.9999, 89.99), (0.0001, -89.99)], 5, 3),
    "ragged footprint": Border([corner(5, 800)], 5, 5, _alternate),
    "disjoint footprints": Border([corner(5, 800), corner(5, 4000)], 5, 5, _apart),
    "one chunk is the sky's twelfth": Border([(10.0, 20.0)], 0, 0),
}  # fmt: skip


def tiling_around(spots: Spots, order: int) -> Tiling:
    """Chunks of `order` at the spots, as large as can be elsewhere."""
    deep = np.array([unit(np.array([ra]), np.array([dec]))[0] for ra, dec in spots])
    jitter = 1e-7 * np.array([[0.0, 0, 0], [1, 1, 1], [-1, -1, 1], [1, -1, -1], [-1, 1, -1]])
    near = (deep[:, None] + jitter).reshape(-1, 3)
    near /= np.linalg.norm(near, axis=1)[:, None]
    ra = np.degrees(np.arctan2(near[:, 1], near[:, 0])) % 360
    cells = cells_of(ra, np.degrees(np.arcsin(near[:, 2])))
    todo, leaves = [(0, npix) for npix in range(12)], []
    while todo:
        depth, npix = todo.pop()
        if depth < order and (cells >> (2 * (29 - depth)) == npix).any():
            todo += [(depth + 1, 4 * npix + k) for k in range(4)]
        else:
            leaves.append((depth, npix))
    leaves.sort(key=lambda leaf: leaf[1] << (2 * (29 - leaf[0])))
    return Tiling(np.array([o for o, _ in leaves], np.uint8), np.array([p for _, p in leaves], np.int64))


def around(rng: np.random.Generator, spots: Spots, count: int) -> tuple[Floats, Floats]:
    """Positions at distances of every size around the spots, the spots themselves, and several rows at one place."""
    which = rng.integers(0, len(spots), count)
    ra0, dec0 = np.radians([spots[i][0] for i in which]), np.radians([spots[i][1] for i in which])
    reach = np.radians(10 ** rng.uniform(-8, 0.8, count)) * (rng.random(count) > 0.1)
    angle = rng.choice(np.arange(8) * np.pi / 4, count) + rng.normal(0, 1e-3, count)
    dec = np.arcsin(np.clip(np.sin(dec0) * np.cos(reach) + np.cos(dec0) * np.sin(reach) * np.cos(angle), -1, 1))
    east = np.sin(angle) * np.sin(reach) * np.cos(dec0)
    ra = ra0 + np.arctan2(east, np.cos(reach) - np.sin(dec0) * np.sin(dec))
    ra, dec = np.degrees(ra) % 360, np.degrees(dec)
    ra[reach == 0], dec[reach == 0] = np.degrees(ra0[reach == 0]), np.degrees(dec0[reach == 0])
    return ra, dec


def border_sky(folder: Path, border: Border, seed: int = 0, count: int = 90) -> MadeSky:
    """sky.a and sky.b share a tiling (b has some of a's positions and keys), sky.kid is a child of a, far.c lies in
    another tiling, bare.d is an attached catalogue without margin, sky.list a replicated table."""
    rng = np.random.default_rng(seed)
    sky = MadeSky(folder, rng)
    tiling, other = tiling_around(border.spots, border.order), tiling_around(border.spots, border.other)
    shared = around(rng, border.spots, count)
    tables = {}
    for number, name in enumerate(("sky.a", "sky.b", "far.c", "bare.d")):
        ra, dec = around(rng, border.spots, count)
        ra[: count // 3], dec[: count // 3] = shared[0][: count // 3], shared[1][: count // 3]
        kept = border.keeps(ra, dec, number % 2)
        rows = pa.table({"id": np.arange(count) * 2 + 1, "ra": ra, "dec": dec}).filter(pa.array(kept))
        tables[name] = rows
        overlap = 0.0 if name == "bare.d" else OVERLAP_ARCSEC
        sky.director(name, rows, tiling if name[:3] == "sky" else other, overlap_arcsec=overlap)
    _kid(sky, rng, tables["sky.a"])
    sky.replicated("sky.list", tables["sky.b"].slice(0, 12))
    bare = sky.snapshots["bare"]["d"]
    sky.snapshots["bare"]["d"] = replace(bare, table=replace(bare.table, attached=Attached(bare.folder), index=()))
    return sky


def _kid(sky: MadeSky, rng: np.random.Generator, parents: pa.Table) -> None:
    """Two rows for each parent, at positions of their own up to some degrees away."""
    at = np.repeat(np.arange(parents.num_rows), 2)
    ra, dec = parents["ra"].to_numpy()[at], parents["dec"].to_numpy()[at]
    dec = np.clip(dec + rng.normal(0, 1, len(at)) * 10 ** rng.uniform(-6, 0, len(at)), -90, 90)
    rows = {"sid": np.arange(len(at)), "aid": parents["id"].to_numpy()[at], "ra": ra, "dec": dec}
    sky.child("sky.kid", pa.table(rows), "a", key="aid")


def separation_deg(one: pa.Table, other: pa.Table, i: np.ndarray, j: np.ndarray) -> Floats:
    """Haversine, as the function of the query language has it."""
    ra1, dec1 = (np.radians(one[name].to_numpy()[i]) for name in ("ra", "dec"))
    ra2, dec2 = (np.radians(other[name].to_numpy()[j]) for name in ("ra", "dec"))
    half = np.sin((dec2 - dec1) / 2) ** 2 + np.cos(dec1) * np.cos(dec2) * np.sin((ra2 - ra1) / 2) ** 2
    found: Floats = np.degrees(2 * np.arcsin(np.sqrt(np.clip(half, 0, 1))))
    return found


def places_within(one: pa.Table, other: pa.Table, radius_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Places of every pair within the radius: a k-d tree over all rows of the sky finds those near, haversine decides."""
    if not one.num_rows or not other.num_rows:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    trees = [cKDTree(unit(rows["ra"].to_numpy(), rows["dec"].to_numpy())) for rows in (one, other)]
    chord = 2 * np.sin(np.radians(radius_deg) / 2) * (1 + 1e-9) + 1e-12
    found = trees[0].query_ball_tree(trees[1], chord)
    i = np.repeat(np.arange(len(found)), [len(each) for each in found])
    j = np.array([place for each in found for place in each], dtype=np.int64)
    keep = separation_deg(one, other, i, j) <= radius_deg
    return i[keep], j[keep]


def pairs_within(one: pa.Table, other: pa.Table, radius_deg: float, names: tuple[str, str]) -> list[tuple[int, int]]:
    """The pairs' keys, sorted."""
    i, j = places_within(one, other, radius_deg)
    keys = one[names[0]].to_numpy()[i].tolist(), other[names[1]].to_numpy()[j].tolist()
    return sorted(zip(*keys, strict=True))
