"""What attaching refuses, and what happens to an attached catalogue that changes or is written to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import qsky
from qsky.catalog.model import Kind
from qsky.ingest.request import LoadRequest
from qsky.wire import Sky

from .foreign import check_every_row
from .web import Web, served


@pytest.fixture(scope="module")
def hats(shared_data: Path) -> Path:
    return shared_data / "hats_test_data"


@pytest.fixture(scope="module")
def web(hats: Path) -> Iterator[Web]:
    with served(hats) as running:
        yield running


@pytest.fixture
def sky(tmp_path: Path) -> Iterator[Sky]:
    with qsky.connect(tmp_path / "root", threads=2, http_seconds_max=5.0) as opened:
        yield opened


def refused(action: Callable[..., object], *arguments: Any) -> qsky.QskyError:
    with pytest.raises(qsky.QskyError) as caught:
        action(*arguments)
    return caught.value


def test_an_address_without_catalogue(sky: Sky, tmp_path: Path, web: Web) -> None:
    for address in (str(tmp_path / "nothing"), str(tmp_path), f"{web.address}/nothing"):
        error = refused(sky.attach, address, "far")
        assert error.code.name == "no-input" and address in error.message
    assert sky.databases() == []


def test_a_server_that_is_not_there_or_fails(sky: Sky, hats: Path) -> None:
    with served(hats) as web:
        web.failing.add("/small_sky/partition_info.csv")
        gone = web.address
        error = refused(sky.attach, f"{web.address}/small_sky", "far")
        assert error.code.name == "download-failed" and "partition_info.csv" in error.message
    error = refused(sky.attach, f"{gone}/small_sky", "far")
    assert error.code.name == "download-failed" and gone in error.message


@pytest.mark.parametrize(
    ("file", "content", "code", "message"),
    [
        ("partition_info.csv", None, "bad-format", "has no partition_info.csv"),
        ("partition_info.csv", "Norder,Npix\n1,a\n", "corrupt-file", "partition_info.csv is damaged"),
        ("partition_info.csv", "Norder,Npix\n0,12\n", "corrupt-file", "no cell 12 of order 0"),
        ("partition_info.csv", "Norder,Npix\n0,-1\n", "corrupt-file", "no cell -1 of order 0"),
        ("partition_info.csv", "Norder,Npix\n30,1\n", "corrupt-file", "no cell 1 of order 30"),
        ("partition_info.csv", "Norder,Npix\n0,11\n1,44\n", "corrupt-file", "the leaves (0, 11) and (1, 44) overlap"),
        ("partition_info.csv", "Norder,Npix\n1,44\n1,44\n", "corrupt-file", "the leaves (1, 44) and (1, 44) overlap"),
        ("partition_info.csv", "", "corrupt-file", "partition_info.csv is damaged"),
        ("hats.properties", None, "no-input", "has no hats.properties"),
        ("dataset/_common_metadata", "PAR1", "corrupt-file", "_common_metadata is damaged"),
        ("dataset/_common_metadata", None, "bad-format", "neither _common_metadata nor _metadata"),
    ],
)
def test_damaged_side_files(
    sky: Sky, hats: Path, tmp_path: Path, file: str, content: str | None, code: str, message: str
) -> None:
    folder = tmp_path / "small_sky"
    shutil.copytree(hats / "small_sky", folder)
    (folder / "properties").unlink()
    (folder / "dataset/_metadata").unlink()
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    error = refused(sky.attach, str(folder), "far")
    assert error.code.name == code and message in error.message, str(error)
    assert sky.databases() == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("hats_nrows=131", "hats_nrows=many", "says hats_nrows=many"), ("order=29", "order=", ""), ("=dec", "=decl", "")],
)
def test_odd_properties(sky: Sky, hats: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = tmp_path / "small_sky"
    shutil.copytree(hats / "small_sky", folder)
    text = (folder / "hats.properties").read_text()
    assert old in text
    (folder / "hats.properties").write_text(text.replace(old, new))
    if message:
        error = refused(sky.attach, str(folder), "far")
        assert error.code.name == "corrupt-file" and message in error.message
        return
    sky.attach(str(folder), "far")
    assert (sky.table("far.small_sky").dec == "") == (new == "=decl")
    check_every_row(sky, folder, "far.small_sky")


def test_a_collection_without_a_primary(sky: Sky, tmp_path: Path) -> None:
    (tmp_path / "collection.properties").write_text("obs_collection=lost\n")
    error = refused(sky.attach, str(tmp_path), "far")
    assert error.code.name == "corrupt-file" and "names no primary table" in error.message


def test_a_catalogue_without_leaves(sky: Sky, hats: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small_sky"
    shutil.copytree(hats / "small_sky", folder)
    (folder / "partition_info.csv").write_text("Norder,Npix\n")
    sky.attach(str(folder), "far")
    for sql in ("SELECT * FROM far.small_sky", "SELECT id FROM far.small_sky WHERE qserv_areaspec_circle(1, 1, 1)"):
        assert len(sky.sql(sql)) == 0
    assert sky.sql("SELECT COUNT(*) FROM far.small_sky").scalar() == 0


def test_a_leaf_that_is_gone(sky: Sky, hats: Path, tmp_path: Path) -> None:
    folder = tmp_path / "far" / "small_sky"
    shutil.copytree(hats / "small_sky", folder)
    with served(tmp_path / "far") as web:
        sky.attach(str(folder), "local")
        sky.attach(f"{web.address}/small_sky", "http")
        (folder / "dataset/Norder=0/Dir=0/Npix=11.parquet").unlink()
        error = refused(sky.sql, "SELECT MAX(id) FROM local.small_sky")
        assert error.code.name == "damaged" and "Npix=11.parquet" in error.message
        error = refused(sky.sql, "SELECT MAX(id) FROM http.small_sky")
        assert error.code.name == "download-failed" and "Npix=11.parquet" in error.message
        shutil.copy(hats / "small_sky/dataset/Norder=0/Dir=0/Npix=11.parquet", folder / "dataset/Norder=0/Dir=0")
        assert sky.sql("SELECT COUNT(*) FROM http.small_sky").scalar() == 131, "nothing keeps the failure"


def test_folders_of_leaves_cannot_be_listed_over_http(sky: Sky, web: Web) -> None:
    error = refused(sky.attach, f"{web.address}/small_sky_npix_as_dir", "far")
    assert error.code.name == "bad-format" and "local copy" in error.hint


def test_attached_tables_are_never_written(sky: Sky, hats: Path, tmp_path: Path) -> None:
    sky.attach(str(hats / "small_sky"), "far")
    before = {file: file.stat().st_mtime_ns for file in (hats / "small_sky").rglob("*")}
    for mode in ("create", "append", "replace"):
        request = LoadRequest("far", "small_sky", Kind.DIRECTOR, (str(hats / "small_sky"),), key="id", mode=mode)
        assert refused(sky.load, request).code.name == "read-only"
    child = LoadRequest(
        "far", "c", Kind.CHILD, (str(hats / "small_sky_source"),), director="small_sky", key="object_id"
    )
    assert refused(sky.load, child).code.name == "no-such-table"
    assert refused(sky.export, "far.small_sky", tmp_path / "copy").code.name == "read-only"
    sky.compact("far")
    sky.vacuum("far")
    assert sky.verify("far").clean
    check_every_row(sky, hats / "small_sky", "far.small_sky")
    sky.drop("far.small_sky")
    assert {file: file.stat().st_mtime_ns for file in (hats / "small_sky").rglob("*")} == before


def test_an_own_table_beside_an_attached_one(sky: Sky, hats: Path) -> None:
    sky.attach(str(hats / "small_sky"), "both", table="far")
    sky.load(LoadRequest("both", "near", Kind.DIRECTOR, (str(hats / "small_sky"),), key="id"))
    joined = "FROM both.near n, both.far f WHERE scisql_angSep(n.ra, n.dec, f.ra, f.dec) < 0.0001"
    assert sky.sql(f"SELECT COUNT(*) {joined}").scalar() >= 131
    assert sky.sql(f"SELECT SUM(n.id = f.id) {joined}").scalar() == 131
