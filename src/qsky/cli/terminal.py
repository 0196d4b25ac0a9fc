"""What the user sees while and after a command works: progress, notices, tables. Answers go to stdout, talk to stderr.

On a terminal long work draws a bar with rows/s and what is left; otherwise each stage leaves one line when it is over.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qsky.cli.watched import Watched
from qsky.events import Event, Listener, Notice, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from qsky.wire import Sky


@dataclass(frozen=True)
class Terminal:
    """The options every command has, and how to talk."""

    root: Path
    quiet: bool = False
    debug: bool = False

    def sky(self, listener: Listener | None = None) -> Sky:
        """The root the user chose."""
        from qsky.wire import connect

        return connect(self.root, listener=listener or self._notices)

    def _notices(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.say(event.message)

    @contextmanager
    def working(self) -> Iterator[Sky]:
        """The root with a progress bar, or with a line per stage where nobody watches."""
        if not self.quiet and sys.stderr.isatty():
            with bars() as drawn:
                yield self.sky(_Drawn(drawn))
        else:
            log = _Logged(self)
            yield self.sky(log)
            log.finish()

    @contextmanager
    def asking(self) -> Iterator[Watched]:
        """Who listens to a query, and draws on a terminal how far it is."""
        watched = Watched(None if self.quiet or not sys.stderr.isatty() else self.say, bars)
        try:
            yield watched
        finally:
            watched.stop()

    def say(self, text: str) -> None:
        """Talk, unless --quiet."""
        if not self.quiet:
            print(text, file=sys.stderr)

    def show(self, names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a small table to stdout."""
        import pyarrow as pa

        from qsky.output.grid import text_grid

        columns = [pa.array([row[i] for row in rows]) for i in range(len(names))]
        print(text_grid(pa.table(columns, names=list(names)), len(rows), width(), cell_letters_max=200))


def width() -> int | None:
    """Letters in a line of the terminal; None where stdout is none, and lines may be as long as they like."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def counted(number: int, noun: str) -> str:
    """ "1 row", "2,000 rows"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    return Bars(*columns, console=Console(stderr=True), transient=True, refresh_per_second=5)


class _Drawn:
    """A listener that draws one bar per stage."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, tuple[TaskID, float]] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Notice):
            self._bars.console.print(event.message, markup=False, highlight=False)
            return
        if event.stage not in self._tasks:
            task = self._bars.add_task(event.stage, total=event.total, unit=event.unit, rate="")
            self._tasks[event.stage] = (task, time.monotonic())
        task, started = self._tasks[event.stage]
        self._bars.update(task, completed=event.done, total=event.total, rate=_rate(event, time.monotonic() - started))


class _Logged:
    """A listener that says one line per stage, when it is over."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._last: Progress | None = None
        self._started = time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Notice):
            self._terminal.say(event.message)
            return
        if self._last is None or event.stage != self._last.stage:
            self.finish()
        self._last = event

    def finish(self) -> None:
        """Say what the last stage did."""
        if self._last is None:
            return
        seconds = time.monotonic() - self._started
        done = f"{self._last.done:,} {self._last.unit} in {seconds:.1f} s"
        self._terminal.say(f"  {self._last.stage}: {done} {_rate(self._last, seconds)}".rstrip())
        self._last, self._started = None, time.monotonic()


def _rate(event: Progress, seconds: float) -> str:
    return f"({event.done / seconds:,.0f} {event.unit}/s)" if seconds >= 0.5 and event.done else ""
