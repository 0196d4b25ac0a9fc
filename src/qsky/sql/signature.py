"""What a scalar function is to bind and print: name, arity, what it takes, what it gives, and DuckDB's text for it.

The tables of functions (`sql.numbers`, `sql.texts`, `sql.times`, `sql.sky_calls`) are made of these; `sql.functions`
finds them. In a text, {0}, {1}, ... are the arguments, {*} all of them with commas, {1:x} the second one or x,
{doubles} all as DOUBLE with commas, {rest} the same from the third on; {lengths} is the sum of their bytes, {count} how
many they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from qsky.sql.types import family, is_exact, is_number, is_text, is_time


def _is_any(_: str) -> bool:
    return True


def _is_logical(kind: str) -> bool:
    return kind == "BOOLEAN" or is_number(kind)


def _is_integral(kind: str) -> bool:
    return kind == "BOOLEAN" or is_exact(kind)


def _has_text(kind: str) -> bool:
    return is_text(kind) or _is_logical(kind) or is_time(kind)


def _is_bytes(kind: str) -> bool:
    return kind == "BLOB" or _has_text(kind)


# A text that a query makes of others must not be longer, or a few words could fill the memory: DuckDB neither counts
# such texts nor stops while it makes one.
MADE_TEXT_BYTES_MAX: Final = 1 << 18

# What a letter of a signature takes, and how a message calls it.
_TAKES: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "n": (_is_logical, "a number"),
    "i": (_is_integral, "an integer"),
    "s": (_has_text, "text"),
    "b": (_is_bytes, "text or bytes"),
    "t": (is_time, "a date or time"),
    "a": (_is_any, "any value"),
}


@dataclass(frozen=True)
class Function:
    """One scalar function.

    `signature` has a letter of `_TAKES` per argument; a last letter after `*` may occur any number of times, letters
    after `?` may be missing. `result` is a type, or "same" (the common type of the arguments), "first" (that of the
    first), "whole" (BIGINT of an exact number, else DOUBLE). `exact` is the text for an exact first argument if that
    differs. `longest` must be given where the answer may have more bytes than the arguments: its most, as a text.
    """

    name: str
    signature: str
    result: str
    text: str
    exact: str = ""
    longest: str = ""

    @property
    def arity(self) -> tuple[int, int]:
        """The fewest and the most arguments."""
        needed = len(re.split(r"[?*]", self.signature)[0])
        return needed, 1000 if "*" in self.signature else len(self.signature.replace("?", ""))

    def letter(self, at: int) -> str:
        letters = re.sub(r"[?*]", "", self.signature)
        return letters[min(at, len(letters) - 1)]

    def takes(self, at: int, kind: str) -> bool:
        return kind == "NULL" or _TAKES[self.letter(at)][0](kind)

    def wants(self, at: int) -> str:
        return _TAKES[self.letter(at)][1]

    @property
    def repeats(self) -> bool:
        """Whether an argument occurs more than once in what DuckDB evaluates."""
        macro = self.text.startswith(("scisql_", "qsky_"))
        return (
            macro
            or bool(self.longest)
            or "{nulls}" in self.text
            or any(self.text.count(f"{{{at}") > 1 for at in range(10))
        )


def describe_mismatch(function: Function, at: int, kind: str) -> str:
    """The sentence about an argument of a wrong type."""
    ordinal = f"Argument {at + 1} of {function.name}"
    return f"{ordinal} must be {function.wants(at)}, not {family(kind)}."


def double(name: str, text: str, signature: str = "n") -> Function:
    """A function of numbers that gives a DOUBLE."""
    return Function(name, signature, "DOUBLE", text)


def when(condition: str, value: str) -> str:
    """A text that is NULL where the condition does not hold."""
    return f"CASE WHEN {condition} THEN {value} END"


def finite(value: str, condition: str = "") -> str:
    """A text that is NULL where the value is infinite or NaN."""
    both = f"{condition} AND isfinite({value})" if condition else f"isfinite({value})"
    return when(both, value)


def by_name(*groups: Iterable[Function]) -> dict[str, Function]:
    return {function.name: function for group in groups for function in group}


_SLOT: Final = re.compile(r"\{(\d|\*|\||nulls|doubles|rest|lengths|count)(?::([^{}]+))?\}")


def call_text(function: Function, arguments: tuple[str, ...], first: str) -> str:
    """DuckDB's text of a call; `first` is the type of its first argument."""

    def filled(slot: re.Match[str]) -> str:
        what, default = slot.groups()
        if what == "*":
            return ", ".join(arguments)
        if what == "|":
            return " || ".join(f"CAST({argument} AS VARCHAR)" for argument in arguments)
        if what == "nulls":
            return " OR ".join(f"{argument} IS NULL" for argument in arguments)
        if what == "lengths":
            return " + ".join(f"coalesce(strlen(CAST({argument} AS VARCHAR)), 0)" for argument in arguments)
        if what == "count":
            return str(len(arguments))
        if what in ("doubles", "rest"):
            numbers = arguments if what == "doubles" else arguments[2:]
            return ", ".join(f"CAST({argument} AS DOUBLE)" for argument in numbers)
        return arguments[int(what)] if int(what) < len(arguments) else default

    text = function.exact if function.exact and is_exact(first) else function.text
    if function.longest:
        # In the argument, not around the call: DuckDB works out constant calls before it looks at a CASE around them.
        # Not by error(), which counts as chance: a correlated sub-query with IN then gives other rows in DuckDB.
        failed = f"CAST('A text would be longer than {MADE_TEXT_BYTES_MAX} bytes' AS BOOLEAN)"
        asked = f"CASE WHEN {_SLOT.sub(filled, function.longest)} > {MADE_TEXT_BYTES_MAX} THEN {failed} END"
        arguments = (f"CASE WHEN {asked} THEN NULL ELSE {arguments[0]} END", *arguments[1:])
    return _SLOT.sub(filled, text)
