"""What carries fragments to where they run and brings pieces back: the seam between one machine and many.

`dispatch.run` drives a Transport; `dispatch.local` is one of threads. A transport decides where an attempt runs, and
nothing else: what is tried, retried or given up is decided by `dispatch.state`.
"""

from __future__ import annotations

from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from qsky.dispatch.state import Failed, Placed, WorkerLost
from qsky.fragment import Fragment, Piece


@dataclass(frozen=True)
class Brought:
    """An attempt's piece."""

    attempt: int
    piece: Piece


Report = Placed | Brought | Failed | WorkerLost
Mailbox = SimpleQueue[Report]


class Transport(Protocol):
    """Used by many queries at once, from many threads."""

    @property
    def slots(self) -> int:
        """How many attempts of one query are worth having out at once."""
        ...

    @property
    def ahead(self) -> int:
        """How many of them keep it busy, where pieces must not pile up before who takes them one by one."""
        ...

    def submit(self, attempt: int, fragment: Fragment, mailbox: Mailbox) -> None:
        """Run a fragment somewhere. Its end is reported to the mailbox, once; attempts are numbered per mailbox."""
        ...

    def cancel(self, attempt: int, mailbox: Mailbox) -> None:
        """Stop an attempt as soon as can be; what it still reports is ignored. Never waits."""
        ...

    def close(self) -> None:
        """Stop everything and let go of what was opened."""
        ...
