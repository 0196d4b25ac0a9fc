"""What is known of the units of a load: which were tried, which are done, and by which attempt.

Of several attempts at one unit only the listed one counts; the others' files are nobody's. `FolderRecord` is a journal
per load under the root; another keeps it in SQL. Called by `ingest.carry` and `ingest.spread`.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from qsky.fragment import LoadUnit, UnitOutcome
from qsky.storage.store import io_errors


class LoadRecord(Protocol):
    """The units of all loads. Safe for several threads; what a method has said is durable when it returns."""

    def begin(self, load: str, database: str, table: str) -> None:
        """A load that is not finished until it is forgotten."""
        ...

    def unfinished(self, database: str, table: str) -> tuple[str, ...]:
        """The loads of a table that began and were not forgotten, oldest first."""
        ...

    def started(self, unit: LoadUnit) -> None:
        """Called before an attempt is sent."""
        ...

    def done(self, load: str, outcome: UnitOutcome) -> bool:
        """List an attempt; False if another attempt at the unit is listed, and remains so."""
        ...

    def failed(self, unit: LoadUnit, why: str) -> None: ...

    def lost(self, load: str, key: str) -> None:
        """Strike the listed attempt out: what it left is gone."""
        ...

    def listed(self, load: str) -> dict[str, UnitOutcome]:
        """The listed outcomes by the key of their unit."""
        ...

    def attempts(self, load: str) -> int:
        """The highest number of an attempt ever started; 0 if none was."""
        ...

    def forget(self, load: str) -> None: ...


@dataclass(frozen=True)
class FolderRecord:
    """A journal of lines per load, each on disk before the next; one coordinator writes it."""

    folder: Path

    def begin(self, load: str, database: str, table: str) -> None:
        if not self._path(load).exists():
            self._append(load, {"what": "begin", "database": database, "table": table})

    def unfinished(self, database: str, table: str) -> tuple[str, ...]:
        wanted = {"what": "begin", "database": database.lower(), "table": table.lower()}
        loads = sorted(path.stem for path in self.folder.glob("*.jsonl"))
        return tuple(load for load in loads if _lowered(next(self._lines(load), {})) == wanted)

    def started(self, unit: LoadUnit) -> None:
        self._append(unit.load, {"what": "started", "key": unit.key, "attempt": unit.attempt, "stage": unit.stage})

    def done(self, load: str, outcome: UnitOutcome) -> bool:
        if outcome.key in self.listed(load):
            return False
        content = base64.b64encode(outcome.content).decode()
        self._append(load, {"what": "done", **vars(replace(outcome, content=b"")), "content": content})
        return True

    def failed(self, unit: LoadUnit, why: str) -> None:
        self._append(unit.load, {"what": "failed", "key": unit.key, "attempt": unit.attempt, "why": why})

    def lost(self, load: str, key: str) -> None:
        self._append(load, {"what": "lost", "key": key})

    def listed(self, load: str) -> dict[str, UnitOutcome]:
        found: dict[str, UnitOutcome] = {}
        for line in self._lines(load):
            what = line.pop("what")
            if what == "done":
                found[line["key"]] = UnitOutcome(**{**line, "content": base64.b64decode(line["content"])})
            elif what == "lost":
                found.pop(line["key"], None)
        return found

    def attempts(self, load: str) -> int:
        return max((line["attempt"] for line in self._lines(load) if line["what"] == "started"), default=0)

    def forget(self, load: str) -> None:
        self._path(load).unlink(missing_ok=True)

    def _path(self, load: str) -> Path:
        return self.folder / f"{load}.jsonl"

    def _append(self, load: str, line: dict[str, Any]) -> None:
        with io_errors(f"the record of the load {load}"):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._path(load).open("ab") as file:
                # The line break comes first: what a crash cut short stays on a line of its own.
                file.write(b"\n" + json.dumps(line).encode())
                file.flush()
                os.fsync(file.fileno())

    def _lines(self, load: str) -> Iterator[dict[str, Any]]:
        if self._path(load).exists():
            for text in self._path(load).read_bytes().split(b"\n"):
                try:
                    yield json.loads(text)
                except ValueError:  # empty, or cut short by a crash: it was never promised
                    continue


def _lowered(line: dict[str, Any]) -> dict[str, str]:
    return {name: value if name == "what" else value.lower() for name, value in line.items() if isinstance(value, str)}
