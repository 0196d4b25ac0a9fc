"""`make bench` at a small size: every case answers, counts agree, the report has its form. Never how long anything took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.cases import CASES, POSTGRES, PYARROW, QSKY, cpu_over
from benchmarks.report import markdown, seconds
from benchmarks.session import differences

SIDE = {"cpu_s", "wall_s", "peak_mb", "answer", "cpu_over_qsky"}


@pytest.mark.slow
def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = "load,id,average"  # a process for each measurement, each of which imports everything: one case of each kind
    assert main(["3000", "--only", only, "--peers", "pyarrow", "--out", str(tmp_path), "--folder", str(tmp_path)]) == 0
    files = {file.suffix: file for file in tmp_path.iterdir()}
    assert set(files) == {".json", ".md", ".png"}, "the run's own folder is gone"
    report = json.loads(files[".json"].read_text())
    cases = {case["name"]: case for case in report["cases"]}
    assert set(cases) == set(only.split(","))
    assert report["defects"] == [] and report["notes"] == []
    for name, case in cases.items():
        assert all(set(said) >= SIDE and said["cpu_s"] >= 0 for said in case["sides"].values()), name
        assert (PYARROW in case["sides"]) == (name == "average")
    assert cases["load"]["sides"][QSKY]["answer"] == {"rows": 3000}
    assert cases["id"]["sides"][QSKY]["answer"] == {"rows": 20}
    assert cases["average"]["sides"][QSKY]["answer"]["n"] > 0
    text = files[".md"].read_text()
    assert text == markdown(report) and text in capsys.readouterr().out
    assert "| CPU over PyArrow's decoding, at most 0.6 |" in text and "not measured" in text
    assert files[".png"].read_bytes()[:4] == b"\x89PNG"


@pytest.mark.long
@pytest.mark.peer
def test_every_case_beside_all_peers_that_are_here(tmp_path: Path) -> None:
    assert main(["20000", "--peers", "lsdb,postgresql,pyarrow,stilts", "--out", str(tmp_path)]) == 0
    report = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert [case["name"] for case in report["cases"]] == [case.name for case in CASES]
    assert not [note for note in report["notes"] if "failed" in note]


@pytest.mark.parametrize(("word", "known"), [("--only", "cone-degree"), ("--peers", "stilts")])
def test_unknown_names_are_refused(word: str, known: str) -> None:
    with pytest.raises(SystemExit, match=f"there is no moon; known are .*{known}"):
        main(["1000", word, "moon"])


def test_a_disk_that_is_too_small_is_noticed_first(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="GB of disk"):
        main(["1e15", "--folder", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_differences_are_named() -> None:
    one: dict[str, Any] = {"answer": {"n": 3, "mean": 1.0}}
    assert differences({QSKY: one, PYARROW: {"answer": {"n": 3, "mean": 1.0 + 1e-12}}}) == []
    found = differences({QSKY: one, PYARROW: one, POSTGRES: {"answer": {"n": 4, "mean": 1.0}}})
    assert found == ["Qsky found {'n': 3, 'mean': 1.0}, PostgreSQL {'n': 4, 'mean': 1.0}."]


def test_aims_need_their_peers() -> None:
    ratio = cpu_over(POSTGRES, QSKY)
    assert ratio({QSKY: {"cpu_s": 2.0}}) is None
    assert ratio({QSKY: {"cpu_s": 2.0}, POSTGRES: {"cpu_s": 50.0}}) == 25.0
    assert len({case.name for case in CASES}) == len(CASES)


def test_figures_have_three_digits() -> None:
    assert [seconds(value) for value in (None, 0.00123456, 0.5, 12.345, 1234.5)] == [
        "",
        "1.23 ms",
        "500 ms",
        "12.3 s",
        "1,234 s",
    ]
