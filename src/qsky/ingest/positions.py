"""Positions as read -> degrees: units, sexagesimal text, the wrap of right ascension, and what is no position.

Called by `ingest.clean`; whole columns at a time, no files, no rejects. Degrees are ICRS as given: no frame or epoch
is changed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from qsky.errors import QskyError
from qsky.ingest.conform import as_text, conform, is_text
from qsky.ingest.source import Mask, Unit

Axis = Literal["ra", "dec"]

# sign, degrees or hours, minutes, seconds: 00:08:27.05, +27 43 03.6, 5h34m31.9s, -00d24'54.8"
SEXAGESIMAL: Final = (
    r"^\s*(?P<sign>[+\-−]?)\s*(?P<whole>\d{1,3})\s*[:hd°\s]\s*(?P<minutes>[0-5]?\d(?:\.\d*)?)"
    r"(?:\s*[:m'′\s]\s*(?P<seconds>[0-5]?\d(?:\.\d*)?)\s*[s\"″]?|\s*[m'′]?)\s*$"
)
_UNIT_NAMES: Final[dict[str, Unit]] = {
    "deg": "deg",
    "degree": "deg",
    "degrees": "deg",
    "degr": "deg",
    "rad": "rad",
    "radian": "rad",
    "radians": "rad",
    "h": "hours",
    "hr": "hours",
    "hour": "hours",
    "hours": "hours",
    "hourangle": "hours",
}
# a radian spelled to 17 digits may land this far beyond the pole
_POLE_SLACK_DEG: Final = 1e-9
_RA_LIMITS_DEG: Final = (-360.0, 720.0)


@dataclass(frozen=True)
class Degrees:
    """A position column in degrees (float64); `bad` marks rows without one, `reason` says why for a row number."""

    array: pa.Array
    bad: Mask
    reason: Callable[[int], str]


def unit_of(text: str) -> Unit:
    """The unit a file's header names, "" if it is none of ours: `"h:m:s"` and such are sexagesimal."""
    text = text.strip().strip('"').lower()
    if text in ("h:m:s", "d:m:s", "hms", "dms", "h m s", "d m s", "h:m:s.s", "d:m:s.s"):
        return "sexagesimal"
    return _UNIT_NAMES.get(text, "")


def looks_sexagesimal(text: pa.Array) -> str:
    """An example value if most of the values that are not NULL are sexagesimal, else ""."""
    known = text.drop_null()
    if not len(known):
        return ""
    fits = pc.match_substring_regex(known, SEXAGESIMAL)
    return str(known[pc.index(fits, True).as_py()]) if pc.sum(fits).as_py() * 2 > len(known) else ""


def to_degrees(array: pa.Array, unit: Unit, axis: Axis, name: str, *, required: bool) -> Degrees:
    """Positions of one axis in degrees: ra in [0, 360), dec in [-90, 90]. ra may come as up to a turn off.

    Rows that are not parsable or outside are bad, and so are NULL, NaN and infinite ones if `required`; without it
    NULL and NaN become NULL. Raises bad-columns if the unit does not fit the column's type.
    """
    if unit == "sexagesimal":
        values, unparsable = _from_sexagesimal(array, axis, name)
    else:
        values, unparsable = _from_numbers(array, unit, name)
    given = values
    with np.errstate(invalid="ignore"):
        # an angle a turn off is an angle; -999 is somebody's NULL
        low, high = (-90.0 - _POLE_SLACK_DEG, 90.0 + _POLE_SLACK_DEG) if axis == "dec" else _RA_LIMITS_DEG
        outside = (values < low) | (values > high)
    values = _in_range(values, axis)
    missing = np.isnan(values)
    bad = unparsable | outside | (missing if required else np.zeros(len(values), np.bool_))
    # a row that stays may have no position of its own, but never a NaN
    made = pa.array(values, mask=missing | bad)
    return Degrees(made, bad, lambda row: _reason(array, given, unparsable, unit, axis, name, row))


def _from_numbers(array: pa.Array, unit: Unit, name: str) -> tuple[npt.NDArray[np.float64], Mask]:
    numbers = conform(array, pa.float64(), name)
    values = np.asarray(numbers.array.to_numpy(zero_copy_only=False), dtype=np.float64)
    if unit == "rad":
        values = np.degrees(values)
    elif unit == "hours":
        values = values * 15.0
    return values, np.zeros(len(values), np.bool_) if numbers.bad is None else numbers.bad


def _from_sexagesimal(array: pa.Array, axis: Axis, name: str) -> tuple[npt.NDArray[np.float64], Mask]:
    if not is_text(array.type):
        raise QskyError(
            "bad-columns",
            f"The position column {name} is {array.type}, but sexagesimal positions are text.",
            hint=f"Give its unit: --{axis}-unit deg, rad or hours.",
        )
    text = as_text(array)
    parts = pc.extract_regex(text.array, SEXAGESIMAL)
    piece = {part: pc.struct_field(parts, part) for part in ("sign", "whole", "minutes", "seconds")}
    whole, minutes, seconds = (_numbers(piece[part]) for part in ("whole", "minutes", "seconds"))
    values = whole + minutes / 60.0 + np.where(np.isnan(whole), np.nan, np.nan_to_num(seconds)) / 3600.0
    if axis == "ra":
        values = np.where(values > 24.0, np.nan, values * 15.0)
    negative = np.asarray(pc.fill_null(pc.is_in(piece["sign"], value_set=pa.array(["-", "−"])), False))
    blank = np.asarray(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(text.array), ""), True))
    if text.bad is not None:
        blank = blank & ~text.bad
    return np.where(negative, -values, values), np.isnan(values) & ~blank


def _numbers(text: pa.Array) -> npt.NDArray[np.float64]:
    filled = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    return np.asarray(pc.cast(filled, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _in_range(values: npt.NDArray[np.float64], axis: Axis) -> npt.NDArray[np.float64]:
    """ra into [0, 360), dec onto the pole it is beyond; whether it was too far is judged before."""
    with np.errstate(invalid="ignore"):
        if axis == "dec":
            return np.clip(values, -90.0, 90.0)
        if len(values) and np.nanmin(values, initial=0.0) >= 0.0 and np.nanmax(values, initial=0.0) < 360.0:
            return values + 0.0  # makes -0.0 plain
        wrapped = np.mod(values, 360.0)
        # a tiny negative number wraps to 360 exactly
        return np.where(wrapped == 360.0, 0.0, wrapped)


def _reason(
    array: pa.Array, values: npt.NDArray[np.float64], unparsable: Mask, unit: Unit, axis: Axis, name: str, row: int
) -> str:
    given = array[row].as_py()
    if isinstance(given, bytes):
        given = given.decode(errors="replace")
    if given is None or (isinstance(given, str) and not given.strip()):
        return f"{name} is NULL"
    if unparsable[row]:
        return f"{name} is {given!r}, not {'a sexagesimal position' if unit == 'sexagesimal' else 'a number'}"
    if np.isnan(values[row]) or np.isinf(values[row]):
        return f"{name} is {given}"
    degrees = "" if unit in ("", "deg") else f" ({values[row]:.10g} degrees)"
    limits = "[-90, 90]" if axis == "dec" else "[-360, 720]"
    return f"{name} is {given}{degrees}, outside {limits}"
