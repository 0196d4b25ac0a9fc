"""HEALPix, NESTED, through cdshealpix and nothing else: positions to cells and back, neighbours, ranges.

A cell is (order, npix); a row's place is its order-29 cell, `_healpix_29`, an int64. Cells of every order are
half-open ranges of order-29 cells, so that pruning, tiling and placement are one-dimensional.

The compiled functions are called directly, in radians: the package's public ones wrap every array in astropy
quantities, which costs more than a small cone, and importing them imports astropy, which costs a second at every
start. `tests/sky` holds them against the public ones.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_NATIVE_NAME: Final = "cdshealpix.cdshealpix"


def _load_native() -> ModuleType:
    """The compiled module of cdshealpix, without the package around it."""
    if _NATIVE_NAME in sys.modules:
        return sys.modules[_NATIVE_NAME]
    package = importlib.util.find_spec("cdshealpix")
    folders = list(package.submodule_search_locations or ()) if package else []
    files = [Path(folder) / f"cdshealpix{suffix}" for folder in folders for suffix in EXTENSION_SUFFIXES]
    found = next((file for file in files if file.exists()), None)
    if found is None:
        return importlib.import_module(_NATIVE_NAME)
    spec = importlib.util.spec_from_file_location(_NATIVE_NAME, found)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Registered under its own name, so that whoever imports the package later gets this one: it can be made only once.
    sys.modules[_NATIVE_NAME] = module
    spec.loader.exec_module(module)
    return module


NATIVE: Final[Any] = _load_native()

ORDER_MAX: Final = 29
CELLS_29: Final = 12 << 58

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# The smallest distance between two opposite edges of any cell, in radians times 2**order, over all orders; a point
# within this of a cell lies in the cell or one of its neighbours. Sampled in tests/sky/test_healpix.py; the value
# agrees with the table behind `best_starting_depth` of the Rust crate (0.6896 at order 10 and deeper, more above).
_EDGE_DISTANCE_RAD: Final = 0.6875


def cells_of(ra_deg: Floats, dec_deg: Floats, order: int = ORDER_MAX, *, threads: int = 1) -> Ints:
    """The cell at `order` of each position; shapes (n,) and (n,) to (n,) int64. Positions in degrees, checked before."""
    longitude = np.radians(np.ascontiguousarray(ra_deg, dtype=np.float64))
    latitude = np.radians(np.ascontiguousarray(dec_deg, dtype=np.float64))
    count = longitude.shape
    cells = np.empty(count, dtype=np.uint64)
    offsets = np.empty(count), np.empty(count)
    depth = np.full(count, order, dtype=np.uint8)
    NATIVE.lonlat_to_healpix(depth, longitude, latitude, cells, *offsets, np.uint16(threads))
    return cells.view(np.int64)


def centres_of(cells: Ints, order: int) -> tuple[Floats, Floats]:
    """(ra, dec) in degrees of the centres of cells of one order; shapes (n,) each."""
    cells = np.ascontiguousarray(cells, dtype=np.int64)
    longitude, latitude = np.empty(cells.shape), np.empty(cells.shape)
    depth = np.full(cells.shape, order, dtype=np.uint8)
    NATIVE.healpix_to_lonlat(depth, cells.view(np.uint64), 0.5, 0.5, longitude, latitude, np.uint16(1))
    return np.degrees(longitude), np.degrees(latitude)


def neighbours_of(cells: Ints, order: int) -> Ints:
    """The cells around each cell, itself among them; shape (n,) to (n, 9), -1 where a corner has no neighbour."""
    cells = np.ascontiguousarray(cells, dtype=np.int64)
    around = np.zeros((*cells.shape, 9), dtype=np.int64)
    NATIVE.neighbours(order, cells.view(np.uint64), around, np.uint16(1))
    return around


def range_of(order: int, npix: int) -> tuple[int, int]:
    """The half-open range of order-29 cells inside one cell."""
    shift = 2 * (ORDER_MAX - order)
    return npix << shift, (npix + 1) << shift


def order_for_neighbours(radius_deg: float) -> int:
    """The deepest order at which everything within `radius_deg` of a cell lies in it or its neighbours; -1 if none does."""
    radius = np.radians(radius_deg)
    if radius <= 0:
        return ORDER_MAX
    order = int(np.floor(np.log2(_EDGE_DISTANCE_RAD / radius))) if radius < _EDGE_DISTANCE_RAD else -1
    return min(order, ORDER_MAX)


def merge_ranges(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The same set of cells as sorted, disjoint, non-touching half-open ranges."""
    if len(starts) == 0:
        return starts.astype(np.int64), ends.astype(np.int64)
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    first = np.concatenate(([True], starts[1:] > ends[:-1]))
    last = np.concatenate((first[1:], [True]))
    return starts[first].astype(np.int64), ends[last].astype(np.int64)
