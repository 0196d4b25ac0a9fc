"""Vacuum against everybody at work: what is kept, leased, staged or linked stays; what nothing needs goes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsky.catalog import lease
from qsky.catalog.lease import Lease, leased, live_leases
from qsky.catalog.store import read_revision
from qsky.ingest.compact import compact
from qsky.ingest.maintain import drop, restore
from tests.ingest.loaded import Root, meanwhile, refused, stars, visits


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(tmp_path)
    made.load("star", stars(300))
    return made


# -- vacuum


def test_vacuum_deletes_what_nothing_needs(root: Root) -> None:
    for first in (300, 400):
        root.load("star", stars(100, first=first), "append")
    compact(root.catalog, "sky", root.settings)
    assert root.unreferenced() == set(), "all is named by some revision"
    report = root.vacuum()
    assert report.revisions_forgotten == [1, 2, 3] and report.revisions_kept == [4] and report.files > 0
    assert root.unreferenced() == set()
    assert not list(root.folder.glob("root/public/sky/star.hats/star/g0001")), "no empty folders"
    assert root.ids("star") == list(range(500))
    for number in (1, 2, 3):
        with refused("no-such-revision"):
            root.catalog.snapshot("sky", number)
    root.assert_clean()
    assert root.vacuum().files == 0
    root.load("star", stars(100, first=500), "append")
    root.assert_clean()


def test_vacuum_keeps_the_young_and_the_last(root: Root) -> None:
    for first in (300, 400, 500):
        root.load("star", stars(5, first=first), "append")
    assert root.vacuum(revisions_kept_days=1).revisions_forgotten == []
    assert root.vacuum(revisions_kept=3).revisions_forgotten == [1]
    assert len(root.ids("star", 2)) == 305
    assert root.vacuum(vacuum_grace_seconds=3600).files == 0


def test_a_dropped_table_goes_and_comes_again(root: Root) -> None:
    drop(root.catalog, "sky", "star", root.settings)
    root.vacuum()
    assert root.unreferenced() == set() and not (root.catalog.root / "public/sky/star.hats").exists()
    root.load("star", stars(10))
    assert root.ids("star") == list(range(10))
    root.assert_clean()


def test_what_a_query_reads_stays(root: Root) -> None:
    store = root.catalog.store("sky")
    with leased(store, Lease(revision=1), 60):
        compact(root.catalog, "sky", root.settings.with_changes(chunk_rows_max=20))
        assert root.vacuum().revisions_kept == [1, 2]
        assert len(root.ids("star", 1)) == 300
    assert root.vacuum().revisions_forgotten == [1]


def test_a_reader_that_comes_too_late_is_told(root: Root) -> None:
    compact(root.catalog, "sky", root.settings.with_changes(chunk_rows_max=20))
    root.vacuum()
    with refused("no-such-revision"), leased(root.catalog.store("sky"), Lease(revision=1), 60):
        pass
    assert live_leases(root.catalog.store("sky"), 60, time.time()) == []


def test_a_reader_that_comes_while_vacuum_forgets_keeps_its_revision(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qsky.ingest import vacuum as vacuuming

    compact(root.catalog, "sky", root.settings.with_changes(chunk_rows_max=20))
    store, held = root.catalog.store("sky"), leased(root.catalog.store("sky"), Lease(revision=1), 60)
    forget = vacuuming._forget

    def late(*asked: Any) -> bytes:
        held.__enter__()
        return forget(*asked)

    monkeypatch.setattr(vacuuming, "_forget", late)
    assert root.vacuum().revisions_kept == [1, 2]
    assert len(root.ids("star", 1)) == 300 and read_revision(store, 1).number == 1
    held.__exit__(None, None, None)


def test_a_load_at_work_keeps_what_it_staged(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, root.vacuum)
    root.load("star", stars(50, first=300), "append")
    assert len(root.ids("star")) == 350
    root.assert_clean()


@pytest.mark.parametrize("operation", ["restore", "adopt", "compact"])
def test_links_of_old_parts_are_not_old(operation: str, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vacuum that began before them sees files a year old that no revision it knows needs."""
    from qsky.ingest import vacuum as vacuuming

    root.child("det", visits(np.arange(290, 310)), "star", "star")
    for path in root.catalog.root.rglob("*"):
        os.utime(path, (1, 1))
    delete = vacuuming._delete

    def late(*asked: Any) -> None:
        monkeypatch.undo()
        if operation == "restore":
            restore(root.catalog, "sky", 1, root.settings)
        elif operation == "compact":
            compact(root.catalog, "sky", root.settings.with_changes(chunk_rows_max=10))
        else:
            root.load("star", stars(20, first=300), "append")
        delete(*asked)

    monkeypatch.setattr(vacuuming, "_delete", late)
    root.vacuum(revisions_kept=5)
    root.assert_clean()


def test_a_load_that_slept_too_long_does_not_publish(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease ran out and vacuum took what it staged; a revision naming that would be damaged."""

    def sleep_and_be_vacuumed() -> None:
        held = next((root.catalog.root / "public/sky/leases").iterdir())
        os.utime(held, (1, 1))
        root.vacuum()
        assert not held.exists()

    meanwhile(monkeypatch, sleep_and_be_vacuumed)
    with refused("load-conflict"):
        root.load("star", stars(50, first=300), "append")
    assert root.revision.number == 1
    root.assert_clean()
    root.vacuum()
    assert root.unreferenced() == set()


def test_a_number_is_never_used_twice(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load asleep right before its commit wakes up when its number was used and vacuumed long since."""
    from qsky.storage.store import Store

    create = Store.create

    def others_first(store: Store, name: str, content: bytes) -> bool:
        if name.startswith("revisions/"):
            monkeypatch.undo()
            for first in (400, 500, 600):
                root.load("star", stars(5, first=first), "append")
            root.vacuum(vacuum_grace_seconds=3600)
        return create(store, name, content)

    monkeypatch.setattr(Store, "create", others_first)
    with refused("load-conflict"):
        root.load("star", stars(5, first=300), "append")
    assert root.revision.number == 4 and len(root.ids("star")) == 315
    root.assert_clean()


def test_leases_are_renewed_until_released(root: Root) -> None:
    store = root.catalog.store("sky")
    with leased(store, Lease(load="l"), 0.3):
        time.sleep(0.7)
        assert live_leases(store, 0.3, time.time()) == [Lease(load="l")]
    assert live_leases(store, 0.3, time.time()) == []


def test_the_renewing_thread_survives_a_lease_that_vanished(root: Root) -> None:
    store = root.catalog.store("sky")
    with leased(store, Lease(load="gone"), 0.3), leased(store, Lease(load="held"), 0.3):
        store.remove("leases/gone.json")
        time.sleep(0.7)
        assert live_leases(store, 0.3, time.time()) == [Lease(load="held")]
    assert lease._keeper._held == {}
