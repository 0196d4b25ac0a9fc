"""2,000 random queries in `make test`, 50,000 in `make test-long`: each equals what DuckDB says of the whole tables.

A failure names its seed: `python -m tests.grammar.runs SEED 1` asks that query again and shrinks it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from .aside import ask_aside
from .expressions import Expressions
from .node import listed, node, shrunk
from .runs import difference, query_of, report, side_of
from .skies import Sides, sides

FAST, BATCH = 40, 100
ALWAYS = 2000
FIRST_LONG, LONG = 100_000, 50_000
# DuckDB 2.0.0 ends its process on these: a correlated sub-query inside one that has a RIGHT JOIN.
KILL_THE_ORACLE = frozenset({1351})


@pytest.fixture(scope="module")
def every_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sides, ...]]:
    with sides(tmp_path_factory.mktemp("skies")) as made:
        yield made


def check(every_side: tuple[Sides, ...], first: int, count: int) -> None:
    failures = []
    for seed in sorted({*range(first, first + count)} - KILL_THE_ORACLE):
        side = side_of(every_side, seed)
        query, lang = query_of(seed)
        found = difference(side, query, lang)
        if found:
            failures.append(report(side, seed, found))
    assert not failures, f"{len(failures)} of {count} differ\n" + "\n".join(failures[:5])


def test_the_first_queries(every_side: tuple[Sides, ...]) -> None:
    check(every_side, 0, FAST)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(FAST, ALWAYS, BATCH))
def test_random_queries(every_side: tuple[Sides, ...], first: int) -> None:
    check(every_side, first, min(BATCH, ALWAYS - first))


@pytest.mark.long
@pytest.mark.parametrize("first", range(FIRST_LONG, FIRST_LONG + LONG, 25 * BATCH))
def test_many_random_queries(first: int) -> None:
    outcome = ask_aside(first, 25 * BATCH)
    assert not outcome.differ, f"{len(outcome.differ)} of {25 * BATCH} differ\n" + "\n".join(outcome.differ[:5])
    assert len(outcome.oracle_ended) < BATCH, f"the oracle ended at {outcome.oracle_ended}"


def test_a_seed_is_a_query() -> None:
    assert all(query_of(seed) == query_of(seed) for seed in range(20))
    assert len({query_of(seed)[0].spelled(ours=False) for seed in range(50)}) == 50


def test_the_oracle_understands_most(every_side: tuple[Sides, ...]) -> None:
    """A query that DuckDB refuses proves nothing; there must be few."""
    refused = 0
    for seed in range(300):
        query, _ = query_of(seed)
        try:
            every_side[2].oracle.execute(query.spelled(ours=False))
        except Exception:
            refused += 1
    assert refused <= 24


def test_shrinking_keeps_what_fails() -> None:
    made = Expressions(random.Random(1), mysql=True)
    items = [made.of((), "int") for _ in range(4)]
    query = node(
        "", "SELECT [0][1]", listed([*items, node("int", "(7 + 1)")], least=1), node("", " LIMIT 1", optional=True)
    )
    assert shrunk(query, lambda cut: "7 + 1" in cut.spelled(ours=True)).spelled(ours=True) == "SELECT (7 + 1)"
