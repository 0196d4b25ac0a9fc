"""Obedience: epochs, deletions, crashes at any moment, the inventory beside the disk, scrubbing."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.fragment import Outcome, ReplicaKind
from qsky.worker.folder import DataFolder, why_bad
from qsky.worker.scrub import Scrub
from tests.replica.stores import One, named, order

CONTENT = random.Random(2).randbytes(20_000)
SIZE = len(CONTENT)
PULL, VERIFY, DELETE, QUARANTINE = (
    ReplicaKind.PULL,
    ReplicaKind.VERIFY,
    ReplicaKind.DELETE,
    ReplicaKind.QUARANTINE,
)


@pytest.fixture
def one(tmp_path: Path) -> One:
    return One(tmp_path)


def outcome(one: One, kind: ReplicaKind, name: str, epoch: int = 1, others: tuple[tuple[str, int], ...] = ()) -> str:
    return one.replica.obey(order(kind, name, SIZE, epoch, others)).outcome


def test_pull_is_published_and_done_once(one: One) -> None:
    name = one.elsewhere.add(CONTENT)
    assert outcome(one, PULL, name) == Outcome.DONE and one.path(name).read_bytes() == CONTENT
    assert one.told == [("publish", name)]
    assert outcome(one, PULL, name) == Outcome.ALREADY and one.elsewhere.fetched == [name]
    held = one.replica.inventory().parts
    assert [(part.part, part.bytes, part.verified_epoch) for part in held] == [(name, SIZE, 1)]


def test_pull_replaces_a_bad_copy_and_refuses_bad_bytes(one: One) -> None:
    name = one.elsewhere.add(CONTENT)
    outcome(one, PULL, name)
    one.path(name).write_bytes(b"")
    assert outcome(one, PULL, name) == Outcome.DONE and one.path(name).read_bytes() == CONTENT
    one.path(name).write_bytes(b"")
    one.elsewhere.instead[name] = CONTENT[::-1]
    report = one.replica.obey(order(PULL, name, SIZE))
    assert (report.outcome, report.code) == (Outcome.FAILED, "damaged") and not one.path(name).exists()


def test_verify_finds_damage_and_absence(one: One) -> None:
    name = one.elsewhere.add(CONTENT)
    assert outcome(one, VERIFY, name) == Outcome.MISSING
    outcome(one, PULL, name)
    assert outcome(one, VERIFY, name, 5) == Outcome.DONE and one.replica.inventory().parts[0].verified_epoch == 5
    one.path(name).write_bytes(CONTENT[:-1] + b"?")
    assert outcome(one, VERIFY, name, 5) == Outcome.BAD
    assert one.replica.inventory().parts == () and len(one.quarantined()) == 1


@pytest.mark.parametrize("others", [(), (("w0", 2),), (("w1", 1),), (("w1", 3),)])
def test_nothing_is_deleted_that_no_other_holds(one: One, others: tuple[tuple[str, int], ...]) -> None:
    name = one.elsewhere.add(CONTENT)
    outcome(one, PULL, name)
    assert outcome(one, DELETE, name, 2, others) == Outcome.REFUSED and one.path(name).exists()


def test_delete_retracts_first_and_waits_for_readers(one: One) -> None:
    name = one.elsewhere.add(CONTENT)
    outcome(one, PULL, name)
    with one.replica.parts.held({name: SIZE}):
        assert outcome(one, DELETE, name, 1, (("w1", 1),)) == Outcome.BUSY and one.path(name).exists()
    assert outcome(one, DELETE, name, 1, (("w1", 1),)) == Outcome.DONE and not one.path(name).exists()
    assert one.told[-1] == ("retract", name) and not list(one.replica.folder.parts.iterdir())
    assert outcome(one, DELETE, name, 1, (("w1", 1),)) == Outcome.ALREADY


def test_an_old_epoch_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    one = One(tmp_path)
    name = one.elsewhere.add(CONTENT)
    outcome(one, PULL, name, 7)
    assert outcome(one, DELETE, name, 6, (("w1", 6),)) == Outcome.REFUSED
    again = One(tmp_path)
    report = again.replica.obey(order(DELETE, name, SIZE, 6, (("w1", 6),)))
    assert (report.outcome, report.epoch, report.code) == (Outcome.REFUSED, 7, "order-refused")
    assert outcome(again, PULL, name, 7) == Outcome.ALREADY
    (tmp_path / "data" / "epochs.json").write_text("{")
    assert outcome(again, VERIFY, name, 9) == Outcome.FAILED


def test_a_newer_keeper_stops_a_deletion_that_began(one: One) -> None:
    name = one.elsewhere.add(CONTENT)
    outcome(one, PULL, name)

    def newer(_: str) -> None:
        with one.replica.folder.epochs() as epochs:
            epochs.accept("keeper", 2)

    one.replica._retract = newer
    assert outcome(one, DELETE, name, 1, (("w1", 1),)) == Outcome.REFUSED
    assert one.path(name).exists() and one.told[-1] == ("publish", name)


def test_unknown_parts_go_to_quarantine_by_order_alone(one: One) -> None:
    name = named(CONTENT)
    one.path(name).parent.mkdir(parents=True)
    one.path(name).write_bytes(CONTENT)
    assert one.replica.look().appeared == (name,)
    assert outcome(one, QUARANTINE, name) == Outcome.DONE and outcome(one, QUARANTINE, name) == Outcome.ALREADY
    (kept,) = one.quarantined()
    assert json.loads(kept.with_name(f"{kept.name}.json").read_text())["part"] == name


def test_receive_takes_what_a_load_wrote(one: One, tmp_path: Path) -> None:
    name, source = named(CONTENT), tmp_path / "written"
    with pytest.raises(QskyError, match="no file"):
        one.replica.receive(name, SIZE, source)
    source.write_bytes(CONTENT[:-1])
    with pytest.raises(QskyError, match="is not the part"):
        one.replica.receive(name, SIZE, source)
    source.write_bytes(CONTENT)
    for _ in range(2):
        assert one.replica.receive(name, SIZE, source).samefile(source)
    assert one.replica.inventory().parts[0].part == name


def test_inventory_tells_changes_and_what_happened_behind_its_back(one: One) -> None:
    names = [one.elsewhere.add(CONTENT + bytes([number]), number) for number in range(3)]
    for name in names:
        one.replica.obey(order(PULL, name, SIZE + 1))
    first = one.replica.inventory()
    assert first.whole and len(first.parts) == 3
    one.path(names[0]).unlink()
    one.path(names[1]).write_bytes(b"")
    noticed = one.replica.look()
    assert (noticed.vanished, noticed.resized, noticed.appeared) == ((names[0],), (names[1],), ())
    then = one.replica.inventory(first.number, first.process)
    assert not then.whole and then.gone == (names[0],) and [part.bytes for part in then.parts] == [0]
    assert one.replica.inventory(first.number, "another").whole
    assert {name for name, _ in one.bad} == {names[0], names[1]}


def test_scrub_finds_a_flipped_bit(tmp_path: Path) -> None:
    one = One(tmp_path)
    names = [one.elsewhere.add(CONTENT + bytes([number]), number) for number in range(4)]
    for name in names:
        one.replica.obey(order(PULL, name, SIZE + 1))
    one.path(names[2]).write_bytes(CONTENT + b"?")
    rate = 200_000
    scrub = Scrub(one.replica, Settings(scrub_bytes_per_second=rate, scrub_pause_seconds=0.01))
    began = monotonic()
    scrub.start()
    while not scrub.bad and monotonic() < began + 10:
        sleep(0.02)
    scrub.stop()
    assert [name for name, _ in one.bad] == [names[2]] and not one.path(names[2]).exists()
    assert scrub.bytes <= rate * (monotonic() - began) + rate / 2


@pytest.mark.slow
def test_killed_at_any_moment_no_half_part_is_there(tmp_path: Path) -> None:
    one = One(tmp_path)
    contents = {one.elsewhere.add(random.Random(seed).randbytes(300_000), seed) for seed in range(4)}
    one.replica.close()
    chance = random.Random(3)
    for _ in range(4):
        command = [sys.executable, "-m", "tests.replica.pulling", str(tmp_path)]
        with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            sleep(chance.uniform(0, 0.3))
            process.kill()
        folder = DataFolder(tmp_path / "data")
        found = [path for path in folder.parts.rglob("*") if path.is_file()]
        assert all(why_bad(path, str(path.relative_to(folder.parts)), 300_000) == "" for path in found)
        assert {str(path.relative_to(folder.parts)) for path in found} <= contents
        folder.remove_rubbish()
        assert len(list((tmp_path / "data" / "incoming").iterdir())) == 1
        folder.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["pull", "verify", "delete", "quarantine", "resolve", "damage", "lose", "restart", "look"]),
        st.integers(0, 2),
        st.integers(1, 4),
    ),
    max_size=25,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_any_history_keeps_the_promises(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    """Whole parts or none; epochs never fall; resolving always gives right bytes; inventory is what lies there."""
    folder = tmp_path_factory.mktemp("store")
    one = One(folder)
    contents = [bytes([number]) * 100 for number in range(3)]
    names = [one.elsewhere.add(content, number) for number, content in enumerate(contents)]
    highest = 0
    for step, number, epoch in steps:
        name = names[number]
        if step == "resolve":
            with one.replica.parts.held({name: 100}) as paths:
                assert paths[name].read_bytes() == contents[number]
        elif step == "restart":
            one.replica.close()
            one = One(folder)
        elif step == "look":
            one.replica.look()
        elif step == "lose":
            one.path(name).unlink(missing_ok=True)
        elif step == "damage":
            if one.path(name).exists():
                one.path(name).write_bytes(b"bad")
        else:
            there = one.path(name).exists()
            report = one.replica.obey(order(ReplicaKind(step), name, 100, epoch, (("w1", epoch),)))
            assert (report.outcome == Outcome.REFUSED) == (epoch < highest)
            highest = max(highest, epoch)
            assert report.epoch == highest
            if report.outcome == Outcome.REFUSED:
                assert one.path(name).exists() == there
            elif step == "pull":
                assert one.path(name).read_bytes() == contents[number]
    one.replica.look()
    assert {held.part: held.bytes for held in one.replica.inventory().parts} == {
        name: one.path(name).stat().st_size for name in names if one.path(name).exists()
    }
    one.replica.close()
