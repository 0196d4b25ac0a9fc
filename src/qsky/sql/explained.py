"""EXPLAIN before a SELECT, as MySQL's and DuckDB's users write it. Pure; the engine asks before it parses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_EXPLAIN: Final = re.compile(
    r"""\s* (?:EXPLAIN|DESCRIBE|DESC) \b
        (?: \s+ (?P<analyze>ANALYZE) \b | \s+ FORMAT \s* = \s* ['"]? (?P<format>JSON|TEXT|TREE|TRADITIONAL) \b ['"]?
          | \s* \( \s* (?P<inside>ANALYZE \s* , \s*)? FORMAT \s+ (?P<listed>JSON|TEXT) \s* \) )*
        (?= \s* (?:SELECT|WITH|FROM) \b | \s* \( )""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Explained:
    """A statement that is to be explained: `text` is as long as what was written, so that places in it stay true."""

    text: str
    analyze: bool
    json: bool


def explained_statement(text: str, lang: str) -> Explained | None:
    """What an EXPLAIN asks about; None for any other statement. ADQL has none."""
    found = _EXPLAIN.match(text) if lang != "adql" else None
    if found is None:
        return None
    blank = re.sub(r"\S", " ", found.group())
    json = "JSON" in ((found["format"] or "").upper(), (found["listed"] or "").upper())
    return Explained(blank + text[found.end() :], bool(found["analyze"] or found["inside"]), json)
