"""After the commit: a publication that died is finished by whoever comes next; foreign hands and damage are seen."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from qsky.catalog.model import Kind
from qsky.catalog.store import Catalog
from qsky.errors import QskyError
from qsky.events import Event
from qsky.ingest.compact import compact
from qsky.ingest.maintain import restore
from tests.ingest.loaded import SETTINGS, Root, refused, stars, unsettled, visits


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(tmp_path)
    made.load("star", stars(300))
    return made


# -- settling


WORKS: dict[str, Callable[[Root], Any]] = {
    "append": lambda r: r.load("star", stars(40, first=300), "append"),
    "new column": lambda r: r.load("star", stars(40, first=300).append_column("n", pa.array(range(40))), "append"),
    "compact": lambda r: compact(r.catalog, "sky", SETTINGS.with_changes(chunk_rows_max=20)),
    "restore": lambda r: restore(r.catalog, "sky", 1, r.settings),
    "child": lambda r: r.child("det", visits(np.arange(310)), "star", "star"),
    "replicated": lambda r: r.load("filter", pa.table({"id": [1]}), kind=Kind.REPLICATED),
}


@pytest.mark.parametrize("work", WORKS)
def test_whoever_comes_next_settles(work: str, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    unsettled(root, monkeypatch, lambda: WORKS[work](root))
    assert root.files() & {name for name in root.files() if name.startswith("_qsky/staging/")}
    expected = 340 if work in ("append", "new column") else 300
    fresh = Catalog(root.catalog.root)
    assert fresh.revision("sky").number == 2
    assert not (fresh.root / "public/sky/_qsky/staging").is_dir() or not list(
        (fresh.root / "public/sky/_qsky/staging").iterdir()
    )
    assert len(root.ids("star")) == expected
    root.assert_clean()
    root.load("star", stars(5, first=900), "append")
    root.assert_clean()


@pytest.mark.parametrize(
    "step", ["delta.commit", "hats_properties.partition_info", "hats_properties.collection_properties"]
)
def test_a_settling_that_died_halfway_is_finished(step: str, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    where = "qsky.catalog" if step.startswith("hats_") else "qsky.storage"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(f"{where}.{step}", die)
        root.load("star", stars(40, first=300), "append")
    assert len(root.ids("star")) == 340
    root.assert_clean()
    root.vacuum()
    assert root.unreferenced() == set()


def test_a_revision_that_cannot_be_settled_is_read_and_not_built_on(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the current revision is ever settled, so a successor would strand its staged parts."""
    told: list[Event] = []

    def full(*_: object, **__: object) -> None:
        raise QskyError("disk-full", "The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("qsky.storage.delta.commit", full)
        root.load("star", stars(40, first=300), "append")
        assert len(root.ids("star")) == 340
        with refused("disk-full"):
            root.load("star", stars(40, first=500), "append")
        with refused("disk-full"):
            compact(root.catalog, "sky", root.settings)
    assert told == [] and root.revision.number == 2
    root.load("star", stars(40, first=500), "append")
    assert len(root.ids("star")) == 380
    root.assert_clean()


AS_NOBODY = """
import os, sys
from pathlib import Path
import numpy as np, pyarrow.compute, pyarrow.parquet as pq
from qsky.catalog import hats_properties
from qsky.catalog.store import Catalog
from qsky.storage import delta, hats
os.setuid(65534)
opened = Catalog(Path(sys.argv[1])).snapshot("sky")
table = opened.table("star")
rows = sum(pq.read_metadata(path).num_rows for path in table.addresses(np.arange(len(table.parts))))
print(rows, len(opened.staged) > 0)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_root_that_cannot_be_written_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """By another user, who may not write: the parts are read where they are staged."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root = Root(Path(folder))
        root.load("star", stars(300))
        unsettled(root, monkeypatch, lambda: root.load("star", stars(40, first=300), "append"))
        ran = subprocess.run([sys.executable, "-c", AS_NOBODY, root.catalog.root], capture_output=True, text=True)
        assert ran.stdout.split() == ["340", "True"], ran.stderr


def dataset(root: Root, table: str = "star") -> Path:
    opened = root.table(table)
    return Path(root.table(table).folder) / f"{table}.hats/{table}/g{opened.table.generation:04d}/dataset"


# -- other hands


def foreign_append(folder: Path) -> None:
    """What another program does: add a part of its own to the Delta table."""
    opened = DeltaTable(str(folder))
    opened.alter.set_table_properties({"delta.logRetentionDuration": "interval 400 days"})


def test_a_foreign_commit_stops_writers_until_it_was_seen(root: Root) -> None:
    foreign_append(dataset(root))
    with refused("foreign-commit"):
        root.load("star", stars(5, first=300), "append")
    assert len(root.ids("star")) == 300, "our answers do not depend on it"
    root.load("galaxy", stars(5, seed=1))
    report = root.verified()
    assert report.clean and "another program" in report.notices[0]
    root.load("star", stars(5, first=300), "append")
    assert len(root.ids("star")) == 305
    root.assert_clean()
    foreign_append(dataset(root))
    with refused("foreign-commit"):
        root.load("star", stars(5, first=400), "append")


def test_a_load_published_during_verify_is_not_foreign(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    from qsky.ingest import verify as verifying

    run = verifying._Check.run

    def later(check: Any) -> None:
        monkeypatch.undo()
        root.load("star", stars(40, first=300), "append")
        run(check)

    monkeypatch.setattr(verifying._Check, "run", later)
    report = root.verified()
    assert report.problems == [] and report.notices == []


def test_a_lost_log_does_not_stop_answers(root: Root) -> None:
    import shutil

    shutil.rmtree(dataset(root) / "_delta_log")
    root.load("star", stars(5, first=300), "append")
    root.load("star", stars(5, first=400), "append")
    assert len(root.ids("star")) == 310
    assert not root.verified().clean
    compact(root.catalog, "sky", root.settings.with_changes(chunk_rows_max=20))
    root.assert_clean()


# -- damage, seen by verify


def damage(root: Root, what: str) -> None:
    store = root.catalog.store("sky")
    table = root.revision.table("star")
    assert table is not None
    part = Path(root.table("star").addresses(np.array([0]))[0])
    targets = {
        "part gone": part, "part cut": part, "part changed": part,
        "index gone": store.path(table.index[0].file), "index changed": store.path(table.index[0].file),
        "tiling changed": store.path(table.tiling), "manifest cut": store.path(table.parts[0]),
        "overlap gone": Path(root.table("star").addresses(np.array([0]), overlap=True)[0]),
        "partition_info cut": dataset(root).parent / "partition_info.csv",
        "stray": part,
    }  # fmt: skip
    target = targets[what]
    if what == "stray":
        part.with_name("stray.parquet").write_bytes(part.read_bytes())
    elif what.endswith("gone"):
        target.unlink()
    elif what.endswith("cut"):
        target.write_bytes(target.read_bytes()[:-20])
    else:
        content = bytearray(target.read_bytes())
        content[len(content) // 2] ^= 1
        target.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "what",
    ["part gone", "part cut", "part changed", "index gone", "index changed", "tiling changed", "manifest cut",
     "overlap gone", "partition_info cut", "stray"],
)  # fmt: skip
def test_verify_sees(what: str, root: Root) -> None:
    """In the process that made the files, whose caches hold them still."""
    assert root.verified().clean
    damage(root, what)
    assert not root.verified().clean
