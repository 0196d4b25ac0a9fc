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
