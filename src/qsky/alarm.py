"""Stops Python code that looks at no clock: a text of a megabyte is parsed, bound and planned for many seconds.

Called by `asking`. As Ctrl-C does in the main thread, an exception comes between two bytecodes, here in any thread.
It may get lost where Python ignores exceptions (callbacks of weak references), so it comes again until it is heard;
never after `done_until` has returned.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

T = TypeVar("T")
_AGAIN_SECONDS: Final = 0.05
_raise_in: Final = ctypes.pythonapi.PyThreadState_SetAsyncExc


class TimeIsOver(BaseException):
    """Not an `Exception`, so that nobody takes it for an error of his own."""


def done_until(ends: float, work: Callable[[], T]) -> T:
    """What `work` makes, if it does before `ends` on the monotonic clock. Raises TimeIsOver."""
    alarm = _Alarm(ends)
    alarm.start()
    try:
        alarm.wanted = True
        return work()
    finally:
        # No call before this: the exception would come with it, and again after the block.
        alarm.wanted = False
        alarm.end()


class _Alarm(threading.Thread):
    """Only locks made in C: one written in Python would stay closed if the exception came inside it."""

    def __init__(self, ends: float) -> None:
        super().__init__(name="qsky-alarm", daemon=True)
        self.wanted = False
        self._ends = ends
        self._watched = ctypes.c_ulong(threading.get_ident())
        self._ringing = threading.Lock()
        self._over = threading.Lock()
        self._over.acquire()

    def run(self) -> None:
        seconds = max(0.0, self._ends - monotonic())
        while not self._over.acquire(timeout=seconds):
            with self._ringing:
                if self.wanted:
                    _raise_in(self._watched, ctypes.py_object(TimeIsOver))
            seconds = _AGAIN_SECONDS

    def end(self) -> None:
        """In the thread that is watched: what is on its way comes here or not at all."""
        while True:
            try:
                with self._ringing:
                    _raise_in(self._watched, None)
                if self._over.locked():
                    self._over.release()
                return
            except TimeIsOver:
                continue
