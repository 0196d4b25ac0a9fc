"""Processes that are killed, stopped and started again under a query: its rows stay right, and it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import cast

import pyarrow as pa
import pytest

from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.dispatch.dask import DaskTransport
from qsky.dispatch.link import Link
from qsky.dispatch.run import run
from qsky.dispatch.state import Limits
from qsky.engine import Engine
from qsky.errors import QskyError
from qsky.fragment import Fragment
from tests.dask_cluster import Cluster, until
from tests.engine.made_sky import MadeSky

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dask")]
# A tenth of a second of work; its sum says whether it was done.
WORK = "SELECT count(*) + {at} AS n FROM range(150) a, range(100000) b WHERE (a.range * 7 + b.range) % 11 >= 0"
ROWS = 15_000_000


def work(at: int) -> Fragment:
    return Fragment(at, WORK.format(at=at), (), 1, 1)


def asked(link: Link, fragments: int, limits: Limits) -> Callable[[], list[int]]:
    """A query under way; calling gives its answer, or raises what it failed with."""
    found: list[int] = []
    failed: list[QskyError] = []

    def ask() -> None:
        try:
            found.extend(
                piece.table["n"][0].as_py() for piece in run(fragments, work, DaskTransport(link, "/"), limits)
            )
        except QskyError as error:
            failed.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()

    def answer() -> list[int]:
        thread.join(60)
        assert not thread.is_alive()
        if failed:
            raise failed[0]
        return found

    return answer


def right(fragments: int) -> list[int]:
    return [ROWS + at for at in range(fragments)]


def busy(link: Link) -> list[str]:
    return [name for name, said in link.status().items() if said["running"]]


@pytest.fixture(scope="module")
def broken(cluster: Cluster) -> Cluster:
    """A cluster that tests break; each leaves three workers behind."""
    return cluster


def test_a_worker_that_is_killed_changes_no_row(broken: Cluster) -> None:
    link = broken.links[0]
    answer = asked(link, 9, Limits(slots=9))
    until(lambda: len(busy(link)) == 3)
    broken.kill("w1")
    began = monotonic()
    assert answer() == right(9)
    assert monotonic() - began < 60


@pytest.mark.long
def test_a_worker_that_hangs_changes_no_row(broken: Cluster) -> None:
    link = broken.links[0]
    answer = asked(link, 9, Limits(slots=9))
    until(lambda: len(busy(link)) == 3)
    broken.signal("w2", signal.SIGSTOP)
    began = monotonic()
    assert answer() == right(9)
    assert monotonic() - began < 60
    assert len(link.hosts) == 2
    broken.signal("w2", signal.SIGCONT)
    link.wait_for_workers(3, 10)
    until(lambda: not busy(link))


@pytest.mark.long
def test_a_scheduler_that_is_killed_changes_no_row(broken: Cluster) -> None:
    link = broken.links[0]
    answer = asked(link, 12, Limits(slots=12))
    until(lambda: len(busy(link)) == 3)
    broken.kill("scheduler")
    for name in ("w0", "w1", "w2"):
        assert broken.ended(name, 15) == 1, "workers end with their scheduler, and are started anew"
    broken.start_scheduler()
    broken.start_workers(["w0", "w1", "w2"])
    began = monotonic()
    assert answer() == right(12)
    assert monotonic() - began < 60
    link.wait_for_workers(3, 10)


@pytest.mark.long
def test_a_fragment_that_ends_two_processes_is_not_given_a_third(broken: Cluster) -> None:
    link = broken.links[0]
    endless = "SELECT sum(sqrt(a.range * b.range)) AS n FROM range(1000000) a, range(1000000) b"
    failed: list[QskyError] = []

    def ask() -> None:
        try:
            list(run(1, lambda at: Fragment(at, endless, (), 1, 1), DaskTransport(link, "/"), Limits(slots=1)))
        except QskyError as error:
            failed.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    for _ in range(2):
        until(lambda: busy(link))
        sleep(1)  # so that the link has heard of it
        (name,) = busy(link)
        broken.kill(name)
    thread.join(10)
    assert [error.code.name for error in failed] == ["worker-ended"]
    assert len(broken.processes) == 2, "the scheduler and one worker"


@pytest.mark.long
def test_a_worker_that_is_told_to_stop_hands_its_work_on(broken: Cluster) -> None:
    link = broken.links[0]
    answer = asked(link, 9, Limits(slots=9))
    until(lambda: len(busy(link)) == 3)
    broken.signal("w0", signal.SIGTERM)
    assert broken.ended("w0", 10) == 0
    assert answer() == right(9)


@pytest.mark.long
def test_a_cluster_without_workers_is_waited_for_so_long(broken: Cluster) -> None:
    for name in ("w0", "w1", "w2"):
        broken.kill(name)
    link = broken.link(cluster_wait_seconds=1.0)
    with pytest.raises(QskyError) as caught:
        asked(link, 1, Limits(slots=1))()
    assert caught.value.code.name == "no-cluster"
    broken.start_workers(["w0", "w1", "w2"])
    assert asked(link, 3, Limits(slots=3))() == right(3)


@pytest.mark.long
def test_queries_answer_while_workers_die(broken: Cluster, sky: MadeSky) -> None:
    """Bit for bit, whoever ran it."""
    text = "SELECT FLOOR(mag) AS m, COUNT(*) AS n, SUM(ra) AS s FROM db.obj GROUP BY m ORDER BY m"
    settings = Settings().with_changes(interactive_chunks_max=0, fragment_chunks_max=4)
    with Engine(cast(Catalog, sky), settings) as engine:
        expected = engine.query(text).arrow()
    stop = threading.Event()

    def kill_now_and_then() -> None:
        for name in ("w0", "w1", "w2"):
            if stop.wait(2):
                return
            broken.kill(name)
            broken.start_workers([name])

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    found: list[pa.Table] = []
    with Engine(cast(Catalog, sky), settings, DaskTransport(broken.links[0], "/")) as engine:
        while killer.is_alive():
            found.append(engine.query(text).arrow())
    killer.join()
    assert len(found) > 3 and all(each.equals(expected) for each in found)


@pytest.fixture(autouse=True)
def _whole(broken: Cluster) -> Iterator[None]:
    missing = {"w0", "w1", "w2"} - set(broken.processes)
    if missing:
        broken.start_workers(missing)
        broken.links[0].wait_for_workers(3, 30)
    yield
    for name in broken.processes:
        broken.signal(name, signal.SIGCONT)
