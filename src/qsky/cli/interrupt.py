"""Ctrl-C: a clean end if there is time for one, an end in any case.

Python runs signal handlers between bytecodes of the main thread, which may sit in compiled code for seconds. The
wakeup descriptor is written at once, in C; a thread that reads it gives the main thread `_GRACE_SECONDS` to clean up
and then ends the process. A load or a query may be killed at any moment by design, so nothing is lost.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from typing import Final, NoReturn

EXIT_STATUS: Final = 130
_GRACE_SECONDS: Final = 0.25
_SHOW_CURSOR: Final = "\x1b[?25h"
_ending = threading.Lock()


def end_on_interrupt() -> None:
    """Watch for SIGINT from now on. Only for the main thread of a process of our own."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, writer), name="qsky-interrupt", daemon=True).start()


def ignore_interrupts() -> None:
    """From here on SIGINT means nothing; one that came before may still end the process, with `EXIT_STATUS`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_now() -> NoReturn:
    """Say so and end the process, threads and all; whoever comes first does it."""
    with _ending:
        if sys.stderr.isatty():
            sys.stderr.write(_SHOW_CURSOR)
        sys.stderr.write("\nStopped.\n")
        sys.stderr.flush()
        os._exit(EXIT_STATUS)


def _watch(reader: socket.socket, writer: socket.socket) -> None:
    """`writer` is held for as long as the process lives; the signal machinery knows only its number."""
    while signal.SIGINT not in reader.recv(64):
        continue
    time.sleep(_GRACE_SECONDS)
    end_now()
