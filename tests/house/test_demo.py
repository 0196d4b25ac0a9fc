"""The demonstration runs, on a smaller sky than `make demo` makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_demonstration_answers_four_questions(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "QSKY_DEMO_OBJECTS": "2e4",
        "QSKY_DEMO_FOLDER": str(tmp_path / "demo"),
    }
    demo = ["sh", str(REPOSITORY / "examples" / "demo.sh")]
    run = subprocess.run(demo, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert [line[3] for line in run.stdout.splitlines() if line[:3] == "== " and line[3].isdigit()] == list("1234")
    assert run.stdout.count(" rows in ") == 4
