"""The reference itself: the MariaDB server of the tests answers as MariaDB, and gives exact values."""

from __future__ import annotations

import numpy as np
import pytest

from tests.case01.compare import Row, assert_same_multiset, assert_same_rows
from tests.mariadb import MariaDB

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mariadb")]


def test_server_answers_exact_values(mariadb: MariaDB) -> None:
    mariadb.create("own", {"T": "a INT, f FLOAT, s VARCHAR(9)"})
    mariadb.insert("own", "t", [(1, 1.23456789e-27, "A"), (2, None, "b")])
    with pytest.raises(AssertionError, match="six digits"):
        mariadb.query("SELECT f FROM t", database="own")
    mariadb.widen_floats("own", "T")
    answer = mariadb.query("SELECT f, s = 'a' AS same, COUNT(*) OVER () AS n FROM T ORDER BY a", database="own")
    assert answer.names == ("f", "same", "n")
    assert answer.rows == [(float(np.float32(1.23456789e-27)), 1, 2), (None, 0, 2)]


def test_server_is_not_reachable_by_network(mariadb: MariaDB) -> None:
    assert mariadb.query("SELECT @@skip_networking, @@port").rows == [(1, 0)]


@pytest.mark.parametrize(
    "rows",
    [
        [(1, 2.0, "a"), (2, None, "b"), (2, None, "b")],
        [(1, 2.0, "a"), (2, 0.0, "b")],
        [(1, 2.0 + 1e-8, "a"), (2, None, "b")],
        [(1, 2.0, b"a"), (2, None, "b")],
        [(1, 2.0, "A"), (2, None, "b")],
    ],
)
def test_comparison_tells_answers_apart(rows: list[Row]) -> None:
    wanted: list[Row] = [(2, None, "b"), (1, 2.0 * (1 + 5e-10), "a")]
    assert_same_multiset([(1, 2.0, "a"), (2, None, "b")], wanted)
    with pytest.raises(AssertionError):
        assert_same_rows([(1, 2.0, "a"), (2, None, "b")], wanted)
    with pytest.raises(AssertionError):
        assert_same_multiset(rows, wanted)
