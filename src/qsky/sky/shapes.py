"""Circles and polygons that differ from row to row, as Arrow functions: area, overlap, containment, scisql's bytes.

A shape is a list of numbers in degrees as VOTable writes it: ra, dec of a point, with a radius of a circle, or ra, dec
of each vertex of a polygon, which is convex and smaller than a hemisphere. Only `sky.functions` uses this.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa

from qsky.sky.arrow_function import ArrowFunction
from qsky.sky.cover import vectors
from qsky.sky.healpix import Floats

_EDGE: Final = 1e-15  # what rounding may do to a unit vector's component: borders belong to a shape


def _corners(shape: list[float]) -> Floats:
    numbers = np.array(shape, dtype=np.float64)
    return vectors(numbers[0 : len(shape) // 2 * 2 : 2], numbers[1::2])


def _normals(corners: Floats) -> Floats:
    """Inward unit normals of the edges."""
    normals = np.cross(corners, np.roll(corners, -1, axis=0))
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.where(lengths > 0, lengths, 1)
    return np.asarray(normals if (normals @ corners.sum(axis=0)).sum() >= 0 else -normals)


def _is_round(shape: list[float]) -> bool:
    return len(shape) <= 3


def _radius(shape: list[float]) -> float:
    """Radians; 0 of a point."""
    return math.radians(shape[2]) if len(shape) == 3 else 0.0


def _angle(a: Floats, b: Floats) -> float:
    return float(2 * np.arcsin(min(1.0, float(np.linalg.norm(a - b)) / 2)))


def _inside(points: Floats, corners: Floats) -> bool:
    return bool((points @ _normals(corners).T >= -_EDGE).all())


def _to_border(point: Floats, corners: Floats) -> float:
    """The angle from a point to the nearest place of a polygon's border."""
    ends = np.roll(corners, -1, axis=0)
    nearest = min(_angle(point, corner) for corner in corners)
    for start, end, normal in zip(corners, ends, np.cross(corners, ends), strict=True):
        length = float(np.linalg.norm(normal))
        if length < 1e-300:
            continue
        side = normal / length
        foot = point - side * float(point @ side)
        if np.cross(start, foot) @ side >= 0 and np.cross(foot, end) @ side >= 0:
            nearest = min(nearest, abs(math.asin(max(-1.0, min(1.0, float(point @ side))))))
    return nearest


def _touch(one: list[float], other: list[float]) -> bool:
    a, b = _corners(one), _corners(other)
    if _is_round(one) and _is_round(other):
        return _angle(a[0], b[0]) <= _radius(one) + _radius(other) + _EDGE
    if _is_round(other):
        one, other, a, b = other, one, b, a
    if _is_round(one):
        return _inside(a[:1], b) or _to_border(a[0], b) <= _radius(one) + _EDGE
    return any(_inside(p[None], b) for p in a) or any(_inside(p[None], a) for p in b) or _edges_cross(a, b)


def _edges_cross(a: Floats, b: Floats) -> bool:
    a_next, b_next = np.roll(a, -1, axis=0), np.roll(b, -1, axis=0)
    for p, q, n in zip(a, a_next, np.cross(a, a_next), strict=True):
        for r, s, m in zip(b, b_next, np.cross(b, b_next), strict=True):
            apart = (n @ r) * (n @ s) <= 0 and (m @ p) * (m @ q) <= 0
            if apart and float(np.cross(n, m) @ (p + q)) * float(np.cross(n, m) @ (r + s)) > 0:
                return True
    return False


def _within(inner: list[float], outer: list[float]) -> bool:
    a, b = _corners(inner), _corners(outer)
    if _is_round(outer):
        if _is_round(inner):
            return _angle(a[0], b[0]) + _radius(inner) <= _radius(outer) + _EDGE
        # a circle up to a half-sphere is convex, and what it leaves out of a wider one is too
        return all(_angle(p, b[0]) <= _radius(outer) + _EDGE for p in a)
    if _is_round(inner):
        return _inside(a[:1], b) and (_radius(inner) == 0 or _to_border(a[0], b) >= _radius(inner) - _EDGE)
    return _inside(a, b)


def area_of(shape: list[float]) -> float:
    """Square degrees of a shape."""
    if _is_round(shape):
        return 4 * math.pi * math.sin(_radius(shape) / 2) ** 2 * math.degrees(1) ** 2
    corners = _corners(shape)
    first, total = corners[0], 0.0
    for second, third in zip(corners[1:-1], corners[2:], strict=True):
        volume = float(first @ np.cross(second, third))
        total += 2 * math.atan2(volume, 1 + float(first @ second) + float(second @ third) + float(third @ first))
    return abs(total) * math.degrees(1) ** 2


def _valid(shape: list[float] | None) -> bool:
    if shape is None or len(shape) < 2 or any(n is None or not math.isfinite(n) for n in shape):
        return False
    highs = shape[1:2] if _is_round(shape) else shape[1::2]
    return all(abs(high) <= 90 for high in highs) and (len(shape) != 3 or 0 <= shape[2] <= 180)


def _area(shape: Any) -> pa.Array:
    """Square degrees of each shape."""
    return pa.array([area_of(each) if _valid(each) else None for each in shape.to_pylist()], pa.float64())


def _pairs(answer: Callable[[list[float], list[float]], bool], one: Any, other: Any) -> pa.Array:
    pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
    return pa.array([int(answer(a, b)) if _valid(a) and _valid(b) else None for a, b in pairs], pa.int32())


def _touches(one: Any, other: Any) -> pa.Array:
    """Whether each pair of shapes has a point in common."""
    return _pairs(_touch, one, other)


def _lies_within(inner: Any, outer: Any) -> pa.Array:
    """Whether each shape lies in its other one."""
    return _pairs(_within, inner, outer)


def _as_bytes(vertices: Any) -> pa.Array:
    """The sum of the vertices and the inward normals of the edges, three doubles each, as scisql keeps a polygon."""

    def one(shape: list[float] | None) -> bytes | None:
        if not _valid(shape) or shape is None:
            return None
        corners = _corners(shape)
        return np.concatenate((corners.sum(axis=0)[None], _normals(corners))).astype("<f8").tobytes()

    return pa.array([one(shape) for shape in vertices.to_pylist()], pa.binary())


def _in_bytes(ra: Any, dec: Any, polygon: Any) -> pa.Array:
    """Whether each position lies in its polygon: 0 with a NULL anywhere, NULL with what is no position or polygon."""

    def one(x: float | None, y: float | None, raw: bytes | None) -> int | None:
        if x is None or y is None or raw is None:
            return 0
        if not (math.isfinite(x) and abs(y) <= 90) or len(raw) < 96 or len(raw) % 24:
            return None
        normals = np.frombuffer(raw, "<f8").reshape(-1, 3)[1:]
        return int(bool((normals @ vectors(np.array([x]), np.array([y]))[0] >= -_EDGE).all()))

    return pa.array(map(one, ra.to_pylist(), dec.to_pylist(), polygon.to_pylist()), pa.int32())


REGION_FUNCTIONS: Final = (
    ArrowFunction("qsky_regionArea", _area, ("DOUBLE[]",), "DOUBLE"),
    ArrowFunction("qsky_regionsTouch", _touches, ("DOUBLE[]", "DOUBLE[]"), "INTEGER"),
    ArrowFunction("qsky_regionWithin", _lies_within, ("DOUBLE[]", "DOUBLE[]"), "INTEGER"),
    ArrowFunction("qsky_polygonBytes", _as_bytes, ("DOUBLE[]",), "BLOB"),
    ArrowFunction("qsky_inPolygonBytes", _in_bytes, ("DOUBLE", "DOUBLE", "BLOB"), "INTEGER"),
)
