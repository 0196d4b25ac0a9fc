"""What a link asks of the network: a door to a scheduler and its workers, what goes through it, and how it fails.

`dispatch.dask` makes a `Door`; `dispatch.link` uses it, and knows nothing else of who carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from qsky.dispatch.balance import Host
from qsky.dispatch.lots import Lots
from qsky.dispatch.transport import Mailbox
from qsky.fragment import Fragment


class SchedulerGone(Exception):
    """The scheduler has gone, or has begun anew and knows nothing of what it was sent."""


class WorkerEnded(Exception):
    """The worker process at this address ended while it had an attempt."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


class Door(Protocol):
    """A connection to a scheduler. It is not used again after it has failed."""

    async def workers(self) -> dict[str, str]:
        """Names of the workers that are up, by address. Raises SchedulerGone."""
        ...

    def running(self, token: str, content: bytes, address: str) -> AbstractAsyncContextManager[None]:
        """Run a fragment at a worker, or another if that one is gone; in the block its reply is there.

        Raises SchedulerGone, WorkerEnded.
        """
        ...

    async def where(self, token: str) -> str | None:
        """The address of the worker that has a reply."""
        ...

    async def ask(self, address: str, name: str, **arguments: Any) -> Any:
        """Ask a worker. Raises OSError."""
        ...

    async def obey(self, work: Any, address: str) -> Any:
        """Have a worker obey a work that is no fragment. Raises what that raises."""
        ...

    async def close(self) -> None: ...


@dataclass(eq=False)
class Out:
    """An attempt on its way, as long as its query wants it."""

    mailbox: Mailbox
    attempt: int
    fragment: Fragment
    content: bytes
    homes: Sequence[str]
    avoid: Collection[str]
    lots: Lots
    since: float = 0.0  # when it began to wait
    token: str = ""  # when it is out
    host: Host | None = None
    began: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def key(self) -> tuple[int, int]:
        return id(self.mailbox), self.attempt
