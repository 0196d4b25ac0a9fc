"""The one door to obstore: bytes of http(s) addresses, whole or by ranges, and a file system for DuckDB made of them.

DuckDB 2 reads one open file from several threads, each seeking for itself. A file object with one position for all
then returns wrong bytes without a word, so positions here belong to the thread, and every read is a range request of
its own. Nothing is ever written.
"""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import fsspec
import obstore
from obstore.exceptions import BaseError
from obstore.store import HTTPStore

from qsky.errors import QskyError

SCHEMES: Final = ("http", "https")
_UNCHANGING: Final = datetime(2000, 1, 1, tzinfo=UTC)


def is_remote(address: str) -> bool:
    """Whether an address is read through this module."""
    return address.split("://", 1)[0].lower() in SCHEMES


@lru_cache(maxsize=64)
def _site(base: str, seconds: float) -> Any:
    options = {"allow_http": True, "timeout": timedelta(seconds=seconds)}
    return HTTPStore.from_url(base, client_options=options)


def _split(address: str, seconds: float) -> tuple[Any, str]:
    parts = urlsplit(address)
    return _site(f"{parts.scheme}://{parts.netloc}", seconds), quote(unquote(parts.path).lstrip("/"), safe="/=")


def read_remote(address: str, seconds: float = 600.0) -> bytes:
    """The whole content of an address. Raises FileNotFoundError, download-failed."""
    site, path = _split(address, seconds)
    try:
        return bytes(obstore.get(site, path).bytes())
    except FileNotFoundError:
        raise
    except (BaseError, OSError, ValueError) as error:
        raise _failed(address, error) from error


def _failed(address: str, error: Exception) -> QskyError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return QskyError("download-failed", f"{address} could not be read: {first}")


class RemoteFile(io.RawIOBase):
    """One remote file, read by ranges. Each thread has its own position. A server without ranges is read whole, once."""

    def __init__(self, address: str, seconds: float) -> None:
        super().__init__()
        self._address = address
        self._site, self._path = _split(address, seconds)
        self._position = threading.local()
        self._whole: bytes | None = None
        self._lock = threading.Lock()
        try:
            self.size = int(obstore.head(self._site, self._path)["size"])
        except FileNotFoundError:
            # obstore's own text goes on for lines, and DuckDB hands on only text
            raise FileNotFoundError(f"{address} does not exist") from None
        except (BaseError, OSError, ValueError) as error:
            raise _failed(address, error) from error

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(getattr(self._position, "value", 0))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self.size}[whence]
        self._position.value = start + offset
        return start + offset

    def read(self, size: int = -1) -> bytes:
        start = self.tell()
        end = self.size if size is None or size < 0 else min(self.size, start + size)
        if start >= end:
            return b""
        content = self._range(start, end)
        self._position.value = start + len(content)
        return content

    def _range(self, start: int, end: int) -> bytes:
        if self._whole is None:
            try:
                return bytes(obstore.get_range(self._site, self._path, start=start, end=end))
            except (BaseError, OSError, ValueError) as error:
                with self._lock:
                    if self._whole is None:
                        self._whole = self._read_whole(error)
        return self._whole[start:end]

    def _read_whole(self, why: Exception) -> bytes:
        try:
            content = bytes(obstore.get(self._site, self._path).bytes())
        except (BaseError, OSError, ValueError) as error:
            raise _failed(self._address, error) from why
        if len(content) != self.size:
            raise _failed(self._address, why) from why
        return content


class RemoteFiles(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """What DuckDB asks of a file system, for http and https; read-only. Register it with `Duck.register_files`."""

    protocol = SCHEMES
    cachable = False

    def __init__(self, seconds: float = 600.0) -> None:
        super().__init__()
        self._seconds = seconds

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def open(self, path: str, mode: str = "rb", **_: Any) -> RemoteFile:
        if mode != "rb":
            raise QskyError("read-only", f"{path} is read where it lies and cannot be written.")
        return RemoteFile(path, self._seconds)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": RemoteFile(path, self._seconds).size, "type": "file"}

    def modified(self, path: str) -> datetime:
        """Parts never change under their name; DuckDB only wants to know that."""
        return _UNCHANGING

    def exists(self, path: str, **_: Any) -> bool:
        try:
            RemoteFile(path, self._seconds)
        except FileNotFoundError:
            return False
        return True

    def isfile(self, path: str) -> bool:
        return True

    def glob(self, path: str, **_: Any) -> list[str]:
        """Addresses are names, never patterns."""
        return [path]
