"""The rows a load refuses: counted, quoted, and written to a file the user can open. Called by `ingest.read`.

Never decides whether a row is good; only whether there are too many bad ones.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from qsky.errors import QskyError

_TEXT_LETTERS_MAX: Final = 2000


class RejectsWriter:
    """Collects refused rows. `path` is created with the first of them: a CSV file `file,line,reason,text`.

    `nan_nulled` counts, per column, the NaN that became NULL (those rows are kept).
    """

    def __init__(self, path: Path, rejects_max: int, rejects_shown: int) -> None:
        self.path = path
        self.rejects_max = rejects_max
        self.rejects_shown = rejects_shown
        self.count = 0
        self.examples: list[str] = []
        self.nan_nulled: dict[str, int] = {}
        self._file: IO[str] | None = None
        self._writer: Any = None

    def __enter__(self) -> RejectsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, file: str, line: int, reason: str, text: str, *, unit: str = "line") -> None:
        """Note one refused row; `line` counts from 1 and is a line of the file or, with `unit` row, a row number."""
        self._open()
        self._writer.writerow((file, line, reason, text[:_TEXT_LETTERS_MAX]))
        self.count += 1
        if len(self.examples) < self.rejects_shown:
            self.examples.append(f"{file} {unit} {line}: {reason}")

    def add_all(self, content: str, count: int, examples: Sequence[str]) -> None:
        """Take over what another one wrote: `content` of its file, of `count` refused rows."""
        self._open()
        for line in islice(csv.reader(io.StringIO(content, newline="")), 1, None):
            self._writer.writerow(line)
        self.count += count
        self.examples += examples[: self.rejects_shown - len(self.examples)]

    def _open(self) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", newline="", encoding="utf-8")
            self._writer = csv.writer(self._file)
            self._writer.writerow(("file", "line", "reason", "text"))

    def add_uncounted(self, rows: int) -> None:
        """Count refused rows beyond those worth writing down; only after `room` has said that there is none."""
        self.count += rows

    def add_nan(self, column: str, values: int) -> None:
        """Count NaN that became NULL."""
        self.nan_nulled[column] = self.nan_nulled.get(column, 0) + values

    @property
    def room(self) -> int:
        """How many more rows are worth writing down: past it the load has failed, and its examples are complete."""
        return max(max(self.rejects_max, self.rejects_shown) + 1 - self.count, 0)

    def check(self) -> None:
        """Give up early: more rows are refused than allowed, and there are enough examples. Raises too-many-rejects."""
        if self.count > self.rejects_max and self.count > self.rejects_shown:
            self._give_up("so far ")

    def finish(self) -> None:
        """Everything was read: too many refused rows fail the load now. Raises too-many-rejects."""
        if self.count > self.rejects_max:
            self._give_up("")
        self.close()

    def _give_up(self, so_far: str) -> None:
        self.close()
        rows, were = ("row", "was") if self.count == 1 else ("rows", "were")
        raise QskyError(
            "too-many-rejects",
            f"{self.count} {rows} {were} {so_far}refused, more than the {self.rejects_max} that are allowed: "
            f"{'; '.join(self.examples)}; {self.path} quotes {'it' if self.count == 1 else 'them'}.",
            hint="Mend the rows, name the values that mean NULL with --null, or let the load leave rows out with "
            f"--max-rejects {self._suggested()}.",
        )

    def _suggested(self) -> int:
        """A round number of rejects that would have let this load pass as far as it went."""
        return self.count if self.count < 10 else int(-(-self.count // 10) * 10)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
