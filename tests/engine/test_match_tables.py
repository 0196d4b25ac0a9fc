"""Match tables: every join with their ends equals plain DuckDB over the whole tables, and most are done in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from qsky.catalog.model import Kind, MatchEnd
from qsky.engine import Engine
from qsky.ingest.compact import compact
from qsky.sky.functions import MACROS
from tests.ingest.loaded import SETTINGS, Root, stars

from .same_rows import assert_same

Pairs = list[tuple[int | None, int | None]]
ENDS = (MatchEnd("star", "a"), MatchEnd("galaxy", "b"))
# joins that run in chunks, and joins that are gathered
UNDER = (
    "SELECT m.n, s.mag FROM sky.m m JOIN sky.star s ON m.a = s.id",
    "SELECT m.n, s.mag FROM sky.star s JOIN sky.m m ON s.id = m.a WHERE s.mag > 5",
    "SELECT m.n, g.mag FROM sky.m m JOIN sky.galaxy g ON m.b = g.id",
    "SELECT m.n, g.mag FROM sky.galaxy g, sky.m m WHERE m.b = g.id AND m.n > 7",
    "SELECT s.id, m.n, g.id AS gid FROM sky.star s, sky.m m, sky.galaxy g WHERE m.a = s.id AND m.b = g.id",
    "SELECT s.id, m.n, g.id AS gid FROM sky.galaxy g JOIN sky.m m ON g.id = m.b JOIN sky.star s ON m.a = s.id",
    "SELECT g.id, count(*) AS k, avg(s.mag) AS mean FROM sky.m m JOIN sky.galaxy g ON m.b = g.id"
    " JOIN sky.star s ON m.a = s.id GROUP BY g.id",
    "SELECT s.id, m.n FROM sky.star s LEFT JOIN sky.m m ON m.a = s.id",
    "SELECT s.id, m.n FROM sky.m m LEFT JOIN sky.star s ON m.a = s.id",
    "SELECT s.id, m.n, g.mag FROM sky.star s JOIN sky.m m ON m.a = s.id JOIN sky.galaxy g ON m.b = g.id AND g.mag > s.mag",
    "SELECT s.id FROM sky.star s WHERE NOT EXISTS (SELECT 1 FROM sky.m m WHERE m.a = s.id)",
    "SELECT s.id FROM sky.star s WHERE EXISTS (SELECT 1 FROM sky.m m WHERE m.a = s.id AND m.n > 100)",
    "SELECT v.visit, m.n FROM sky.visit v JOIN sky.star s ON v.star = s.id JOIN sky.m m ON m.a = s.id",
    "SELECT v.visit, m.n, g.id FROM sky.visit v JOIN sky.star s ON v.star = s.id JOIN sky.m m ON m.a = s.id"
    " JOIN sky.galaxy g ON g.id = m.b",
    "SELECT s.id, t.id AS other FROM sky.star s JOIN sky.own o ON o.c = s.id JOIN sky.star t ON o.d = t.id",
    "SELECT t.id, o.n FROM sky.own o JOIN sky.star t ON o.d = t.id",
    "SELECT s.id, m.n FROM sky.star s JOIN sky.m m ON m.a = s.id WHERE s.id IN (1, 7, 250)",
    "SELECT m.n, g.id FROM sky.m m JOIN sky.galaxy g ON m.b = g.id WHERE g.id IN (1001, 1005, 1190)",
    "SELECT m.n, g.id FROM sky.m m JOIN sky.galaxy g ON m.b = g.id WHERE scisql_s2PtInCircle(g.ra, g.dec, 30, 10, 40) = 1",
    "SELECT m.n, s.id FROM sky.m m JOIN sky.star s ON m.a = s.id WHERE scisql_s2PtInCircle(s.ra, s.dec, 30, 10, 40) = 1",
    "SELECT count(*) FROM sky.m",
    "SELECT n FROM sky.m WHERE a IS NULL OR b IS NULL",
)
GATHERED = (
    "SELECT m.n, g.id FROM sky.m m LEFT JOIN sky.galaxy g ON m.b = g.id",
    "SELECT m.n, g.id FROM sky.galaxy g LEFT JOIN sky.m m ON m.b = g.id",
    "SELECT g.id FROM sky.galaxy g WHERE NOT EXISTS (SELECT 1 FROM sky.m m WHERE m.b = g.id)",
    "SELECT v.visit, m.n FROM sky.visit v JOIN sky.m m ON m.a = v.star",
    "SELECT x.n, y.n AS k FROM sky.m x JOIN sky.m y ON x.a = y.a WHERE x.n < y.n",
    "SELECT x.n, o.n AS k FROM sky.m x JOIN sky.own o ON x.a = o.d",
    "SELECT s.id, m.n FROM sky.star s FULL JOIN sky.m m ON m.a = s.id",
    "SELECT m.n, s.id FROM sky.m m JOIN sky.star s ON m.b = s.id",
)


@dataclass
class Matched:
    root: Root
    whole: dict[str, pa.Table] = field(default_factory=dict)

    def load(self, name: str, rows: pa.Table, **asked: object) -> None:
        self.root.load(name, rows, **asked)  # type: ignore[arg-type]
        old = self.whole.get(name)
        self.whole[name] = rows if old is None else pa.concat_tables([old, rows])


def near(one: pa.Table, offset_deg: float, count: int, first: int, seed: int) -> pa.Table:
    """Rows of new keys beside those of a table."""
    rng = np.random.default_rng(seed)
    ra = (one["ra"].to_numpy()[:count] + rng.normal(0, offset_deg, count)) % 360
    dec = np.clip(one["dec"].to_numpy()[:count] + rng.normal(0, offset_deg, count), -90, 90)
    return pa.table({"id": np.arange(first, first + count), "ra": ra, "dec": dec, "mag": rng.random(count) * 20})


def links(pairs: Pairs, names: tuple[str, str] = ("a", "b")) -> pa.Table:
    columns = [pa.array(end, pa.int64()) for end in zip(*pairs, strict=True)]
    return pa.table({names[0]: columns[0], names[1]: columns[1], "n": range(len(pairs))})


def matched(folder: object, offset_deg: float, *, late: bool) -> Matched:
    """Stars and galaxies with links of every kind: both ends, one NULL, one unknown, none; `late` loads ends afterwards."""
    made = Matched(Root(folder))  # type: ignore[arg-type]
    star = stars(300)
    galaxy = near(star, offset_deg, 200, 1000, seed=5)
    made.load("star", star.slice(0, 150 if late else 300))
    made.load("galaxy", galaxy.slice(0, 100 if late else 200))
    pairs: Pairs = []
    pairs += [(i, 1000 + i % 200) for i in range(200)] + [(i, 1000 + i) for i in range(50)]
    pairs += [(None, 1005), (7, None), (None, None), (9999, 1001), (3, 8888), (9999, 8888), (9999, None), (None, 8888)]
    made.load("m", links(pairs), kind=Kind.MATCH, match=ENDS)
    own: Pairs = []
    own += [(i, (i * 7) % 300) for i in range(120)]
    own += [
        (None, 4),
        (5, None),
        (777, 6),
    ]
    made.load("own", links(own, ("c", "d")), kind=Kind.MATCH, match=(MatchEnd("star", "c"), MatchEnd("star", "d")))
    keys = np.concatenate((np.arange(0, 300, 2), [9999, 9998, 3, 3]))
    visits = pa.table({"visit": np.arange(len(keys)), "star": keys})
    made.load("visit", visits, kind=Kind.CHILD, director="star", key="star")
    if late:
        made.load("star", star.slice(150), mode="append")
        made.load("galaxy", galaxy.slice(100), mode="append")
    return made


@pytest.fixture(scope="module", params=[(0.001, False), (0.5, True), (8.0, False)], ids=["arcsec", "late", "far"])
def sky(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Matched, Engine, duckdb.DuckDBPyConnection]]:
    offset_deg, late = request.param
    made = matched(tmp_path_factory.mktemp("match"), offset_deg, late=late)
    if late:
        compact(made.root.catalog, "sky", SETTINGS.with_changes(chunk_rows_max=40))
    plain = duckdb.connect(config={"threads": 1})
    for macro in MACROS:
        plain.execute(macro)
    plain.execute("CREATE SCHEMA sky")
    for name, rows in made.whole.items():
        plain.register("incoming", rows)
        plain.execute(f"CREATE TABLE sky.{name} AS SELECT * FROM incoming")
        plain.unregister("incoming")
    with Engine(made.root.catalog, SETTINGS) as engine:
        yield made, engine, plain


Sky = tuple[Matched, Engine, duckdb.DuckDBPyConnection]


@pytest.mark.parametrize("queries", [UNDER, GATHERED], ids=["under the line", "gathered"])
def test_joins_equal_plain_duckdb(sky: Sky, queries: tuple[str, ...]) -> None:
    _, engine, plain = sky
    wrong = []
    for query in queries:
        try:
            assert_same(engine.query(query).arrow(), plain.sql(query).to_arrow_table())
        except Exception as error:
            wrong.append(f"{query}\n    {type(error).__name__}: {str(error)[:300]}")
    assert not wrong, "\n".join(wrong)


def test_what_is_admissible_is_done_in_chunks(sky: Sky) -> None:
    made, engine, _ = sky
    far = [text for text in UNDER if "o.d" in text]  # the ends of sky.own lie anywhere: most of the sky around
    assert not [text for text in UNDER if text not in far and "\ngather     filtered" in engine.explain(text)]
    assert not [text for text in (*GATHERED, *far) if "\ngather     filtered" not in engine.explain(text)]
    table = made.root.revision.table("m")
    assert table is not None and table.own_angle_arcsec_max > 0
