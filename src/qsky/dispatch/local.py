"""The transport of one machine: a worker in this process.

Called by `dispatch.run`; made by whoever makes an Engine. It decides nothing about retries, and nothing about order.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from functools import partial
from typing import Final

from qsky.config import Settings
from qsky.dispatch.state import Failed
from qsky.dispatch.transport import Brought, Mailbox
from qsky.errors import QskyError
from qsky.fragment import Fragment, Piece
from qsky.worker.ducks import Ducks
from qsky.worker.serve import Worker

# The worker sees so many fragments of a query at once, so that it can choose those that others want as well.
_SLOTS: Final = 256


class LocalTransport:
    """One worker; a query is known to it by its mailbox."""

    def __init__(self, settings: Settings, ducks: Ducks) -> None:
        self.worker = Worker(settings, ducks.under)
        self._ducks = ducks
        self._lock = threading.Lock()
        self._numbers: dict[tuple[Mailbox, int], int] = {}

    @property
    def slots(self) -> int:
        return _SLOTS

    @property
    def hosts(self) -> int:
        return 1

    @property
    def ahead(self) -> int:
        """One being run and one waiting behind it for each permit, so that no permit waits for the caller."""
        return 2 * self.worker.permits

    def submit(self, attempt: int, fragment: Fragment, mailbox: Mailbox, avoid: Collection[str] = ()) -> None:
        with self._lock:
            deliver = partial(self._deliver, attempt, mailbox)
            self._numbers[mailbox, attempt] = self.worker.submit(mailbox, fragment, deliver)

    def _deliver(self, attempt: int, mailbox: Mailbox, result: Piece | QskyError) -> None:
        with self._lock:
            self._numbers.pop((mailbox, attempt), None)
        mailbox.put(Failed(attempt, result) if isinstance(result, QskyError) else Brought(attempt, result))

    def cancel(self, attempt: int, mailbox: Mailbox) -> None:
        with self._lock:
            number = self._numbers.pop((mailbox, attempt), None)
        if number is not None:
            self.worker.cancel(number)

    def allow(self, folders: Iterable[str]) -> None:
        """Open the instances anew if these are new to them."""
        if self._ducks.allow(folders):
            self.worker.renew()

    def close(self) -> None:
        self.worker.close()
