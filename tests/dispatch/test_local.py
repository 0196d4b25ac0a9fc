"""The transport of threads: pieces in order, cancel by interrupt, and a pool that survives it."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty, SimpleQueue
from threading import Event
from time import monotonic

import pytest

from qsky.config import Settings
from qsky.dispatch.local import LocalTransport
from qsky.dispatch.run import run
from qsky.dispatch.state import Failed, Limits
from qsky.dispatch.transport import Brought, Mailbox
from qsky.duck import Duck
from qsky.errors import QskyError
from qsky.fragment import Fragment
from qsky.worker.ducks import Ducks

pytestmark = pytest.mark.usefixtures("any_words")

ENDLESS = "SELECT sum(sqrt(a.range * b.range)) AS s FROM range(1000000) a, range(1000000) b"


class Open(Ducks):
    """Instances without folders and locks, for statements that no printer writes."""

    def __init__(self) -> None:
        super().__init__(Settings(), ())

    def under(self, interactive: bool) -> Duck:
        return Duck()


@pytest.fixture
def transport() -> Iterator[LocalTransport]:
    made = LocalTransport(Settings(threads=2), Open())
    yield made
    made.close()


def number(at: int) -> Fragment:
    return Fragment(at, f"SELECT {at} AS n FROM range({at})", (), 1, 1)


def endless(at: int) -> Fragment:
    return Fragment(at, ENDLESS, (), 1, 1)


def test_pieces_come_in_fragment_order(transport: LocalTransport) -> None:
    found = [piece.number for piece in run(30, number, transport, Limits(slots=4, ahead_max=5))]
    assert found == list(range(30))


def test_an_error_ends_the_query_and_not_the_pool(transport: LocalTransport) -> None:
    def broken(at: int) -> Fragment:
        return Fragment(at, "SELECT CAST('x' AS INTEGER) AS n", (), 1, 1)

    with pytest.raises(QskyError) as caught:
        list(run(3, broken, transport, Limits(slots=2)))
    assert caught.value.code.name == "query-failed"
    assert len(list(run(3, number, transport, Limits(slots=2)))) == 3


def test_a_query_that_is_left_stops_at_once(transport: LocalTransport) -> None:
    list(run(4, number, transport, Limits(slots=4)))
    pieces = run(5, lambda at: number(at) if at == 0 else endless(at), transport, Limits(slots=4))
    next(pieces)
    began = monotonic()
    pieces.close()  # type: ignore[attr-defined]
    assert len(list(run(4, number, transport, Limits(slots=4)))) == 4, "both threads are free again"
    assert monotonic() - began < 5.0, "on a machine at rest a tenth of a second"


def test_a_deadline_is_kept(transport: LocalTransport) -> None:
    began = monotonic()
    with pytest.raises(QskyError) as caught:
        list(run(2, endless, transport, Limits(slots=2, seconds_max=0.2)))
    assert caught.value.code.name == "limit-time"
    assert monotonic() - began < 5.0


def test_cancel_again_and_again_never_hits_the_next_attempt(transport: LocalTransport) -> None:
    for attempt in range(40):
        old: Mailbox = SimpleQueue()
        new: Mailbox = SimpleQueue()
        transport.submit(2 * attempt, endless(0), old)
        transport.submit(2 * attempt + 1, endless(0), old)
        transport.submit(attempt, number(3), new)
        if attempt % 2:
            Event().wait(0.002)
        transport.cancel(2 * attempt, old)
        transport.cancel(2 * attempt + 1, old)
        report = new.get(timeout=5)
        assert isinstance(report, Brought), report


def test_interactive_fragments_do_not_wait_behind_scans(transport: LocalTransport) -> None:
    scans: Mailbox = SimpleQueue()
    mine: Mailbox = SimpleQueue()
    for attempt in range(6):
        transport.submit(attempt, endless(0), scans)
    transport.submit(0, Fragment(0, "SELECT 1 AS n", (), 1, 1, interactive=True), mine)
    assert isinstance(mine.get(timeout=2), Brought)
    for attempt in range(6):
        transport.cancel(attempt, scans)
    with pytest.raises(Empty):
        while not isinstance(scans.get(timeout=0.5), Brought):
            pass


def test_a_duckdb_that_cannot_be_opened_is_reported() -> None:
    class Broken(Open):
        def under(self, interactive: bool) -> Duck:
            raise QskyError("disk-full", "no room")

    transport = LocalTransport(Settings(threads=1), Broken())
    mailbox: Mailbox = SimpleQueue()
    transport.submit(0, number(1), mailbox)
    report = mailbox.get(timeout=2)
    transport.close()
    assert isinstance(report, Failed)
    assert report.error.code.name == "disk-full"
