"""Finds the files of parts on a worker: its own, else a copy, else fetched; each checked against the digest in its name.

A station calls it around each fragment. It never gives a file that was not whole and right when this process first saw
it, takes nothing away that is in use, and knows neither who holds what nor how a part is fetched.
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.storage.partname import checked_part, digest_of
from qsky.storage.store import io_errors
from qsky.worker.cache import Cache
from qsky.worker.folder import DataFolder, why_bad
from qsky.worker.held import Checked, OneAtATime, Pins, stamp_of

Fetch = Callable[[str, int, str, Path], object]
"""(part name, bytes, digest, into): writes the whole part to `into`, which does not exist, or raises QskyError."""
Heard = Callable[[str, str], None]
"""(part name, why): told of a copy that was bad and is gone from here."""
Notice = Callable[[str], None]
"""(part name): tells the world that a part has come, or gone. Raises QskyError."""
_T = TypeVar("_T")


class Parts:
    """The parts of one worker. Every method may be called by many threads at once.

    With `shared`, a root that every machine reaches, parts are read there, and copied once they were used often.
    """

    def __init__(
        self,
        folder: DataFolder,
        fetch: Fetch,
        settings: Settings,
        *,
        on_bad: Heard = lambda name, why: None,
        retract: Notice = lambda name: None,
        shared: Path | None = None,
    ) -> None:
        self.folder = folder
        self.pins = Pins()
        self.checked = Checked()
        self.one_at_a_time = OneAtATime()
        self.cache = Cache(folder, settings.cache_bytes_max, self.pins)
        self._fetch, self._on_bad, self._retract, self._shared = fetch, on_bad, retract, shared
        self._uses_min = settings.cache_uses_min
        self._uses: Counter[str] = Counter()
        self._uses_lock = threading.Lock()
        self._threads = ThreadPoolExecutor(settings.part_fetches_max, thread_name_prefix="qsky-parts")

    @contextmanager
    def held(self, wanted: Mapping[str, int]) -> Iterator[dict[str, Path]]:
        """The files of parts given by name and bytes; none of them goes away inside.

        Raises bad-name; limit-cache, disk-full; damaged; what `fetch` raises.
        """
        names = tuple(checked_part(name) for name in wanted)
        self.pins.add(names)
        try:
            yield self._resolved(wanted)
        finally:
            self.pins.drop(names)

    def fetch_aside(self, name: str, size: int, aside: Path) -> None:
        """Fetch a part to a path without a name, checked; if the disk is full copies give way, once. Raises damaged..."""
        self._with_room(lambda: self._fetched(name, size, aside))

    def check(self, path: Path, name: str, size: int) -> str:
        """Hash a file: what is wrong with it, or nothing, and then it is remembered. Raises FileNotFoundError."""
        while True:
            before = stamp_of(path)
            why = why_bad(path, name, size)
            if before == stamp_of(path):
                break
        if not why:
            self.checked.note(path, before)
        return why

    def set_aside(self, name: str, why: str) -> None:
        """Move the worker's own copy to quarantine, and say so. A caller is busy with the part. FileNotFoundError."""
        path = self.folder.part(name)
        self.checked.forget(path)
        with suppress(QskyError):  # bad bytes must go even if nobody hears of it; whoever comes finds nothing here
            self._retract(name)
        self.folder.to_quarantine(path, name, why)
        self._on_bad(name, why)

    def close(self) -> None:
        """End the threads; nothing may be held any more."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _resolved(self, wanted: Mapping[str, int]) -> dict[str, Path]:
        paths = {name: self._at_hand(name, size) for name, size in wanted.items()}
        missing = [name for name, path in paths.items() if path is None]
        tasks = {name: self._threads.submit(self._resolve, name, wanted[name]) for name in missing}
        try:
            wait(tasks.values())
        finally:  # an interrupt: pins must outlive whoever works for them
            for task in tasks.values():
                task.cancel()
        return {name: path or tasks[name].result() for name, path in paths.items()}

    def _at_hand(self, name: str, size: int) -> Path | None:
        """The file if it was checked before and is as it was: no lock, two looks at the disk at most."""
        with suppress(FileNotFoundError):
            if self.checked.still(self.folder.part(name), size):
                return self.folder.part(name)
        with suppress(FileNotFoundError):
            if self.checked.still(self.folder.cached(name), size):
                self.cache.used(name)
                return self.folder.cached(name)
        return None

    def _resolve(self, name: str, size: int) -> Path:
        with self.one_at_a_time.busy(name, share_failure=True):
            return self._at_hand(name, size) or self._own(name, size) or self._copy(name, size) or self._new(name, size)

    def _own(self, name: str, size: int) -> Path | None:
        """The worker's own copy, checked; a bad one is put aside."""
        path = self.folder.part(name)
        with suppress(FileNotFoundError):
            why = self.check(path, name, size)
            if not why:
                return path
            self.set_aside(name, why)
        return None

    def _copy(self, name: str, size: int) -> Path | None:
        path = self.folder.cached(name)
        with suppress(FileNotFoundError):
            why = self.check(path, name, size)
            if not why:
                self.cache.used(name)
                return path
            self.cache.drop(name)
            self._on_bad(name, why)
        return None

    def _new(self, name: str, size: int) -> Path:
        if self._shared is None:
            return self._into_cache(name, size)
        path = self._shared / name
        if not self._hot(name):
            return _whole(path, name, size)
        try:
            return self._into_cache(name, size)
        except QskyError as error:
            if error.code.name not in ("limit-cache", "disk-full"):
                raise
            return _whole(path, name, size)

    def _hot(self, name: str) -> bool:
        with self._uses_lock:
            self._uses[name] += 1
            return self._uses[name] >= self._uses_min

    def _into_cache(self, name: str, size: int) -> Path:
        path = self.folder.cached(name)
        self.cache.reserve(name, size)
        try:
            with self.folder.aside() as aside:
                self.fetch_aside(name, size, aside)
                self._with_room(lambda: self.folder.enter(aside, path, durable=False))
                self.checked.note(path, stamp_of(path))
        except BaseException:
            self.cache.drop(name)
            raise
        return path

    def _fetched(self, name: str, size: int, aside: Path) -> None:
        aside.unlink(missing_ok=True)
        with io_errors(name):
            self._fetch(name, size, digest_of(name), aside)
        why = why_bad(aside, name, size)
        if why:
            raise QskyError("damaged", f"The part {name} was not fetched whole: {why}.")

    def _with_room(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except QskyError as error:
            if error.code.name != "disk-full" or not self.cache.empty():
                raise
        return work()


def _whole(path: Path, name: str, size: int) -> Path:
    """A part of the shared root, as far as its size tells. Raises damaged."""
    try:
        found = stamp_of(path)[1]
    except FileNotFoundError:
        raise QskyError("damaged", f"The part {name} is missing.", hint="See `qsky verify`.") from None
    if found != size:
        raise QskyError("damaged", f"The part {name} has {found} bytes, not {size}.", hint="See `qsky verify`.")
    return path


def from_folder(root: Path) -> Fetch:
    """A fetch that copies parts of a root which this machine reaches."""

    def fetch(name: str, size: int, digest: str, into: Path) -> None:
        try:
            shutil.copyfile(root / name, into)
        except FileNotFoundError:
            raise QskyError("damaged", f"The part {name} is missing.", hint="See `qsky verify`.") from None

    return fetch
