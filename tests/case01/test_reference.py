"""The reference itself: the MariaDB server of the tests answers as MariaDB, and gives exact values."""

from __future__ import annotations

import numpy as np
import pytest

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
