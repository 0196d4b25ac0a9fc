"""Every row of docs/semantics.md is what it says: its examples, over a random table, in Qsky, MariaDB and DuckDB."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsky.config import Settings
from qsky.engine import Engine
from qsky.errors import QskyError
from tests.engine.made_sky import MadeSky
from tests.semantics.constructs import Row, sections
from tests.semantics.world import COLUMNS, ROWS, Ours, Server, alike

EVERY = [row for section in sections() for row in section.rows]
NAMES = [row.cells[0] for row in EVERY]
REFUSED = {"syntax", "not-supported", "type-mismatch", "unknown-name", "bad-argument", "bad-query"}


def difference(found: list[Any], wanted: list[Any]) -> Any:
    """The first row where two columns differ, or None."""
    assert len(found) == len(wanted)
    pairs = ((at, a, b) for at, (a, b) in enumerate(zip(found, wanted, strict=True)) if not alike(a, b))
    return next(pairs, None)


@pytest.mark.parametrize("row", EVERY, ids=NAMES)
def test_every_row_has_an_example(row: Row) -> None:
    assert row.examples


@pytest.mark.parametrize("row", [row for row in EVERY if row.marked("=") or row.marked("!") or row.marked("a")],
                         ids=lambda row: row.cells[0])  # fmt: skip
def test_as_mariadb(row: Row, server: Server, ours: Ours) -> None:
    cases = [(text, text, "mysql") for text in row.marked("=") + row.marked("!")]
    cases += [(*text.split(" ==> "), "adql") for text in row.marked("a")]
    wanted = server.select([theirs for _, theirs, _ in cases])
    for (mine, _, lang), column in zip(cases, wanted, strict=True):
        different = difference(ours.select(mine, lang), column)
        if lang == "mysql" and mine in row.marked("!"):
            assert different is not None, f"{mine} is as MariaDB now: say so"
        else:
            assert different is None, f"{mine}: row, ours, MariaDB's: {different}"


@pytest.mark.parametrize("row", [row for row in EVERY if row.marked("d")], ids=lambda row: row.cells[0])
def test_as_duckdb(row: Row, ours: Ours) -> None:
    for text in row.marked("d"):
        wanted = [int(value) if isinstance(value, bool) else value for value in ours.raw(text)]
        assert difference(ours.select(text, "duckdb"), wanted) is None, text


@pytest.mark.parametrize(
    "row", [row for row in EVERY if row.marked("-") or row.marked("a-")], ids=lambda row: row.cells[0]
)
def test_refused_by_name_and_place(row: Row, ours: Ours) -> None:
    for text, lang in [(t, "mysql") for t in row.marked("-")] + [(t, "adql") for t in row.marked("a-")]:
        with pytest.raises(QskyError) as caught:
            ours.printed(text, lang)
        assert caught.value.code.name in REFUSED, text
        assert caught.value.line == 1 and (caught.value.column or 0) >= 8, text


# -- whole statements


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, ours: Ours) -> Iterator[Engine]:
    sky = MadeSky(tmp_path_factory.mktemp("semantics"), np.random.default_rng(0))
    sky.replicated("semantics.t", ours.table)
    with Engine(sky, Settings()) as made:  # type: ignore[arg-type]
        yield made


@pytest.mark.parametrize("row", [row for row in EVERY if row.marked("q")], ids=lambda row: row.cells[0])
def test_statements_as_mariadb(row: Row, server: Server, engine: Engine) -> None:
    for text in row.marked("q"):
        found = [tuple(each.values()) for each in engine.query(text, "mysql", "semantics").arrow().to_pylist()]
        wanted = server.query(text.rstrip(";"))
        assert len(found) == len(wanted), text
        if "ORDER BY" not in text:
            found, wanted = sorted(found, key=sortable), sorted(wanted, key=sortable)
        for mine, theirs in zip(found, wanted, strict=True):
            assert all(map(close, mine, theirs)), (text, mine, theirs)


def sortable(row: tuple[Any, ...]) -> list[Any]:
    return [(value is None, 0 if value is None else value) for value in row]


def close(mine: Any, theirs: Any) -> bool:
    """As `alike`, but sums of floating numbers in another order differ in the last digits."""
    if isinstance(mine, float) and isinstance(theirs, int | float | Decimal):
        return math.isclose(mine, float(theirs), rel_tol=1e-9)
    return alike(mine, theirs)


@pytest.mark.parametrize(
    "row", [row for row in EVERY if row.marked("q-") or row.marked("aq-")], ids=lambda row: row.cells[0]
)
def test_statements_refused(row: Row, engine: Engine) -> None:
    for text, lang in [(t, "mysql") for t in row.marked("q-")] + [(t, "adql") for t in row.marked("aq-")]:
        with pytest.raises(QskyError) as caught:
            engine.query(text, lang, "semantics")
        assert caught.value.code.name in REFUSED, text


def test_the_table_is_varied(ours: Ours) -> None:
    assert ours.table.num_rows == ROWS
    for name, _, _ in COLUMNS:
        if name != "id":
            assert ours.table[name].null_count > 0 and len(set(ours.table[name].to_pylist())) > 5


def test_rows_that_mariadb_does_not_know_name_their_tests() -> None:
    repository = Path(__file__).resolve().parents[2]
    assert all((repository / text).is_file() for row in EVERY for text in row.marked("t"))
