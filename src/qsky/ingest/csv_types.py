"""Which type each column of a text table has, from its values. Called by `ingest.read_csv`.

A column is a number if nine in ten of its values are (the others are then refused rows, not a reason to store
text), an integer only if all its numbers are; a date or boolean only if every value is one; else text. A number
written with leading zeros is a name (M 031, plate 0266), and its column is text: nothing of what was written is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from qsky.ingest.conform import DATE, INTEGER, NUMBER, TIMESTAMP, as_text, beyond_int64, tidied

_NUMBERS_SHARE_MIN: Final = 0.9
_TRUE_FALSE: Final = r"^(?i:true|false)$"
_T_F: Final = r"^[TF]$"
_LEADING_ZERO: Final = r"^0\d+$"


@dataclass
class Kinds:
    """Counts of what the values of one column look like, taken batch by batch."""

    name: str
    values: int = 0
    integers: int = 0
    numbers: int = 0
    dates: int = 0
    times: int = 0
    words: int = 0
    letters_tf: int = 0
    trues: bool = False
    falses: bool = False
    names: bool = False

    def add(self, raw: pa.Array) -> None:
        """`raw` is a column of bytes with NULL where the field was empty. Raises bad-columns beyond 64 bits."""
        text = as_text(raw).array.drop_null()
        if not len(text):
            return
        if (self.numbers or not self.values) and not self.names:
            self._add_numbers(text)
        if self.numbers == 0:
            self._add_words(text)
        self.values += len(text)

    def _add_numbers(self, text: pa.Array) -> None:
        try:
            pc.cast(text, pa.int64())
            self._look_for_names(text)
            self.integers += len(text)
            self.numbers += len(text)
            return
        except pa.ArrowException:
            pass
        if self.integers < self.numbers and _all_numbers(text):
            # known to be no integers: that they are numbers is enough
            self.numbers += len(text)
            return
        tidy = tidied(text).drop_null()
        self._look_for_names(tidy)
        numbers = tidy.filter(pc.match_substring_regex(tidy, NUMBER))
        self.numbers += len(numbers) + len(text) - len(tidy)
        self.integers += self._integers(numbers) + len(text) - len(tidy)

    def _look_for_names(self, text: pa.Array) -> None:
        zeros = text.filter(pc.starts_with(text, "0"))
        self.names = self.names or (len(zeros) > 0 and _matches(zeros, _LEADING_ZERO) > 0)

    def _integers(self, numbers: pa.Array) -> int:
        integers = numbers.filter(pc.match_substring_regex(numbers, INTEGER))
        try:
            pc.cast(integers, pa.int64())
        except pa.ArrowException:
            # only if all are whole is the column meant as integers: 1e20 spelled out among fractions is a number
            if len(integers) == len(numbers):
                raise beyond_int64(self.name, _longest(integers)) from None
        return len(integers)

    def _add_words(self, text: pa.Array) -> None:
        if self.dates == self.values:
            self.dates += _matches(text, DATE)
        if self.times == self.values:
            self.times += _matches(text, TIMESTAMP)
        if self.words == self.values:
            self.words += _matches(text, _TRUE_FALSE)
        if self.letters_tf == self.values:
            self.letters_tf += _matches(text, _T_F)
            self.trues = self.trues or bool(pc.any(pc.equal(text, "T")).as_py())
            self.falses = self.falses or bool(pc.any(pc.equal(text, "F")).as_py())

    @property
    def settled(self) -> bool:
        """Whether no further value can change the type: text stays text, and a fraction makes a number."""
        kind = self.arrow()
        return kind in (pa.string(), pa.float64())

    def arrow(self) -> pa.DataType | None:
        """The type so far; None if there was no value."""
        if not self.values:
            return None
        if self.names:
            return pa.string()
        if self.numbers >= self.values * _NUMBERS_SHARE_MIN:
            return pa.int64() if self.integers == self.numbers else pa.float64()
        if self.dates == self.values:
            return pa.date32()
        if self.times == self.values:
            return pa.timestamp("us")
        # a column that is always T says nothing about F: it may well be a class called T
        if self.words == self.values or (self.letters_tf == self.values and self.trues and self.falses):
            return pa.bool_()
        return pa.string()


def _all_numbers(text: pa.Array) -> bool:
    try:
        pc.cast(text, pa.float64())
    except pa.ArrowException:
        return False
    return True


def _matches(text: pa.Array, pattern: str) -> int:
    return int(pc.sum(pc.match_substring_regex(text, pattern)).as_py() or 0)


def _longest(text: pa.Array) -> str:
    values: list[str] = text.to_pylist()
    return max(values, key=lambda value: len(value.lstrip("+-0")))
