"""sky.healpix against the public cdshealpix API, and the constants that covers rest on."""

from __future__ import annotations

import astropy.units as u
import cdshealpix
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude

from qsky.sky import healpix
from qsky.sky.cover import CIRCUMRADIUS_RAD, vectors

ORDERS = (0, 1, 2, 3, 5, 8, 12, 20, 29)


def _positions(count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    ra = np.concatenate((rng.uniform(0, 360, count), [0.0, 0.0, 0.0, 360.0, 45.0, 90.0, 180.0, 359.9999999999]))
    dec = np.concatenate((np.degrees(np.arcsin(rng.uniform(-1, 1, count))), [90, -90, 0, 0, 41.8103, 0, 90, -41.81]))
    return ra, dec


def _cells(order: int) -> np.ndarray:
    """All cells of coarse orders; of fine ones a sample, with the corners and edges of base cells among them."""
    count = 12 << (2 * order)
    if order <= 6:
        return np.arange(count, dtype=np.int64)
    rng = np.random.default_rng(order)
    side = rng.integers(0, 1 << order, 3000)
    along_x, along_y = _spread(side), _spread(side) << 1
    last = (1 << (2 * order)) - 1
    edges = np.concatenate([along_x, along_y, last - along_x, last - along_y, [0, last]])
    base = rng.integers(0, 12, len(edges)) << (2 * order)
    return np.concatenate((base + edges, rng.integers(0, count, 3000))).astype(np.int64)


def _spread(values: np.ndarray) -> np.ndarray:
    """The bits of x at the even places of a nested number."""
    return sum((((values >> bit) & 1) << (2 * bit) for bit in range(29)), np.zeros_like(values))


def _outline(cells: np.ndarray, order: int, step: int) -> np.ndarray:
    """Points on the border of each cell, as unit vectors (n, 4 * step, 3)."""
    longitude, latitude = cdshealpix.vertices(cells, order, step)
    return vectors(longitude.deg.ravel(), latitude.deg.ravel()).reshape(len(cells), 4 * step, 3)


@pytest.mark.parametrize("order", ORDERS)
def test_cells_are_those_of_the_public_interface(order: int) -> None:
    ra, dec = _positions()
    public = cdshealpix.lonlat_to_healpix(Longitude(ra * u.deg), Latitude(dec * u.deg), order)
    assert np.array_equal(healpix.cells_of(ra, dec, order), public.astype(np.int64))


@pytest.mark.parametrize("order", ORDERS)
def test_centres_are_those_of_the_public_interface(order: int) -> None:
    cells = healpix.cells_of(*_positions(), order)
    longitude, latitude = cdshealpix.healpix_to_lonlat(cells, order)
    ra, dec = healpix.centres_of(cells, order)
    assert np.allclose(ra, longitude.deg, rtol=0, atol=1e-12)
    assert np.allclose(dec, latitude.deg, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", (0, 1, 4, 11))
def test_neighbours_are_those_of_the_public_interface(order: int) -> None:
    cells = _cells(order)[:5000]
    assert np.array_equal(healpix.neighbours_of(cells, order), cdshealpix.neighbours(cells, order))


def test_the_range_of_a_cell_holds_what_lies_in_it() -> None:
    ra, dec = _positions()
    fine = healpix.cells_of(ra, dec)
    for order in ORDERS:
        coarse = healpix.cells_of(ra, dec, order)
        for cell, place in zip(coarse[:50].tolist(), fine[:50].tolist(), strict=True):
            start, end = healpix.range_of(order, cell)
            assert start <= place < end


@pytest.mark.parametrize("order", range(13))
def test_no_cell_reaches_beyond_its_circumradius(order: int) -> None:
    cells = _cells(order)
    centres = vectors(*healpix.centres_of(cells, order))
    chords = np.linalg.norm(_outline(cells, order, 4) - centres[:, None, :], axis=2)
    assert (2 * np.arcsin(chords.max() / 2)) * 2**order < CIRCUMRADIUS_RAD


@pytest.mark.parametrize("order", range(13))
def test_within_the_edge_distance_there_are_only_neighbours(order: int) -> None:
    """Points just nearer than the constant to the border of a cell, in every direction, lie in the cell or beside it."""
    reach = healpix._EDGE_DISTANCE_RAD / 2**order * (1 - 1e-6)
    rng = np.random.default_rng(order)
    cells = rng.permutation(_cells(order))[:1500]
    border = _outline(cells, order, 3)
    across = rng.normal(size=border.shape)
    across -= border * (across * border).sum(axis=2, keepdims=True)
    across /= np.linalg.norm(across, axis=2, keepdims=True)
    points = (border * np.cos(reach) + across * np.sin(reach)).reshape(-1, 3)
    ra = np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360.0
    dec = np.degrees(np.arcsin(np.clip(points[:, 2], -1, 1)))
    found = healpix.cells_of(ra, dec, order).reshape(len(cells), -1)
    around = healpix.neighbours_of(cells, order)
    assert (found[:, :, None] == around[:, None, :]).any(axis=2).all()


def test_the_order_for_neighbours_is_deep_enough_and_not_deeper() -> None:
    assert healpix.order_for_neighbours(0) == healpix.ORDER_MAX
    assert healpix.order_for_neighbours(90) == -1
    for radius in (1 / 3600, 1 / 60, 0.5, 3.0, 30.0):
        order = healpix.order_for_neighbours(radius)
        width = np.degrees(healpix._EDGE_DISTANCE_RAD / 2**order)
        assert width / 2 < radius <= width


def test_merged_ranges_are_sorted_disjoint_and_the_same_set() -> None:
    rng = np.random.default_rng(3)
    starts = rng.integers(0, 200, 60)
    ends = starts + rng.integers(1, 9, 60)
    merged_starts, merged_ends = healpix.merge_ranges(starts, ends)
    assert (merged_starts[1:] > merged_ends[:-1]).all()
    wanted = {cell for s, e in zip(starts, ends, strict=True) for cell in range(s, e)}
    assert {cell for s, e in zip(merged_starts, merged_ends, strict=True) for cell in range(s, e)} == wanted
    assert len(healpix.merge_ranges(np.array([], np.int64), np.array([], np.int64))[0]) == 0
