"""The thin shell around the state machine: carries out its orders on a transport, and yields pieces in fragment order.

Called by `engine`. It holds a clock and a mailbox, and decides nothing. Closing the generator stops every attempt that
is out, and takes locks: it is not left to the garbage collector (`abandoned`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final, Protocol

from qsky.dispatch.early import Early
from qsky.dispatch.state import (
    Arrived,
    Begin,
    Cancel,
    Dispatch,
    Done,
    Drop,
    Event,
    Fail,
    Keep,
    Limits,
    Run,
    Taken,
    Tick,
)
from qsky.dispatch.transport import Brought, Mailbox, Report, Transport
from qsky.fragment import Fragment, Piece

# A wait this long changes nothing; it is short so that a missed wake-up does no harm.
_WAIT_SECONDS_MAX: Final = 1.0
_EARLY_BYTES_MAX: Final = 64 << 20


class Watch(Protocol):
    """Sees the work of a query pass; called from the thread that takes its pieces."""

    def sent(self, fragment: Fragment) -> None:
        """An attempt at a fragment begins."""
        ...

    def kept(self, piece: Piece) -> None:
        """A fragment is done; of several attempts this is the one that counts."""
        ...


class Running:
    """One query on its way."""

    def __init__(
        self,
        fragments: int,
        spell: Callable[[int], Fragment],
        transport: Transport,
        limits: Limits,
        early_bytes_max: int,
        watch: Watch | None,
    ) -> None:
        self._watch = watch
        self._machine = Dispatch(fragments, limits)
        self._spell = spell
        self._transport = transport
        self._mailbox: Mailbox = SimpleQueue()
        self._arrived: dict[int, Piece] = {}  # by attempt, until kept or dropped
        self._kept = Early(early_bytes_max)  # by fragment, until taken
        self._needed: int | None = None

    def pieces(self, began: float) -> Generator[Piece, None, None]:
        """The pieces, each once, in fragment order. Raises what the query failed with."""
        number = 0
        try:
            self._handle(Begin(began))
            while self._needed is None or number < self._needed:
                if number in self._kept:
                    yield self._kept.take(number)
                    number += 1
                    self._handle(Taken())
                else:
                    self._wait()
        finally:
            self._handle(Cancel(), quietly=True)
            self._kept.close()

    def _wait(self) -> None:
        deadline = self._machine.deadline
        seconds = _WAIT_SECONDS_MAX if deadline is None else min(_WAIT_SECONDS_MAX, max(0.0, deadline - monotonic()))
        try:
            report = self._mailbox.get(timeout=seconds)
        except Empty:
            self._handle(Tick(monotonic()))
        else:
            self._receive(report)

    def _receive(self, report: Report) -> None:
        if self._machine.timed:
            self._handle(Tick(monotonic()))
        if isinstance(report, Brought):
            self._arrived[report.attempt] = report.piece
            self._handle(Arrived(report.attempt, report.piece.table.num_rows))
        else:
            self._handle(report)

    def _handle(self, event: Event, *, quietly: bool = False) -> None:
        for order in self._machine.handle(event):
            if isinstance(order, Run):
                fragment = self._spell(order.fragment)
                if self._watch is not None:
                    self._watch.sent(fragment)
                self._transport.submit(order.attempt, fragment, self._mailbox, order.avoid)
            elif isinstance(order, Keep):
                piece = self._arrived.pop(order.attempt)
                self._kept.put(order.fragment, piece)
                if self._watch is not None:
                    self._watch.kept(piece)
            elif isinstance(order, Drop):
                self._arrived.pop(order.attempt, None)
                self._transport.cancel(order.attempt, self._mailbox)
            elif isinstance(order, Done):
                self._needed = order.fragments
            elif isinstance(order, Fail) and not quietly:
                raise order.error


def run(
    fragments: int,
    spell: Callable[[int], Fragment],
    transport: Transport,
    limits: Limits,
    early_bytes_max: int = _EARLY_BYTES_MAX,
    *,
    watch: Watch | None = None,
    began: float | None = None,
) -> Generator[Piece, None, None]:
    """The pieces of a query's fragments in order; `spell` makes the fragment of a number when it is sent.

    Pieces that come before their turn take at most `early_bytes_max` of memory, the others wait in files. `began` is
    when the query did, on the monotonic clock, if that was before.
    """
    running = Running(fragments, spell, transport, limits, early_bytes_max, watch)
    return running.pieces(monotonic() if began is None else began)
