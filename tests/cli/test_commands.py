"""Every command on a small sky: what it does, and what it says."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from astropy.table import Table

from tests.cli.small_sky import STARS, Qsky, stars_csv


def test_load_says_what_it_did(qsky: Qsky, tmp_path: Path) -> None:
    (tmp_path / "stars.csv").write_text(stars_csv() + "999,1,95,1\n")
    load = ("load", "stars.csv", "--into", "sky.star", "--director", "--key", "id", "--ra", "ra", "--dec", "dec")
    refused = qsky(*load)
    assert refused.status == 1 and "[too-many-rejects]" in refused.err
    accepted = qsky(*load, "--max-rejects", "1", "--description", "Stars on a line")
    assert accepted.status == 0, accepted.err
    assert f"sky.star: {STARS} rows in" in accepted.err and ", revision 1, " in accepted.err
    assert "refused: 1 row, see " in accepted.err
    assert accepted.out == ""


def test_quiet_says_nothing(loaded: Qsky) -> None:
    assert loaded("load", "filters.tsv", "--into", "sky.again", "--replicated", "--quiet") == (0, "", "")
    assert loaded("query", "--quiet", "--format", "csv", "SELECT COUNT(*) AS n FROM sky.filter").out == "n\n2\n"


def test_tables_describe_and_history(loaded: Qsky) -> None:
    tables = loaded("tables").out.splitlines()
    assert [line.split()[:3] for line in tables[2:]] == [
        ["sky.filter", "replicated", "2"],
        ["sky.star", "director", "200"],
        ["sky.visit", "child", "600"],
    ]
    assert loaded("tables", "sky").out.splitlines() == tables
    described = loaded("describe", "sky.visit").out
    assert "director    star" in described and "key         star" in described and "rows        600" in described
    assert [line.split()[:2] for line in described.splitlines()[-3:]] == [
        ["star", "BIGINT"],
        ["mjd", "BIGINT"],
        ["band", "VARCHAR"],
    ]
    history = [line.split()[0] for line in loaded("history", "sky").out.splitlines()[2:]]
    assert history == ["1", "2", "3"]
    assert "[no-such-database]" in loaded("history", "nowhere").err
    assert "[no-such-table]" in loaded("describe", "sky.nothing").err


def test_a_query_prints_a_table_and_a_summary(loaded: Qsky) -> None:
    said = loaded("query", "SELECT id, mag FROM sky.star WHERE id = 7")
    assert said.out.splitlines() == ["id    mag", "--  -----", " 7  10.07"]
    assert said.err.startswith("1 row in ") and "sky@3" in said.err
    long = loaded("query", "SELECT id FROM sky.star", "--rows", "3")
    assert "... 3 of 200 rows shown" in long.out


@pytest.mark.parametrize("format_name", ["csv", "tsv", "json", "jsonl"])
def test_text_formats_go_to_stdout(loaded: Qsky, format_name: str) -> None:
    sql = "SELECT id, mag FROM sky.star WHERE id IN (5, 199) ORDER BY id"
    out = loaded("query", sql, "--format", format_name).out
    expected = {
        "csv": "id,mag\n5,10.05\n199,\n",
        "tsv": "id\tmag\n5\t10.05\n199\t\n",
        "json": '[\n{"id": 5, "mag": 10.05},\n{"id": 199, "mag": null}\n]\n',
        "jsonl": '{"id": 5, "mag": 10.05}\n{"id": 199, "mag": null}\n',
    }
    assert out == expected[format_name]


@pytest.mark.parametrize("name", ["a.csv", "a.fits", "a.vot", "a.parquet", "a.arrow"])
def test_a_file_s_name_tells_the_format(loaded: Qsky, tmp_path: Path, name: str) -> None:
    said = loaded("query", "SELECT id, mag FROM sky.star", "-o", name)
    assert said.status == 0 and said.out == "", said.err
    assert said.err.startswith("200 rows in ")
    if name.endswith(("fits", "vot")):
        assert sorted(Table.read(tmp_path / name)["id"].tolist()) == list(range(STARS))


def test_a_failed_query_leaves_the_old_file(loaded: Qsky, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("old")
    said = loaded("query", "SELECT nothing FROM sky.star", "-o", "a.csv")
    assert said.status == 1 and "[unknown-name]" in said.err and "line 1, column 8" in said.err
    assert (tmp_path / "a.csv").read_text() == "old"
    assert "[no-access]" in loaded("query", "SELECT id FROM sky.star", "-o", "no/such/folder.csv").err


def test_a_query_from_stdin_and_a_default_database(loaded: Qsky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT COUNT(*) AS n FROM star"))
    assert json.loads(loaded("query", "-", "--database", "sky", "--format", "json").out) == [{"n": STARS}]


def test_explain_names_the_chunks(loaded: Qsky) -> None:
    said = loaded("explain", "SELECT id FROM sky.star WHERE qserv_areaspec_circle(10, 10, 1)")
    assert said.status == 0 and "chunk" in said.out


def test_append_and_replace_know_the_table(loaded: Qsky, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("id,ra,dec,mag\n1000,5,5,1.5\n")
    assert loaded("load", "more.csv", "--into", "sky.star").status == 2
    assert loaded("load", "more.csv", "--into", "sky.star", "--append").status == 0
    count = ("query", "--quiet", "--format", "csv", "SELECT COUNT(*) AS n FROM sky.star")
    assert loaded(*count).out == "n\n201\n"
    assert loaded("load", "filters.tsv", "--into", "sky.filter", "--replace").status == 0


def test_upkeep(loaded: Qsky, tmp_path: Path) -> None:
    assert loaded("verify", "sky").err.endswith("no problems.\n")
    assert "as it should be" in loaded("compact", "sky").err
    assert "revision 4" in loaded("compact", "sky", "--overlap", "30").err
    assert "revision 5 is what revision 3 was" in loaded("restore", "sky", "3").err
    assert " deleted, " in loaded("vacuum", "sky").err
    assert "200 rows" in loaded("export", "sky.star", "out").err
    assert "[usage]" in loaded("export", "sky.star", "out").err
    assert loaded("drop", "sky.filter").err == "sky.filter: dropped.\n"
    assert "[family-mismatch]" in loaded("drop", "sky.star").err
    assert "[no-such-revision]" in loaded("restore", "sky", "77").err
    assert loaded("verify", "sky").status == 0


def test_verify_fails_when_a_part_is_damaged(loaded: Qsky, tmp_path: Path) -> None:
    part = next((tmp_path / "qsky-data" / "public" / "sky" / "star.hats" / "star").rglob("Npix=*/*.parquet"))
    part.write_bytes(part.read_bytes()[:-10] + b"0123456789")
    said = loaded("verify", "sky")
    assert said.status == 1 and part.name in said.out and "problem" in said.err


def test_attach_what_was_exported(loaded: Qsky) -> None:
    assert loaded("export", "sky.star", "out").status == 0
    attached = loaded("attach", "out", "--as", "other.star")
    assert attached.status == 0 and "200 rows, attached" in attached.err, attached.err
    assert loaded("query", "--quiet", "--format", "csv", "SELECT COUNT(*) AS n FROM other.star").out == "n\n200\n"
    assert "lies at" in loaded("describe", "other.star").out


def test_synth_writes_files(qsky: Qsky, tmp_path: Path) -> None:
    said = qsky("synth", "--into", "files", "--objects", "100", "--sources-per-object", "2")
    assert said.status == 0 and "files: 100 objects in 4 files" in said.err
    assert sorted(file.name for file in (tmp_path / "files").iterdir())[0] == "filter.parquet"
    assert "[usage]" in qsky("synth", "--into", "files", "--objects", "100").err
