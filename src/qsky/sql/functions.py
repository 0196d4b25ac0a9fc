"""The scalar functions of a query, as data: name, arity, what they take, what they give, and DuckDB's text for them.

bind checks calls against this, print writes the text. A function that is not here does not exist. Where MySQL gives
NULL (a root of a negative number, a logarithm of zero), so does the text, instead of DuckDB's NaN or infinity.
In a text, {0}, {1}, ... are the arguments and {*} all of them with commas.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from qsky.sql.aggregates import AGGREGATE_NAMES
from qsky.sql.types import family, is_exact, is_number, is_text, is_time

AB_ZERO: Final = 48.6


def _is_any(_: str) -> bool:
    return True


def _is_logical(kind: str) -> bool:
    return kind == "BOOLEAN" or is_number(kind)


# What a letter of a signature takes, and how a message calls it.
_TAKES: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "n": (_is_logical, "a number"),
    "i": (is_exact, "an integer"),
    "s": (is_text, "text"),
    "t": (is_time, "a date or time"),
    "a": (_is_any, "any value"),
}


@dataclass(frozen=True)
class Function:
    """One scalar function.

    `signature` has a letter of `_TAKES` per argument; a last letter after `*` may occur any number of times, letters
    after `?` may be missing. `result` is a type, or "same" (the common type of the arguments), "first" (that of the
    first), "whole" (BIGINT of an exact number, else DOUBLE). `exact` is the text for an exact first argument if that
    differs.
    """

    name: str
    signature: str
    result: str
    text: str
    exact: str = ""

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
        return macro or "{nulls}" in self.text or any(self.text.count(f"{{{at}") > 1 for at in range(6))


def describe_mismatch(function: Function, at: int, kind: str) -> str:
    """The sentence about an argument of a wrong type."""
    ordinal = f"Argument {at + 1} of {function.name}"
    return f"{ordinal} must be {function.wants(at)}, not {family(kind)}."


def _double(name: str, text: str, signature: str = "n") -> Function:
    return Function(name, signature, "DOUBLE", text)


def _when(condition: str, value: str) -> str:
    return f"CASE WHEN {condition} THEN {value} END"


def _rounding(name: str, signature: str, text: str) -> Function:
    digits = "CAST({1:0} AS INTEGER)"
    floating, exact = (f"{text}(CAST({{0}} AS {kind}), {digits})" for kind in ("DOUBLE", "BIGINT"))
    return Function(name, signature, "whole", floating, exact)


_MATHS: Final = (
    Function("ABS", "n", "whole", "abs(CAST({0} AS DOUBLE))", "abs(CAST({0} AS BIGINT))"),
    Function("SIGN", "n", "INTEGER", "CAST(sign({0}) AS INTEGER)"),
    Function("FLOOR", "n", "whole", "floor(CAST({0} AS DOUBLE))", "CAST({0} AS BIGINT)"),
    Function("CEIL", "n", "whole", "ceil(CAST({0} AS DOUBLE))", "CAST({0} AS BIGINT)"),
    _rounding("ROUND", "n?i", "round"),
    _rounding("TRUNCATE", "ni", "trunc"),
    _double("SQRT", _when("{0} >= 0", "sqrt({0})")),
    _double("EXP", "exp({0})"),
    _double("LN", _when("{0} > 0", "ln({0})")),
    _double("LOG10", _when("{0} > 0", "log10({0})")),
    _double("LOG2", _when("{0} > 0", "log2({0})")),
    _double("LOG", _when("{0} > 0 AND {0} <> 1 AND {1} > 0", "ln({1}) / ln({0})"), "nn"),
    _double("POW", _when("isfinite(pow({0}, {1}))", "pow({0}, {1})"), "nn"),
    _double("SIN", "sin({0})"),
    _double("COS", "cos({0})"),
    _double("TAN", "tan({0})"),
    _double("COT", _when("{0} <> 0", "1 / tan({0})")),
    _double("ASIN", _when("{0} BETWEEN -1 AND 1", "asin({0})")),
    _double("ACOS", _when("{0} BETWEEN -1 AND 1", "acos({0})")),
    _double("ATAN", "atan({0})"),
    _double("ATAN2", "atan2({0}, {1})", "nn"),
    _double("RADIANS", "radians({0})"),
    _double("DEGREES", "degrees({0})"),
    _double("PI", "pi()", ""),
)

_CHOICE: Final = (
    Function("COALESCE", "a*a", "same", "coalesce({*})"),
    Function("NULLIF", "aa", "first", "CASE WHEN {0} = {1} THEN NULL ELSE {0} END"),
    Function("GREATEST", "aa*a", "same", "CASE WHEN {nulls} THEN NULL ELSE greatest({*}) END"),
    Function("LEAST", "aa*a", "same", "CASE WHEN {nulls} THEN NULL ELSE least({*}) END"),
    Function("GREATEST_KNOWN", "a*a", "same", "greatest({*})"),
    Function("LEAST_KNOWN", "a*a", "same", "least({*})"),
)

_TEXTS: Final = (
    Function("LENGTH", "s", "BIGINT", "strlen({0})"),
    Function("CHAR_LENGTH", "s", "BIGINT", "length({0})"),
    Function("LOWER", "s", "VARCHAR", "lower({0})"),
    Function("UPPER", "s", "VARCHAR", "upper({0})"),
    Function("TRIM", "s", "VARCHAR", "trim({0}, ' ')"),
    Function("LTRIM", "s", "VARCHAR", "ltrim({0}, ' ')"),
    Function("RTRIM", "s", "VARCHAR", "rtrim({0}, ' ')"),
    Function("CONCAT", "a*a", "VARCHAR", "({|})"),
    Function("CONCAT_KNOWN", "a*a", "VARCHAR", "concat({*})"),
    Function("LEFT", "si", "VARCHAR", "CASE WHEN {1} < 1 THEN left({0}, 0) ELSE left({0}, {1}) END"),
    Function("RIGHT", "si", "VARCHAR", "CASE WHEN {1} < 1 THEN left({0}, 0) ELSE right({0}, {1}) END"),
    Function("REPLACE", "sss", "VARCHAR", "CASE WHEN {1} = '' THEN {0} ELSE replace({0}, {1}, {2}) END"),
    Function(
        "SUBSTRING",
        "si?i",
        "VARCHAR",
        "CASE WHEN {1} = 0 OR {1} < -length({0}) OR {2:1} < 1 THEN left({0}, 0) ELSE substr({0}, {1}, {2:4294967295}) END",
    ),
)

_DATES: Final = tuple(
    Function(name, "t", "INTEGER", f"CAST({name.lower()}({{0}}) AS INTEGER)")
    for name in ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")
)

_AB_SCALE: Final = repr(10 ** (-0.4 * AB_ZERO))
_ERROR: Final = repr(2.5 / math.log(10))
_INVERSE: Final = repr(0.4 * math.log(10))

_MAGNITUDES: Final = (
    _double("scisql_fluxToAbMag", _when("{0} > 0", "-2.5e0 * log10({0}) - 48.6e0")),
    _double("scisql_fluxToAbMagSigma", _when("{0} > 0 AND {1} >= 0", f"{_ERROR}e0 * {{1}} / {{0}}"), "nn"),
    _double("scisql_abMagToFlux", "pow(10e0, -0.4e0 * ({0} + 48.6e0))"),
    _double(
        "scisql_abMagToFluxSigma",
        _when("{1} >= 0", f"{_INVERSE}e0 * {{1}} * pow(10e0, -0.4e0 * ({{0}} + 48.6e0))"),
        "nn",
    ),
    _double("scisql_nanojanskyToAbMag", _when("{0} > 0", "-2.5e0 * log10({0}) + 31.4e0")),
    _double("scisql_nanojanskyToAbMagSigma", _when("{0} > 0 AND {1} >= 0", f"{_ERROR}e0 * {{1}} / {{0}}"), "nn"),
    _double("scisql_dnToAbMag", _when("{0} > 0 AND {1} > 0", "-2.5e0 * log10({0} / {1})"), "nn"),
    _double(
        "scisql_dnToAbMagSigma",
        _when(
            "{0} > 0 AND {1} >= 0 AND {2} > 0 AND {3} >= 0",
            f"{_ERROR}e0 * sqrt(pow({{1}} / {{0}}, 2) + pow({{3}} / {{2}}, 2))",
        ),
        "nnnn",
    ),
    _double("scisql_abMagToDn", _when("{1} > 0", "{1} * pow(10e0, -0.4e0 * {0})"), "nn"),
    _double(
        "scisql_abMagToDnSigma",
        _when(
            "{1} >= 0 AND {2} > 0 AND {3} >= 0",
            f"pow(10e0, -0.4e0 * {{0}}) * sqrt(pow({_INVERSE}e0 * {{1}} * {{2}}, 2) + pow({{3}}, 2))",
        ),
        "nnnn",
    ),
    _double("scisql_dnToFlux", _when("{1} > 0", f"{_AB_SCALE} * {{0}} / {{1}}"), "nn"),
    _double(
        "scisql_dnToFluxSigma",
        _when(
            "{1} >= 0 AND {2} > 0 AND {3} >= 0",
            f"{_AB_SCALE} * sqrt(pow({{1}}, 2) + pow({{0}} * {{3}} / {{2}}, 2)) / {{2}}",
        ),
        "nnnn",
    ),
    _double("scisql_fluxToDn", _when("{1} > 0", f"{{0}} * {{1}} / {_AB_SCALE}"), "nn"),
    _double(
        "scisql_fluxToDnSigma",
        _when(
            "{1} >= 0 AND {2} > 0 AND {3} >= 0",
            f"sqrt(pow({{1}} * {{2}}, 2) + pow({{0}} * {{3}}, 2)) / {_AB_SCALE}",
        ),
        "nnnn",
    ),
)

_SKY: Final = (
    _double("scisql_angSep", "scisql_angSep({*})", "nnnn"),
    _double("qsky_angSepVectors", "qsky_angSepVectors({*})", "nnnnnn"),
    Function("scisql_s2PtInCircle", "nnnnn", "INTEGER", "scisql_s2PtInCircle({*})"),
    Function("scisql_s2PtInBox", "nnnnnn", "INTEGER", "scisql_s2PtInBox({*})"),
    Function("scisql_s2PtInEllipse", "nnnnnnn", "INTEGER", "scisql_s2PtInEllipse({*})"),
    # printed from its vertices, see print.py
    Function("scisql_s2PtInCPoly", "nnnnnnnn*n", "INTEGER", ""),
    Function("healpix", "inn", "BIGINT", "healpix(CAST({0} AS BIGINT), {1}, {2})"),
    _double("healpix_ra", "healpix_ra(CAST({0} AS BIGINT), CAST({1} AS BIGINT))", "ii"),
    _double("healpix_dec", "healpix_dec(CAST({0} AS BIGINT), CAST({1} AS BIGINT))", "ii"),
    Function("qserv_chunk", "nnii", "BIGINT", "qserv_chunk({0}, {1}, CAST({2} AS BIGINT), CAST({3} AS BIGINT))"),
)


def _by_name(*groups: Iterable[Function]) -> dict[str, Function]:
    return {function.name: function for group in groups for function in group}


FUNCTIONS: Final = _by_name(_MATHS, _CHOICE, _TEXTS, _DATES, _MAGNITUDES, _SKY)

# Names as users write them, upper case, where they are not the canonical ones.
_ALIASES: Final[dict[str, str]] = {
    "CEILING": "CEIL",
    "POWER": "POW",
    "IFNULL": "COALESCE",
    "LCASE": "LOWER",
    "UCASE": "UPPER",
    "CHARACTER_LENGTH": "CHAR_LENGTH",
    "SUBSTR": "SUBSTRING",
    "MID": "SUBSTRING",
    "DAYOFMONTH": "DAY",
    "TRUNC": "TRUNCATE",
    **{name.removeprefix("scisql_").upper(): name for name in _by_name(_MAGNITUDES)},
}
_OF_DUCKDB: Final = {
    "LENGTH": "CHAR_LENGTH",
    "STRLEN": "LENGTH",
    "GREATEST": "GREATEST_KNOWN",
    "LEAST": "LEAST_KNOWN",
    "CONCAT": "CONCAT_KNOWN",
}
_CANONICAL: Final = {name.upper(): name for name in FUNCTIONS}


def find_function(name: str, lang: str, arguments: int) -> Function | None:
    """The function a name means in a language; LOG and ATAN depend on how many arguments they have."""
    wanted = name.upper()
    if wanted == "LOG" and arguments == 1:
        wanted = "LOG10" if lang == "duckdb" else "LN"
    if wanted == "ATAN" and arguments == 2:
        wanted = "ATAN2"
    if wanted == "SCISQL_ANGSEP" and arguments == 6:
        wanted = "QSKY_ANGSEPVECTORS"
    if lang == "duckdb":
        wanted = _OF_DUCKDB.get(wanted, wanted)
    return FUNCTIONS.get(_CANONICAL.get(_ALIASES.get(wanted, wanted).upper(), ""))


def function_names() -> list[str]:
    """Every name a user may write, for hints."""
    return [*FUNCTIONS, *_ALIASES, "MOD", "IF", "ISNULL", *AGGREGATE_NAMES]


_SLOT: Final = re.compile(r"\{(\d|\*|\||nulls)(?::(-?\d+))?\}")


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
        return arguments[int(what)] if int(what) < len(arguments) else default

    return _SLOT.sub(filled, function.exact if function.exact and is_exact(first) else function.text)
