"""Fragments that come to a worker as bytes and leave as replies: what a station does, without the network around it.

Called by `worker.station` from its event loop, which never waits here: reading, looking for parts and running have
threads of their own. Part names become paths before a fragment waits for a permit, so that a part that must be fetched
first holds no permit up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa

from qsky.carried import Lot, fragment_of, with_addresses
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.fragment import Fragment, PartFile, Piece
from qsky.worker.ducks import Ducks
from qsky.worker.pieces import Pieces
from qsky.worker.serve import Worker
from qsky.worker.shelf import Shelf

_THREADS: Final = 16


class Parts(Protocol):
    """Where the parts of the root are on this machine."""

    def held(self, wanted: Mapping[str, int]) -> AbstractContextManager[Mapping[str, Path]]:
        """Paths of this machine for parts by name and bytes; their files stay for as long as the context.

        May fetch parts first, from any thread. Raises a storage error.
        """
        ...


def is_part_name(address: str) -> bool:
    """Whether the address of a file in a fragment names a part of the root."""
    return not address.startswith("/") and "://" not in address


@dataclass(eq=False)
class _Letter:
    token: str
    replied: Callable[[], None]
    number: int | None = None  # at the worker
    dropped: bool = False
    held: ExitStack = field(default_factory=ExitStack)  # the files of its parts


class Post:
    """One worker process's fragments by token. Safe for several threads."""

    def __init__(self, settings: Settings, parts: Parts, folders: Iterable[str], data: Path) -> None:
        """`folders` are what fragments may read; `data` is the worker's own folder, where pieces wait under spool/."""
        self.settings = settings
        self.shelf = Shelf(data / "spool" / "pieces", settings.spool_bytes_max)
        self.pieces = Pieces(self.shelf, settings.piece_bytes_inline_max)
        self.worker = Worker(settings, self._open)
        self._parts = parts
        self._ducks = Ducks(settings, folders, data / "spool" / "duckdb")
        self._letters: dict[str, _Letter] = {}
        self._lock = threading.Lock()
        self._closing = False
        self._readers = ThreadPoolExecutor(_THREADS, thread_name_prefix="qsky-post")

    def _open(self, interactive: bool) -> Any:
        return self._ducks.under(interactive)

    def receive(self, token: str, content: bytes, replied: Callable[[], None]) -> None:
        """Run a fragment. `replied` is called once, from any thread: its reply is there, or it was dropped."""
        letter = _Letter(token, replied)
        with self._lock:
            self._letters[token] = letter
        self._readers.submit(self._read, letter, content)

    def _read(self, letter: _Letter, content: bytes) -> None:
        try:
            fragment, folders = fragment_of(content, self._given)
            self._allow(fragment, folders)
            fragment = self._with_paths(letter, fragment)
            with self._lock:
                if letter.dropped:
                    letter.held.close()
                    return
                owner = letter.token.rsplit("-", 1)[0]
                letter.number = self.worker.submit(owner, fragment, lambda result: self._done(letter, result))
        except QskyError as error:
            self._done(letter, error)
        except Exception as error:
            sentence = f"A fragment could not be read: {type(error).__name__}: {error}"
            self._done(letter, QskyError("internal", sentence))

    def _given(self, lot: Lot) -> pa.Table:
        table = self.shelf.table(lot.digest, lot)
        if table is None:
            raise QskyError("damaged", "The rows a fragment is given have not come to its worker.")
        return table

    def _with_paths(self, letter: _Letter, fragment: Fragment) -> Fragment:
        """The fragment with files of this machine, which stay until it is done."""
        files = [file for source in fragment.inputs for file in source.files]
        wanted = {file.address: file.bytes for file in files if is_part_name(file.address)}
        if not wanted:
            return fragment
        paths = letter.held.enter_context(self._parts.held(wanted))

        def path(file: PartFile) -> str:
            return str(paths[file.address]) if file.address in paths else file.address

        return with_addresses(fragment, path)

    def _allow(self, fragment: Fragment, folders: tuple[str, ...]) -> None:
        """Open DuckDB for addresses of attached catalogues; of folders, only those below its own. Raises no-access."""
        if self._ducks.allow(folder for folder in folders if "://" in folder):
            self.worker.renew()
        for source in fragment.inputs:
            for file in source.files:
                if not is_part_name(file.address) and not self._ducks.allows(file.address):
                    raise QskyError("no-access", f"{file.address} lies outside of what this worker may read.")

    def _done(self, letter: _Letter, result: Piece | QskyError) -> None:
        letter.held.close()
        stopped = isinstance(result, QskyError) and result.code.name == "cancelled"
        if letter.dropped or (stopped and self._closing):
            return
        self.pieces.put(letter.token, result)
        with self._lock:
            dropped = self._letters.pop(letter.token, None) is None
        if dropped:
            self.pieces.drop(letter.token)
        else:
            letter.replied()

    def drop(self, token: str) -> bool:
        """Stop a fragment, or forget its reply; whether there was anything to stop. Never waits."""
        with self._lock:
            letter = self._letters.pop(token, None)
            if letter is not None:
                letter.dropped = True
        if letter is not None:
            if letter.number is not None:
                self.worker.cancel(letter.number)
                letter.held.close()
            letter.replied()
        self.pieces.drop(token)
        return letter is not None

    def running(self, owner: str) -> list[str]:
        """Tokens that begin so and run now."""
        numbers = self.worker.running
        return [t for t, letter in list(self._letters.items()) if letter.number in numbers and t.startswith(owner)]

    def status(self) -> dict[str, Any]:
        """What the worker does, in numbers."""
        counts = self.worker.counts
        return {
            "permits": self.worker.permits,
            "waiting": self.worker.waiting,
            "running": len(self.worker.running),
            "alone": counts.alone,
            "shared": counts.shared,
            "decoded_columns": counts.decoded_columns,
            "decoded_bytes": self.worker.decoded_bytes,
            "pieces": len(self.pieces),
            "spooled_bytes": self.shelf.bytes,
        }

    def close(self) -> None:
        """Stop everything; what was running is not answered. Waits a moment for the threads."""
        self._closing = True
        self._readers.shutdown(wait=False, cancel_futures=True)
        self.worker.close()
        self.shelf.close()
