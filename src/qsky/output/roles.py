"""What a column of an answer is to a picture: a position, a time, a magnitude, an error, a count. Pure values.

`output.picture` asks. A UCD is believed before a unit, a unit before a name; a type rules out what it cannot be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import pyarrow as pa

Kind = Literal["number", "text", "time", "other"]

_RA_NAME: Final = re.compile(
    r"(^|_)(ra|raj2000|ra_?icrs|right_?ascension|raMean|ra_?deg)$|^ra(_|$)(?!.*err)", re.IGNORECASE
)
_DEC_NAME: Final = re.compile(
    r"(^|_)(decl?|dej2000|dec_?j2000|de_?icrs|declination|decMean|dec?_?deg)$|^dec(_|$)(?!.*err)", re.IGNORECASE
)
_CELL_NAME: Final = re.compile(
    r"^(healpix|hpx|hpix|npix|ipix|pixel|pix|cell)(_?id)?[_(]?o?(rder)?_?\d*([,_)]|$)", re.IGNORECASE
)
_ORDER_IN_NAME: Final = re.compile(
    r"(?:order_?|_o|healpix_?|hpx_?|hpix_?|healpix\(|cell_?|npix_?)(\d{1,2})(?!\d)", re.IGNORECASE
)
_TIME_NAME: Final = re.compile(r"(^|_)(t|time|date|epoch|obs_?time|[mhbtr]?jd)$|mjd|[hb]jd", re.IGNORECASE)
_BAND_NAME: Final = re.compile(r"(^|_)(band|filter|filt|passband|fid|bandpass)(_?name)?$", re.IGNORECASE)
_ERROR_NAME: Final = re.compile(
    r"^(e|err|error|sigma)_|_(e|err|error|sigma|unc|std|stddev)$|error$|sigma$|err$", re.IGNORECASE
)
_ID_NAME: Final = re.compile(r"^(id|hip|tyc|objid|key)$|_id$|[a-z]I[dD]$|^(visit|seq|index)$")
_COUNT_NAME: Final = re.compile(
    r"^(n|num|number|cnt|counts?|n_?(rows|stars|objects|sources|pairs)|rows|stars|objects|sources|pairs)$|^count(_star)?\(",
    re.IGNORECASE,
)
_MAGNITUDE_NAME: Final = re.compile(r"mag($|nitude|_|s$)|(^|_)mag", re.IGNORECASE)
_COLOUR_NAME: Final = re.compile(r"^[a-z]{1,2}[_-][a-z]{1,2}$|^e_?\(?b[_-]?v\)?$|mag.*-.*mag|colou?r", re.IGNORECASE)
_BAND_ALONE: Final = re.compile(r"^[a-z][a-z]?\d?$", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A column as a picture sees it: name, kind, whether its numbers are whole, and what its metadata says."""

    name: str
    kind: Kind
    whole: bool = False
    unit: str = ""
    ucd: str = ""

    @cached_property
    def is_number(self) -> bool:
        return self.kind == "number"

    @cached_property
    def is_error(self) -> bool:
        """A standard error of something else."""
        return self.is_number and (self._ucd("stat.error", "stat.stdev") or bool(_ERROR_NAME.search(self.name)))

    @cached_property
    def is_ra(self) -> bool:
        return self._degrees and not self.is_error and (self._position("ra") or self._named(_RA_NAME))

    @cached_property
    def is_dec(self) -> bool:
        return self._degrees and not self.is_error and (self._position("dec") or self._named(_DEC_NAME))

    @cached_property
    def is_cell(self) -> bool:
        """A HEALPix cell, NESTED."""
        return self.is_number and self.whole and bool(self.name == "_healpix_29" or _CELL_NAME.search(self.name))

    @cached_property
    def order(self) -> int | None:
        """The order of the cells, if the name says it."""
        found = re.search(r"^_healpix_(29)$", self.name) or _ORDER_IN_NAME.search(self.name)
        return int(found.group(1)) if found and int(found.group(1)) <= 29 else None

    @cached_property
    def is_time(self) -> bool:
        """A moment, as a date or as a number of days."""
        if self.kind == "time" or self._ucd("time.epoch", "time.start", "time.end"):
            return self.kind in ("time", "number")
        return self.is_number and self.unit in ("", "d", "day", "JD", "MJD") and self._named(_TIME_NAME)

    @cached_property
    def is_band(self) -> bool:
        """The filter an observation was made in."""
        if self.kind == "other":
            return False
        named = bool(_BAND_NAME.search(self.name))
        return named if self.is_number else named or "instr.filter" in self.ucd or "instr.bandpass" in self.ucd

    @cached_property
    def is_id(self) -> bool:
        """An identifier: nothing to measure along an axis."""
        return not self.is_band and (self._ucd("meta.id") or (not self.ucd and bool(_ID_NAME.search(self.name))))

    @cached_property
    def is_count(self) -> bool:
        """How many rows of something."""
        return self.is_number and self.whole and (self._ucd("meta.number") or bool(_COUNT_NAME.search(self.name)))

    @cached_property
    def is_colour_index(self) -> bool:
        """A difference of magnitudes."""
        return self._ucd("phot.color", "phot.colour") or (
            self.is_number and not self.ucd and bool(_COLOUR_NAME.search(self.name))
        )

    @cached_property
    def is_magnitude(self) -> bool:
        """A brightness that grows downwards."""
        if not self.is_number or self.is_error or self.is_colour_index:
            return False
        if self.ucd:
            return self._ucd("phot.mag")
        alone = self.unit == "mag" and bool(_BAND_ALONE.search(self.name))
        return alone or (self.unit in ("", "mag") and bool(_MAGNITUDE_NAME.search(self.name)))

    @cached_property
    def is_value(self) -> bool:
        """Something measured: a number that is no identifier, error, cell, time or band."""
        off = self.is_id or self.is_error or self.is_cell or self.is_time or self.is_band
        return self.is_number and not off

    def is_error_of(self, value: Column) -> bool:
        """Whether this is the standard error of that column, by its UCD or by its name."""
        if not self.is_error:
            return False
        if self.ucd and value.ucd:
            return value.ucd.split(";")[0] in self.ucd.split(";")[1:]
        stem = _ERROR_NAME.sub("", self.name).strip("_").lower()
        return stem in ("", value.name.lower())

    @property
    def _degrees(self) -> bool:
        return self.is_number and self.unit in ("", "deg", "degree", "degrees")

    def _position(self, axis: str) -> bool:
        return self._ucd(f"pos.eq.{axis}")

    def _named(self, pattern: re.Pattern[str]) -> bool:
        """Whether the name says so and no UCD says otherwise."""
        return not self.ucd and bool(pattern.search(self.name))

    def _ucd(self, *words: str) -> bool:
        return any(self.ucd == word or self.ucd.startswith((f"{word};", f"{word}.")) for word in words)


def columns_of(schema: pa.Schema) -> tuple[Column, ...]:
    """The columns of an answer as a picture sees them."""
    return tuple(_column(field) for field in schema)


def _column(field: pa.Field) -> Column:
    metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    kind, whole = _kind(field.type)
    return Column(field.name, kind, whole, metadata.get("unit") or "", metadata.get("ucd") or "")


def _kind(arrow: pa.DataType) -> tuple[Kind, bool]:
    t = pa.types
    if t.is_integer(arrow) or t.is_floating(arrow) or t.is_decimal(arrow):
        return "number", t.is_integer(arrow) or (t.is_decimal(arrow) and arrow.scale == 0)
    if t.is_string(arrow) or t.is_large_string(arrow) or t.is_boolean(arrow) or t.is_dictionary(arrow):
        return "text", False
    return ("time" if t.is_timestamp(arrow) or t.is_date(arrow) else "other"), False
