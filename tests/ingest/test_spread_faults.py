"""What can go wrong while a load is spread: workers and coordinators that die, files that vanish, units that fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from qsky.catalog.model import Kind
from qsky.errors import QskyError
from qsky.events import Event, Notice, Progress
from qsky.fragment import LoadUnit, UnitOutcome
from qsky.ingest.carry import WorkerLostError
from qsky.ingest.exchange import ExchangeLostError
from qsky.ingest.load import load
from qsky.ingest.request import LoadRequest
from tests.ingest.loaded import Root, refused, stars
from tests.ingest.spreading import Inline, SpreadRoot, assert_same
from tests.ingest.test_spread import SMALL, sources

REPOSITORY = Path(__file__).resolve().parents[2]
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture(autouse=True)
def without_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about power cuts."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture
def root() -> Iterator[SpreadRoot]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:  # other processes do wait for disks
        yield SpreadRoot(Path(folder), SMALL)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    return sources(Root(tmp_path), stars(500), 6)


def star(files: tuple[str, ...]) -> LoadRequest:
    return LoadRequest("sky", "star", Kind.DIRECTOR, files, key="id", ra="ra", dec="dec")


def assert_right(root: SpreadRoot, files: tuple[str, ...], tmp_path: Path) -> None:
    """As a load in one process; nothing is left over."""
    (tmp_path / "one").mkdir(exist_ok=True)
    one = Root(tmp_path / "one", SMALL)
    load(one.catalog, star(files), SMALL)
    assert_same(one, root)
    assert not any((root.folder / "exchange").iterdir()) and root.staged() == []
    assert root.cluster.record.unfinished("sky", "star") == ()


def fails(root: SpreadRoot, error: Exception, times: int, stage: str) -> None:
    """The first attempts at the first unit of a stage fail."""
    tried: list[str] = []

    def before(unit: LoadUnit) -> None:
        if unit.stage == stage and len(tried) < times and tried in ([], [unit.key] * len(tried)):
            tried.append(unit.key)
            raise error

    root.inline.before = before  # type: ignore[method-assign]


@pytest.mark.parametrize("stage", ["read", "build", "copies"])
def test_a_lost_worker(root: SpreadRoot, files: tuple[str, ...], tmp_path: Path, stage: str) -> None:
    fails(root, WorkerLostError("w0"), 2, stage)
    root.loaded(star(files))
    assert_right(root, files, tmp_path)
    keys = [unit.key for unit in root.inline.sent]
    assert len(keys) == len(set(keys)) + 2
    assert len({unit.attempt for unit in root.inline.sent}) == len(keys), "every attempt has a number of its own"


def test_a_unit_that_is_lost_everywhere(root: SpreadRoot, files: tuple[str, ...], tmp_path: Path) -> None:
    fails(root, WorkerLostError("w0", "it hung"), 3, "build")
    with refused("limit-attempts") as failed:
        root.loaded(star(files))
    assert "the last was w0: it hung" in str(failed.value) and "1 failed" in str(failed.value)
    assert root.catalog.numbers("sky") == []
    sent = len(root.inline.sent)
    root.loaded(star(files), resume=True)
    assert {unit.stage for unit in root.inline.sent[sent:]} == {"build", "copies"}
    assert sum(unit.stage == "build" for unit in root.inline.sent[sent:]) == 1
    assert_right(root, files, tmp_path)


def test_a_full_disk_is_tried_elsewhere(root: SpreadRoot, files: tuple[str, ...], tmp_path: Path) -> None:
    fails(root, QskyError("disk-full", "Full."), 1, "build")
    told: list[Event] = []
    root.loaded(star(files), listener=told.append)
    assert any(isinstance(event, Notice) and "is tried again: Full." in event.message for event in told)
    assert_right(root, files, tmp_path)


def test_a_bad_file_fails_alone(root: SpreadRoot, files: tuple[str, ...], tmp_path: Path) -> None:
    """All others are read; with the file mended only it is read again."""
    good = Path(files[2]).read_bytes()
    data = bytearray(good)
    data[4:600] = bytes(596)
    Path(files[2]).write_bytes(data)
    told: list[Event] = []
    with refused("corrupt-file") as failed:
        root.loaded(star(files), listener=told.append)
    assert files[2] in failed.value.message
    assert "Of 6 units of reading star 5 are done and 1 failed" in failed.value.hint
    last = [event for event in told if isinstance(event, Progress)][-1]
    assert (last.stage, last.done, last.total) == ("reading star, 1 failed", 5, 6)
    Path(files[2]).write_bytes(good)
    sent = len(root.inline.sent)
    root.loaded(star(files), resume=True)
    assert sum(unit.stage == "read" for unit in root.inline.sent[sent:]) == 1
    assert_right(root, files, tmp_path)


def test_lost_exchange_files_are_made_again(root: SpreadRoot, files: tuple[str, ...], tmp_path: Path) -> None:
    """A worker dies with the runs it kept, while others build from them."""
    gone: list[Path] = []

    def before(unit: LoadUnit) -> None:
        built = sum(sent.stage == "build" for sent in root.inline.sent)
        if built == 3 and not gone:
            folder = root.folder / "exchange" / unit.load
            gone.extend(sorted(folder.glob("*.arrow"))[:5])
            for path in gone:
                path.unlink()

    root.inline.before = before  # type: ignore[method-assign]
    root.loaded(star(files))
    assert len(gone) == 5
    assert_right(root, files, tmp_path)


def test_exchange_files_that_are_lost_again_and_again(root: SpreadRoot, files: tuple[str, ...]) -> None:
    fails(root, ExchangeLostError("w0", "runs"), 3, "build")
    with refused("limit-attempts"):
        root.loaded(star(files))


class Twice(Inline):
    """Every unit's first attempt comes back late: a second one is sent beside it, and is done first."""

    def submit(self, unit: LoadUnit, avoid: frozenset[str]) -> Future[UnitOutcome]:
        first = unit.key not in {sent.key for sent in self.sent}
        done = super().submit(unit, avoid)
        if not first:
            return done
        late: Future[UnitOutcome] = Future()
        threading.Timer(0.2, lambda: late.set_running_or_notify_cancel() and late.set_result(done.result())).start()
        return late


def test_of_two_attempts_one_is_published(files: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "spread").mkdir()
    root = SpreadRoot(tmp_path / "spread", SMALL.with_changes(load_unit_seconds_max=0.05))
    root.inline.__class__ = Twice
    root.loaded(star(files))
    keys = [unit.key for unit in root.inline.sent]
    assert len(keys) > len(set(keys))
    assert_right(root, files, tmp_path)


@pytest.mark.slow
def test_a_worker_is_killed(root: SpreadRoot, files: tuple[str, ...], tmp_path: Path) -> None:
    """A real process, in the middle of a unit: another does it again."""
    told: list[Event] = []
    with root.workers(2) as carrier:
        killed: list[int] = []

        def tell(event: Event) -> None:
            told.append(event)
            if isinstance(event, Progress) and event.stage.startswith("writing star") and not killed:
                killed.append(carrier.pids["w0"])
                os.kill(killed[0], signal.SIGSTOP)  # so that it is in the middle of something
                time.sleep(0.05)
                os.kill(killed[0], signal.SIGKILL)

        root.loaded(star(files), listener=tell)
    assert killed and carrier.pids == {}
    assert_right(root, files, tmp_path)


@pytest.mark.parametrize(
    "stage",
    [pytest.param("reading star", marks=pytest.mark.long), pytest.param("writing star", marks=pytest.mark.slow)],
)
def test_a_coordinator_is_killed_and_the_load_resumed(
    root: SpreadRoot, files: tuple[str, ...], tmp_path: Path, stage: str
) -> None:
    command = [sys.executable, "-m", "tests.ingest.coordinator", str(root.folder), *files]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as coordinator:
        assert coordinator.stdout is not None
        for line in coordinator.stdout:
            name, done, _ = line.rsplit("|", 2)
            if name == stage and int(done) >= 2:
                coordinator.kill()
                break
    assert root.catalog.numbers("sky") == []
    assert len(root.cluster.record.unfinished("sky", "star")) == 1
    root.loaded(star(files), resume=True)
    reads = [unit for unit in root.inline.sent if unit.stage == "read"]
    assert len(reads) <= 4, "what was done is not done again"
    assert stage == "reading star" or not reads
    assert_right(root, files, tmp_path)
