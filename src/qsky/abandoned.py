"""Ends what nobody uses any more in a thread of its own.

Python's garbage collector finds an abandoned stream or a forgotten engine at any moment, also in a thread that holds the
very lock that ending it needs, and would wait for itself for ever. So whatever takes a lock when it ends, and may be
let go without being ended, leaves that to this thread.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Final, TypeVar

T = TypeVar("T")

_left: Final[SimpleQueue[Callable[[], object]]] = SimpleQueue()  # it alone may be used while it is being used
_starting: Final = threading.Lock()
_thread: threading.Thread | None = None


def ended_when_gone(thing: object, end: Callable[[], object]) -> weakref.finalize[..., object]:
    """Have `end`, which must not refer to `thing`, called when nobody refers to `thing`, or when the process ends."""
    _ready()
    return weakref.finalize(thing, _end_later, end)


def _ready() -> None:
    global _thread
    with _starting:
        if _thread is None or not _thread.is_alive():  # a forked process has none
            _thread = threading.Thread(target=_end_all, name="qsky-abandoned", daemon=True)
            _thread.start()


def _end_later(end: Callable[[], object]) -> None:
    if threading.main_thread().is_alive():
        _left.put(end)
    else:  # the process ends, and no thread will come to it
        end()


def _end_all() -> None:
    while True:
        with suppress(Exception):  # nobody is left who could be told
            _left.get()()


class Stream(Iterator[T]):
    """The values of a generator that may be abandoned at any place. It has no `close`: who lets it go has closed it."""

    def __init__(self, values: Generator[T, None, None]) -> None:
        self._values = values
        self._end = ended_when_gone(self, values.close)
        self._end.atexit = False

    def __next__(self) -> T:
        try:
            return next(self._values)
        except BaseException:  # it has ended by itself
            self._end.detach()
            raise
