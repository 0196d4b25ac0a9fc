"""The command line before any data: options, errors, exit statuses, and how quick it is to say so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qsky.catalog.model import Kind
from qsky.cli.app import hoisted, run
from qsky.cli.loading import _pairs
from qsky.errors import QskyError
from qsky.events import size_text
from qsky.ingest.role import role_of

QSKY = str(Path(sys.executable).with_name("qsky"))


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([QSKY, *arguments], capture_output=True, text=True)


def test_options_of_every_command_may_stand_anywhere() -> None:
    assert hoisted(["query", "SELECT 1", "--root", "r", "--quiet"]) == ["--root", "r", "--quiet", "query", "SELECT 1"]
    assert hoisted(["tables", "--root=r"]) == ["--root=r", "tables"]
    assert hoisted(["query", "--", "--quiet"]) == ["query", "--", "--quiet"]
    assert hoisted(["tables", "--root"]) == ["--root", "tables"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["tables"], 1, "qsky-data is not a Qsky root. [not-a-root]"),
        (["no-such-command"], 2, "No such command 'no-such-command'. [usage]"),
        (["tables", "--no-such-option"], 2, "No such option: --no-such-option"),
        (["load", "a.csv"], 2, "Missing option '--into'"),
        (["load", "a.csv", "--into", "star"], 2, "'star' is not the name of a table. [usage]"),
        (["load", "a.csv", "--into", "hip.star"], 2, "The load does not say what the table is. [usage]"),
        (["load", "a.csv", "--into", "hip.star", "--director", "--replicated"], 2, "A table is one of"),
        (["load", "a.csv", "--into", "hip.star", "--director", "--append", "--replace"], 2, "appends or replaces"),
        (["load", "a.csv", "--into", "hip.star", "--child-of", "gaia.star"], 2, "cannot be a child of"),
        (["load", "a.csv", "--into", "hip.star", "--director", "--type", "hip"], 2, "--type takes COLUMN=VALUE"),
        (["load", "a.csv", "--into", "hip.m", "--match", "a:b"], 2, "--match takes"),
        (["query", "SELECT 1", "-o", "answer.doc"], 2, "does not tell a format. [usage]"),
        (["query", "SELECT 1", "--format", "xlsx"], 2, "Invalid value for '--format'"),
        (["--root"], 2, "--root"),
        (["synth", "--into", "x", "--objects", "0"], 2, "[usage]"),
    ],
)
def test_wrong_usage_is_one_sentence_without_traceback(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == status
    out, err = capsys.readouterr()
    assert said in err and out == ""
    assert err.startswith("qsky: ") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_shell_sees_the_status_and_debug_shows_where() -> None:
    answer = shell("tables", "--root", "/nonexistent")
    assert answer.returncode == 1 and answer.stderr.startswith("qsky: /nonexistent is not a Qsky root.")
    assert "Traceback" in shell("tables", "--debug", "--root", "/nonexistent").stderr


def test_a_defect_is_called_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(root: Path, **_: object) -> None:
        raise ZeroDivisionError("no\nreason")

    monkeypatch.setattr("qsky.wire.connect", broken)
    assert run(["tables"]) == 1
    assert "Qsky failed: ZeroDivisionError: no. [internal] This is a defect" in capsys.readouterr().err


def test_help_and_version_import_nothing_heavy() -> None:
    heavy = ("numpy", "pyarrow", "duckdb", "astropy", "sqlglot", "deltalake")
    code = f"import sys, qsky.cli.app; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
    for arguments in (["--help"], ["--version"], []):
        answer = shell(*arguments)
        assert answer.returncode == 0 and "qsky" in answer.stdout


def test_help_loads_nothing_heavy() -> None:
    heavy = "duckdb pyarrow numpy astropy sqlglot deltalake rich.progress"
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom qsky.cli.app import app\n"
        "CliRunner().invoke(app, ['--help'])\n"
        f"sys.exit(' '.join(set('{heavy}'.split()) & set(sys.modules)) or 0)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_pairs_and_ends() -> None:
    assert _pairs("--type", ["a=INT", "b=DECIMAL(3,1)"]) == {"a": "INT", "b": "DECIMAL(3,1)"}
    kind, _, ends = role_of("sky.pair", match="star:id1,galaxy:id2")
    assert kind is Kind.MATCH
    assert [(end.director, end.key) for end in ends] == [("star", "id1"), ("galaxy", "id2")]
    with pytest.raises(QskyError, match="--match takes"):
        role_of("sky.pair", match="star,galaxy")


def test_sizes_as_people_say_them() -> None:
    assert [size_text(n) for n in (0, 999, 1234, 999_999, 5e9, 2e15)] == [
        "0 B",
        "999 B",
        "1.2 kB",
        "1000 kB",
        "5.0 GB",
        "2000 TB",
    ]
