"""The start and the end of the process that the `qsky` command is. Called by the shell.

Watches for Ctrl-C before it imports the commands, which takes most of a second on a busy machine; must import nothing
heavy itself.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from qsky.cli.interrupt import EXIT_STATUS, end_now, end_on_interrupt, ignore_interrupts


def main() -> NoReturn:
    """Run the command of this process and end it."""
    try:
        end_on_interrupt()
        status = _status()
        # What there was to do is done and told; Python's own end, which takes a while, is not to be interrupted.
        ignore_interrupts()
    except KeyboardInterrupt:
        end_now()
    if status == EXIT_STATUS:
        end_now()
    sys.exit(status)


def _status() -> int:
    """Run the command; its exit status, all it had to say being written."""
    from qsky.cli.app import run

    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the answer has seen enough; the interpreter must not complain when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    return status
