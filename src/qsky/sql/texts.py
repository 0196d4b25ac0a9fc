"""Functions of text and bytes, as data for `sql.functions`. Positions count characters from 1, as everywhere in SQL.

Text is UTF-8; case and trailing spaces count. Where MySQL has a rule for a length below 1, so do the texts.
"""

from __future__ import annotations

from typing import Final

from qsky.sql.signature import Function, when

_PIECES: Final = "string_split({0}, {1})"
_LEADING: Final = "'^(?:' || regexp_escape({1}) || ')+'"
_TRAILING: Final = "'(?:' || regexp_escape({1}) || ')+$'"


def _text(name: str, signature: str, text: str, longest: str = "") -> Function:
    return Function(name, signature, "VARCHAR", text, longest=longest)


def _padded(name: str) -> Function:
    """A text of a length: cut if longer, NULL below 0; MySQL has NULL too for a pad that is empty and needed."""
    pad = "{2:' '}"
    short = f"CASE WHEN {{1}} > length({{0}}) AND {pad} = '' THEN NULL ELSE"
    cut = f"{short} {name.lower()}({{0}}, CAST({{1}} AS INTEGER), CASE WHEN {pad} = '' THEN ' ' ELSE {pad} END) END"
    return _text(name, "si?s", when(f"{{1}} >= 0 AND {pad} IS NOT NULL", cut), "4e0 * {1}")


_FROM: Final = "CAST({2} AS BIGINT)"
_FOUND: Final = f"strpos(substr({{1}}, {_FROM}), {{0}})"
_LOCATE: Final = (
    f"CASE WHEN {_FROM} < 1 OR {_FROM} > length({{1}}) THEN strpos({{1}}, {{0}}) * 0"
    f" WHEN {_FOUND} = 0 THEN 0 ELSE {_FOUND} + {_FROM} - 1 END"
)
_INSERTED: Final = (
    "CASE WHEN {2} IS NULL THEN NULL WHEN {1} < 1 OR {1} > length({0}) THEN left({3}, 0) || {0}"
    " WHEN {2} < 0 OR {1} + {2} > length({0}) THEN left({0}, {1} - 1) || {3}"
    " ELSE left({0}, {1} - 1) || {3} || substr({0}, {1} + {2}) END"
)
_SUBSTRING_INDEX: Final = (
    "CASE WHEN {nulls} THEN NULL WHEN {1} = '' OR {2} = 0 THEN left({0}, {2} * 0)"
    f" ELSE list_reduce(CASE WHEN {{2}} > 0 THEN {_PIECES}[1:{{2}}]"
    f" ELSE {_PIECES}[greatest(len({_PIECES}) + {{2}} + 1, 1):] END, lambda head, next: head || {{1}} || next) END"
)

# chr(123) and chr(125) are the braces of DuckDB's format, which would be slots here
_DECIMALS: Final = "least(greatest({1}, 0), 30)"
_FORMAT: Final = (
    f"format(chr(123) || ':,.' || {_DECIMALS} || 'f' || chr(125),"
    f" round(CAST({{0}} AS DOUBLE), CAST({_DECIMALS} AS INTEGER)))"
)
_FORMAT_WHOLE: Final = (
    "format(chr(123) || ':,' || chr(125), CAST({0} AS BIGINT))"
    f" || CASE WHEN {{1}} IS NULL THEN NULL WHEN {_DECIMALS} > 0"
    f" THEN rpad('.', CAST({_DECIMALS} + 1 AS INTEGER), '0') ELSE '' END"
)

_CASES: Final = (
    Function("LENGTH", "s", "BIGINT", "strlen({0})"),
    Function("CHAR_LENGTH", "s", "BIGINT", "length({0})"),
    Function("BIT_LENGTH", "s", "BIGINT", "(8 * strlen({0}))"),
    _text("LOWER", "s", "lower({0})"),
    _text("UPPER", "s", "upper({0})"),
    _text("TRIM", "s", "trim({0}, ' ')"),
    _text("LTRIM", "s", "ltrim({0}, ' ')"),
    _text("RTRIM", "s", "rtrim({0}, ' ')"),
    # TRIM(BOTH x FROM s): x as a whole, as often as it stands there
    _text("TRIM_BOTH", "ss", f"regexp_replace(regexp_replace({{0}}, {_LEADING}, '', 's'), {_TRAILING}, '', 's')"),
    _text("TRIM_LEADING", "ss", f"regexp_replace({{0}}, {_LEADING}, '', 's')"),
    _text("TRIM_TRAILING", "ss", f"regexp_replace({{0}}, {_TRAILING}, '', 's')"),
    _text("REVERSE", "s", "reverse({0})"),
)

_PARTS: Final = (
    # MySQL's text of a DOUBLE: no .0, no + and no leading zeros in the exponent
    _text(
        "TEXT_OF_DOUBLE",
        "n",
        "regexp_replace(regexp_replace(CAST({0} AS VARCHAR), '\\.0$', ''), 'e\\+?(-?)0*', 'e\\1')",
    ),
    _text("CONCAT", "a*a", "({|})", "{lengths}"),
    _text("CONCAT_KNOWN", "a*a", "concat({*})", "{lengths}"),
    _text("CONCAT_WS", "sa*a", "concat_ws({*})", "{lengths} + {count} * coalesce(strlen({0}), 0)"),
    _text("LEFT", "si", "CASE WHEN {1} < 1 THEN left({0}, 0) ELSE left({0}, {1}) END"),
    _text("RIGHT", "si", "CASE WHEN {1} < 1 THEN left({0}, 0) ELSE right({0}, {1}) END"),
    _text(
        "REPLACE",
        "sss",
        "CASE WHEN {1} = '' THEN left({2}, 0) || {0} ELSE replace({0}, {1}, {2}) END",
        "strlen({0}) + strlen({0}) // greatest(strlen({1}), 1) * strlen({2})",
    ),
    _text(
        "SUBSTRING",
        "si?i",
        "CASE WHEN {1} = 0 OR {1} < -length({0}) OR {2:1} < 1 THEN left({0}, 0) ELSE substr({0}, {1}, {2:4294967295}) END",
    ),
    _text("SUBSTRING_INDEX", "ssi", _SUBSTRING_INDEX),
    _text("REPEAT", "si", "repeat({0}, greatest(CAST({1} AS BIGINT), 0) + {1} * 0)", "1e0 * strlen({0}) * {1}"),
    _text("SPACE", "i", "repeat(' ', greatest(CAST({0} AS BIGINT), 0) + {0} * 0)", "{0}"),
    _padded("LPAD"),
    _padded("RPAD"),
    _text("INSERT", "siis", _INSERTED, "strlen({0}) + strlen({3})"),
    _text("TRANSLATE", "sss", "translate({0}, {1}, {2})"),
)

_SEARCH: Final = (
    Function("INSTR", "ss", "BIGINT", "strpos({0}, {1})"),
    Function("LOCATE_FIRST", "ss", "BIGINT", "strpos({1}, {0})"),
    Function("LOCATE", "ssi", "BIGINT", _LOCATE),
    Function("STRCMP", "ss", "INTEGER", "CASE WHEN {0} < {1} THEN -1 WHEN {0} > {1} THEN 1 WHEN {0} = {1} THEN 0 END"),
    Function("FIND_IN_SET", "ss", "BIGINT", when(
        "{0} IS NOT NULL AND {1} IS NOT NULL",
        "CASE WHEN {1} = '' THEN 0 ELSE coalesce(list_position(string_split({1}, ','), {0}), 0) END",
    )),
    Function("MATCHES", "ss", "BOOLEAN", "regexp_matches({0}, {1})"),
    Function("MATCHES_ANY_CASE", "ss", "BOOLEAN", "regexp_matches({0}, {1}, 'i')"),
    _text("REGEXP_REPLACE", "sss", "regexp_replace({0}, {1}, {2}, 'gs')", "(strlen({0}) + 1) * (strlen({2}) + 1)"),
    _text("REGEXP_SUBSTR", "ss", "regexp_extract({0}, {1}, 0, 's')"),
    Function("STARTS_WITH", "ss", "BOOLEAN", "starts_with({0}, {1})"),
    Function("ENDS_WITH", "ss", "BOOLEAN", "ends_with({0}, {1})"),
    Function("LEVENSHTEIN", "ss", "BIGINT", "levenshtein({0}, {1})"),
)  # fmt: skip

_CODES: Final = (
    # the first byte, 0 for no text
    Function("ASCII", "s", "BIGINT", "CAST('0x' || left(hex({0}) || '00', 2) AS BIGINT)"),
    _text("HEX", "b", "hex({0})", "2 * strlen(CAST({0} AS VARCHAR))"),
    Function("UNHEX", "s", "BLOB", when(
        "regexp_full_match({0}, '[0-9A-Fa-f]*')",
        "CASE WHEN length({0}) % 2 = 1 THEN unhex('0' || {0}) ELSE unhex({0}) END",
    )),
    _text("BIN", "i", "CASE WHEN {0} < 0 THEN bin(CAST({0} AS HUGEINT) + 18446744073709551616) ELSE bin({0}) END"),
    _text("MD5", "b", "md5({0})"),
    _text("SHA1", "b", "sha1({0})"),
    _text("SHA256", "b", "sha256({0})"),
    Function("FORMAT", "ni", "VARCHAR", _FORMAT, _FORMAT_WHOLE),
)  # fmt: skip

TEXTS: Final = (*_CASES, *_PARTS, *_SEARCH, *_CODES)
