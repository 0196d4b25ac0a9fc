"""The random queries of `make test` hold every construct, and every rule of the planner does and leaves its work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from .constructs import CLAUSES, CONSTRUCTS, KINDS, constructs_of
from .runs import query_of, side_of
from .skies import Sides, sides

QUERIES = 2000
LEAST = 2
PLANNED = 300
# (rule, did it do anything) -> what it says then, one of which each must have been said
SAID: dict[tuple[str, bool], tuple[str, ...]] = {
    ("statistics", True): ("rows by the manifests",),
    ("statistics", False): ("only COUNT(*)",),
    ("prune", True): ("inside a cone", "keys of the director"),
    ("prune", False): ("no predicate",),
    ("join", True): ("chunk by chunk", "inside the chunk", "from all chunks within", "whole in every fragment"),
    ("join", False): ("no partitioned table", "FULL JOIN", "LEFT JOIN", "neither on a director's key", "sub-query"),
    ("batch", True): ("the last for rows without a director",),
    ("gather", True): ("are joined in one place",),
    ("split", True): (
        "partial aggregates",
        "cannot be folded",
        "windows reach",
        "each group",
        "projections and filters",
    ),
    ("nest", True): ("in the fragments that make them",),
}


def test_every_construct_is_asked() -> None:
    asked: Counter[str] = Counter()
    for seed in range(QUERIES):
        query, lang = query_of(seed)
        found = constructs_of(query.spelled(ours=lang == "mysql"))
        asked.update(found & set(CONSTRUCTS))
        nested = [name.replace(" in ", " ").split(" ", 1) for name in found - set(CONSTRUCTS)]
        asked.update({f"{how} {part}" for how, what in nested for part in (*KINDS, *CLAUSES) if part in what})
    wanted = [*CONSTRUCTS, *(f"{how} {part}" for how in ("own", "correlated") for part in (*KINDS, *CLAUSES))]
    assert {name: asked[name] for name in wanted if asked[name] < LEAST} == {}


@pytest.fixture(scope="module")
def every_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sides, ...]]:
    with sides(tmp_path_factory.mktemp("skies")) as made:
        yield made


@pytest.mark.slow
def test_every_rule_does_and_leaves_its_work(every_side: tuple[Sides, ...]) -> None:
    said: Counter[tuple[str, bool, str]] = Counter()
    for seed in range(PLANNED):
        query, lang = query_of(seed)
        try:
            plans = side_of(every_side, seed).engine.explained(query.spelled(ours=lang == "mysql"), lang)
        except Exception:  # what is refused is for the test that compares answers
            continue
        for rule in (rule for plan in (plans, *plans.get("stages", ())) for rule in plan["rules"]):
            texts = SAID.get((rule["rule"], rule["fired"]), ())
            said.update((rule["rule"], rule["fired"], text) for text in texts if text in rule["why"])
    wanted = [(*key, text) for key, texts in SAID.items() for text in texts]
    assert {key: said[key] for key in wanted if said[key] < LEAST} == {}
