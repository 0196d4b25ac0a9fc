"""What a query is made of, read from its text: which construct, which join, which sub-query in which clause.

Called by the test that the random queries cover the language. Reads the text, so that it believes no generator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TABLE = r"\S+(?: AS OF REVISION 1)? AS t\d+"
_NEAR = rf"{_TABLE} ON (?:t\d+\.\w+ \S+ t\d+\.\w+ AND )?(?:[\d.]+ > )?scisql_angSep\(t\d+\.ra, t\d+\.dec, t"
# What every run must hold, by what shows it in the text.
CONSTRUCTS: dict[str, str] = {
    "one table": rf"FROM {_TABLE}(?: WHERE|\Z)",
    "comma": rf"FROM {_TABLE}, ",
    **{f"{kind} JOIN": rf"\b{kind} JOIN\b" for kind in ("LEFT", "RIGHT", "FULL", "SEMI", "ANTI", "CROSS")},
    "inner JOIN": rf"{_TABLE} JOIN {_TABLE} ON",
    "USING": r" USING \(",
    "NATURAL JOIN": r"NATURAL JOIN",
    "NATURAL LEFT JOIN": r"NATURAL LEFT JOIN",
    "NATURAL RIGHT JOIN": r"NATURAL RIGHT JOIN",
    "near neighbours": rf"(?<!LEFT)(?<!RIGHT)(?<!FULL) JOIN {_NEAR}",
    **{f"near {kind} JOIN": rf"{kind} JOIN {_NEAR}" for kind in ("LEFT", "RIGHT", "FULL")},
    "nearest": r"ROW_NUMBER\(\) OVER \(PARTITION BY t\d+\.id ORDER BY scisql_angSep",
    "match table": r"db\.link",
    "director through a match table": r"db\.link.* JOIN db\.(obj|cased)",
    "children": r"db\.src",
    "children without positions": r"db\.det",
    "duplicate keys": r"db\.dup",
    "keys that are text": r"db\.named",
    "text without case": r"db\.cased",
    "replicated": r"db\.bands",
    "attached": r"bare\.star",
    "two databases": r"db\.(obj|cased).*other\.cat|other\.cat.*db\.obj",
    "AS OF REVISION": r"AS OF REVISION 1",
    "derived table": r"(FROM|JOIN) \(SELECT",
    "derived table in a derived table": r"(FROM|JOIN) \(SELECT.*FROM \(SELECT",
    "union as a derived table": r"(FROM|JOIN) \(\(",
    "CTE": r"\AWITH ",
    "CTE that reads a CTE": r"w1 AS \(SELECT.*w0.*\) *SELECT",
    "CTE used twice": r"FROM w(\d) .*(JOIN|FROM) w\1 ",
    "WHERE": r" WHERE ",
    "GROUP BY": r" GROUP BY ",
    "HAVING": r" HAVING ",
    "HAVING over a sub-query": r" HAVING [^(]+\(.*\) > \(SELECT",
    "ORDER BY": r" ORDER BY 1",
    "ORDER BY an expression": r" ORDER BY \(",
    "LIMIT": r" LIMIT \d",
    "OFFSET": r" OFFSET \d",
    "SELECT *": r"SELECT \*",
    "SELECT t.*": r"SELECT t\d+\.\*",
    "DISTINCT": r"SELECT DISTINCT",
    **{verb: rf"\) {verb} \(" for verb in ("UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL")},
    **{
        name: rf"\b{name}\("
        for name in (
            "COUNT", "SUM", "AVG", "MIN", "MAX", "MIN_BY", "MAX_BY", "STDDEV_POP", "STDDEV_SAMP", "VAR_SAMP", "MEDIAN",
            "QUANTILE_CONT", "GROUP_CONCAT", "string_agg", "BIT_XOR", "COALESCE", "NULLIF", "IF", "CONCAT", "LEAST",
            "GREATEST", "CHAR_LENGTH", "SUBSTRING", "REPLACE", "UPPER", "SQRT", "CAST",
        )
    },
    "COUNT(*)": r"COUNT\(\*\)",
    "COUNT(DISTINCT)": r"COUNT\(DISTINCT",
    "SUM(DISTINCT)": r"SUM\(DISTINCT",
    "FILTER": r"FILTER \(WHERE",
    **{name: rf"\b{name}\([^)]*\) OVER " for name in ("ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE", "CUME_DIST")},
    **{name: rf"\b{name}\(.*\) OVER " for name in ("LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE", "NTH_VALUE")},
    "window over everything": r"OVER \(\)",
    "window of a partition": r"OVER \(PARTITION BY",
    "window frame": r"ROWS BETWEEN",
    "named window": r" WINDOW w AS ",
    **{f"{shape} of a position": rf"s2PtIn{shape}\(" for shape in ("Circle", "Box", "Ellipse", "CPoly")},
    **{f"restrictor {shape}": rf"qserv_areaspec_{shape}" for shape in ("circle", "box", "ellipse", "poly")},
    "two restrictors": r"qserv_areaspec\w+\([^)]*\) AND qserv_areaspec",
    "CASE": r"\(CASE WHEN",
    "LIKE": r" LIKE '",
    "BETWEEN": r" BETWEEN ",
    "IN a list": r" IN \([-\d]",
    "IS NULL": r" IS NULL",
    "NOT": r"\(NOT ",
    "OR": r" OR ",
    "DIV": r" DIV ",
    "a bare NULL": r"[(,] ?NULL\b",
}  # fmt: skip
CLAUSES = ("SELECT", "FROM", "WHERE", "GROUP BY", "HAVING", "ORDER BY")
KINDS = ("EXISTS", "NOT EXISTS", "IN", "NOT IN", "ALL", "ANY", "value")
_STEPS = re.compile(r"\(|\)|\b(?:SELECT|FROM|WHERE|GROUP BY|HAVING|ORDER BY)\b|'(?:[^']|'')*'")


@dataclass
class _Open:
    """A parenthesis that has not been closed, and the clause reached inside it."""

    start: int
    clause: str = ""


def constructs_of(text: str) -> set[str]:
    """Names of CONSTRUCTS, and "correlated EXISTS in WHERE" or "own value in SELECT" of every sub-query."""
    found = {name for name, pattern in CONSTRUCTS.items() if re.search(pattern, text.strip())}
    return found | set(_subqueries(text))


def _subqueries(text: str) -> Iterator[str]:
    opened = [_Open(0)]
    for step in _STEPS.finditer(text):
        word = step.group()
        if word == "(":
            opened.append(_Open(step.end()))
        elif word == ")":
            done = opened.pop()
            inside = text[done.start : step.start()]
            clause = next((around.clause for around in reversed(opened) if around.clause), "")
            before = text[: done.start - 1].rstrip()
            if inside.startswith("SELECT") and clause and not before.endswith(("FROM", "JOIN", ",")):
                around = set(re.findall(r"\b(t\d+)\.", inside)) - set(re.findall(r" AS (t\d+)", inside))
                yield f"{'correlated' if around else 'own'} {_kind(before)} in {clause}"
        elif not word.startswith("'"):
            opened[-1].clause = word


def _kind(before: str) -> str:
    return next(
        (kind for kind in ("NOT EXISTS", "EXISTS", "NOT IN", "IN", "ALL", "ANY") if before.endswith(kind)), "value"
    )
