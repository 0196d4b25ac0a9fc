"""What carries fragments to where they run and brings pieces back: the seam between one machine and many.

`dispatch.run` drives a Transport; `dispatch.local` is one of threads. A transport decides where an attempt runs, and
nothing else: what is tried, retried or given up is decided by `dispatch.state`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from qsky.dispatch.state import Began, Failed, Placed, WorkerLost
from qsky.fragment import Fragment, Piece


@dataclass(frozen=True)
class Brought:
    """An attempt's piece."""

    attempt: int
    piece: Piece


Report = Placed | Began | Brought | Failed | WorkerLost
Mailbox = SimpleQueue[Report]


class Transport(Protocol):
    """Used by many queries at once, from many threads."""

    @property
    def slots(self) -> int:
        """How many attempts of one query are worth having out at once."""
        ...

    @property
    def hosts(self) -> int:
        """How many workers there are now: with one, no attempt can be made elsewhere."""
        ...

    @property
    def ahead(self) -> int:
        """How many of them keep it busy, where pieces must not pile up before who takes them one by one."""
        ...

    def submit(self, attempt: int, fragment: Fragment, mailbox: Mailbox, avoid: Collection[str] = ()) -> None:
        """Run a fragment somewhere, not on the workers of `avoid` if there are others.

        Its end is reported to the mailbox, once; attempts are numbered per mailbox. `WorkerLost` is the end of all
        attempts that were `Placed` there.
        """
        ...

    def cancel(self, attempt: int, mailbox: Mailbox) -> None:
        """Stop an attempt as soon as can be; what it still reports is ignored. Never waits."""
        ...

    def allow(self, folders: Iterable[str]) -> None:
        """Fragments to come read files below these folders and addresses, which lie outside the root."""
        ...

    def close(self) -> None:
        """Stop everything and let go of what was opened."""
        ...
