"""The start and the end of the process that the `qsky` command is. Called by the shell.

Watches for Ctrl-C before it imports the commands, which takes most of a second on a busy machine; must import nothing
heavy itself.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from qsky.cli.interrupt import EXIT_STATUS, end_now, end_on_interrupt


def main() -> NoReturn:
    """Run the command of this process and end it."""
    try:
        end_on_interrupt()
        from qsky.cli.app import run

        status = run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        end_now()
    except BrokenPipeError:
        # Whoever read the answer has seen enough; the interpreter must not complain when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    if status == EXIT_STATUS:
        end_now()
    sys.exit(status)
