"""The fault matrix: a cluster of real processes is struck at random moments, and every answer is right or a clear error.

`make test-long` runs each fault twice and then ten times, and writes what it saw to docs/results. QSKY_TEST_SEED
repeats a run that failed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.faults.matrix import FAULTS
from tests.faults.network import APART, NEEDED
from tests.faults.results import results_text, summary

REPOSITORY = Path(__file__).resolve().parents[2]
RUNS, RUNS_LONG = 2, 10
SECONDS_MAX_OF_A_RUN = 400
pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,  # two rounds take minutes that `make test` does not have yet
    pytest.mark.xdist_group("site"),
    pytest.mark.skipif(
        shutil.which("xrootd") is None, reason="xrootd is not installed (scripts/debian-packages installs it)"
    ),
]
Lines = list[dict[str, Any]]


def matrix(runs: int, out: Path, *wanted: str) -> Lines:
    """What came of so many runs of each fault, or of those whose names have one of the words."""
    seed = int(os.environ.get("QSKY_TEST_SEED", random.randrange(1 << 30)))
    command = [sys.executable, "-m", "tests.faults.one", str(runs), str(seed), str(out), *wanted]
    environment = dict(os.environ)
    if subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0:
        command = [*APART, *command]
        environment[NEEDED] = "1"
    seconds_max = 300 + runs * len(FAULTS) * SECONDS_MAX_OF_A_RUN
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=seconds_max, check=False
    )
    assert done.returncode == 0, f"seed {seed}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    yield matrix(RUNS, tmp_path_factory.mktemp("faults") / "runs.jsonl")


@pytest.mark.parametrize("name", [fault.name for fault in FAULTS])
def test_every_answer_is_right_or_a_clear_error(lines: Lines, name: str) -> None:
    check([line for line in lines if line["fault"] == name], RUNS)


def check(lines: Lines, runs: int) -> None:
    if "skipped" in lines[0]:
        pytest.skip(lines[0]["skipped"])
    failed = [line for line in lines if "failed" in line]
    assert not failed, "\n".join([failed[0]["failed"], *failed[0]["logs"]])
    assert len(lines) == runs


@pytest.mark.long
def test_the_matrix_ten_times_over(tmp_path: Path) -> None:
    found = matrix(RUNS_LONG, tmp_path / "runs.jsonl")
    results = REPOSITORY / "docs" / "results"
    name = f"{datetime.now(UTC):%Y-%m-%d}-faults"
    (results / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in found))
    (results / f"{name}.md").write_text(results_text(summary(found)))
    for fault in FAULTS:
        these = [line for line in found if line["fault"] == fault.name]
        if "skipped" not in these[0]:
            check(these, RUNS_LONG)
