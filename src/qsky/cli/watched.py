"""How far a query is, on a terminal: a line beforehand if it will read much, a bar once it has taken a moment.

`cli.terminal` makes a `Watched` for each query. The bar is drawn by a timer, so that it comes even if no chunk is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from qsky.events import Asked, Event, Listener, size_text

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

# Nothing is drawn of a query that is over before, and nothing said beforehand of one that reads less.
_DRAWN_AFTER_SECONDS: Final = 1.0
_LONG_BYTES: Final = 1_000_000_000


class Watched:
    """A listener for one query."""

    def __init__(self, say: Callable[[str], None] | None, make_bars: Callable[[], Bars]) -> None:
        """`say` writes a line; without it nobody watches."""
        self._say = say
        self._make_bars = make_bars
        self._lock = threading.Lock()
        self._last: Asked | None = None
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._timer: threading.Timer | None = None

    @property
    def listener(self) -> Listener | None:
        """Whom the query tells; None, so that it need not work out what, where nobody watches."""
        return None if self._say is None else self._hear

    def _hear(self, event: Event) -> None:
        with self._lock:
            if not isinstance(event, Asked) or self._say is None:
                return
            if event.done == 0 and event.bytes_estimated >= _LONG_BYTES:
                self._say(f"reads about {size_text(event.bytes_estimated)} of {event.total or 0:,} chunks")
            self._last = event
            if self._timer is None:
                self._timer = threading.Timer(_DRAWN_AFTER_SECONDS, self._begin)
                self._timer.daemon = True
                self._timer.start()
            self._draw(event)

    def _begin(self) -> None:
        with self._lock:
            if self._say is not None and self._last is not None:
                self._bars = self._make_bars()
                self._bars.start()
                self._draw(self._last)

    def _draw(self, event: Asked) -> None:
        if self._bars is None:
            return
        if self._task is None:
            self._task = self._bars.add_task(event.stage, total=event.total, unit=event.unit, rate="")
        said = f"{event.rows:,} rows, {size_text(event.bytes_read)}"
        self._bars.update(self._task, description=event.stage, completed=event.done, total=event.total, rate=said)

    def stop(self) -> None:
        """Take the bar away; what comes later is not drawn."""
        with self._lock:
            self._say = None
            if self._timer is not None:
                self._timer.cancel()
            if self._bars is not None:
                self._bars.stop()
                self._bars = None
