"""Best match, k nearest, rows without a match, and propagated positions: equal to a k-d tree over the whole sky."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.engine import Engine

from .border_skies import BORDERS, border_sky, pairs_within, places_within, separation_deg
from .made_sky import MadeSky

NAMES = ("corner of order 3", "north pole", "ra 0 near the pole", "ragged footprint", "three base cells meet")
FAST = ("corner of order 3",)
RADIUS_DEG = 0.7
SEP = "scisql_angSep(x.ra, x.dec, y.ra, y.dec)"
PAIRS = (("sky.a", "sky.b"), ("sky.a", "far.c"), ("far.c", "sky.a"), ("sky.b", "bare.d"), ("sky.list", "far.c"))
Border = tuple[MadeSky, Engine]


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] if name not in FAST else []) for name in NAMES]
)
def border(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Border]:
    sky = border_sky(tmp_path_factory.mktemp("cross"), BORDERS[request.param], seed=7)
    with Engine(cast(Catalog, sky), Settings(threads=2)) as engine:
        yield sky, engine


def nearest(one: pa.Table, other: pa.Table, count: int) -> list[tuple[int, float]]:
    """(key, separation in degrees) of the `count` nearest of each row within the radius."""
    i, j = places_within(one, other, RADIUS_DEG)
    apart = separation_deg(one, other, i, j)
    found, seen = [], defaultdict[int, int](int)
    for at in np.lexsort((apart, i)).tolist():
        if seen[int(i[at])] < count:
            seen[int(i[at])] += 1
            found.append((int(one["id"][int(i[at])].as_py()), float(apart[at])))
    return sorted(found)


def pairs(answer: pa.Table) -> list[tuple[Any, Any]]:
    rows = zip(answer["i"].to_pylist(), answer["j"].to_pylist(), strict=True)
    return sorted(rows, key=lambda row: (row[0], row[1] is None, row[1] or 0))


@pytest.mark.parametrize("tables", PAIRS, ids="-".join)
@pytest.mark.parametrize("count", [1, 3])
def test_k_nearest_by_a_window(border: Border, tables: tuple[str, str], count: int) -> None:
    sky, engine = border
    text = (
        f"SELECT t.i, t.d FROM (SELECT x.id AS i, {SEP} AS d, ROW_NUMBER() OVER (PARTITION BY x.id ORDER BY {SEP}, y.id) AS k"
        f" FROM {tables[0]} x, {tables[1]} y WHERE {SEP} <= {RADIUS_DEG}) t WHERE t.k <= {count}"
    )
    answer, expected = engine.query(text).arrow(), nearest(sky.rows[tables[0]], sky.rows[tables[1]], count)
    got = sorted(zip(answer["i"].to_pylist(), answer["d"].to_pylist(), strict=True))
    assert [key for key, _ in got] == [key for key, _ in expected]
    assert [apart for _, apart in got] == pytest.approx([apart for _, apart in expected], abs=1e-12)
    if tables[0] != "sky.list":
        assert "each window lies whole" in engine.explain(text) or "one fragment" in engine.explain(text)
        assert "-- stage" not in engine.explain(text)


@pytest.mark.parametrize("tables", PAIRS, ids="-".join)
def test_best_match_by_an_aggregate(border: Border, tables: tuple[str, str]) -> None:
    sky, engine = border
    text = (
        f"SELECT x.id AS i, MIN_BY(y.id, {SEP}) AS j, MIN({SEP}) AS d FROM {tables[0]} x, {tables[1]} y"
        f" WHERE {SEP} <= {RADIUS_DEG} GROUP BY x.id"
    )
    one, other = sky.rows[tables[0]], sky.rows[tables[1]]
    i, j = places_within(one, other, RADIUS_DEG)
    apart, best = separation_deg(one, other, i, j), dict[int, float]()
    for key, gap in zip(one["id"].to_numpy()[i].tolist(), apart.tolist(), strict=True):
        best[key] = min(gap, best.get(key, 999.0))
    answer = engine.query(text, "duckdb").arrow()
    found = dict(zip(answer["i"].to_pylist(), answer["d"].to_pylist(), strict=True))
    assert found == pytest.approx(best, abs=1e-12)
    assert set(pairs(answer)) <= set(pairs_within(one, other, RADIUS_DEG, ("id", "id")))


@pytest.mark.parametrize("tables", PAIRS, ids="-".join)
def test_best_match_by_not_exists(border: Border, tables: tuple[str, str]) -> None:
    """No counterpart is nearer; equally near ones are all kept."""
    sky, engine = border
    nearer = f"SELECT 1 FROM {tables[1]} z WHERE scisql_angSep(x.ra, x.dec, z.ra, z.dec) < {SEP}"
    text = (
        f"SELECT x.id AS i, y.id AS j FROM {tables[0]} x, {tables[1]} y"
        f" WHERE {SEP} <= {RADIUS_DEG} AND NOT EXISTS ({nearer})"
    )
    one, other = sky.rows[tables[0]], sky.rows[tables[1]]
    i, j = places_within(one, other, RADIUS_DEG)
    apart = separation_deg(one, other, i, j)
    best = np.full(one.num_rows, np.inf)
    np.minimum.at(best, i, apart)
    apart_by = dict(zip(zip(i.tolist(), j.tolist(), strict=True), apart.tolist(), strict=True))
    place, there = ({key: at for at, key in enumerate(rows["id"].to_pylist())} for rows in (one, other))
    found = [(place[key], there[match]) for key, match in pairs(engine.query(text).arrow())]
    assert {at for at, _ in found} == set(i.tolist())
    # separations that differ by rounding alone may count as equal or not
    assert all(apart_by[pair] <= best[pair[0]] + 1e-12 for pair in found)
    assert {pair for pair, gap in apart_by.items() if gap == 0.0} <= set(found)


@pytest.mark.parametrize("tables", PAIRS, ids="-".join)
@pytest.mark.parametrize("radius_deg", [0.0, 0.003, 0.7, 15.0])
def test_rows_without_a_match_are_kept(border: Border, tables: tuple[str, str], radius_deg: float) -> None:
    sky, engine = border
    one, other = sky.rows[tables[0]], sky.rows[tables[1]]
    expected: list[tuple[Any, Any]] = list(pairs_within(one, other, radius_deg, ("id", "id")))
    alone = sorted(set(one["id"].to_pylist()) - {i for i, _ in expected})
    on = f"{tables[0]} x LEFT JOIN {tables[1]} y ON {SEP} <= {radius_deg}"
    answer = engine.query(f"SELECT x.id AS i, y.id AS j FROM {on}").arrow()
    assert pairs(answer) == sorted(
        expected + [(i, None) for i in alone], key=lambda row: (row[0], row[1] is None, row[1] or 0)
    )
    answer = engine.query(f"SELECT x.id FROM {on} WHERE y.id IS NULL ORDER BY x.id").arrow()
    assert answer["id"].to_pylist() == alone
    test = f"SELECT 1 FROM {tables[1]} y WHERE {SEP} <= {radius_deg}"
    answer = engine.query(f"SELECT x.id FROM {tables[0]} x WHERE NOT EXISTS ({test}) ORDER BY x.id").arrow()
    assert answer["id"].to_pylist() == alone
    answer = engine.query(
        f"SELECT x.id FROM {tables[0]} x ANTI JOIN {tables[1]} y ON {SEP} <= {radius_deg} ORDER BY x.id", "duckdb"
    )
    assert answer.arrow()["id"].to_pylist() == alone


@pytest.mark.parametrize("tables", PAIRS, ids="-".join)
def test_positions_may_be_worked_out(border: Border, tables: tuple[str, str]) -> None:
    """A shift in declination stands for an epoch; the expression is in the condition, or a column of a derived table."""
    sky, engine = border
    one, other = sky.rows[tables[0]], sky.rows[tables[1]]
    moved = one.set_column(2, "dec", pa.array(one["dec"].to_numpy() * 0.999))
    expected = pairs_within(moved, other, 0.05, ("id", "id"))
    text = f"SELECT x.id AS i, y.id AS j FROM {tables[0]} x, {tables[1]} y"
    direct = f"{text} WHERE scisql_angSep(x.ra, x.dec * 0.999, y.ra, y.dec) <= 0.05"
    assert pairs(engine.query(direct, "duckdb").arrow()) == expected
    text = (
        f"SELECT x.id AS i, y.id AS j FROM (SELECT id, ra, dec * 0.999 AS d FROM {tables[0]}) x LEFT JOIN {tables[1]} y"
    )
    derived = f"{text} ON scisql_angSep(x.ra, x.d, y.ra, y.dec) <= 0.05 WHERE y.id IS NOT NULL"
    assert pairs(engine.query(derived, "duckdb").arrow()) == expected


def test_a_list_prunes_the_chunks_it_is_far_from(border: Border) -> None:
    """Rows of a list are known before planning: only what lies near them is read, also where the list is kept whole."""
    sky, engine = border
    spots = sky.rows["far.c"].slice(0, 2).to_pylist()
    listed = " UNION ALL ".join(f"SELECT {row['id']} AS id, {row['ra']!r} AS ra, {row['dec']!r} AS d" for row in spots)
    listed += " UNION ALL SELECT 9, NULL, 3.0 UNION ALL SELECT 10, -350.0, -89.5"
    near = "scisql_angSep(x.ra, x.d, y.ra, y.dec) < 0.001"
    inner = engine.query(f"SELECT x.id AS i, y.id AS j FROM ({listed}) x, far.c y WHERE {near}")
    kept = engine.query(f"SELECT x.id AS i, y.id AS j FROM ({listed}) x LEFT JOIN far.c y ON {near}")
    expected = pairs_within(sky.rows["far.c"].slice(0, 2), sky.rows["far.c"], 0.001, ("id", "id"))
    assert pairs(inner.arrow()) == expected
    got = pairs(kept.arrow())
    assert [row for row in got if row[1] is not None] == expected and (9, None) in got and (10, None) in got
    for answer in (inner, kept):
        assert "near 3 rows of a list" in answer.explain()
