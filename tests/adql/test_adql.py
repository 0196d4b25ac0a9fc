"""ADQL 2.1, query by query: what is accepted equals SQL written by hand, what is refused says what and where."""

from __future__ import annotations

import duckdb
import pytest

from qsky.engine import Engine
from qsky.errors import QskyError
from tests.engine.same_rows import assert_same

from .written import Written, accepted, refused

_ACCEPTED, _REFUSED = accepted(), refused()


@pytest.mark.parametrize("query", _ACCEPTED, ids=lambda query: query.title)
def test_accepted(engine: Engine, oracle: duckdb.DuckDBPyConnection, query: Written) -> None:
    expected = oracle.sql(query.expected).to_arrow_table()
    found = engine.query(query.adql, "adql", "db").arrow()
    assert_same(found, expected, ordered="ORDER BY" in query.expected)
    if query.names:
        assert tuple(found.column_names) == query.names


@pytest.mark.parametrize("query", _REFUSED, ids=lambda query: query.title)
def test_refused(engine: Engine, query: Written) -> None:
    code, place, said = query.expected.split(" ", 2)
    with pytest.raises(QskyError) as refusal:
        engine.query(query.adql, "adql", "db").arrow()
    error = refusal.value
    assert said in error.message, error
    assert (error.code.name, f"{error.line}:{error.column}") == (code, place), error


def test_how_many() -> None:
    """At least 300 in all, each written once."""
    texts = [query.adql for query in (*_ACCEPTED, *_REFUSED)]
    assert len(set(texts)) == len(texts) >= 320
