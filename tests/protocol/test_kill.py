"""kill -9 in the middle of a load, an append and a compaction: the old revision or the new one, never something else."""

from __future__ import annotations

import itertools
import random
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from qsky.catalog.store import Catalog
from qsky.ingest.vacuum import vacuum
from qsky.ingest.verify import verify
from tests.protocol.writer import answer, perform, send, settings, stars, start

pytestmark = pytest.mark.slow
KILLS = 20


def rows_and_sums(root: Path) -> dict[str, tuple[int, int]]:
    """What the current revision holds, read from its files."""
    snapshot = Catalog(root).snapshot("d")
    found = {}
    for table in snapshot.revision.tables:
        opened = snapshot.table(table.name)
        paths = opened.addresses(np.arange(len(opened.parts)))
        ids = np.concatenate([pq.read_table(p, columns=["id"], partitioning=None)["id"].to_numpy() for p in paths])
        found[table.name] = (len(ids), int(ids.sum()))
    return found


def files_nobody_names(root: Path) -> list[str]:
    """Files under the database that its only kept revision has no use for, by what the design says belongs there."""
    catalog = Catalog(root)
    snapshot, store = catalog.snapshot("d"), catalog.store("d")
    named = {f"revisions/{snapshot.revision.number:06d}.json", "_qsky/settle.lock"}
    kept = []
    for table in snapshot.revision.tables:
        opened = snapshot.table(table.name)
        named |= set(opened.parts.paths.to_pylist()) | set(opened.overlap.paths.to_pylist())
        named |= {*table.parts, *table.overlap_parts, table.tiling, *(segment.file for segment in table.index)}
        kept.append(f"/g{table.generation:04d}/")
    strays = []
    for name in store.files():
        side = not name.endswith(".parquet") and ".hats/" in name and any(generation in name for generation in kept)
        # Of a forgotten revision an empty file stays, so that no sleeping writer can take its number again.
        forgotten = name.startswith("revisions/") and store.size(name) == 0
        if name not in named and not side and not forgotten and not name.endswith("collection.properties"):
            strays.append(name)
    return strays


def killed_while(root: Path, command: dict[str, object], seconds: float) -> None:
    """Run a command in a process of its own and kill it that long after it began to stage."""
    process = start()
    try:
        send(process, root=str(root), **command)
        time.sleep(seconds)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.mark.parametrize("what", ["append", "create", "compact"])
def test_killed_at_any_moment(what: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    first = {"what": "create", "table": "a", "file": str(stars(tmp_path, 1, 6000))}
    perform({"root": str(root), **first})
    numbers = itertools.count(2)
    chance = random.Random(what)

    def command() -> dict[str, object]:
        number = next(numbers)
        table = "a" if what == "append" else f"t{number}"
        file = str(stars(tmp_path, number, 2000)) if what != "compact" else ""
        return {"what": what, "table": table, "file": file, "chunk_rows": 300 + 10 * number}

    process = start()
    began = time.monotonic()
    send(process, root=str(root), **command())
    assert "revision" in answer(process)
    duration = time.monotonic() - began
    process.communicate()
    careful = settings().with_changes(vacuum_grace_seconds=0, revisions_kept=1, revisions_kept_days=0, lease_seconds=1)
    for _ in range(KILLS // 3 + 1):
        before, number = rows_and_sums(root), Catalog(root).revision("d").number
        killed_while(root, command(), duration * chance.uniform(0.05, 1.1))
        catalog = Catalog(root)
        after = rows_and_sums(root)
        published = catalog.revision("d").number
        assert published in (number, number + 1)
        assert after == before or (published == number + 1 and what != "compact")
        assert verify(catalog, "d", settings()).problems == []
    assert perform({"root": str(root), **command()}) >= published
    time.sleep(1.1)
    vacuum(Catalog(root), "d", careful)
    assert files_nobody_names(root) == []
    assert verify(Catalog(root), "d", settings()).problems == []
