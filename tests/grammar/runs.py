"""One random query on both sides, and what is wrong with the answer. Called by the tests, or by hand:

python -m tests.grammar.runs FIRST COUNT
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from qsky.errors import QskyError
from tests.engine.same_rows import _close, rows_of

from .node import Node, shrunk
from .queries import Grammar
from .skies import TURNS, Sides, sides

_NULL_ORDER = {"mysql": "nulls_first_on_asc_last_on_desc", "duckdb": "nulls_last"}


def side_of(all_sides: tuple[Sides, ...], seed: int) -> Sides:
    """The sky that the query of a seed is asked of."""
    return all_sides[TURNS[seed % len(TURNS)]]


def query_of(seed: int) -> tuple[Node, str]:
    """The query of a seed, and its dialect."""
    rng = random.Random(seed)
    mysql = rng.random() < 0.7
    return Grammar(rng, mysql=mysql).statement(), "mysql" if mysql else "duckdb"


def difference(side: Sides, query: Node, lang: str, asks: Callable[[str], object] = str) -> str:
    """What is wrong with the answer of Qsky, "" if nothing is, or the oracle cannot say. `asks` hears who is asked."""
    try:
        asks("theirs")
        theirs = _oracle(side, query, lang)
    except duckdb.Error:
        return ""
    try:
        asks("ours")
        ours = side.engine.query(query.spelled(ours=lang == "mysql"), lang).arrow()
    except Exception as error:
        return f"{type(error).__name__} {getattr(error, 'code', '')}: {str(error)[:300]}"
    return unlike(ours, theirs)


def ours_alone(side: Sides, query: Node, lang: str) -> None:
    """Ask Qsky a query that the oracle does not survive; it answers or refuses."""
    with suppress(QskyError):
        side.engine.query(query.spelled(ours=lang == "mysql"), lang).arrow()


def _oracle(side: Sides, query: Node, lang: str) -> pa.Table:
    side.oracle.execute(f"SET default_null_order='{_NULL_ORDER[lang]}'")
    return side.oracle.sql(query.spelled(ours=False)).to_arrow_table()


def unlike(ours: pa.Table, theirs: pa.Table) -> str:
    """How two answers differ as multisets."""
    one, other = rows_of(ours, ordered=False), rows_of(theirs, ordered=False)
    if len(one) != len(other):
        return f"{len(one)} rows, {len(other)} by the oracle"
    pairs = zip(one, other, strict=True)
    if all(_alike(a, b) for a, b in pairs):
        return ""
    left = list(other)
    for row in one:  # rounding may have sorted them apart
        place = next((place for place, candidate in enumerate(left) if _alike(row, candidate)), None)
        if place is None:
            return f"{row} is no row of the oracle's, which has {left[:3]}"
        left.pop(place)
    return ""


def _alike(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(one) == len(other) and all(_close(a, b) for a, b in zip(one, other, strict=True))


def report(side: Sides, seed: int, found: str) -> str:
    """The failing query of a seed, shrunk as far as it still fails."""
    query, lang = query_of(seed)
    kind = found.split(":")[0] if "Error" in found else ""

    def fails(cut: Node) -> bool:
        again = difference(side, cut, lang)
        return again != "" and (again.split(":")[0] if "Error" in again else "") == kind

    small = shrunk(query, fails)
    said = difference(side, small, lang)
    return (
        f"seed {seed} ({lang}): {query.spelled(ours=lang == 'mysql')}\n  shrunk: {small.spelled(ours=lang == 'mysql')}\n"
        f"  oracle: {small.spelled(ours=False)}\n  {said}"
    )


def main(first: int, count: int) -> None:
    oracle_cannot: Counter[str] = Counter()
    failures = 0
    with tempfile.TemporaryDirectory() as folder, sides(Path(folder)) as all_sides:
        start = time.process_time()
        for seed in range(first, first + count):
            side = side_of(all_sides, seed)
            query, lang = query_of(seed)
            try:
                _oracle(side, query, lang)
            except duckdb.Error as error:
                oracle_cannot[str(error)[:150]] += 1
                continue
            found = difference(side, query, lang)
            if found:
                failures += 1
                print(report(side, seed, found), flush=True)
        print(f"{failures} of {count} differ, {time.process_time() - start:.0f} CPU-seconds")
        for text, times in oracle_cannot.most_common(12):
            print(times, text.replace("\n", " "))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
