"""One random query on both sides, and what is wrong with the answer. Called by the tests, or by hand:

python -m tests.grammar.runs FIRST COUNT
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import pyarrow as pa

from qsky.catalog.model import Column
from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.engine import Engine
from tests.engine.conftest import FRAGMENTS, make_sky, objects, plain_duckdb
from tests.engine.made_sky import MadeSky, random_tiling
from tests.engine.same_rows import _close, rows_of

from .node import Node, shrunk
from .queries import Grammar

SKIES = (1, 2, 4)
_NULL_ORDER = {True: "nulls_first_on_asc_last_on_desc", False: "nulls_last"}


@dataclass(frozen=True)
class Sides:
    engine: Engine
    oracle: duckdb.DuckDBPyConnection


def cased_sky(folder: Path, seed: int) -> MadeSky:
    """A random sky with one more director, whose names are compared without regard to case."""
    sky = make_sky(folder, seed)
    rng = np.random.default_rng(seed + 100)
    rows = objects(rng, 0 if seed == 4 else 80)
    names = [str(rng.choice(["abc", "AbC", "x", "X", "o'3"])) if k % 9 else None for k in range(rows.num_rows)]
    rows = rows.set_column(6, "name", pa.array(names, pa.string()))
    sky.director("db.cased", rows, random_tiling(rng, 2))
    old = sky.snapshots["db"]["cased"]
    columns = tuple(replace(c, collation="ci") if c.name == "name" else c for c in old.table.columns)
    assert all(isinstance(column, Column) for column in columns)
    sky.snapshots["db"]["cased"] = replace(old, table=replace(old.table, columns=columns))
    return sky


@contextmanager
def sides(folder: Path) -> Iterator[tuple[Sides, ...]]:
    """Every sky with its engine and its oracle."""
    with ExitStack() as stack:
        made = []
        for seed in SKIES:
            sky = cased_sky(folder / str(seed), seed)
            settings = Settings(threads=2, **FRAGMENTS[seed])
            engine = stack.enter_context(Engine(cast(Catalog, sky), settings))
            made.append(Sides(engine, stack.enter_context(plain_duckdb(sky))))
        yield tuple(made)


def query_of(seed: int) -> tuple[Node, str]:
    """The query of a seed, and its dialect."""
    rng = random.Random(seed)
    mysql = rng.random() < 0.7
    return Grammar(rng, mysql=mysql).statement(), "mysql" if mysql else "duckdb"


def difference(side: Sides, query: Node, lang: str) -> str:
    """What is wrong with the answer of Qsky, "" if nothing is, or the oracle cannot say."""
    try:
        theirs = _oracle(side, query, lang)
    except duckdb.Error:
        return ""
    try:
        ours = side.engine.query(query.spelled(ours=lang == "mysql"), lang).arrow()
    except Exception as error:
        return f"{type(error).__name__} {getattr(error, 'code', '')}: {str(error)[:300]}"
    return unlike(ours, theirs)


def _oracle(side: Sides, query: Node, lang: str) -> pa.Table:
    cursor = side.oracle.cursor()
    cursor.execute(f"SET default_null_order='{_NULL_ORDER[lang == 'mysql']}'")
    return cursor.sql(query.spelled(ours=False)).to_arrow_table()


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
            side = all_sides[seed % len(all_sides)]
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
