"""The second wall: the words that SQL for DuckDB may consist of. Whoever runs finished SQL asks `only_known_words` first.

The first wall is the printer, which can say nothing else. This one does not trust it: it reads the finished text, knows
no query, no catalogue and no parser, and lets nothing through that could open a file, change anything, ask DuckDB about
itself or make much of little. Texts in quotes are data and are skipped; a function that is called by a quoted name, a
comment, a second statement and every other way to write a text are refused, so nothing else can hide a word.

A new word is printed: add it here, after asking what it can do in the hands of somebody else. Functions that read files
never belong here: a worker puts the relations of its own files into the holes after this has looked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from qsky.errors import QskyError
from qsky.sky.functions import MACROS

# Words that stand alone or before a parenthesis that is no call.
_KEYWORDS: Final = """
all and anti any around as asc asof between bigint blob boolean both by case cast cross current date decimal desc
distinct double else end escape except exclude exists false filter first float following from full group groups having hugeint
ignore in inner integer intersect interval is join lambda last leading left like limit materialized
natural not null nulls offset on or order ordinality outer over partition preceding qualify range right row rows
select semi smallint some struct then ties timestamp tinyint to trailing true try_cast ubigint unbounded union using
utinyint values varchar when where window with
"""
# Functions and aggregates. None reads what is no argument, none makes rows or lists of a number; texts only the printer
# bounds (sql.signature).
_CALLS: Final = """
abs acos any_value approx_count_distinct approx_quantile arg_max arg_max_null arg_min arg_min_null array_agg ascii asin
atan atan2 avg bit_and bit_count bit_or bit_xor bool_and bool_or cbrt ceil chr coalesce concat contains corr cos cosh cot
count covar_pop covar_samp cume_dist date_add date_diff date_part date_trunc datediff day dayname dayofmonth dayofweek
dayofyear degrees dense_rank epoch epoch_ms epoch_us error even exp extract first first_value floor fmod from_hex
greatest hash healpix healpix_dec healpix_ra hex hour if ifnull instr isfinite isinf isnan isoyear lag last last_day
last_value lcase lead least left length list list_contains list_extract list_sort list_transform ln log log10 log2 lower
ltrim make_date make_timestamp max max_by md5 median microsecond millisecond min min_by minute mod mode month monthname
nth_value ntile nullif percent_rank pi position pow power  qserv_chunk quantile
regr_intercept regr_slope
quantile_cont quantile_disc quarter radians rank regexp_escape regexp_extract regexp_full_match regexp_matches
regexp_replace repeat replace reverse right round row
row_number rtrim second sign sin sinh sqrt starts_with stddev stddev_pop stddev_samp strftime string_agg strlen strpos
strptime struct_extract struct_pack substr substring sum suffix tan tanh to_days to_hours to_microseconds to_minutes
to_months to_seconds to_years translate trim trunc ucase unhex unicode unnest upper var_pop var_samp variance
week weekday weekofyear xor year yearweek round_even concat_ws list_reduce len string_split lpad rpad list_position
ends_with levenshtein bin sha1 sha256 format isodow try_strptime date_sub to_weeks to_quarters
"""

_KNOWN: Final = frozenset(_KEYWORDS.split()) | frozenset(word.lower() for word in _CALLS.split())
# What the printer makes up itself: grid columns, parameters of functions on the spot, the hidden cell column, holes;
# nothing of DuckDB's is called by one letter, or by a number after a line.
_MADE_UP: Final = re.compile(
    r"_qsky_\w+|_healpix_29|qsky_\w+|scisql_\w+|around|error|head|next|gathered_\d+|e\d*|v\d+|a\d+|t\d*_*"
)
# DuckDB's views about itself and the schemas they lie in; no table in FROM may be one. Columns and aliases may.
_ITS_SCHEMAS: Final = ("information_schema", "pg_catalog", "system", "temp", "main", "memory")
_ITS_VIEWS: Final = ("duckdb_", "pragma_", "sqlite_", "pg_")
_SUSPECT: Final = re.compile(f'"(?:{"|".join((*_ITS_SCHEMAS, *_ITS_VIEWS))})', re.IGNORECASE)
_TOKEN: Final = re.compile(r"""'[^']*'|"[^"]*"|[A-Za-z_]\w*|[(),.]""")
_MACRO: Final = re.compile("|".join(macro.split("(")[0].split()[-1] for macro in MACROS), re.IGNORECASE)
_PARENTHESIS: Final = re.compile(r"(\w*)\s*(\()|\)")
_BEGINS: Final = re.compile(r"\s*\(*\s*(?:select|with)\b", re.IGNORECASE)
_CLAUSES: Final = frozenset(
    {"SELECT", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "ON", "UNION", "QUALIFY"}
)
_QUOTED: Final = re.compile(r"(')[^']*'|(\")[^\"]*\"")
_PREFIXED: Final = re.compile(r"\w'")  # E'...' has other escapes
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
_SIGNS: Final = frozenset(" \n\"'(){}[]<>=!+-*/%&|^~,.:0123456789")
_PAIRS: Final = ("--", "/*", "*/", "::", ":=")


def only_known_words(sql: str) -> str:
    """The SQL itself, if it consists of known words; inputs of a fragment are still holes in it.

    Raises internal for anything else: the first wall would have refused the query, so it has a gap.
    """
    bare = _QUOTED.sub(r"\1\2", sql)  # a mark in the place of each
    words = set(_WORD.findall(bare))
    if not _BEGINS.match(bare):
        raise _refused("a statement that is no SELECT")
    unknown = sorted(word for word in words if not _is_known(word))
    if unknown:
        raise _refused(f"the word {unknown[0][:60]}")
    signs = sorted(sign for sign in set(bare) - _SIGNS if not (sign.isascii() and (sign.isalpha() or sign == "_")))
    signs += [pair for pair in _PAIRS if pair in bare]
    if signs:
        raise _refused(f"{signs[0]!r} outside quotes")
    # Without spaces: a call by a quoted name, which could be any (columns after an alias are none); three-part names.
    tight = "".join(bare.split()).lower()
    if '"(' in tight.replace('as"(', "") or '".".' in tight or "range(" in tight or _PREFIXED.search(bare):
        raise _refused("a call or text of this kind")
    if len(_MACRO.findall(bare)) > 1 and _nests_macros(bare):
        raise _refused("macros inside macros, which grow without end")
    if _SUSPECT.search(sql) and any(map(_is_about_duckdb, _tables(sql))):
        raise _refused("a table that describes DuckDB itself")
    return sql


def _is_known(word: str) -> bool:
    return word.lower() in _KNOWN or _MADE_UP.fullmatch(word) is not None


def _nests_macros(bare: str) -> bool:
    """Whether an argument of a macro holds another, so that DuckDB would write it out again and again."""
    inside: list[bool] = []
    for name, opens in _PARENTHESIS.findall(bare):
        if not opens:
            inside = inside[:-1]
            continue
        if _MACRO.fullmatch(name) and any(inside):
            return True
        inside.append(_MACRO.fullmatch(name) is not None)
    return False


def _tables(sql: str) -> Iterator[str]:
    """What stands as a table in a FROM, in quotes; with a dot at its end if it is the first part of a name."""
    tokens = [*_TOKEN.findall(sql), ""]
    levels, before = [""], ""
    for token, after in pairwise(tokens):
        word = token.upper()
        opens = levels[-1] == "FROM" and before in ("FROM", "JOIN", ",", "(")
        if token == "(":
            levels.append("FROM" if opens else "")
        elif token == ")":
            levels = levels[:-1] or [""]
        elif word in ("FROM", "JOIN") or word in _CLAUSES:
            levels[-1] = "FROM" if word == "JOIN" else word
        elif opens and token[0] in "'\"":
            yield token + after if after == "." else token
        before = word


def _is_about_duckdb(table: str) -> bool:
    name = table.strip("'\".").lower()
    return name.startswith(_ITS_VIEWS) or (table.endswith(".") and name in _ITS_SCHEMAS)


def _refused(what: str) -> QskyError:
    return QskyError("internal", f"No query is made of {what}: the second wall has stopped it before it ran.")
