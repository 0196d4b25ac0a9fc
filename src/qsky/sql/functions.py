"""The scalar functions of a query: which one a name means in a language. A function that is not here does not exist.

bind checks calls against what this finds, print writes the texts. Where MySQL gives NULL (a root of a negative number,
a logarithm of zero), so do the texts, instead of DuckDB's NaN or infinity.
"""

from __future__ import annotations

from typing import Final

from qsky.sql.aggregates import AGGREGATE_NAMES
from qsky.sql.numbers import BITS, CHOICE, MATHS
from qsky.sql.signature import Function, by_name, call_text, describe_mismatch
from qsky.sql.sky_calls import COORDINATES, MAGNITUDES, SKY, VO
from qsky.sql.texts import TEXTS
from qsky.sql.times import TIMES

__all__ = ["FUNCTIONS", "Function", "call_text", "describe_mismatch", "find_function", "function_names"]

FUNCTIONS: Final = by_name(MATHS, CHOICE, BITS, TEXTS, TIMES, MAGNITUDES, SKY, COORDINATES, VO)

# Names as users write them, upper case, where they are not the canonical ones.
_ALIASES: Final[dict[str, str]] = {
    "CEILING": "CEIL",
    "POWER": "POW",
    "IFNULL": "COALESCE",
    "NVL": "COALESCE",
    "LCASE": "LOWER",
    "UCASE": "UPPER",
    "CHARACTER_LENGTH": "CHAR_LENGTH",
    "OCTET_LENGTH": "LENGTH",
    "SUBSTR": "SUBSTRING",
    "MID": "SUBSTRING",
    "DAYOFMONTH": "DAY",
    "TRUNC": "TRUNCATE",
    "SHA": "SHA1",
    "TO_CHAR": "DATE_FORMAT",
    "IVO_HEALPIX_INDEX": "HEALPIX",
    "GAVO_TO_MJD": "MJD",
    "IVO_TO_MJD": "MJD",
    "GAVO_TO_JD": "JD",
    "IVO_TO_JD": "JD",
    **{name.removeprefix("scisql_").upper(): name for name in by_name(MAGNITUDES, SKY) if name.startswith("scisql_")},
}
_OF_DUCKDB: Final = {
    "LENGTH": "CHAR_LENGTH",
    "STRLEN": "LENGTH",
    "GREATEST": "GREATEST_KNOWN",
    "LEAST": "LEAST_KNOWN",
    "CONCAT": "CONCAT_KNOWN",
    "DAYOFWEEK": "DAYOFWEEK_SUNDAY_0",
    "WEEK": "WEEKOFYEAR",
    "STRPOS": "INSTR",
    "POSITION": "INSTR",
}
_CANONICAL: Final = {name.upper(): name for name in FUNCTIONS}
_VERSION_OF_SCISQL: Final = "_0_3_9"


def find_function(name: str, lang: str, arguments: int) -> Function | None:
    """The function a name means in a language; LOG and ATAN depend on how many arguments they have."""
    wanted = name.upper().removesuffix(_VERSION_OF_SCISQL)
    if wanted == "LOG" and arguments == 1:
        wanted = "LOG10" if lang == "duckdb" else "LN"
    if wanted == "ATAN" and arguments == 2:
        wanted = "ATAN2"
    if wanted == "LOCATE" and arguments == 2:
        wanted = "LOCATE_FIRST"
    if wanted in ("SCISQL_ANGSEP", "ANGSEP") and arguments == 6:
        wanted = "QSKY_ANGSEPVECTORS"
    if wanted in ("EPOCH_RA", "EPOCH_DEC") and arguments == 8:
        wanted += "_IN_SPACE"
    if lang == "adql" and wanted in ("BIT_AND", "BIT_OR", "BIT_XOR", "BIT_NOT"):
        wanted = f"BITWISE_{wanted[4:]}"
    if lang == "duckdb":
        wanted = _OF_DUCKDB.get(wanted, wanted)
    return FUNCTIONS.get(_CANONICAL.get(_ALIASES.get(wanted, wanted).upper(), ""))


def function_names() -> list[str]:
    """Every name a user may write, for hints."""
    return [*FUNCTIONS, *_ALIASES, "MOD", "IF", "ISNULL", *AGGREGATE_NAMES]
