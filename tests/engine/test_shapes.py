"""Sub-queries, CTEs, set operations, windows, outer joins and every aggregate over random skies equal plain DuckDB."""

from __future__ import annotations

import duckdb
import pytest

from qsky.engine import Engine

from .same_rows import assert_same
from .shapes import SHAPES

Skies = tuple[Engine, duckdb.DuckDBPyConnection]


@pytest.mark.parametrize("group", SHAPES)
def test_equals_plain_duckdb(skies: Skies, group: str) -> None:
    engine, oracle = skies
    cases, lang = SHAPES[group]
    plain = oracle.cursor()
    plain.execute(f"SET default_null_order='{'nulls_first_on_asc_last_on_desc' if lang == 'mysql' else 'nulls_last'}'")
    failures = []
    for ours, theirs in cases:
        try:
            assert_same(engine.query(ours, lang).arrow(), plain.sql(theirs).to_arrow_table())
        except Exception as error:
            failures.append(f"{ours}\n    {type(error).__name__}: {str(error)[:300]}")
    assert not failures, "\n".join([f"{len(failures)} of {len(cases)} differ", *failures])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT o.id FROM db.obj o JOIN (SELECT -50 AS k UNION ALL SELECT -47) t ON o.id = t.k", "2 keys"),
        (
            "SELECT t.k, o.id FROM (SELECT -50 AS k UNION ALL SELECT 9999999) t LEFT JOIN db.obj o ON o.id = t.k",
            "2 keys",
        ),
        ("SELECT id FROM db.obj WHERE id IN (SELECT id FROM db.obj WHERE id < -45)", "2 keys"),
        ("SELECT id FROM db.obj WHERE id NOT IN (SELECT id FROM db.obj WHERE id < -45)", ""),
        ("SELECT o.id FROM db.obj o LEFT JOIN (SELECT -50 AS k UNION ALL SELECT -47) t ON o.id = t.k", ""),
    ],
)
@pytest.mark.parametrize("listed_max", [0, 5000])
def test_keys_of_a_list_are_looked_up(
    skies: Skies, text: str, said: str, listed_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the list became one of constants or stays a small table."""
    monkeypatch.setattr("qsky.plan.answers._LIST_MAX", listed_max)
    engine, oracle = skies
    answer = engine.query(text)
    assert_same(answer.arrow(), oracle.sql(text).to_arrow_table())
    if said and oracle.sql("SELECT 1 FROM db.obj").fetchall():
        assert said in answer.explain()
    assert said or "keys" not in answer.explain()
