"""`qsky query --plot`: the file it leaves, what it prints, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

from tests.cli.small_sky import Qsky

STARS = "SELECT ra, dec, mag FROM sky.star"


def test_a_picture_instead_of_the_answer(loaded: Qsky, tmp_path: Path) -> None:
    said = loaded("query", STARS, "--plot", "sky.png", "--plot-with", "title=All of them")
    assert said.status == 0, said.err
    assert said.out == "" and "200 rows in " in said.err and "Grey: 1 without mag." in said.err
    picture = imread(tmp_path / "sky.png")
    assert picture.shape[:2] == (1240, 2000) and float((picture[:, :, :3].min(axis=2) < 0.95).mean()) > 0.2


def test_a_picture_and_the_answer(loaded: Qsky, tmp_path: Path) -> None:
    assert loaded("query", STARS, "--plot", "a.svg", "-o", "a.csv").status == 0
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 201 and (tmp_path / "a.svg").stat().st_size > 1000
    shown = loaded("query", STARS, "--plot", "b.png", "--plot-with", "x=mag", "--format", "table", "--rows", "2")
    assert "... 2 of 200 rows shown" in shown.out and (tmp_path / "b.png").exists()


def test_a_large_answer_is_sampled(loaded: Qsky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSKY_PLOT_ROWS_MAX", "100")
    said = loaded("query", "SELECT mag FROM sky.star", "--plot", "a.png")
    assert said.status == 0 and "A random " in said.err and " of 200 rows; counts are scaled up." in said.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--plot", "a.gif"), "a.gif tells no format of pictures"),
        (("--plot-with", "x=mag"), "nothing is drawn"),
        (("--plot", "a.png", "--plot-with", "size=3"), "does not know 'size=3'"),
        (("--plot", "a.png", "--plot-with", "order=-1"), "order=-1 is not a HEALPix order"),
        (("--plot", "a.png", "--plot-with", "kind=pie"), "'pie' is not a kind of picture"),
        (("--plot", "a.png", "--plot-with", "x=nothing"), "No column of the answer is called nothing"),
        (("--plot", "nowhere/a.png"), "nowhere/a.png cannot be written"),
    ],
)
def test_what_cannot_be_drawn_is_said(loaded: Qsky, tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    said = loaded("query", STARS, *arguments)
    assert said.status != 0 and sentence in said.err and said.out == ""
    assert not (tmp_path / "a.png").exists()


def test_matplotlib_is_loaded_only_to_draw() -> None:
    code = "import sys; from qsky.cli import app; import qsky.result; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
