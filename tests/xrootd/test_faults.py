"""Daemons die, hang and come back: a fetch gives the whole part or a clear error, in bounded time."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qsky.errors import QskyError
from qsky.storage.xrootd.client import EVERYTHING, session
from qsky.storage.xrootd.daemons import Daemons
from qsky.storage.xrootd.files import Fetched, Files
from qsky.storage.xrootd.publish import publish
from tests.xrootd.cluster import QUICK, Cluster, eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("xrootd")]

CONTENT = os.urandom(24_000_000)


def part(name: str) -> str:
    return f"public/dr1/f.hats/f/g0001/dataset/Norder=0/Dir=0/Npix=1/{name}.parquet"


@pytest.fixture(autouse=True)
def whole(cluster: Cluster) -> Iterator[None]:
    """Afterwards every server is listed by every redirector again."""
    yield
    cluster.heal()


def fetched_during(files: Files, cluster: Cluster, name: str, into: Path, fault: Callable[[], None]) -> Fetched:
    """Fetch while something happens at a random moment of it."""
    wanted = cluster.place(part(name), CONTENT, 0, 1)
    blow = threading.Timer(random.uniform(0, 0.12), fault)
    blow.start()
    try:
        got = files.fetch(wanted, into)
    finally:
        blow.join()
    assert got.path.read_bytes() == CONTENT
    assert list(into.parent.glob("*.part")) == []
    return got


@pytest.mark.parametrize("program", ["xrootd", pytest.param("cmsd", marks=pytest.mark.long)])
@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 11))])
def test_a_daemon_is_killed_during_a_fetch(cluster: Cluster, tmp_path: Path, program: str, number: int) -> None:
    victim = random.choice(cluster.servers[:2])
    fetched_during(
        cluster.files(), cluster, f"kill-{program}{number}", tmp_path / "got",
        lambda: cluster.kill(victim, program),
    )  # fmt: skip
    assert eventually(lambda: {state.restarts > 0 for state in victim.tend() if state.program == program} == {True})


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 11))])
def test_a_server_hangs_during_a_fetch(cluster: Cluster, tmp_path: Path, number: int) -> None:
    victim = random.choice(cluster.servers[:2])
    pid = cluster.pid(victim, "xrootd")
    started = time.monotonic()
    try:
        fetched_during(
            cluster.files(), cluster, f"hang{number}", tmp_path / "got", lambda: os.kill(pid, signal.SIGSTOP)
        )
    finally:
        os.kill(pid, signal.SIGCONT)
    assert time.monotonic() - started < 20 * QUICK.xrootd_answer_seconds_max


@pytest.mark.long
@pytest.mark.parametrize("number", range(10))
def test_a_redirector_is_lost(cluster: Cluster, tmp_path: Path, number: int) -> None:
    victim = cluster.redirectors[number % 2]
    cluster.place(part(f"before{number}"), CONTENT, 0, 1)
    cluster.kill(victim, "xrootd")
    cluster.kill(victim, "cmsd")
    started = time.monotonic()
    for n in range(4):
        got = cluster.files().fetch(cluster.place(part(f"lost{number}-{n}"), CONTENT[:n], 0, 1), tmp_path / str(n))
        assert got.path.read_bytes() == CONTENT[:n]
    assert time.monotonic() - started < 60


@pytest.mark.long
def test_no_redirector_answers(cluster: Cluster, tmp_path: Path) -> None:
    wanted = cluster.place(part("nobody"), CONTENT, 0, 1)
    for victim in cluster.redirectors:
        cluster.kill(victim, "xrootd")
    files = cluster.files()
    with pytest.raises(QskyError, match="No redirector answers") as caught:
        files.locate(wanted.part)
    assert caught.value.code.name == "part-unreachable"
    with pytest.raises(QskyError, match="no server has it|No redirector answers"):
        files.fetch(wanted, tmp_path / "got")
    cluster.heal()
    assert cluster.files().fetch(wanted, tmp_path / "got").path.read_bytes() == CONTENT


@pytest.mark.long
def test_the_last_holder_is_lost_and_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    wanted = cluster.place(part("last"), CONTENT, 2)
    files = cluster.files()
    files.locate(wanted.part)
    cluster.kill(cluster.servers[2], "xrootd")
    with pytest.raises(QskyError, match=str(cluster.holder(2))) as caught:
        files.fetch(wanted, tmp_path / "got")
    assert caught.value.code.name == "part-unreachable"
    cluster.heal(cluster.servers[2])
    assert cluster.files().fetch(wanted, tmp_path / "got").path.read_bytes() == CONTENT


@pytest.mark.long
def test_what_a_dead_run_left_behind_is_ended_and_nothing_else(cluster: Cluster) -> None:
    old = cluster.servers[2]
    pids = {state.program: state.pid for state in old.tend()}
    again = Daemons(replace(old.instance), QUICK)
    others = [state.pid for one in cluster.servers[:2] for state in one.tend()]
    again.start()
    again.wait_ready()
    cluster.servers[2] = again
    assert {state.pid for state in again.tend()}.isdisjoint(pids.values())
    assert [state.pid for one in cluster.servers[:2] for state in one.tend()] == others
    asked = session(cluster.access, QUICK)
    for redirector in cluster.access.redirectors:
        assert cluster.holder(2) in asked.locate(redirector, EVERYTHING)


@pytest.mark.long
def test_a_restarted_cmsd_hears_of_parts_again(cluster: Cluster) -> None:
    victim = cluster.servers[0]
    cluster.kill(victim, "cmsd")
    cluster.heal(victim)
    wanted = cluster.place(part("again"), b"again", 0, told=False)
    publish(victim.instance, wanted.part, QUICK)
    assert eventually(lambda: cluster.holder(0) in cluster.files().locate(wanted.part))
