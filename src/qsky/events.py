"""What long work tells whoever listens, and what it reports at its end: values, never calls back into the machinery.

Loads, queries and vacuums call a `Listener`; the command line draws a bar from it, a server streams it, a test counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of a named stage; `total` is None while it cannot be known."""

    stage: str
    done: int
    total: int | None
    unit: str = "rows"


@dataclass(frozen=True)
class Asked(Progress):
    """How far a query is: the chunks that are done of those it reads, the first time before it reads any.

    `rows` have come from the chunks so far, `bytes_read` of about `bytes_estimated` bytes of parts were read,
    `seconds` have passed. `seconds_left` is None while it cannot be said.
    """

    rows: int = 0
    bytes_read: int = 0
    bytes_estimated: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None


@dataclass(frozen=True)
class Notice:
    """Something the user should read: rows rejected, orphans waiting, NaN turned to NULL, a file left behind."""

    message: str


@dataclass(frozen=True)
class LoadReport:
    """What a load did. `orphan_rows` wait for their director; `orphans_placed` are older ones that found theirs."""

    database: str
    table: str
    revision: int
    rows: int
    overlap_rows: int
    rows_refused: int
    rejects_file: Path | None
    orphan_rows: int
    orphans_placed: int
    nan_nulled: Mapping[str, int]
    chunks: int
    seconds: float
    bytes: int


Event = Progress | Notice
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener of those who do not listen."""


def size_text(size_bytes: float) -> str:
    """A size as people say it."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size_bytes < 1000 or unit == "TB":
            break
        size_bytes /= 1000
    return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 100 else f"{size_bytes:.1f} {unit}"
