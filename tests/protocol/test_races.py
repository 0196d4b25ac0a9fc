"""Two writers at once: every load that was acknowledged is there once, every refused one not at all.

Meanwhile readers that know nothing of revisions look at the folders and the Delta logs.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from qsky.catalog import layout
from qsky.catalog.store import Catalog
from qsky.ingest.verify import verify
from tests.protocol.writer import answer, perform, send, settings, stars, start

pytestmark = pytest.mark.slow
RACES = 50


class Watcher(threading.Thread):
    """Lists leaf folders and logs as HATS and Delta readers do; whatever it sees must be of a revision by then."""

    def __init__(self, database: Path) -> None:
        super().__init__(daemon=True)
        self.database = database
        self.stop = threading.Event()
        self.rounds = 0
        self.strangers: set[str] = set()

    def run(self) -> None:
        while not self.stop.is_set():
            seen = {
                layout.load_of(str(path)) for path in self.database.glob("*.hats/*/*/dataset/Norder=*/*/*/*.parquet")
            }
            for path in self.database.glob("*.hats/*/*/dataset/_delta_log/*.json"):
                lines = [json.loads(line) for line in path.read_text().splitlines()]
                seen |= {layout.load_of(line["add"]["path"]) for line in lines if "add" in line}
            # Looked at after the parts: a revision that exists now existed before its parts were visible, or not.
            named = {json.loads(path.read_text())["load"] for path in self.database.glob("revisions/*.json")}
            self.strangers |= seen - named
            self.rounds += 1
            self.stop.wait(0.02)


def test_fifty_races(tmp_path: Path) -> None:
    root = tmp_path / "root"
    perform({"root": str(root), "what": "create", "table": "a", "file": str(stars(tmp_path, 1, 300))})
    expected: dict[str, set[int]] = {"a": {1}}
    outcomes: dict[str, int] = {}
    watcher = Watcher(root / "public" / "d")
    watcher.start()
    writers = [start(), start()]
    try:
        for race in range(RACES):
            numbers = (10 + 2 * race, 11 + 2 * race)
            tables = ("a", "a" if race % 2 else f"b{race % 8}")
            for writer, table, number in zip(writers, tables, numbers, strict=True):
                what = "append" if table in expected else "create"
                file = str(stars(tmp_path, number, 300))
                send(writer, root=str(root), what=what, table=table, file=file)
            for writer, table, number in zip(writers, tables, numbers, strict=True):
                said = answer(writer)
                outcomes[said.get("error", "done")] = outcomes.get(said.get("error", "done"), 0) + 1
                if "revision" in said:
                    expected.setdefault(table, set()).add(number)
    finally:
        watcher.stop.set()
        for writer in writers:
            writer.communicate()
    watcher.join()
    assert set(outcomes) <= {"done", "load-conflict"}
    assert outcomes["done"] >= RACES
    assert watcher.rounds > 10 and watcher.strangers == set()
    snapshot = Catalog(root).snapshot("d")
    assert {table.name for table in snapshot.revision.tables} == set(expected)
    for name, numbers_expected in expected.items():
        opened = snapshot.table(name)
        paths = opened.addresses(np.arange(len(opened.parts)))
        ids = np.concatenate([pq.read_table(p, columns=["id"], partitioning=None)["id"].to_numpy() for p in paths])
        wanted = np.concatenate([np.arange(n * 1_000_000, n * 1_000_000 + 300) for n in sorted(numbers_expected)])
        assert np.array_equal(np.sort(ids), wanted), name
    assert verify(Catalog(root), "d", settings()).problems == []
