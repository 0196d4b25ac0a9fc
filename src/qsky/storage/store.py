"""A folder as a store: files created exclusively, replaced atomically, listed, linked, removed; always fsynced.

All paths are relative to the store's folder and "/"-separated. What an operation promises after a crash is said at
the operation. Nothing here knows what the files mean.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final

from qsky.errors import QskyError

DIGEST_LETTERS: Final = 16
ASIDE: Final = ".new-"  # how files begin that have not got their name yet; what a crash leaves of them is rubbish


@dataclass(frozen=True)
class Store:
    """The folder of one database, or of a whole root.

    `fetch`, if parts may lie elsewhere, gives a file of this machine with the bytes of a part of a published revision.
    """

    folder: Path
    fetch: Callable[[str], Path] | None = field(default=None, compare=False, repr=False)

    def path(self, name: str) -> Path:
        return self.folder / name

    def part(self, name: str) -> Path:
        """A file that holds a part: its own if it lies here, else one that was fetched. Raises what fetching raises."""
        path = self.path(name)
        return path if self.fetch is None or path.exists() else self.fetch(name)

    def within(self, name: str) -> Store:
        return Store(self.folder / name)

    def exists(self, name: str) -> bool:
        return self.path(name).exists()

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError; no-access."""
        with io_errors(name):
            return self.path(name).read_bytes()

    def create(self, name: str, content: bytes) -> bool:
        """Create a file that did not exist: True, or False if somebody else has. All or nothing, durable when True."""
        with io_errors(name), self._written_aside(name, content) as aside:
            try:
                os.link(aside, self.path(name))
            except FileExistsError:
                return False
            fsync_folder(self.path(name).parent)
            return True

    def replace(self, name: str, content: bytes) -> None:
        """Write or overwrite a file: readers see the old or the new bytes, never a mixture."""
        with io_errors(name), self._written_aside(name, content) as aside:
            os.replace(aside, self.path(name))
            fsync_folder(self.path(name).parent)

    def create_side_file(self, kind: str, content: bytes, suffix: str) -> str:
        """A file named by its digest; the name. Writing the same bytes twice is one file."""
        digest = hashlib.sha256(content).hexdigest()[:DIGEST_LETTERS]
        name = f"_qsky/{kind}-{digest}.{suffix}"
        if not self.create(name, content):
            # Somebody wrote the same before, perhaps for a revision that is gone: young again, so that vacuum waits.
            os.utime(self.path(name))
        return name

    def names(self, folder: str) -> list[str]:
        """The names directly inside a folder, sorted; none if it does not exist."""
        try:
            return sorted(os.listdir(self.path(folder)))
        except FileNotFoundError:
            return []

    def files(self, folder: str = ".") -> Iterator[str]:
        """Every file below a folder, relative to the store."""
        for base, folders, names in os.walk(self.path(folder)):
            folders.sort()
            for name in sorted(names):
                yield os.path.relpath(os.path.join(base, name), self.folder).replace(os.sep, "/")

    def link(self, source: str, target: str) -> None:
        """Give a file a second name; nothing happens if the target exists. Falls back to a copy across devices."""
        target_path = self.path(target)
        with io_errors(target):
            make_folders(target_path.parent)
            try:
                os.link(self.part(source), target_path)
            except FileExistsError:
                return
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                    raise
                self._copy(source, target_path)

    def _copy(self, source: str, target: Path) -> None:
        handle, aside = tempfile.mkstemp(prefix=ASIDE, dir=target.parent)
        os.close(handle)
        try:
            shutil.copyfile(self.part(source), aside)
            os.chmod(aside, 0o644)
            fsync_file(Path(aside))
            os.replace(aside, target)
        finally:
            Path(aside).unlink(missing_ok=True)

    def size(self, name: str) -> int:
        return self.path(name).stat().st_size

    def age_seconds(self, name: str, now: float) -> float:
        return now - self.path(name).stat().st_mtime

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone is fine."""
        with io_errors(name):
            self.path(name).unlink(missing_ok=True)

    def remove_tree(self, folder: str) -> None:
        """Remove a folder and all below; one that is gone is fine."""
        shutil.rmtree(self.path(folder), ignore_errors=True)

    def folders(self) -> Iterator[tuple[str, list[str], float]]:
        """Every folder below, deepest first: its name, those of its files, and when it last changed, looked at last."""
        for base, _, names in os.walk(self.folder, topdown=False):
            name = os.path.relpath(base, self.folder).replace(os.sep, "/")
            yield ("" if name == "." else name), sorted(names), self.changed("" if name == "." else name)

    def changed(self, name: str) -> float:
        """When a file or folder last changed, in seconds of the epoch; now, in effect, if it is gone."""
        try:
            return self.path(name).stat().st_mtime
        except FileNotFoundError:
            return inf

    def remove_folder(self, folder: str) -> bool:
        """Remove a folder if it holds nothing; whether it did."""
        try:
            self.path(folder).rmdir()
        except OSError:
            return False
        return True

    @contextmanager
    def _written_aside(self, name: str, content: bytes) -> Iterator[str]:
        """The content in a durable file of its own beside `name`, gone afterwards if it was not moved."""
        folder = self.path(name).parent
        make_folders(folder)
        handle, aside = tempfile.mkstemp(prefix=ASIDE, dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(aside, 0o644)
            yield aside
        finally:
            Path(aside).unlink(missing_ok=True)


@contextmanager
def io_errors(name: str) -> Iterator[None]:
    """The operating system's errors as ours, except FileNotFoundError, which callers handle."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise QskyError(
                "disk-full",
                f"The disk is full: {name} could not be written; nothing was published.",
                hint="Free some space and try again.",
            ) from error
        if error.errno == errno.EFBIG:
            raise QskyError(
                "disk-full",
                f"{name} could not be written: it is larger than a file may be here; nothing was published.",
                hint="Raise the limit on the size of files (`ulimit -f`) and try again.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise QskyError("no-access", f"{name} cannot be read or written: {error.strerror}.") from error
        raise QskyError("damaged", f"{name} cannot be read or written: {error.strerror or error}.") from error


def make_folders(folder: Path) -> None:
    """Make a folder and those above it that are missing, each durably, even while others remove empty ones."""
    if folder.is_dir():
        return
    try:
        folder.mkdir(exist_ok=True)
        fsync_folder(folder.parent)
    except FileNotFoundError:
        make_folders(folder.parent)
        make_folders(folder)


def fsync_folder(folder: Path) -> None:
    """Make names created in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_of_file(path: Path) -> str:
    """The start of a file's SHA-256, as its name carries it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_LETTERS]
