"""What the runs of the fault matrix showed, as a table for docs/results: `python -m tests.faults.results RUNS.jsonl`."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.world import OBJECTS, WISH

Row = tuple[str, ...]
HEAD = (
    "fault",
    "runs",
    "failed",
    "what queries under way got",
    "longest answer",
    "copies back without it",
    "whole again",
)


def summary(lines: Sequence[dict[str, Any]]) -> list[Row]:
    """A row for each fault. Seconds are the median and the worst of its runs."""
    names = dict.fromkeys(line["fault"] for line in lines)
    return [_row(name, [line for line in lines if line["fault"] == name]) for name in names]


def _row(name: str, lines: list[dict[str, Any]]) -> Row:
    if "skipped" in lines[0]:
        return (name, "0", "", f"not run: {lines[0]['skipped']}", "", "", "")
    well = [line for line in lines if "failed" not in line]
    came: Counter[str] = Counter()
    for line in well:
        came.update(line["answers"])
    said = ", ".join(f"{count} {what}" for what, count in came.most_common())
    seconds = [_seconds(well, key) for key in ("seconds_longest", "seconds_healed_without", "seconds_healed")]
    return (name, str(len(lines)), str(len(lines) - len(well)), said, *seconds)


def _seconds(lines: list[dict[str, Any]], key: str) -> str:
    values = sorted(line[key] for line in lines if line[key] is not None)
    return f"{values[len(values) // 2]:.1f} s, {values[-1]:.1f} s" if values else ""


def results_text(rows: Sequence[Row]) -> str:
    """The page."""
    head = f"""# What faults do to a cluster, {datetime.now(UTC):%Y-%m-%d}

{WISH.workers} workers, {WISH.redirectors} redirectors, {WISH.replicas} copies of each part, {OBJECTS:,} objects, all on one
machine of {os.cpu_count()} cores with other work on it. Two clients ask without pause; each answer is compared with that of
one machine. Seconds: median and worst of the runs. The keeper waits 4 s for a lost worker here, not 300.

"""
    table = ["| " + " | ".join(row) + " |" for row in (HEAD, ("---",) * len(HEAD), *rows)]
    return head + "\n".join(table) + "\n"


if __name__ == "__main__":
    found = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    sys.stdout.write(results_text(summary(found)))
