"""Rows too large to travel with a fragment or in a reply: sent ahead to a worker once, or pulled from one in parts.

Called by `dispatch.dask`. A query's stage may be a large table that each of its fragments is given; it goes once to each
worker that needs it.
"""

from __future__ import annotations

import asyncio
import mmap
import tempfile
import threading
import weakref
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from types import TracebackType
from typing import Any, Final

import pyarrow as pa

from qsky.carried import Lot, digest_of, table_bytes, table_of
from qsky.config import Settings
from qsky.dispatch.balance import Host
from qsky.fragment import Fragment

Ask = Callable[..., Awaitable[Any]]
_NONE: Final[dict[str, Lot]] = {}


class Lots:
    """The large tables of fragments, as bytes, as long as the tables live."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: dict[int, tuple[Lot, pa.Buffer]] = {}  # by id of the table
        self._lock = threading.Lock()
        self._sending: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()

    def of(self, fragment: Fragment) -> dict[str, Lot]:
        """The rows a fragment is given that travel apart, by name."""
        large = [each for each in fragment.given if each[1].nbytes > self._settings.piece_bytes_inline_max]
        return {name: self._lot(table)[0] for name, table in large} if large else _NONE

    def _lot(self, table: pa.Table) -> tuple[Lot, pa.Buffer]:
        with self._lock:
            if id(table) not in self._made:
                content = table_bytes(table)
                self._made[id(table)] = Lot(content.size, digest_of(content)), content
                weakref.finalize(table, self._made.pop, id(table), None)
            return self._made[id(table)]

    async def given(self, fragment: Fragment, host: Host, ask: Ask) -> bool:
        """See that a worker has the rows; False if it does not answer."""
        for name in self.of(fragment):
            lot, content = self._lot(dict(fragment.given)[name])
            sending = self._sending.setdefault((host.address, lot.digest), asyncio.Lock())
            async with sending:
                if not await self._sent(lot, memoryview(content), host, ask):
                    return False
        return True

    async def _sent(self, lot: Lot, content: memoryview, host: Host, ask: Ask) -> bool:
        have = await ask(host, "give", digest=lot.digest)
        while have is not None and have < lot.bytes:
            part = bytes(content[have : have + self._settings.pull_bytes])
            have = await ask(host, "give", digest=lot.digest, offset=have, content=part)
        return have is not None


class Pulled:
    """Rows that come in parts, into a file without a name."""

    def __init__(self, size_bytes: int, digest: str) -> None:
        self._size_bytes = size_bytes
        self._wanted = digest
        self._digest = blake2b(digest_size=16)
        self._file = tempfile.TemporaryFile(prefix="qsky-piece-")  # noqa: SIM115 (closed with this)
        self.bytes = 0

    def __enter__(self) -> Pulled:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def missing(self) -> int:
        """Bytes that have not come."""
        return self._size_bytes - self.bytes

    def add(self, part: bytes | memoryview) -> None:
        """The next part."""
        self._file.write(part)
        self._digest.update(part)
        self.bytes += len(memoryview(part))

    def table(self) -> pa.Table | None:
        """The rows, mapped; None if they are not those that were sent."""
        if self.bytes != self._size_bytes or self._digest.hexdigest() != self._wanted:
            return None
        self._file.flush()
        return table_of(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))
