"""`qsky query --into`, `qsky explain --analyze --json`, and what a terminal shows of a long query."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from qsky.cli import watched
from qsky.cli.watched import Watched
from qsky.events import Asked, Notice
from tests.cli.small_sky import STARS, Qsky


def test_an_answer_becomes_a_table(loaded: Qsky) -> None:
    few = loaded("query", "SELECT id, mag FROM sky.star WHERE id < 10", "--into", "mine.few")
    assert few.status == 0 and few.out == "" and "mine.few: 10 rows" in few.err and "revision 1" in few.err
    director = ("--director", "--key", "id", "--ra", "ra", "--dec", "dec", "--overlap", "3")
    assert loaded("query", "SELECT * FROM star", "--database", "sky", "--into", "mine.star", *director).status == 0
    child = ("--into", "mine.visit", "--child-of", "mine.star", "--key", "star")
    assert loaded("query", "SELECT * FROM sky.visit", *child).status == 0
    assert loaded("query", "SELECT 10 AS id, 1.5 AS mag", "--into", "mine.few", "--append").status == 0
    pairs = "SELECT COUNT(*) AS n FROM mine.star s JOIN mine.visit v ON v.star = s.id JOIN mine.few f ON f.id = s.id"
    assert loaded("query", pairs, "--format", "csv").out.split() == ["n", "33"]
    assert "SELECT id, mag FROM sky.star WHERE id < 10" in loaded("history", "mine").out


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("--into", "sky.star"), 1, "family-mismatch"),
        (("--into", "star"), 2, "usage"),
        (("--into", "mine.t", "--format", "csv"), 2, "usage"),
        (("--into", "mine.t", "-o", "t.csv"), 2, "usage"),
        (("--director",), 2, "usage"),
        (("--overlap", "0"), 2, "usage"),
        (("--into", "mine.t", "--key", "id"), 2, "usage"),
    ],
)
def test_what_is_refused(loaded: Qsky, arguments: tuple[str, ...], status: int, code: str) -> None:
    said = loaded("query", "SELECT id FROM sky.star", *arguments)
    assert said.status == status and f"[{code}]" in said.err and said.out == ""


def test_explain_with_analyze_and_as_json(loaded: Qsky) -> None:
    text = "SELECT id FROM sky.star WHERE mag > 10.5"
    plain, real = loaded("explain", text), loaded("explain", text, "--analyze")
    assert "bytes      about" in plain.out and "-- it took" not in plain.out and "-- it took" in real.out
    facts = json.loads(loaded("explain", text, "--analyze", "--json").out)
    assert facts["run"]["rows"] == int(
        loaded("query", text.replace("id", "COUNT(*)", 1), "--format", "csv").out.split()[1]
    )
    assert "run" not in json.loads(loaded("explain", text, "--json").out)
    assert STARS == 200


# -- the terminal


def asked(done: int, estimated: int = 0) -> Asked:
    return Asked("query", done, 48, "chunks", rows=done * 10, bytes_read=done * 1000, bytes_estimated=estimated)


@pytest.fixture
def bars() -> MagicMock:
    return MagicMock()


def test_a_short_query_draws_nothing(bars: MagicMock) -> None:
    said: list[str] = []
    watching = Watched(said.append, lambda: bars)
    assert watching.listener is not None
    watching.listener(asked(0))
    watching.listener(asked(48))
    watching.listener(Notice("not this"))
    watching.stop()
    time.sleep(0.05)
    assert said == [] and not bars.start.called


def test_a_long_query_is_announced_and_drawn(bars: MagicMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "_DRAWN_AFTER_SECONDS", 0.01)
    said: list[str] = []
    watching = Watched(said.append, lambda: bars)
    assert watching.listener is not None
    watching.listener(asked(0, 12_345_678_901))
    deadline = time.monotonic() + 10
    while not bars.start.called and time.monotonic() < deadline:
        time.sleep(0.01)
    watching.listener(asked(7, 12_345_678_901))
    watching.stop()
    watching.stop()
    watching._hear(asked(8))
    assert said == ["reads about 12.3 GB of 48 chunks"]
    last = bars.update.call_args.kwargs
    assert (last["completed"], last["total"], last["rate"]) == (7, 48, "70 rows, 7.0 kB")
    assert bars.stop.call_count == 1


def test_nobody_watches_where_there_is_no_terminal() -> None:
    assert Watched(None, MagicMock).listener is None


# -- the end of a command

ENDING = """
import os, signal, sys
from qsky.cli import app, entry
{before}
app.run = lambda arguments: 0
{after}
entry.main()
"""


@contextmanager
def started(before: str = "", after: str = "") -> Iterator[subprocess.Popen[str]]:
    code = ENDING.format(before=before, after=after)
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        yield run


def test_a_signal_after_the_work_is_done_changes_nothing() -> None:
    """It comes while Python ends: from atexit, when KeyboardInterrupt has nobody to go to."""
    late = "import atexit; atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))"
    with started(before=late) as run:
        assert run.wait(20) == 0 and run.stderr is not None and run.stderr.read() == ""


def test_a_signal_in_the_last_instant_ends_with_130() -> None:
    last = "quiet = entry.ignore_interrupts; entry.ignore_interrupts = lambda: (os.kill(os.getpid(), signal.SIGINT), quiet())"
    with started(after=last) as run:
        assert run.wait(20) == 130 and run.stderr is not None and run.stderr.read() == "\nStopped.\n"


def test_signals_all_along_the_end_never_end_with_anything_else(tmp_path: Path) -> None:
    statuses = set()
    for number in range(6):
        with started(after="print('run', flush=True)") as run:
            assert run.stdout is not None and run.stdout.readline() == "run\n"
            time.sleep(number * 0.004)
            run.send_signal(signal.SIGINT)
            statuses.add(run.wait(20))
    assert statuses <= {0, 130}
