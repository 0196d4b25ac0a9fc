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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qsky.errors import QskyError

DIGEST_LETTERS = 16


@dataclass(frozen=True)
class Store:
    """The folder of one database, or of a whole root."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name

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
            target_path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self.path(source), target_path)
            except FileExistsError:
                return
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                    raise
                self._copy(source, target_path)

    def _copy(self, source: str, target: Path) -> None:
        aside = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(self.path(source), aside)
        fsync_file(aside)
        os.replace(aside, target)

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

    def remove_empty_folders(self, folder: str = ".") -> None:
        """Remove folders below `folder` that hold nothing."""
        for base, _, _ in os.walk(self.path(folder), topdown=False):
            if Path(base) != self.folder and not os.listdir(base):
                os.rmdir(base)

    @contextmanager
    def _written_aside(self, name: str, content: bytes) -> Iterator[str]:
        """The content in a durable file of its own beside `name`, gone afterwards if it was not moved."""
        folder = self.path(name).parent
        folder.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=".new-", dir=folder)
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
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise QskyError("no-access", f"{name} cannot be read or written: {error.strerror}.") from error
        raise QskyError("damaged", f"{name} cannot be read or written: {error.strerror or error}.") from error


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
