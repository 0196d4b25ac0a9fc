"""Other coordinates and other epochs as SQL macros: galactic, ecliptic, and where a star is in another year.

Angles are degrees, proper motions milliarcseconds per Julian year (the one in right ascension with cos(dec) in it),
parallaxes milliarcseconds, radial velocities km/s. NULL or a declination beyond the poles makes NULL. Only
`sky.functions` uses this.
"""

from __future__ import annotations

from typing import Final

Matrix = tuple[tuple[float, float, float], ...]

# ICRS to galactic (IAU 1958, through FK5), and to the mean ecliptic and equinox of J2000 (IAU 2006): as astropy has them.
_TO_GALACTIC: Final[Matrix] = (
    (-0.05487565771259163, -0.8734370519556159, -0.48383507361671546),
    (0.4941094371927268, -0.4448297212232952, 0.7469821839866676),
    (-0.8676661375596576, -0.19807633727300053, 0.4559838136873016),
)
_TO_ECLIPTIC: Final[Matrix] = (
    (0.9999999999999941, -7.078368960971556e-08, 8.056213977613186e-08),
    (3.2897004077419646e-08, 0.9174821299149584, 0.39777699944404793),
    (-1.0207044725484355e-07, -0.39777699944404304, 0.9174821299149556),
)
_SYSTEMS: Final = (
    ("galactic", _TO_GALACTIC, ("l", "b")),
    ("ecliptic", _TO_ECLIPTIC, ("lon", "lat")),
)
# km/s per (au per Julian year): what makes a radial velocity comparable with a proper motion times a distance
_KMS_PER_AU_YEAR: Final = 4.740470463533349
_MAS: Final = "radians(1e0 / 3600000e0)"


def coordinate_macros() -> tuple[str, ...]:
    """Every macro of this module."""
    made: list[str] = []
    for system, matrix, (lon, lat) in _SYSTEMS:
        back: Matrix = tuple(zip(*matrix, strict=True))
        made += _rotation(f"qsky_{system}_{lon}", f"qsky_{system}_{lat}", matrix)
        made += _rotation(f"qsky_{system}_ra", f"qsky_{system}_dec", back)
    return (*made, *_epochs())


def _rotation(longitude: str, latitude: str, matrix: Matrix) -> tuple[str, str]:
    """Two macros of (lon, lat) for the coordinates in the rotated system."""
    vector = ("cos(radians(lat)) * cos(radians(lon))", "cos(radians(lat)) * sin(radians(lon))", "sin(radians(lat))")
    x, y, z = (" + ".join(f"({m!r}e0) * {v}" if "e" not in repr(m) else f"({m!r}) * {v}"
                          for m, v in zip(row, vector, strict=True)) for row in matrix)  # fmt: skip
    parameters = ("lon", "lat")
    return (
        _macro(longitude, parameters, _turned(f"degrees(atan2({y}, {x}))")),
        _macro(latitude, parameters, f"degrees(atan2({z}, sqrt(pow({x}, 2) + pow({y}, 2))))"),
    )


def _turned(angle: str) -> str:
    """In [0, 360)."""
    return f"({angle} - 360 * floor({angle} / 360))"


def _macro(name: str, parameters: tuple[str, ...], body: str) -> str:
    typed = ", ".join(f"{parameter} DOUBLE" for parameter in parameters)
    known = f"abs({parameters[1]}) <= 90 AND isfinite({' + '.join(parameters)})"
    return f"CREATE MACRO {name}({typed}) AS CASE WHEN {known} THEN {body} END"


def _epochs() -> tuple[str, str]:
    """The position after `years` of straight, uniform motion (the Hipparcos and Gaia model), seen from the meridian of ra.

    `f` is how far away the star is then, over the distance now; `e` and `n` its way to the east and north over that.
    """
    f = f"(1 + rv * parallax / {_KMS_PER_AU_YEAR!r}e0 * {_MAS} * years)"
    e, n = f"(pm_ra * {_MAS} * years)", f"(pm_dec * {_MAS} * years)"
    x, z = (
        f"({f} * cos(radians(dec)) - {n} * sin(radians(dec)))",
        f"({f} * sin(radians(dec)) + {n} * cos(radians(dec)))",
    )
    parameters = ("ra", "dec", "pm_ra", "pm_dec", "parallax", "rv", "years")
    return (
        _macro("qsky_epoch_ra", parameters, _turned(f"(ra + degrees(atan2({e}, {x})))")),
        _macro("qsky_epoch_dec", parameters, f"degrees(atan2({z}, sqrt({x} * {x} + {e} * {e})))"),
    )
