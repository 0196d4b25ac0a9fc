"""Hierarchical triangular mesh ids, which scisql's users know: 8 to 15 for the octants, two bits more per level. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np

from qsky.sky.cover import vectors
from qsky.sky.healpix import Floats, Ints

HTM_LEVEL_MAX: Final = 24

# The corners of the octants S0..S3, N0..N3, counter-clockwise seen from outside.
_X, _Y, _Z = np.eye(3)
_ROOTS: Final = np.array(
    [
        (_X, -_Z, _Y), (_Y, -_Z, -_X), (-_X, -_Z, -_Y), (-_Y, -_Z, _X),
        (_X, _Z, -_Y), (-_Y, _Z, -_X), (-_X, _Z, _Y), (_Y, _Z, _X),
    ]
)  # fmt: skip


def htm_ids(ra: Floats, dec: Floats, level: int) -> Ints:
    """(n,) ids at a level of 0 to 24 of positions in degrees."""
    points = vectors(ra, dec)
    octant = _octants(points)
    corners = _ROOTS[octant]
    ids = octant.astype(np.int64) + 8
    for _ in range(level):
        child, corners = _descended(points, corners)
        ids = (ids << 2) + child
    return np.asarray(ids)


def _octants(points: Floats) -> Ints:
    x, y, z = points.T
    south = np.select([(x > 0) & (y >= 0), (x <= 0) & (y > 0), (x < 0) & (y <= 0)], [0, 1, 2], 3)
    north = np.select([(x > 0) & (y >= 0), (x <= 0) & (y > 0), (x < 0) & (y <= 0)], [7, 6, 5], 4)
    return np.asarray(np.where(z < 0, south, north), dtype=np.int64)


def _descended(points: Floats, corners: Floats) -> tuple[Ints, Floats]:
    """The child triangle (0 to 3) of each, and its corners."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    bc, ca, ab = _middle(b, c), _middle(c, a), _middle(a, b)
    first = _left(points, ab, ca)
    second = ~first & _left(points, bc, ab)
    third = ~first & ~second & _left(points, ca, bc)
    child = np.select([first, second, third], [0, 1, 2], 3)
    choices = [np.stack(each, axis=1) for each in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (bc, ca, ab))]
    return np.asarray(child, dtype=np.int64), np.asarray(np.choose(child[:, None, None], choices))


def _middle(start: Floats, end: Floats) -> Floats:
    between = start + end
    return np.asarray(between / np.linalg.norm(between, axis=1, keepdims=True))


def _left(points: Floats, start: Floats, end: Floats) -> np.ndarray:
    """Whether each point is left of, or on, the great circle from start to end."""
    return np.asarray(np.einsum("ij,ij->i", np.cross(start, end), points) >= 0)
