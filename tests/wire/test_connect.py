"""`qsky.connect` and `Sky` in Python, as the documentation promises them."""

from __future__ import annotations

from pathlib import Path

import pytest

import qsky
from qsky.catalog.layout import split_name
from qsky.catalog.model import Kind
from qsky.events import Event, Progress
from qsky.ingest.request import LoadRequest


def test_an_address_and_an_unknown_setting_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(qsky.QskyError, match="is an address"):
        qsky.connect("https://example.org")
    with pytest.raises(qsky.QskyError, match="no setting speed"):
        qsky.connect(tmp_path, speed=11)
    with pytest.raises(qsky.QskyError, match="must lie between"):
        qsky.connect(tmp_path, threads=-1)


def test_reading_makes_nothing(tmp_path: Path) -> None:
    sky = qsky.connect(tmp_path / "root")
    with pytest.raises(qsky.QskyError) as caught:
        sky.databases()
    assert caught.value.code.name == "not-a-root"
    assert not (tmp_path / "root").exists()
    assert repr(sky) == f"<Sky in {tmp_path / 'root'}>"


@pytest.mark.parametrize("name", ["", "star", ".star", "hip.", "a.b.c"])
def test_names_of_tables_have_two_parts(name: str) -> None:
    with pytest.raises(qsky.QskyError, match="not the name of a table"):
        split_name(name)


def test_load_and_ask(tmp_path: Path) -> None:
    (tmp_path / "stars.csv").write_text("id,ra,dec\n1,10,20\n2,10.0001,20\n3,200,-5\n")
    heard: list[Event] = []
    sky = qsky.connect(tmp_path / "root", listener=heard.append, threads=1)
    request = LoadRequest(
        "sky", "star", Kind.DIRECTOR, (str(tmp_path / "stars.csv"),), key="id", ra="ra", dec="dec", overlap_arcsec=5
    )
    assert sky.load(request).rows == 3
    assert any(isinstance(event, Progress) for event in heard)
    assert sky.databases() == ["sky"]
    assert sky.table("sky.star").rows == 3 and sky.chunks("sky.star") >= 1
    assert sky.sql("SELECT COUNT(*) FROM star", database="sky").scalar() == 3
    answer = sky.sql("SELECT id FROM sky.star WHERE qserv_areaspec_circle(10, 20, 0.01) ORDER BY id")
    assert answer.arrow()["id"].to_pylist() == [1, 2]
    assert answer.explain()
    assert [revision.number for revision in sky.history("sky")] == [1]
    sky.drop("sky")
    assert sky.revision("sky").tables == () and len(sky.revision("sky", 1).tables) == 1
    sky.restore("sky", 1)
    assert sky.sql("SELECT COUNT(*) FROM sky.star").scalar() == 3
