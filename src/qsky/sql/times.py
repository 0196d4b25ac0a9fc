"""Functions of dates and times, as data for `sql.functions`, and MySQL's format letters in DuckDB's.

Times have no zone; UNIX_TIMESTAMP and FROM_UNIXTIME read them as UTC. What a bare text means as a time is settled in
`sql.special` before it comes here.
"""

from __future__ import annotations

from typing import Final

from qsky.sql.signature import Function, double

UNITS: Final = ("MICROSECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
_OF_CLOCK: Final = frozenset({"MICROSECOND", "SECOND", "MINUTE", "HOUR"})
_JD_OF_EPOCH: Final = 2440587.5
_MJD_OF_EPOCH: Final = 40587


def _part(name: str, text: str) -> Function:
    return Function(name, "t", "INTEGER", f"CAST({text} AS INTEGER)")


def _span(unit: str) -> str:
    """DuckDB's interval of {1} units."""
    return f"to_{unit.lower()}s(CAST({{1}} AS BIGINT))"


_PARTS: Final = (
    *(
        _part(name, f"{name.lower()}({{0}})")
        for name in ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "QUARTER")
    ),
    _part("MICROSECOND", "microsecond(CAST({0} AS TIMESTAMP)) % 1000000"),
    _part("DAYOFYEAR", "dayofyear({0})"),
    _part("DAYOFWEEK", "dayofweek({0}) + 1"),
    _part("DAYOFWEEK_SUNDAY_0", "dayofweek({0})"),
    _part("WEEKDAY", "isodow({0}) - 1"),
    _part("WEEKOFYEAR", "weekofyear({0})"),
    # WEEK(d) and WEEK(d, 0): weeks begin on Sunday, those before the first Sunday are week 0
    _part("WEEK", "CAST(strftime({0}, '%U') AS INTEGER)"),
    Function("DAYNAME", "t", "VARCHAR", "dayname({0})"),
    Function("MONTHNAME", "t", "VARCHAR", "monthname({0})"),
    Function("LAST_DAY", "t", "DATE", "last_day({0})"),
    Function("TO_DAYS", "t", "BIGINT", "(date_diff('day', DATE '1970-01-01', CAST({0} AS DATE)) + 719528)"),
    Function("DATE", "t", "DATE", "CAST({0} AS DATE)"),
    Function("TIMESTAMP", "t", "TIMESTAMP", "CAST({0} AS TIMESTAMP)"),
    Function("TIME", "t", "VARCHAR", "strftime(CAST({0} AS TIMESTAMP), '%H:%M:%S')"),
)

_MADE: Final = (
    Function("FROM_DAYS", "i", "DATE", "(DATE '1970-01-01' + CAST({0} - 719528 AS INTEGER))"),
    Function("MAKEDATE", "ii", "DATE", "CASE WHEN {1} > 0 THEN make_date({0}, 1, 1) + CAST({1} - 1 AS INTEGER) END"),
    Function(
        "FROM_UNIXTIME",
        "n",
        "TIMESTAMP",
        "CASE WHEN {0} >= 0 THEN make_timestamp(CAST(round(CAST({0} AS DOUBLE) * 1e6) AS BIGINT)) END",
        "CASE WHEN {0} >= 0 THEN make_timestamp(CAST({0} AS BIGINT) * 1000000) END",
    ),
    Function("DATE_FORMAT", "ts", "VARCHAR", "strftime(CAST({0} AS TIMESTAMP), {1})"),
    Function("STR_TO_DATE", "ss", "TIMESTAMP", "try_strptime({0}, {1})"),
    Function("STR_TO_DAY", "ss", "DATE", "CAST(try_strptime({0}, {1}) AS DATE)"),
)

# DuckDB takes the last day of a month for any later one; MySQL does not.
_WHOLE_MONTHS: Final = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_FIRST, _LAST = "least({0}, {1})", "greatest({0}, {1})"
_INTO_MONTH: Final = "(CAST({0} AS TIMESTAMP) - date_trunc('month', CAST({0} AS TIMESTAMP)))"
_MONTHS_BETWEEN: Final = (
    "(CASE WHEN {0} <= {1} THEN 1 WHEN {0} > {1} THEN -1 END * (date_diff('month', least({0}, {1}), greatest({0}, {1}))"
    f" - CASE WHEN {_INTO_MONTH.replace('{0}', _FIRST)} > {_INTO_MONTH.replace('{0}', _LAST)} THEN 1 ELSE 0 END))"
)

_DISTANCES: Final = (
    Function("DATEDIFF", "tt", "BIGINT", "date_diff('day', CAST({1} AS DATE), CAST({0} AS DATE))"),
    double("UNIX_TIMESTAMP", "epoch(CAST({0} AS TIMESTAMP))", "t"),
    double("JD", f"(epoch(CAST({{0}} AS TIMESTAMP)) / 86400e0 + {_JD_OF_EPOCH}e0)", "t"),
    double("MJD", f"(epoch(CAST({{0}} AS TIMESTAMP)) / 86400e0 + {_MJD_OF_EPOCH}e0)", "t"),
    Function(
        "MJD_TIME",
        "n",
        "TIMESTAMP",
        f"make_timestamp(CAST(round((CAST({{0}} AS DOUBLE) - {_MJD_OF_EPOCH}e0) * 86400e6) AS BIGINT))",
    ),
    *(
        Function(
            f"{unit}S_BETWEEN",
            "tt",
            "BIGINT",
            f"date_sub('{unit.lower()}', CAST({{0}} AS TIMESTAMP), CAST({{1}} AS TIMESTAMP))",
        )
        for unit in UNITS
        if unit not in _WHOLE_MONTHS
    ),
    *(
        Function(f"{unit}S_BETWEEN", "tt", "BIGINT", f"({_MONTHS_BETWEEN} // {months})")
        for unit, months in _WHOLE_MONTHS.items()
    ),
)

# {0} is moved by {1} units; a date stays a date unless the unit is one of the clock
_MOVED: Final = tuple(
    Function(f"{unit}S_LATER", "ti", "TIMESTAMP", f"(CAST({{0}} AS TIMESTAMP) + {_span(unit)})") for unit in UNITS
)
_MOVED_DATES: Final = tuple(
    Function(f"{unit}S_LATER_DATE", "ti", "DATE", f"CAST(CAST({{0}} AS TIMESTAMP) + {_span(unit)} AS DATE)")
    for unit in UNITS
    if unit not in _OF_CLOCK
)

TIMES: Final = (*_PARTS, *_MADE, *_DISTANCES, *_MOVED, *_MOVED_DATES)


def moved_name(unit: str, kind: str) -> str:
    """The function that moves a time of a type by units."""
    return f"{unit}S_LATER_DATE" if kind == "DATE" and unit not in _OF_CLOCK else f"{unit}S_LATER"


# MySQL's letters whose meaning DuckDB has, by its own letters.
_LETTERS: Final = {
    "Y": "%Y", "y": "%y", "m": "%m", "c": "%-m", "d": "%d", "e": "%-d", "H": "%H", "k": "%-H", "h": "%I", "I": "%I",
    "l": "%-I", "i": "%M", "s": "%S", "S": "%S", "f": "%f", "p": "%p", "T": "%H:%M:%S", "r": "%I:%M:%S %p", "W": "%A",
    "a": "%a", "M": "%B", "b": "%b", "j": "%j", "w": "%w", "U": "%U", "v": "%V", "x": "%G", "%": "%%",
}  # fmt: skip
_OF_TIME: Final = frozenset("HkhIlisSfpTr")


def duckdb_format(text: str) -> tuple[str, bool]:
    """A format of DATE_FORMAT in DuckDB's letters, and whether it says a time of day. Raises KeyError of a letter."""
    made, timed, at = "", False, 0
    while at < len(text):
        if text[at] != "%" or at + 1 == len(text):
            made += "%%" if text[at] == "%" else text[at]
            at += 1
            continue
        made += _LETTERS[text[at + 1]]
        timed |= text[at + 1] in _OF_TIME
        at += 2
    return made, timed
