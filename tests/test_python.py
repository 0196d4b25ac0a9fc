"""Qsky in Python as an astronomer meets it: a folder, a file with units and NULLs, and the answer in every form."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from astropy import units
from astropy.io.votable import from_table
from astropy.table import Column, MaskedColumn, Table

import qsky
from qsky.catalog.model import Kind
from qsky.ingest.request import LoadRequest
from qsky.ingest.synth import SkyPlan
from qsky.wire import Sky

# Neither survives a float.
IDS = [2**62 + 1, 2**62 + 3, 2**62 + 5, 7]
PARENTS = [2**53 + 1, None, -(2**53) - 1, None]
NAMES = ["Vega", None, "<b>ä & Ω</b>", ""]


def stars() -> Table:
    """Four stars with units, descriptions and NULLs."""
    return Table(
        [
            Column(IDS, "id", dtype="i8", description="Whose number it is", meta={"ucd": "meta.id"}),
            Column([10.0, 10.0002, 200.0, 359.9999], "ra", unit="deg"),
            Column([20.0, 20.0, -5.0, 89.9], "dec", unit="deg"),
            MaskedColumn([p or 0 for p in PARENTS], "parent", dtype="i8", mask=[p is None for p in PARENTS]),
            MaskedColumn([1.5, 0.0, -2.25, 0.1], "flux", dtype="f4", unit="nJy", mask=[False, True, False, False]),
            Column([True, False, True, False], "flag"),
        ]
    )


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sky]:
    folder = tmp_path_factory.mktemp("python")
    from_table(stars()).to_xml(str(folder / "stars.vot"), tabledata_format="binary2")
    names = pa.table({"id": IDS, "name": NAMES, "seen": [datetime(2020, 2, 29, 13, 14, 15, 600000), None] * 2})
    pa.parquet.write_table(names, folder / "names.parquet")
    with qsky.connect(folder / "root", threads=2) as opened:
        director = ("sky", "star", Kind.DIRECTOR, (str(folder / "stars.vot"),))
        opened.load(LoadRequest(*director, key="id", ra="ra", dec="dec", overlap_arcsec=5))
        opened.load(LoadRequest("sky", "name", Kind.REPLICATED, (str(folder / "names.parquet"),)))
        yield opened


ALL = "SELECT * FROM sky.star ORDER BY id DESC"
ORDER = [2, 1, 0, 3]  # of the rows of `stars` in that answer


def in_order(values: list[Any]) -> list[Any]:
    return [values[place] for place in ORDER]


# -- forms of an answer


def test_arrow_has_types_units_and_exact_integers(sky: Sky) -> None:
    table = sky.sql(ALL).arrow()
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("id", "int64"),
        ("ra", "double"),
        ("dec", "double"),
        ("parent", "int64"),
        ("flux", "float"),
        ("flag", "bool"),
    ]
    assert table["id"].to_pylist() == in_order(IDS)
    assert table["parent"].to_pylist() == in_order(PARENTS)
    assert table.schema.field("flux").metadata == {b"unit": b"nJy"}
    about = table.schema.field("id").metadata
    assert about[b"description"] == b"Whose number it is"


def test_pandas_keeps_integers_beside_nulls(sky: Sky) -> None:
    frame = sky.sql(ALL).to_pandas()
    assert isinstance(frame, pd.DataFrame) and list(frame.columns) == ["id", "ra", "dec", "parent", "flux", "flag"]
    assert str(frame["id"].dtype) == "int64" and frame["id"].tolist() == in_order(IDS)
    assert str(frame["parent"].dtype) == "Int64"
    assert [None if pd.isna(value) else value for value in frame["parent"]] == in_order(PARENTS)
    assert str(frame["flux"].dtype) == "float32" and frame["flux"].isna().tolist() == [False, True, False, False]
    twice = sky.sql("SELECT parent AS p, parent AS p FROM sky.star WHERE parent > 0").to_pandas()
    assert twice.to_numpy().tolist() == [[2**53 + 1, 2**53 + 1]]


def test_polars_has_the_same_rows(sky: Sky) -> None:
    frame = sky.sql(ALL).to_polars()
    assert isinstance(frame, pl.DataFrame)
    assert frame["id"].to_list() == in_order(IDS) and frame["id"].dtype == pl.Int64
    assert frame["parent"].to_list() == in_order(PARENTS)
    assert frame["flux"].to_list() == [-2.25, None, 1.5, pytest.approx(0.1, rel=1e-7)]


def test_astropy_has_units_and_masks(sky: Sky) -> None:
    table = sky.sql(ALL).to_astropy()
    assert table["ra"].unit == units.deg and table["flux"].unit == units.nJy and table["id"].unit is None
    assert table["id"].description == "Whose number it is" and table["id"].meta == {"ucd": "meta.id"}
    assert table["id"].dtype == np.int64 and table["id"].tolist() == in_order(IDS)
    assert table["parent"].dtype == np.int64 and table["parent"].tolist() == in_order(PARENTS)
    assert table["flux"].mask.tolist() == [False, True, False, False]
    assert not hasattr(table["ra"], "mask")


def test_texts_and_times_in_every_form(sky: Sky) -> None:
    answer = sky.sql("SELECT name, seen FROM sky.name ORDER BY id DESC")
    assert answer.arrow()["name"].to_pylist() == in_order(NAMES)
    assert answer.to_polars()["name"].to_list() == in_order(NAMES)
    assert [None if pd.isna(name) else name for name in answer.to_pandas()["name"]] == in_order(NAMES)
    assert answer.to_astropy()["name"].tolist() == in_order(NAMES)
    times = answer.to_astropy()["seen"]
    assert times.dtype == np.dtype("datetime64[us]") and str(times[0]) == "2020-02-29T13:14:15.600000"
    assert times.mask.tolist() == [False, True, False, True]


def test_a_notebook_shows_html(sky: Sky) -> None:
    html = sky.sql(
        "SELECT n.name, s.flux FROM sky.star s JOIN sky.name n ON s.id = n.id ORDER BY s.id DESC"
    )._repr_html_()
    assert "<small>nJy</small>" in html and "<p>4 rows</p>" in html
    assert "&lt;b&gt;ä &amp; Ω&lt;/b&gt;" in html and "<b>" not in html
    assert "<td>NULL</td>" in html


def test_a_shell_shows_a_grid(sky: Sky) -> None:
    lines = repr(sky.sql("SELECT id, flux FROM sky.star ORDER BY id LIMIT 2")).splitlines()
    assert lines[0].split() == ["id", "flux"] and lines[1].split() == ["nJy"]
    assert lines[-2].split() == ["4611686018427387905", "1.5"] and lines[-1] == "2 rows"


EMPTY = (
    "SELECT * FROM sky.star WHERE id = 1",
    "SELECT * FROM sky.star WHERE qserv_areaspec_circle(100, 0, 1)",
    "SELECT id, ra FROM sky.star WHERE ra > 400",
    "SELECT flag, COUNT(*) FROM sky.star WHERE id = 1 GROUP BY flag",
    "SELECT id FROM sky.star LIMIT 0",
    "SELECT a.id, b.flux FROM sky.star a, sky.star b WHERE a.id < b.id AND scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 1e-6",
)


@pytest.mark.parametrize("sql", EMPTY)
def test_no_rows_are_an_answer_in_every_form(sky: Sky, sql: str) -> None:
    answer = sky.sql(sql)
    columns = answer.schema.names
    assert len(answer) == 0 and answer.arrow().column_names == columns
    assert answer.to_pandas().shape == (0, len(columns))
    assert answer.to_polars().shape == (0, len(columns))
    assert answer.to_astropy().colnames == columns and len(answer.to_astropy()) == 0
    assert "<p>0 rows</p>" in answer._repr_html_() and repr(answer).endswith("0 rows")
    assert sum(batch.num_rows for batch in answer.batches()) == 0


def test_units_stay_when_there_are_no_rows(sky: Sky) -> None:
    assert sky.sql("SELECT flux FROM sky.star WHERE id = 1").to_astropy()["flux"].unit == units.nJy


def test_scalar_length_and_explain(sky: Sky) -> None:
    assert sky.sql("SELECT COUNT(*) FROM sky.star").scalar() == 4
    assert sky.sql("SELECT MAX(parent) FROM sky.star").scalar() == 2**53 + 1
    assert sky.sql("SELECT SUM(parent) FROM sky.star").scalar() == 0
    assert sky.sql("SELECT flux FROM sky.star WHERE flux IS NULL").scalar() is None
    with pytest.raises(ValueError, match="4 rows and 6 columns, not one value"):
        sky.sql(ALL).scalar()
    assert len(sky.sql(ALL)) == 4
    cone = "SELECT id FROM sky.star WHERE qserv_areaspec_circle(10, 20, 1)"
    text = sky.explain(cone)
    assert text == sky.sql(cone).explain()
    assert text.startswith("chunks     1 of 3") and "under the line" in text
    facts = sky.sql(cone).facts
    assert (facts.chunks_read, facts.chunks_total) == (1, 3)
    assert dict(facts.revisions) == {"sky": sky.revision("sky").number} and facts.seconds > 0


def test_an_answer_is_a_stream_first(sky: Sky) -> None:
    answer = sky.sql(ALL)
    assert sum(batch.num_rows for batch in answer.batches()) == 4
    with pytest.raises(ValueError, match="already read as a stream"):
        answer.arrow()


# -- asking


def test_languages_and_bare_names(sky: Sky) -> None:
    adql = "SELECT TOP 1 id FROM star WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(10.0, 20.0, 0.001)) ORDER BY id"
    assert sky.sql(adql, lang="adql", database="sky").scalar() == IDS[0]
    assert sky.sql("FROM star SELECT count(*)", lang="duckdb", database="sky").scalar() == 4
    pairs = "FROM star a, star b WHERE a.id < b.id AND scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 2 / 3600"
    assert sky.sql(f"SELECT a.id, b.id AS other {pairs}", database="sky").arrow().to_pylist() == [
        {"id": IDS[0], "other": IDS[1]}
    ]


REFUSED = {
    "SELECT nothing FROM sky.star": "unknown-name",
    "SELECT 1 FROM sky.nothing": "unknown-name",
    "SELECT 1 FROM elsewhere.star": "unknown-name",
    "SELECT FROM sky.star WHERE": "syntax",
    "DROP TABLE sky.star": "not-supported",
    "SELECT SQRT(1, 2) FROM sky.star": "bad-argument",
    "SELECT id FROM sky.star WHERE qserv_areaspec_circle(1, 2, -3)": "bad-region",
    "SELECT id FROM sky.star WHERE COUNT(*) > 1": "bad-query",
    "SELECT id + 9223372036854775807 FROM sky.star": "query-failed",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_errors_are_one_sentence_with_a_code(sky: Sky, sql: str) -> None:
    with pytest.raises(qsky.QskyError) as caught:
        len(sky.sql(sql))
    assert caught.value.code.name == REFUSED[sql], str(caught.value)
    assert "\n" not in caught.value.message and f"[{REFUSED[sql]}]" in str(caught.value)


def test_an_unknown_language_is_wrong_usage(sky: Sky) -> None:
    with pytest.raises(qsky.QskyError, match="klingon"):
        sky.sql("SELECT 1", lang="klingon")


def test_many_threads_ask_one_sky(sky: Sky) -> None:
    answers: list[Any] = []

    def ask(number: int) -> None:
        answers.append(sky.sql(f"SELECT COUNT(*) + {number} FROM sky.star WHERE ra < 300").scalar() - number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [3] * 12


def test_a_closed_sky_opens_again(sky: Sky) -> None:
    with qsky.connect(sky.root) as other:
        assert other.sql("SELECT COUNT(*) FROM sky.star").scalar() == 4
    assert other.sql("SELECT COUNT(*) FROM sky.star").scalar() == 4
    other.close()
    other.close()


# -- everything a Sky does


@pytest.mark.slow
def test_a_life_of_a_database(tmp_path: Path) -> None:
    sky = qsky.connect(str(tmp_path / "root"), vacuum_grace_seconds=0.0, revisions_kept_days=0.0, revisions_kept=1)
    files = sky.synth(SkyPlan(300, 2.0, seed=3), tmp_path / "files")
    assert all(file.exists() for file in files)
    objects = tuple(str(file) for file in files if file.name.startswith("object"))
    sources = tuple(str(file) for file in files if file.name.startswith("source"))
    director = ("s", "object", Kind.DIRECTOR, objects)
    sky.load(LoadRequest(*director, key="objectId", ra="coord_ra", dec="coord_dec"))
    child = LoadRequest("s", "source", Kind.CHILD, sources, director="object", key="objectId", ra="ra", dec="dec")
    rows = sky.load(child).rows
    assert sky.databases() == ["s"] and sky.table("s.source").rows == rows and sky.chunks("s.object") >= 1
    join = "SELECT COUNT(*) FROM s.object o JOIN s.source d ON o.objectId = d.objectId"
    assert sky.sql(join).scalar() == rows
    sky.drop("s.source")
    with pytest.raises(qsky.QskyError, match="source"):
        sky.sql(join)
    assert sky.sql("SELECT COUNT(*) FROM s.source AS OF REVISION 2").scalar() == rows
    sky.restore("s", 2)
    assert sky.sql(join).scalar() == rows
    assert sky.compact("s", overlap_arcsec=10.0).number == 5 and sky.table("s.object").overlap_arcsec == 10.0
    assert [revision.number for revision in sky.history("s")] == [1, 2, 3, 4, 5]
    sky.vacuum("s")
    assert [revision.number for revision in sky.history("s")] == [5]
    assert sky.verify("s").clean and sky.sql(join).scalar() == rows
    report = sky.export("s.object", tmp_path / "copy")
    assert report.rows == 300
    sky.attach(str(tmp_path / "copy"), "again", table="t")
    both = "SELECT COUNT(*) FROM s.object o, again.t t WHERE scisql_angSep(o.coord_ra, o.coord_dec, t.coord_ra, t.coord_dec)"
    assert sky.sql(f"{both} < 1e-7").scalar() == 300
    sky.close()


@pytest.mark.parametrize("name", ["star", "sky.", "sky.star.id"])
def test_names_of_tables(sky: Sky, name: str) -> None:
    for look in (sky.table, sky.chunks):
        with pytest.raises(qsky.QskyError, match="not the name of a table"):
            look(name)


def test_what_does_not_exist(sky: Sky, tmp_path: Path) -> None:
    with pytest.raises(qsky.QskyError) as caught:
        sky.history("nothing")
    assert caught.value.code.name == "no-such-database"
    with pytest.raises(qsky.QskyError) as caught:
        sky.table("sky.nothing")
    assert caught.value.code.name == "no-such-table"
    with pytest.raises(qsky.QskyError) as caught:
        sky.revision("sky", 99)
    assert caught.value.code.name == "no-such-revision"
    with pytest.raises(qsky.QskyError) as caught:
        qsky.connect(tmp_path / "none").sql("SELECT 1 FROM a.b")
    assert caught.value.code.name == "not-a-root" and not (tmp_path / "none").exists()
