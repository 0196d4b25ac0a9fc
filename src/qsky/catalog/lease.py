"""Leases: small files that say "this load is at work", "this query reads revision 7", so that vacuum leaves things be.

A lease lives while its file is touched; a process that dies stops touching. One thread of the process touches all.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qsky.catalog import layout
from qsky.errors import QskyError
from qsky.storage.store import Store


@dataclass(frozen=True)
class Lease:
    """What a lease protects: a load's staged files, or a revision being read."""

    load: str = ""
    revision: int = 0


class _Keeper:
    """Touches the leases this process holds, three times as often as they expire."""

    def __init__(self) -> None:
        self._held: dict[Path, float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def hold(self, path: Path, seconds: float) -> None:
        with self._lock:
            self._held[path] = seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._touch_for_ever, name="qsky-leases", daemon=True)
                self._thread.start()

    def release(self, path: Path) -> None:
        with self._lock:
            self._held.pop(path, None)
        path.unlink(missing_ok=True)

    def _touch_for_ever(self) -> None:
        while True:
            with self._lock:
                held = dict(self._held)
                if not held:
                    self._thread = None
                    return
            for path in held:
                if path.exists():
                    os.utime(path)
            time.sleep(min(min(held.values()) / 3, 5.0))


_keeper = _Keeper()


@contextmanager
def leased(store: Store, lease: Lease, seconds: float) -> Iterator[None]:
    """Hold a lease for the block. A folder that cannot be written needs no lease: nothing can be vacuumed there."""
    path = store.path(f"{layout.LEASES}/{uuid.uuid4().hex}.json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"load": lease.load, "revision": lease.revision, "pid": os.getpid()}))
    except OSError as error:
        if lease.load:
            raise QskyError("no-access", f"{store.folder} cannot be written: {error.strerror}.") from error
        yield
        return
    _keeper.hold(path, seconds)
    try:
        yield
    finally:
        _keeper.release(path)


def live_leases(store: Store, seconds: float, now: float) -> list[Lease]:
    """The leases that were touched lately; files of dead ones are removed."""
    found = []
    for name in store.names(layout.LEASES):
        path = f"{layout.LEASES}/{name}"
        try:
            if store.age_seconds(path, now) > seconds:
                store.remove(path)
                continue
            values = json.loads(store.read(path))
        except (FileNotFoundError, ValueError):
            continue
        found.append(Lease(values["load"], values["revision"]))
    return found
