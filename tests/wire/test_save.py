"""An answer becomes a table: through the ordinary load path, whole or not at all, with where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import qsky
from qsky.catalog.model import Kind
from qsky.ingest.request import LoadRequest
from qsky.result import Facts, Result
from qsky.wire import Sky

STARS = "id,ra,dec,mag\n" + "\n".join(f"{i},{i * 1.7 % 360},{i % 160 - 80},{i / 8}" for i in range(400))


@pytest.fixture
def sky(tmp_path: Path) -> Iterator[Sky]:
    (tmp_path / "stars.csv").write_text(STARS)
    with qsky.connect(tmp_path / "root", threads=1, overlap_arcsec=5) as opened:
        star = ("sky", "star", Kind.DIRECTOR, (str(tmp_path / "stars.csv"),))
        opened.load(LoadRequest(*star, key="id", ra="ra", dec="dec"))
        yield opened


def test_a_small_table_with_units_and_its_text(sky: Sky) -> None:
    text = "SELECT id, ra, mag * 2 AS twice FROM sky.star WHERE id < 100"
    report = sky.sql(text).save("mine.few", description="A few")
    assert (report.rows, report.revision) == (100, 1)
    table = sky.table("mine.few")
    assert table.kind is Kind.REPLICATED and table.description == "A few"
    assert [(column.name, column.type, column.unit) for column in table.columns] == [
        ("id", "BIGINT", ""),
        ("ra", "DOUBLE", "deg"),
        ("twice", "DOUBLE", ""),
    ]
    (source,) = sky.revision("mine").provenance.sources
    said = {"name": text, "format": "sql", "lang": "mysql", "database": "", "reads": {"sky": 1}}
    assert {key: source[key] for key in said} == said and len(source["sha256"]) == 64
    assert sky.sql("SELECT SUM(twice) FROM mine.few").scalar() == sum(i / 4 for i in range(100))


def test_a_director_and_its_child(sky: Sky) -> None:
    sky.save(
        "SELECT id, ra, dec FROM sky.star WHERE mag < 20", "mine.bright", director=True, key="id", ra="ra", dec="dec"
    )
    sky.save("SELECT id AS star, mag FROM star", "mine.seen", database="sky", child_of="mine.bright", key="star")
    child = sky.table("mine.seen")
    assert (child.kind, child.director, child.rows, child.orphan_rows) == (Kind.CHILD, "bright", 400, 240)
    joined = "SELECT COUNT(*), SUM(s.mag) FROM mine.bright b JOIN mine.seen s ON s.star = b.id"
    assert [*sky.sql(joined).arrow().to_pylist()[0].values()] == [160, sum(i / 8 for i in range(160))]
    assert sky.verify("mine").problems == []


def test_appending_and_replacing(sky: Sky) -> None:
    sky.save("SELECT id FROM sky.star WHERE id < 3", "mine.t")
    assert sky.save("SELECT id FROM sky.star WHERE id < 2", "mine.t", append=True).revision == 2
    assert sky.save("SELECT id + 1 AS id FROM mine.t", "mine.t", replace=True).revision == 3
    assert sorted(sky.sql("SELECT id FROM mine.t").arrow()["id"].to_pylist()) == [1, 1, 2, 2, 3]
    sky.save("SELECT id, ra, dec FROM sky.star WHERE id < 9", "mine.d", director=True, key="id", ra="ra", dec="dec")
    sky.save("SELECT id, ra, dec FROM sky.star WHERE id = 9", "mine.d", append=True)
    assert (sky.table("mine.d").kind, sky.table("mine.d").rows) == (Kind.DIRECTOR, 10)


ONE = "SELECT id FROM sky.star WHERE id = 1"
REFUSED = [
    (ONE, "sky.star", {}, "family-mismatch"),
    (ONE, "mine", {}, "usage"),
    (ONE, "mine.a-b", {}, "bad-name"),
    (ONE, "mine.t_overlap", {}, "bad-name"),
    (ONE, "_mine.t", {}, "bad-name"),
    (ONE, "mine.t", {"append": True}, "no-such-table"),
    (ONE, "sky.star", {"append": True, "replace": True}, "usage"),
    (ONE, "mine.t", {"key": "id"}, "usage"),
    (ONE, "mine.t", {"director": True, "replicated": True}, "usage"),
    (ONE, "mine.t", {"director": True, "key": "id", "ra": "ra", "dec": "dec"}, "no-such-column"),
    (ONE, "mine.t", {"child_of": "sky.star", "key": "id"}, "usage"),
    (ONE, "sky.t", {"child_of": "sky.nothing", "key": "id"}, "no-such-table"),
    ("SELECT id FROM sky.star WHERE id < 0", "mine.t", {}, "empty-load"),
    ("SELECT id, id FROM sky.star", "mine.t", {}, "bad-columns"),
    ("SELECT id, id AS ID FROM sky.star", "mine.t", {}, "bad-columns"),
    ("SELECT id AS ` ` FROM sky.star", "mine.t", {}, "bad-columns"),
    ("SELECT _healpix_29 FROM sky.star", "mine.t", {}, "bad-columns"),
    ("SELECT id AS Npix FROM sky.star", "mine.t", {}, "bad-columns"),
    ("SELECT 'x' AS mag, id, ra, dec FROM sky.star", "sky.star", {"append": True}, "type-change"),
    ("SELECT id, ra, dec FROM sky.star", "sky.star", {"append": True}, "duplicate-keys"),
    ("SELECT id + 9223372036854775807 AS id FROM sky.star", "mine.t", {}, "query-failed"),
    ("SELECT nothing FROM sky.star", "mine.t", {}, "unknown-name"),
]


@pytest.mark.parametrize(("text", "name", "role", "code"), REFUSED)
def test_what_cannot_be_saved_changes_nothing(sky: Sky, text: str, name: str, role: dict[str, str], code: str) -> None:
    with pytest.raises(qsky.QskyError) as caught:
        sky.save(text, name, **role)  # type: ignore[arg-type]
    assert caught.value.code.name == code and "\n" not in str(caught.value)
    assert (sky.databases(), sky.revision("sky").number, sky.table("sky.star").rows) == (["sky"], 1, 400)
    left = [file for file in (sky.root / "public").rglob("*") if file.is_file() and "scratch" in str(file)]
    assert left == []


def test_the_name_is_looked_at_before_the_query_runs(sky: Sky, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(sky._engine, "query", lambda text, *_: asked.append(text))
    with pytest.raises(qsky.QskyError):
        sky.save(ONE, "sky.star")
    assert asked == []


def test_odd_names_stay_as_they_are(sky: Sky) -> None:
    text = "SELECT COUNT(*), 1 + 1, NULL AS n, 2 AS `a b,;{}()=`, 3 AS `ä/..`, 4 AS `q\"'x`, 5 AS `.` FROM sky.star"
    sky.save(text, "mine.odd")
    sky.save("SELECT * FROM mine.odd", "mine.again")
    expected = sky.sql(text).arrow().to_pylist()
    assert sky.sql("SELECT * FROM mine.again").arrow().to_pylist() == expected
    assert sky.verify("mine").problems == []


def test_an_answer_is_saved_as_long_as_it_is_there(sky: Sky) -> None:
    held = sky.sql(ONE)
    assert len(held) == 1
    held.save("mine.a")
    held.save("mine.b")
    stream = sky.sql(ONE)
    list(stream.batches())
    with pytest.raises(ValueError, match="already read"):
        stream.save("mine.c")
    assert [table.name for table in sky.revision("mine").tables] == ["a", "b"]
    table = pa.table({"x": [1]})
    with pytest.raises(ValueError, match="no root"):
        Result(table.schema, iter(table.to_batches()), Facts()).save("mine.c")


def test_ctrl_c_leaves_nothing(sky: Sky, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(batches: object) -> Iterator[pa.Table]:
        yield pa.table({"id": pa.array([1], pa.int64())})
        raise KeyboardInterrupt

    monkeypatch.setattr("qsky.ingest.answer._groups", pressed)
    with pytest.raises(KeyboardInterrupt):
        sky.save(ONE, "mine.t")
    assert sky.databases() == ["sky"]
    assert not [file for file in (sky.root / "public").rglob("*.parquet") if "scratch" in str(file)]
    monkeypatch.undo()
    assert sky.save(ONE, "mine.t").rows == 1


def test_explain_with_analyze_in_python(sky: Sky) -> None:
    assert "-- it took" in sky.explain(ONE, analyze=True) and "-- it took" not in sky.explain(ONE)
    assert sky.explained(ONE, analyze=True)["run"]["rows"] == 1
    heard: list[object] = []
    sky.sql(ONE, progress=heard.append).arrow()
    assert len(heard) == 2
