"""Every query shape over random skies equals plain DuckDB over the unsharded tables."""

from __future__ import annotations

import duckdb
import pytest

from qsky.engine import Engine

from .cases import CASES
from .same_rows import assert_same

Skies = tuple[Engine, duckdb.DuckDBPyConnection]


@pytest.mark.parametrize("group", CASES)
def test_equals_plain_duckdb(skies: Skies, group: str) -> None:
    engine, oracle = skies
    for ours, theirs in CASES[group]:
        lang = "duckdb" if "NULLS" in ours else "mysql"
        expected = oracle.sql(_nulls_as_mysql(theirs)).to_arrow_table()
        try:
            assert_same(engine.query(ours, lang).arrow(), expected, ordered="ORDER BY" in ours)
        except Exception as error:
            error.add_note(ours)
            raise


def _nulls_as_mysql(text: str) -> str:
    """MySQL sorts NULLs first going up and last going down."""
    head, found, tail = text.partition(" ORDER BY ")
    if not found:
        return text
    terms, limit, rest = tail.partition(" LIMIT ")
    spelled = [t + (" NULLS LAST" if t.endswith(" DESC") else " NULLS FIRST") for t in terms.split(", ")]
    return head + found + ", ".join(spelled) + limit + rest
