"""A small loaded root, and the command line in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsky.cli.app import run
from tests.cli.small_sky import Qsky, Said, stars_csv, visits_csv


@pytest.fixture
def qsky(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Qsky:
    """`qsky("tables", "sky")` as the shell would run it in `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Said:
        capsys.readouterr()
        status = run(list(arguments))
        return Said(status, *capsys.readouterr())

    return command


@pytest.fixture
def loaded(qsky: Qsky, tmp_path: Path) -> Qsky:
    """The same with sky.star, sky.visit and sky.filter in ./qsky-data."""
    (tmp_path / "stars.csv").write_text(stars_csv())
    (tmp_path / "visits.csv").write_text(visits_csv())
    (tmp_path / "filters.tsv").write_text("band\twavelength\ng\t480.0\nr\t620.0\n")
    star = ("load", "stars.csv", "--into", "sky.star", "--director", "--key", "id", "--ra", "ra", "--dec", "dec")
    visit = ("load", "visits.csv", "--into", "sky.visit", "--child-of", "sky.star", "--key", "star")
    for arguments in (star, visit, ("load", "filters.tsv", "--into", "sky.filter", "--replicated")):
        said = qsky(*arguments)
        assert said.status == 0, said.err
    return qsky
