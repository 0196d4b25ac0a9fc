"""Which parts lie on a worker, kept by those who change them and compared with the disk now and then.

A keeper asks for everything once and then for changes since the number it was told; numbers of another `process` mean
nothing. Knows files by name and size; whether their bytes are right is found out by `parts`, `replica` and `scrub`.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

from qsky.worker.folder import DataFolder

_TOPS: Final = ("public", "private")


@dataclass(frozen=True)
class HeldPart:
    """A part on disk, and the highest epoch in which this process hashed it for a keeper; 0 if never."""

    part: str
    bytes: int
    verified_epoch: int = 0


@dataclass(frozen=True)
class Inventory:
    """The parts held at `number`, all (`whole`) or those that came or changed after the number asked from; and who went."""

    process: str
    number: int
    whole: bool
    parts: tuple[HeldPart, ...]
    gone: tuple[str, ...] = ()


@dataclass(frozen=True)
class Noticed:
    """What happened to the files behind our back."""

    appeared: tuple[str, ...]
    vanished: tuple[str, ...]
    resized: tuple[str, ...]


class Stock:
    """The inventory of one worker's process; every method may be called by many threads at once."""

    def __init__(self, folder: DataFolder, changes_max: int) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._process = secrets.token_hex(8)
        self._held = {part: HeldPart(part, size) for part, size in listed(folder).items()}
        self._number = 1
        self._forgotten = 1  # changes up to this number are no longer remembered
        self._changes: deque[tuple[int, str]] = deque()
        self._changes_max = changes_max

    def inventory(self, since: int = 0, process: str = "") -> Inventory:
        """All parts, or what changed after `since` of the same process if that is still remembered."""
        with self._lock:
            if process != self._process or not self._forgotten <= since <= self._number:
                return Inventory(self._process, self._number, True, tuple(self._held.values()))
            names = list(dict.fromkeys(name for number, name in self._changes if number > since))
            parts = tuple(self._held[name] for name in names if name in self._held)
            gone = tuple(name for name in names if name not in self._held)
            return Inventory(self._process, self._number, False, parts, gone)

    @property
    def number(self) -> int:
        """That of the last change."""
        return self._number

    def names(self) -> list[str]:
        """All parts, in order."""
        with self._lock:
            return sorted(self._held)

    def held(self, part: str) -> HeldPart | None:
        return self._held.get(part)

    def came(self, part: str, size: int) -> None:
        """A part got its name, or was found to have another size than before."""
        self._note(HeldPart(part, size))

    def verified(self, part: str, size: int, epoch: int) -> None:
        """A keeper had the part hashed, and it is right."""
        self._note(HeldPart(part, size, epoch))

    def went(self, part: str) -> None:
        with self._lock:
            self._went(part)

    def look(self) -> Noticed:
        """Compare with the disk: files that others brought, took or cut."""
        with self._lock:
            before = dict(self._held)
        found = listed(self._folder)
        suspects = {name for name in before.keys() | found.keys() if _size(before.get(name)) != found.get(name)}
        return self._settled(suspects, before)

    def _settled(self, suspects: set[str], before: dict[str, HeldPart]) -> Noticed:
        """Looks again at what differs: orders went on while the disk was read."""
        appeared: list[str] = []
        vanished: list[str] = []
        resized: list[str] = []
        for name in sorted(suspects):
            with self._lock:
                known = self._held.get(name)
                if known != before.get(name) or not self._look_at(name):
                    continue
                now = self._held.get(name)
            (vanished if now is None else appeared if known is None else resized).append(name)
        return Noticed(tuple(appeared), tuple(vanished), tuple(resized))

    def look_at(self, part: str) -> None:
        """Compare one part with the disk."""
        with self._lock:
            self._look_at(part)

    def _look_at(self, part: str) -> bool:
        size = _size_on_disk(self._folder, part)
        if size == _size(self._held.get(part)):
            return False
        if size is None:
            self._went(part)
        else:
            self._put(HeldPart(part, size))
        return True

    def _note(self, held: HeldPart) -> None:
        with self._lock:
            self._put(held)

    def _put(self, held: HeldPart) -> None:
        if self._held.get(held.part) != held:
            self._held[held.part] = held
            self._change(held.part)

    def _went(self, part: str) -> None:
        if self._held.pop(part, None) is not None:
            self._change(part)

    def _change(self, part: str) -> None:
        self._number += 1
        self._changes.append((self._number, part))
        while len(self._changes) > self._changes_max:
            self._forgotten, _ = self._changes.popleft()


def listed(folder: DataFolder) -> dict[str, int]:
    """Every file of a database by part name, with its size, as the disk has it now. XRootD keeps a file beside them."""
    found: dict[str, int] = {}
    folders = [(str(folder.parts / name), f"{name}/") for name in _TOPS]
    while folders:
        path, prefix = folders.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((entry.path, f"{prefix}{entry.name}/"))
                    else:
                        found[prefix + entry.name] = entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue  # deleted while we looked; what was already found of it is looked at again
    return found


def _size(held: HeldPart | None) -> int | None:
    return None if held is None else held.bytes


def _size_on_disk(folder: DataFolder, name: str) -> int | None:
    try:
        return (folder.parts / name).stat().st_size
    except FileNotFoundError:
        return None
