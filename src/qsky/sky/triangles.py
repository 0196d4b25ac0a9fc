"""A simple polygon on the sphere cut into triangles, its bounding circle and its centroid. Pure; sql.shapes uses it.

The polygon must be smaller than a hemisphere and its edges must not cross; what breaks this gives None.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from qsky.sky.cover import vectors
from qsky.sky.healpix import Floats

Vertex = tuple[float, float]
_SLACK_DEG: Final = 1e-9
_FLAT: Final = 1e-15


def _corners(vertices: tuple[Vertex, ...]) -> Floats:
    ra, dec = np.array(vertices, dtype=np.float64).T
    return vectors(ra, dec)


def _position(vector: Floats) -> Vertex:
    x, y, z = (float(part) for part in vector)
    return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))


def _middle(corners: Floats) -> Floats | None:
    """A direction from which all corners are less than 90 degrees away."""
    total = corners.sum(axis=0)
    length = float(np.linalg.norm(total))
    if length < 1e-9 or float((corners @ total).min()) <= 1e-9 * length:
        return None
    return np.asarray(total / length)


def bounding_circle(vertices: tuple[Vertex, ...]) -> tuple[float, float, float] | None:
    """Centre and radius, degrees, of a circle that holds the polygon."""
    corners = _corners(vertices)
    middle = _middle(corners)
    if middle is None:
        return None
    reach = math.degrees(max(2 * math.asin(min(1.0, float(np.linalg.norm(c - middle)) / 2)) for c in corners))
    return (*_position(middle), min(180.0, reach * (1 + 1e-9) + _SLACK_DEG))


def triangles(vertices: tuple[Vertex, ...]) -> list[tuple[Vertex, ...]] | None:
    """Triangles that fill the polygon, by cutting off ears; None if it is not simple or too large."""
    corners = _corners(vertices)
    middle = _middle(corners)
    if middle is None:
        return None
    plane = _gnomonic(corners, middle)
    if _crosses(plane):
        return None
    order = list(range(len(vertices)))
    if _twice_area(plane) < 0:
        order.reverse()
    found = []
    while len(order) > 3:
        at = next((at for at in range(len(order)) if _is_ear(plane, order, at)), None)
        if at is None:
            return None
        found.append((order[at - 1], order[at], order[(at + 1) % len(order)]))
        del order[at]
    found.append((order[0], order[1], order[2]))
    return [tuple(vertices[each] for each in triple) for triple in found if _is_wide(plane, triple)]


def _gnomonic(corners: Floats, middle: Floats) -> Floats:
    """Great circles as straight lines in the plane that touches the sphere at the middle."""
    axis = np.eye(3)[int(np.argmin(np.abs(middle)))]
    east = np.cross(axis, middle)
    east = east / np.linalg.norm(east)
    north = np.cross(middle, east)
    return np.stack((corners @ east, corners @ north), axis=1) / (corners @ middle)[:, None]


def _side(a: Floats, b: Floats, c: Floats) -> float:
    """Twice the area of a triangle, positive if c is left of the line from a to b."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _twice_area(plane: Floats) -> float:
    following = np.roll(plane, -1, axis=0)
    return float((plane[:, 0] * following[:, 1] - plane[:, 1] * following[:, 0]).sum())


def _is_wide(plane: Floats, triple: tuple[int, int, int]) -> bool:
    return abs(_side(*(plane[each] for each in triple))) > _FLAT


def _is_ear(plane: Floats, order: list[int], at: int) -> bool:
    """Whether the corner can be cut off: convex, and no other vertex inside."""
    before, here, after = order[at - 1], order[at], order[(at + 1) % len(order)]
    a, b, c = plane[before], plane[here], plane[after]
    if _side(a, b, c) < 0:
        return False
    others = (plane[each] for each in order if each not in (before, here, after))
    return not any(_side(a, b, p) > 0 and _side(b, c, p) > 0 and _side(c, a, p) > 0 for p in others) and not any(
        _on(a, c, plane[each]) for each in order if each not in (before, here, after)
    )


def _on(a: Floats, b: Floats, p: Floats) -> bool:
    """Whether p lies on the segment from a to b, ends excluded."""
    return bool(_side(a, b, p) == 0 and float((p - a) @ (b - a)) > 0 and float((p - b) @ (a - b)) > 0)


def _crosses(plane: Floats) -> bool:
    count = len(plane)
    for i in range(count):
        for j in range(i + 1, count):
            if j in (i, (i + 1) % count) or i == (j + 1) % count:
                continue
            a, b, c, d = plane[i], plane[(i + 1) % count], plane[j], plane[(j + 1) % count]
            if _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0:
                return True
    return False


def centroid(vertices: tuple[Vertex, ...]) -> Vertex | None:
    """The direction of the polygon's first moment; None if it is not simple."""
    if triangles(vertices) is None:
        return None
    corners = _corners(vertices)
    ends = np.roll(corners, -1, axis=0)
    total = np.zeros(3)
    for start, end in zip(corners, ends, strict=True):
        normal = np.cross(start, end)
        length = float(np.linalg.norm(normal))
        if length > 0:
            total += normal / length * math.atan2(length, float(start @ end)) / 2
    if float(total @ corners.sum(axis=0)) < 0:
        total = -total
    return _position(total)
