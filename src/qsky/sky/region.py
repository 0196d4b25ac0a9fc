"""Regions of the sky: cone, box, ellipse, convex polygon. Values that plan prunes by; pure.

Each answers `contains` exactly as the SQL macro of the same shape does (sky.functions), and `cover`, `dec_range` and
`widened` generously: what they leave out is surely outside. Positions in degrees, ICRS. Ellipse and polygon follow
the definitions of scisql (axes in arcseconds, angle east of north; great-circle edges, either winding).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from qsky.errors import QskyError
from qsky.sky.cover import SLACK_DEG, Bools, Ranges, cone_cover, refined_cover, seeds_around, vectors
from qsky.sky.healpix import Floats

SEMI_MAJOR_ARCSEC_MAX: Final = 36_000.0
VERTICES_MAX: Final = 20


def _refuse(sentence: str) -> QskyError:
    return QskyError("bad-region", sentence)


def _check_position(ra: float, dec: float, what: str) -> None:
    if not (math.isfinite(ra) and math.isfinite(dec)):
        raise _refuse(f"{what} is at ({ra}, {dec}), which is no position.")
    if abs(dec) > 90:
        raise _refuse(f"{what} is at declination {dec}, beyond the pole; write (ra, dec) in degrees.")


def _wrapped(ra: Floats) -> Floats:
    """ra in [0, 360): the reduction the macros use, so that borders agree to the last bit."""
    return ra - 360.0 * np.floor(ra / 360.0)


@dataclass(frozen=True)
class Cone:
    """All positions at most `radius_deg` from a centre."""

    ra: float
    dec: float
    radius_deg: float

    def __post_init__(self) -> None:
        _check_position(self.ra, self.dec, "The centre of the circle")
        if not 0 <= self.radius_deg <= 180:
            raise _refuse(f"The radius of the circle is {self.radius_deg}; it must lie between 0 and 180 degrees.")

    def contains(self, ra: Floats, dec: Floats) -> Bools:
        half_ra, half_dec = np.radians(ra - self.ra) / 2, np.radians(dec - self.dec) / 2
        product = np.cos(np.radians(dec)) * np.cos(np.radians(self.dec))
        haversine = np.sin(half_dec) * np.sin(half_dec) + product * (np.sin(half_ra) * np.sin(half_ra))
        limit = np.sin(np.radians(self.radius_deg) / 2) ** 2
        return np.asarray((haversine <= limit) | ((self.radius_deg == 180) & (np.abs(dec) <= 90)))

    def cover(self, ranges_max: int = 64) -> Ranges:
        return cone_cover(self.ra, self.dec, self.radius_deg, ranges_max)

    def dec_range(self) -> tuple[float, float]:
        reach = self.radius_deg * (1 + 1e-12) + SLACK_DEG
        return max(-90.0, self.dec - reach), min(90.0, self.dec + reach)

    def widened(self, angle_deg: float) -> Cone:
        return Cone(self.ra, self.dec, min(180.0, self.radius_deg + angle_deg + SLACK_DEG))


@dataclass(frozen=True)
class Box:
    """Between two meridians and two parallels, borders included. `ra_min` > `ra_max` (both in 0..360) runs over 0.

    A width of 360 or more is the whole zone. Values beyond 0..360 are welcome in order: 350..370.
    """

    ra_min: float
    dec_min: float
    ra_max: float
    dec_max: float

    def __post_init__(self) -> None:
        _check_position(self.ra_min, self.dec_min, "A corner of the box")
        _check_position(self.ra_max, self.dec_max, "A corner of the box")
        if self.dec_min > self.dec_max:
            raise _refuse(f"The box ends at declination {self.dec_max}, south of where it begins, {self.dec_min}.")
        if self.ra_min > self.ra_max and not (self.ra_min <= 360 and self.ra_max >= 0):
            raise _refuse(
                f"The box runs from ra {self.ra_min} to {self.ra_max}; only within 0 to 360 may it begin after its end."
            )

    @property
    def whole_zone(self) -> bool:
        return self.ra_max - self.ra_min >= 360

    def _meridians(self) -> tuple[float, float]:
        low, high = _wrapped(np.array([self.ra_min, self.ra_max]))
        return float(low), float(high)

    def contains(self, ra: Floats, dec: Floats) -> Bools:
        inside = (dec >= self.dec_min) & (dec <= self.dec_max)
        if self.whole_zone:
            return np.asarray(inside & np.isfinite(ra))
        low, high = self._meridians()
        wrapped = _wrapped(np.asarray(ra))
        east, west = wrapped >= low, wrapped <= high
        return np.asarray(inside & (east & west if low <= high else east | west))

    def _width(self) -> float:
        low, high = self._meridians()
        return 360.0 if self.whole_zone else (high - low) % 360.0

    def cover(self, ranges_max: int = 64) -> Ranges:
        middle, half_width = self._meridians()[0] + self._width() / 2, self._width() / 2
        half_height = (self.dec_max - self.dec_min) / 2
        # half the way round the box is no less than the distance of its farthest corner
        reach = half_width + half_height if half_width < 90 else 180.0
        seeds, order = seeds_around(middle, self.dec_min + half_height, reach)
        return refined_cover(seeds, order, self._touches, ranges_max)

    def _touches(self, centres: Floats, radius: float) -> Bools:
        """By latitude, then by longitude with the half-width that a circle has on its parallel."""
        dec = np.arcsin(np.clip(centres[:, 2], -1, 1))
        near = (dec >= np.radians(self.dec_min) - radius) & (dec <= np.radians(self.dec_max) + radius)
        if self.whole_zone:
            return np.asarray(near)
        cosine = np.cos(dec)
        polar = np.abs(dec) + radius >= np.pi / 2 - 1e-9
        half = np.arcsin(np.minimum(1.0, np.sin(min(radius, np.pi / 2)) / np.maximum(cosine, 1e-300)))
        low, width = self._meridians()[0], self._width()
        offset = np.degrees(np.arctan2(centres[:, 1], centres[:, 0])) - (low + width / 2)
        offset = np.abs(offset - 360.0 * np.round(offset / 360.0))
        return np.asarray(near & (polar | (offset <= width / 2 + np.degrees(half) + SLACK_DEG)))

    def dec_range(self) -> tuple[float, float]:
        return max(-90.0, self.dec_min - SLACK_DEG), min(90.0, self.dec_max + SLACK_DEG)

    def widened(self, angle_deg: float) -> Box:
        reach = angle_deg + SLACK_DEG
        low, high = max(-90.0, self.dec_min - reach), min(90.0, self.dec_max + reach)
        highest = max(abs(self.dec_min), abs(self.dec_max))
        if self.whole_zone or highest + reach >= 90:
            return Box(0.0, low, 360.0, high)
        half = math.degrees(math.asin(min(1.0, math.sin(math.radians(reach)) / math.cos(math.radians(highest)))))
        begin = self._meridians()[0] - half - SLACK_DEG
        return Box(begin, low, begin + min(360.0, self._width() + 2 * (half + SLACK_DEG)), high)


@dataclass(frozen=True)
class Ellipse:
    """The part of the sphere over an ellipse in the plane that touches it at the centre (orthographic projection)."""

    ra: float
    dec: float
    semi_major_arcsec: float
    semi_minor_arcsec: float
    position_angle_deg: float

    def __post_init__(self) -> None:
        _check_position(self.ra, self.dec, "The centre of the ellipse")
        if not 0 <= self.semi_minor_arcsec <= self.semi_major_arcsec <= SEMI_MAJOR_ARCSEC_MAX:
            raise _refuse(
                f"The ellipse has the semi-axes {self.semi_major_arcsec} and {self.semi_minor_arcsec}; the first "
                f"is the major one, in arcseconds, at most {SEMI_MAJOR_ARCSEC_MAX:.0f}."
            )
        if not math.isfinite(self.position_angle_deg):
            raise _refuse(f"The position angle of the ellipse is {self.position_angle_deg}.")

    def contains(self, ra: Floats, dec: Floats) -> Bools:
        d_ra, phi, phi0 = np.radians(ra - self.ra), np.radians(dec), np.radians(self.dec)
        east = np.cos(phi) * np.sin(d_ra)
        north = np.sin(phi) * np.cos(phi0) - np.cos(phi) * np.sin(phi0) * np.cos(d_ra)
        depth = np.sin(phi) * np.sin(phi0) + np.cos(phi) * np.cos(phi0) * np.cos(d_ra)
        angle = np.radians(self.position_angle_deg)
        major = east * np.sin(angle) + north * np.cos(angle)
        minor = east * np.cos(angle) - north * np.sin(angle)
        a, b = np.radians(self.semi_major_arcsec / 3600), np.radians(self.semi_minor_arcsec / 3600)
        inside = (major * b) ** 2 + (minor * a) ** 2 <= (a * b) ** 2
        return np.asarray(inside & (depth > 0) & (major**2 + minor**2 <= a**2))

    def _bounding(self) -> Cone:
        """An orthographic distance of a stands for an angle of asin(a)."""
        reach = math.asin(math.radians(self.semi_major_arcsec / 3600))
        return Cone(self.ra, self.dec, math.degrees(reach) * (1 + 1e-9) + SLACK_DEG)

    def cover(self, ranges_max: int = 64) -> Ranges:
        seeds, order = seeds_around(self.ra, self.dec, self._bounding().radius_deg)
        return refined_cover(seeds, order, self._touches, ranges_max)

    def _touches(self, centres: Floats, radius: float) -> Bools:
        """In the plane, where the projection shortens every distance: by the rectangle around the ellipse."""
        ra0, dec0, angle = np.radians(self.ra), np.radians(self.dec), np.radians(self.position_angle_deg)
        east = np.array([-np.sin(ra0), np.cos(ra0), 0.0])
        north = np.array([-np.sin(dec0) * np.cos(ra0), -np.sin(dec0) * np.sin(ra0), np.cos(dec0)])
        major = centres @ (east * np.sin(angle) + north * np.cos(angle))
        minor = centres @ (east * np.cos(angle) - north * np.sin(angle))
        a, b = np.radians(self.semi_major_arcsec / 3600) + radius, np.radians(self.semi_minor_arcsec / 3600) + radius
        front = centres @ np.cross(east, north) > -np.sin(min(radius, np.pi / 2))
        return np.asarray(front & (np.abs(major) <= a + SLACK_DEG) & (np.abs(minor) <= b + SLACK_DEG))

    def dec_range(self) -> tuple[float, float]:
        return self._bounding().dec_range()

    def widened(self, angle_deg: float) -> Cone:
        return self._bounding().widened(angle_deg)


@dataclass(frozen=True)
class Polygon:
    """Inside all great circles through successive vertices, ((ra, dec), ...), borders included.

    Meant convex and smaller than a hemisphere; what is not, is still the intersection of its half-spheres.
    """

    vertices: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not 3 <= len(self.vertices) <= VERTICES_MAX:
            raise _refuse(f"The polygon has {len(self.vertices)} vertices; it must have 3 to {VERTICES_MAX}.")
        for ra, dec in self.vertices:
            _check_position(ra, dec, "A vertex of the polygon")

    def _corners(self) -> Floats:
        ra, dec = np.array(self.vertices, dtype=np.float64).T
        return vectors(ra, dec)

    def normals(self) -> Floats:
        """(n, 3): the inward normals of the edges; not of unit length. Also what the SQL is printed from."""
        corners = self._corners()
        normals = np.cross(corners, np.roll(corners, -1, axis=0))
        return np.asarray(normals if (normals @ corners.sum(axis=0)).sum() >= 0 else -normals)

    @property
    def convex(self) -> bool:
        """Whether each vertex lies inside all edges, and all of them within one hemisphere."""
        corners = self._corners()
        return bool((corners @ self.normals().T >= -1e-14).all() and (corners @ corners.sum(axis=0) > 1e-6).all())

    def contains(self, ra: Floats, dec: Floats) -> Bools:
        # written out as the SQL is, term by term, so that both round alike
        phi, theta = np.radians(ra), np.radians(dec)
        cosine, sine = np.cos(theta), np.sin(theta)
        inside = np.abs(dec) <= 90
        for x, y, z in self.normals():
            inside = inside & (cosine * (x * np.cos(phi) + y * np.sin(phi)) + z * sine >= 0)
        return np.asarray(inside)

    def _stray(self) -> float:
        """How far (degrees) rounding may move a corner of the half-spheres' intersection from its vertex.

        180 unless the polygon is convex and no sliver: then the edges at a corner cross at no less than the angle that
        the least height of the polygon over an edge subtends.
        """
        corners, normals = self._corners(), self.normals()
        lengths = np.linalg.norm(normals, axis=1)
        edges = lengths > 1e-15
        if not edges.any() or not self.convex:
            return 180.0
        heights = (corners @ normals[edges].T).max(axis=0) / lengths[edges]
        if heights.min() < 1e-3 * np.linalg.norm(corners - corners[0], axis=1).max():
            return 180.0
        return min(180.0, math.degrees(1e-15 / lengths[edges].min() / 1e-3) + SLACK_DEG)

    def _bounding(self) -> Cone:
        """A cone around a convex polygon; the whole sphere around any other."""
        stray = self._stray()
        if stray == 180:
            return Cone(0.0, 0.0, 180.0)
        corners = self._corners()
        x, y, z = corners.sum(axis=0)
        ra, dec = math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))
        chords = np.linalg.norm(corners - vectors(np.array([ra]), np.array([dec])), axis=1)
        radius = float(np.degrees(2 * np.arcsin(min(1.0, chords.max() / 2))))
        return Cone(ra, dec, min(180.0, radius * (1 + 1e-9) + stray))

    def cover(self, ranges_max: int = 64) -> Ranges:
        bounding = self._bounding()
        seeds, order = seeds_around(bounding.ra, bounding.dec, bounding.radius_deg)
        return refined_cover(seeds, order, self._touches, ranges_max)

    def _touches(self, centres: Floats, radius: float) -> Bools:
        normals = self.normals()
        lengths = np.linalg.norm(normals, axis=1)
        limit = -math.sin(min(radius, math.pi / 2)) * lengths - 1e-15
        return np.asarray((centres @ normals.T >= limit).all(axis=1))

    def dec_range(self) -> tuple[float, float]:
        """From vertices, and from edges that bend beyond them; a pole inside reaches 90."""
        stray = self._stray()
        if stray == 180:
            return -90.0, 90.0
        highs = [dec for _, dec in self.vertices]
        lows = list(highs)
        for high, low in self._bends():
            highs.append(high)
            lows.append(low)
        pole = bool(self.contains(np.array([0.0]), np.array([90.0]))[0])
        nadir = bool(self.contains(np.array([0.0]), np.array([-90.0]))[0])
        low_dec, high_dec = (-90.0 if nadir else min(lows)), (90.0 if pole else max(highs))
        return max(-90.0, low_dec - stray), min(90.0, high_dec + stray)

    def _bends(self) -> list[tuple[float, float]]:
        """For each edge, the highest and lowest declination of its great circle if the edge passes there."""
        corners = self._corners()
        found = []
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            normal = np.cross(start, end)
            top = np.array([0.0, 0.0, 1.0]) * (normal @ normal) - normal * normal[2]
            length = float(np.linalg.norm(top))
            if length < 1e-300:
                continue
            dec = math.degrees(math.asin(min(1.0, top[2] / length)))
            for sign in (1.0, -1.0):
                point = top * sign
                if np.cross(start, point) @ normal >= 0 and np.cross(point, end) @ normal >= 0:
                    found.append((sign * dec, sign * dec))
        return found

    def widened(self, angle_deg: float) -> Cone:
        return self._bounding().widened(angle_deg)


Region = Cone | Box | Ellipse | Polygon
_SHAPES: Final[dict[str, tuple[Callable[..., Region], int]]] = {
    "circle": (Cone, 3),
    "box": (Box, 4),
    "ellipse": (Ellipse, 5),
}


def region_of(function: str, numbers: tuple[float, ...]) -> Region:
    """The region a call `scisql_s2PtIn*(ra, dec, numbers...)` or `qserv_areaspec_*(numbers...)` means.

    Raises bad-region, also for a wrong count of numbers.
    """
    name = function.lower().removeprefix("scisql_s2ptin").removeprefix("qserv_areaspec_")
    if name in _SHAPES:
        shape, count = _SHAPES[name]
        if len(numbers) != count:
            raise _refuse(f"A {name} is described by {count} numbers, not {len(numbers)}.")
        return shape(*numbers)
    if len(numbers) % 2:
        raise _refuse(f"A polygon is described by pairs of ra and dec; {len(numbers)} numbers are no pairs.")
    return Polygon(tuple(zip(numbers[::2], numbers[1::2], strict=True)))
