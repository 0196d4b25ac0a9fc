"""Revisions: made by loads and compactions that may meet each other, read at any number, restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from qsky.catalog.model import Kind
from qsky.ingest.compact import compact
from qsky.ingest.maintain import drop, restore
from tests.ingest.loaded import Root, meanwhile, refused, stars, visits


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(tmp_path)
    made.load("star", stars(300))
    return made


# -- compact


def test_compaction_gathers_parts_and_fits_the_tiling(root: Root) -> None:
    for first in (300, 600, 900):
        root.load("star", stars(300, first=first), "append")
    root.child("det", visits(np.arange(1300)), "star", "star")
    old, new = root.table("star"), compact(root.catalog, "sky", root.settings)
    table = root.table("star")
    assert new.number == 6 and len(table.parts) == len(np.unique(table.parts.leaf_starts))
    assert old.tiling is not None and table.tiling is not None and len(table.tiling) > len(old.tiling)
    assert table.table.rows == 1200 and len(table.table.index) == 1
    assert {t.name: t.generation for t in new.tables} == {"star": 2, "det": 2}
    assert {t.tiling for t in new.tables} == {table.table.tiling}
    assert root.ids("star") == list(range(1200)) and root.ids("det", column="star") == list(range(1300))
    assert root.ids("star", 2) == list(range(600)), "old revisions keep their generation"
    root.assert_clean()
    assert compact(root.catalog, "sky", root.settings).number == 6, "nothing to do the second time"


def test_compaction_changes_the_overlap(root: Root) -> None:
    narrow = root.table("star").table.overlap_rows
    compact(root.catalog, "sky", root.settings, overlap_arcsec=7200)
    assert root.table("star").table.overlap_rows > narrow
    root.assert_clean()
    compact(root.catalog, "sky", root.settings, overlap_arcsec=0)
    assert root.table("star").table.overlap_rows == 0
    root.assert_clean()
    root.load("star", stars(10, first=300), "append")
    root.assert_clean()


def test_a_child_that_came_during_a_compaction_is_not_left_behind(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compaction does not know it, and it lies in the old tiling."""
    meanwhile(monkeypatch, lambda: root.child("det", visits(np.arange(300)), "star", "star"))
    with refused("load-conflict"):
        compact(root.catalog, "sky", root.settings.with_changes(chunk_rows_max=10))
    assert {t.tiling for t in root.revision.tables} == {root.table("star").table.tiling}
    root.assert_clean()


CONFLICTS: dict[str, tuple[Callable[[Root], Any], Callable[[Root], Any]]] = {
    "append and append": (
        lambda r: r.load("star", stars(5, first=300), "append"),
        lambda r: r.load("star", stars(5, first=400), "append"),
    ),
    "create and create": (
        lambda r: r.load("new", stars(5)),
        lambda r: r.load("New", stars(5)),
    ),
    "director and new child": (
        lambda r: r.load("star", stars(5, first=300), "append"),
        lambda r: r.child("det", visits([301]), "star", "star"),
    ),
    "child and its director": (
        lambda r: r.child("det", visits([301]), "star", "star"),
        lambda r: r.load("star", stars(5, first=300), "append"),
    ),
    "drop and child": (
        lambda r: drop(r.catalog, "sky", "star", r.settings),
        lambda r: r.child("det", visits([1]), "star", "star"),
    ),
    "replace and child": (
        lambda r: r.load("star", stars(5, first=300), "replace"),
        lambda r: r.child("det", visits([1]), "star", "star"),
    ),
    "child and drop": (
        lambda r: r.child("det", visits([1]), "star", "star"),
        lambda r: drop(r.catalog, "sky", "star", r.settings),
    ),
    "compact and append": (
        lambda r: compact(r.catalog, "sky", r.settings.with_changes(chunk_rows_max=10)),
        lambda r: r.load("star", stars(5, first=300), "append"),
    ),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_the_second_of_two_that_meet_is_told(case: str, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    loser, winner = CONFLICTS[case]
    meanwhile(monkeypatch, lambda: winner(root))
    with refused("load-conflict"):
        loser(root)
    assert root.revision.number == 2
    root.assert_clean()
    root.vacuum()
    assert root.unreferenced() == set()


def test_two_that_do_not_meet_both_win(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: root.load("galaxy", stars(50, seed=1)))
    root.load("star", stars(5, first=300), "append")
    assert root.revision.number == 3
    assert len(root.ids("star")) == 305 and len(root.ids("galaxy")) == 50
    root.assert_clean()


# -- history


def test_every_kept_revision_can_be_asked(root: Root) -> None:
    root.load("star", stars(10, first=300), "append")
    root.load("filter", pa.table({"id": [1]}), kind=Kind.REPLICATED)
    drop(root.catalog, "sky", "star", root.settings)
    history = root.catalog.history("sky")
    assert [(r.number, r.operation, r.changed) for r in history] == [
        (1, "load", ("star",)), (2, "append", ("star",)), (3, "load", ("filter",)), (4, "drop", ("star",)),
    ]  # fmt: skip
    assert [r.parent for r in history] == [0, 1, 2, 3]
    assert len(root.ids("star", 1)) == 300 and len(root.ids("star", 3)) == 310
    with refused("no-such-table"):
        root.table("star")
    for number in (0, 5, -1):
        with refused("no-such-revision"):
            root.catalog.snapshot("sky", number)


def test_restore_brings_back_what_was(root: Root) -> None:
    root.child("det", visits(np.arange(310)), "star", "star")
    before = root.rows("det")
    root.load("star", stars(20, first=300), "append")
    drop(root.catalog, "sky", "det", root.settings)
    restored = restore(root.catalog, "sky", 2, root.settings)
    assert restored.number == 5 and restored.provenance.options["revision"] == 2
    assert root.ids("star") == list(range(300)) and root.rows("det").equals(before)
    root.assert_clean()
    root.load("star", stars(20, first=300), "append")
    table = root.revision.table("det")
    assert table is not None and table.orphan_rows == 0
    root.assert_clean()


def test_restore_links_and_does_not_copy(root: Root) -> None:
    old = Path(root.table("star").addresses(np.array([0]))[0])
    drop(root.catalog, "sky", "star", root.settings)
    restore(root.catalog, "sky", 1, root.settings)
    assert Path(root.table("star").addresses(np.array([0]))[0]).samefile(old)


def test_types_survive(root: Root) -> None:
    count = 130
    values = {
        "b": pa.array([n % 3 == 0 for n in range(count)]),
        "i8": pa.array(np.arange(count) % 100 - 50, pa.int8()),
        "f4": pa.array(np.arange(count) / 7, pa.float32()),
        "d": pa.array(np.arange(count, dtype=np.int32), pa.date32()),
        "t": pa.array(np.arange(count) * 1000, pa.timestamp("us")),
        "tz": pa.array(np.arange(count) * 1000, pa.timestamp("us", tz="UTC")),
        "dec_": pa.array([n / 4 for n in range(count)], pa.float64()).cast(pa.decimal128(12, 2)),
        "raw": pa.array([bytes([n]) for n in range(count)]),
        "l": pa.array([[n, None] for n in range(count)], pa.list_(pa.int32())),
        "s": pa.array([{"a": n, "b": str(n)} for n in range(count)]),
    }
    rows = stars(count)
    for name, column in values.items():
        rows = rows.append_column(name, column)
    root.load("typed", rows)
    stored = root.rows("typed").sort_by("id")
    for name, column in values.items():
        assert stored[name].to_pylist() == column.to_pylist(), name
    root.assert_clean()
    compact(root.catalog, "sky", root.settings.with_changes(chunk_rows_max=30))
    assert root.rows("typed").sort_by("id").select(list(values)).to_pydict() == stored.select(list(values)).to_pydict()
    root.assert_clean()
    restore(root.catalog, "sky", 2, root.settings)
    root.assert_clean()
