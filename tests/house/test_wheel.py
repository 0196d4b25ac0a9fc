"""The wheel: it builds, holds what it needs and nothing else, and runs from where it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_wheel_builds_and_runs(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="builds need what requirements/lock-dev.txt installs")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"qsky/__init__.py", "qsky/py.typed", "qsky/ingest/density.npz"} <= set(names)
    assert all(name.startswith(("qsky/", "qsky-")) for name in names)
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    code = "import qsky; from qsky.cli import main; print(qsky.__file__); main()"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    run = subprocess.run(
        [sys.executable, "-c", code, "--version"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.stdout.splitlines()[0] == str(site / "qsky" / "__init__.py")
    assert run.stdout.splitlines()[1].startswith("qsky ")
