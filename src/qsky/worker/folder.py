"""A worker's data folder: where its parts lie, how a file gets its name there, and what a dead process left behind.

<data>/parts/qsky/<part name>      whole and checked, or not there at all
<data>/cache/qsky/<part name>      copies that may go at any time
<data>/incoming/<process>/         files that have no name yet; the folder is locked as long as its process lives
<data>/quarantine/                 what was bad or unknown, each with a .json that says why
<data>/epochs.json                 the highest epoch ever obeyed, by lease

Knows files, not orders. Nothing is deleted from `parts` here but by `unlink`, which `replica` alone calls.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from qsky.errors import QskyError
from qsky.storage.partname import checked_part, digest_of
from qsky.storage.store import Store, digest_of_file, fsync_file, fsync_folder, io_errors, make_folders

_EPOCHS: Final = "epochs.json"
_EXPORT: Final = "qsky"


class DataFolder:
    """The folder of one worker; several threads, and a process that is about to be replaced, may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = folder / "parts" / _EXPORT
        self.cache = folder / "cache" / _EXPORT
        self.quarantine = folder / "quarantine"
        with io_errors(str(folder)):
            for one in (self.parts, self.cache, self.quarantine, folder / "incoming"):
                make_folders(one)
        self._incoming, self._lock_handle = _own_folder(folder / "incoming")

    def part(self, name: str) -> Path:
        """Where a part lies if it is here. Raises bad-name."""
        return self.parts / checked_part(name)

    def cached(self, name: str) -> Path:
        """Where a copy of a part lies if there is one. Raises bad-name."""
        return self.cache / checked_part(name)

    @contextmanager
    def aside(self) -> Iterator[Path]:
        """A path for a file to come, gone afterwards if the file was not moved. Files beside it go with the process."""
        path = self._incoming / f"{secrets.token_hex(8)}.part"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def unnamed(self, name: str) -> Path:
        """Where a part that comes in several pieces is written; it goes with the process. Raises bad-name."""
        return self._incoming / f"{Path(checked_part(name)).name}.part"

    def enter(self, aside: Path, target: Path, *, durable: bool = True) -> None:
        """Give a whole file its name; if durably, a power cut leaves it whole or not at all. Raises disk-full, no-access."""
        with io_errors(target.name):
            os.chmod(aside, 0o644)
            if durable:
                fsync_file(aside)
            while True:
                make_folders(target.parent)
                try:
                    os.replace(aside, target)
                    if durable:
                        fsync_folder(target.parent)
                except FileNotFoundError:
                    if not aside.exists():
                        raise
                    continue  # somebody removed the empty folder
                return

    def to_quarantine(self, path: Path, name: str, why: str) -> Path:
        """Move a file out of the way, and say why beside it; where it lies now. Raises FileNotFoundError."""
        kept = self.quarantine / f"{time.time_ns()}-{path.name}"
        reason = {"part": name, "why": why, "at": time.time()}
        with io_errors(path.name):
            with suppress(QskyError):  # a full disk: bad files leave all the same
                Store(self.quarantine).replace(f"{kept.name}.json", json.dumps(reason).encode())
            os.replace(path, kept)
            fsync_folder(self.quarantine)
            fsync_folder(path.parent)
        return kept

    def unlink(self, path: Path, below: Path, *, durable: bool = True) -> None:
        """Delete a file and the folders up to `below` that are empty now; one that is gone is fine."""
        with io_errors(path.name), suppress(FileNotFoundError):
            path.unlink(missing_ok=True)
            if durable:
                fsync_folder(path.parent)
        folder = path.parent
        while folder != below:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def remove_rubbish(self) -> int:
        """Remove the unfinished files of processes that ended; how many processes."""
        found = 0
        for folder in (self.folder / "incoming").iterdir():
            handle = _locked(folder)
            if handle is not None:
                found += 1
                shutil.rmtree(folder, ignore_errors=True)
                os.close(handle)
        return found

    @contextmanager
    def epochs(self) -> Iterator[Epochs]:
        """The highest epochs, nobody else's to change meanwhile."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield Epochs(Store(self.folder))
        finally:
            os.close(handle)

    def close(self) -> None:
        """Let others remove what this process did not finish."""
        shutil.rmtree(self._incoming, ignore_errors=True)
        os.close(self._lock_handle)


class Epochs:
    """The highest epoch seen of each lease, on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._highest: dict[str, int] = {}
        with suppress(FileNotFoundError):
            self._highest = _read_epochs(store)

    def highest(self, lease: str) -> int:
        return self._highest.get(lease, 0)

    def accept(self, lease: str, epoch: int) -> bool:
        """Whether the epoch is not older than any before; a newer one is on disk when this returns. Raises disk-full."""
        highest = self.highest(lease)
        if epoch > highest:
            self._store.replace(_EPOCHS, json.dumps({**self._highest, lease: epoch}).encode())
            self._highest[lease] = epoch
        return epoch >= highest


def _read_epochs(store: Store) -> dict[str, int]:
    """Raises FileNotFoundError, and damaged for a file that says nothing: to begin at 0 again would obey the dead."""
    try:
        found = json.loads(store.read(_EPOCHS))
        return {str(lease): int(epoch) for lease, epoch in found.items()}
    except (ValueError, AttributeError, TypeError):
        raise QskyError("damaged", f"{store.path(_EPOCHS)} does not say which epochs were obeyed.") from None


def why_bad(path: Path, name: str, size: int) -> str:
    """What is wrong with a file that should be the part, or nothing. Raises FileNotFoundError, no-access."""
    found = path.stat().st_size
    if found != size:
        return f"it has {found} bytes, not {size}"
    try:
        with io_errors(name):
            return "" if digest_of_file(path) == digest_of(name) else "its bytes are not those its name stands for"
    except QskyError as error:
        if error.code.name != "damaged":
            raise
        return error.message


def _own_folder(incoming: Path) -> tuple[Path, int]:
    """A locked folder of this process; a cleaner may take one that is not locked yet, then there is another."""
    while True:
        folder = incoming / secrets.token_hex(8)
        folder.mkdir()
        handle = _locked(folder)
        if handle is not None and folder.exists():
            return folder, handle
        if handle is not None:
            os.close(handle)


def _locked(folder: Path) -> int | None:
    """A handle that holds the lock on a folder, unless somebody else does or it is gone."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
