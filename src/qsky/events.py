"""What long work tells whoever listens: values, never calls back into the machinery.

Loads, scans and vacuums call a `Listener`; the command line draws a bar from it, a server streams it, a test counts it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of a named stage; `total` is None while it cannot be known."""

    stage: str
    done: int
    total: int | None
    unit: str = "rows"


@dataclass(frozen=True)
class Notice:
    """Something the user should read: rows rejected, orphans waiting, NaN turned to NULL, a file left behind."""

    message: str


Event = Progress | Notice
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener of those who do not listen."""
