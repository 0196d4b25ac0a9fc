"""Leases: small files that say "this load is at work", "this query reads revision 7", so that vacuum leaves things be.

A lease lives while its file is touched; a process that dies stops touching. One thread of the process touches all.
The file of a lease that ran out is removed before anything it protected is: while a load finds its lease's file, it has
lost nothing. A reader leases first and looks for its revision after; vacuum forgets a revision first and looks for
leases after; so one of the two always sees the other.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from qsky.catalog import layout
from qsky.errors import QskyError
from qsky.storage.store import ASIDE, Store, io_errors


@dataclass(frozen=True)
class Lease:
    """What a lease protects: a load's staged files, or a revision being read."""

    load: str = ""
    revision: int = 0


class _Keeper:
    """Touches the leases this process holds, three times as often as they expire."""

    def __init__(self) -> None:
        self._held: dict[Path, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def hold(self, path: Path, seconds: float) -> None:
        with self._changed:
            self._held[path] = seconds
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._touch_for_ever, name="qsky-leases", daemon=True)
                self._thread.start()

    def release(self, path: Path) -> None:
        with self._changed:
            self._held.pop(path, None)
        path.unlink(missing_ok=True)

    def _touch_for_ever(self) -> None:
        while True:
            with self._changed:
                if not self._held:
                    self._thread = None
                    return
                held = list(self._held)
            for path in held:
                # Gone: released this moment, or so late that vacuum took the load for dead; `assure` will tell.
                with suppress(OSError):
                    os.utime(path)
            with self._changed:
                self._changed.wait(min([5.0, *(seconds / 3 for seconds in self._held.values())]))


_keeper = _Keeper()


@contextmanager
def leased(store: Store, lease: Lease, seconds: float) -> Iterator[None]:
    """Hold a lease for the block. A folder that cannot be written needs no lease: nothing can be vacuumed there.

    Raises no-such-revision if the revision was forgotten before the lease was seen; no-access, disk-full for a load.
    """
    name = lease_path(lease)
    try:
        _write(store.path(name), {"load": lease.load, "revision": lease.revision, "pid": os.getpid()})
    except QskyError:
        if lease.load:
            raise
        yield
        return
    _keeper.hold(store.path(name), seconds)
    try:
        if lease.revision and not is_kept(store, lease.revision):
            raise QskyError("no-such-revision", f"Revision {lease.revision} was vacuumed away.")
        yield
    finally:
        _keeper.release(store.path(name))


def _write(path: Path, content: dict[str, object]) -> None:
    """At once, for half a lease would protect nothing; not durably, for it does not outlive its process."""
    with io_errors(path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{ASIDE}{uuid.uuid4().hex}")
        aside.write_text(json.dumps(content))
        aside.rename(path)


def lease_path(lease: Lease) -> str:
    return f"{layout.LEASES}/{lease.load or uuid.uuid4().hex}.json"


def is_kept(store: Store, revision: int) -> bool:
    """Whether a revision is there and not forgotten: of a forgotten one an empty file remains, so that its number is."""
    try:
        return store.size(layout.revision_path(revision)) > 0
    except FileNotFoundError:
        return False


def assure(store: Store, load: str) -> None:
    """Raise load-conflict if vacuum took the load for dead, for then what it staged may be gone."""
    if not store.exists(lease_path(Lease(load=load))):
        raise QskyError(
            "load-conflict",
            "The load stood still for so long that vacuum took it for dead; nothing of it was published.",
            hint="Run it again.",
        )


def live_leases(store: Store, seconds: float, now: float) -> list[Lease]:
    """The leases that were touched lately; files of dead ones are removed."""
    found = []
    for name in store.names(layout.LEASES):
        if name.startswith(ASIDE):
            continue
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
