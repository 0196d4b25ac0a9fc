"""All queries that Qserv answers, each against MariaDB or, where it uses functions of the sky, against NumPy and astropy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import pytest

from qsky.wire import Sky
from tests.case01.cases import DATABASE, Case, cases
from tests.case01.compare import (
    assert_same_columns,
    assert_same_multiset,
    assert_same_rows,
    assert_some_of,
    rows_of,
)
from tests.case01.sky_reference import OF_ACTIVE
from tests.mariadb import MariaDB, Rows

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mariadb")]

# Qserv shows its own storage here: the counterparts are in test_catalogue.py.
OWN_STORAGE: Final = {"2100_groupByChunkId", "3008_showColumns"}
ALL: Final = cases("active")
ACTIVE: Final = {name: case for name, case in ALL.items() if name not in OWN_STORAGE}
# How many of the first columns decide the order, where rows that are equal there may come in any order.
ORDER_COLUMNS: Final[Mapping[str, int]] = {"0012.1_raftAndCcd": 1}


def test_nothing_is_left_out(shared_data: object) -> None:
    assert len(ALL) == 78
    assert set(OF_ACTIVE) | OWN_STORAGE | set(ORDER_COLUMNS) <= set(ALL)
    assert {name for name, case in ALL.items() if "scisql_" in case.plain} == set(OF_ACTIVE)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=name) for name, case in ACTIVE.items() if name not in OF_ACTIVE]
)
def test_equal_to_mariadb(case: Case, sky: Sky, reference: MariaDB) -> None:
    wanted = reference.query(_without_limit(case), database=DATABASE)
    for text in dict.fromkeys((case.text, case.plain)):
        table = sky.sql(text, database=DATABASE).arrow()
        assert_same_columns(table, wanted)
        _assert_answers(case, rows_of(table), wanted)


@pytest.mark.parametrize("name", OF_ACTIVE)
def test_equal_to_astropy(name: str, sky: Sky, reference: MariaDB) -> None:
    wanted = OF_ACTIVE[name](reference)
    for text in dict.fromkeys((ACTIVE[name].text, ACTIVE[name].plain)):
        rows = rows_of(sky.sql(text, database=DATABASE).arrow())
        (assert_same_rows if ACTIVE[name].ordered else assert_same_multiset)(rows, wanted)


def _without_limit(case: Case) -> str:
    """Which rows a LIMIT takes is decided only by an ORDER BY."""
    return case.plain if case.ordered else re.sub(r" LIMIT \d+$", "", case.plain)


def _assert_answers(case: Case, rows: list[tuple[object, ...]], wanted: Rows) -> None:
    limit = re.search(r" LIMIT (\d+)$", case.plain)
    if case.ordered:
        count = ORDER_COLUMNS.get(case.name, len(wanted.names))
        assert_same_rows([row[:count] for row in rows], [row[:count] for row in wanted.rows])
    if limit and not case.ordered:
        assert_some_of(rows, wanted.rows, int(limit[1]))
    else:
        assert_same_multiset(rows, wanted.rows)
