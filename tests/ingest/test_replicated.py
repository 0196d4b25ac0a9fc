"""Parts on the disks of workers: loads, checks and copies of a root that holds none itself; what cannot be, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from qsky.catalog import layout
from qsky.catalog.arrangement import Arrangement, check_arrangement
from qsky.catalog.model import Kind
from qsky.catalog.store import Catalog
from qsky.errors import QskyError
from qsky.ingest.compact import compact
from qsky.ingest.exchange import FolderExchange
from qsky.ingest.export import export
from qsky.ingest.load import load
from qsky.ingest.record import FolderRecord
from qsky.ingest.request import LoadRequest
from qsky.ingest.spread import LoadCluster, StagedPart
from qsky.ingest.units import Ground
from qsky.ingest.verify import verify
from qsky.storage.store import Store
from tests.ingest.loaded import Root, refused, stars, visits
from tests.ingest.spreading import Inline, SharedGround, SpreadRoot
from tests.ingest.test_spread import SMALL, sources

HOSTS = ("w0", "w1", "w2")


@dataclass
class Disks:
    """The folders of some hosts: staged parts, and parts under their final names."""

    folder: Path
    root: Path

    def staging(self, host: str, database: str) -> Store:
        return Store(self.folder / host / "staging" / database)

    def part(self, host: str, database: str, path: str) -> Path:
        return self.folder / host / "parts" / layout.PUBLIC / database / path

    def replicate(self, parts: Sequence[StagedPart], copies: int) -> None:
        if copies > len(HOSTS):
            raise QskyError("replicas-missing", f"There are only {len(HOSTS)} hosts.")
        for number, part in enumerate(parts):
            store = self.staging(part.host, part.database) if part.host else Store(self.root / "public" / part.database)
            staged = store.path(f"{layout.staging_path(part.load)}/{part.path.rsplit('/', 1)[-1]}")
            for step in range(copies):
                target = self.part(HOSTS[(number + step) % len(HOSTS)], part.database, part.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(staged, target)

    def staged(self, part: StagedPart) -> bool:
        name = f"{layout.staging_path(part.load)}/{part.path.rsplit('/', 1)[-1]}"
        return self.staging(part.host, part.database).exists(name)

    def fetch(self, name: str) -> Path:
        for host in HOSTS:
            path = self.folder / host / "parts" / name
            if path.exists():
                return path
        raise QskyError("damaged", f"No host has {name}.")


@dataclass(frozen=True)
class ApartGround(SharedGround):
    """Units stage their parts on the disk of their host."""

    disks: Disks

    def __call__(self, host: str) -> Ground:
        return replace(super().__call__(host), staging=lambda database: self.disks.staging(host, database))


@dataclass
class ReplicatedRoot(SpreadRoot):
    """A root whose parts lie on three hosts."""

    disks: Disks = field(init=False)

    def __post_init__(self) -> None:
        self.disks = Disks(self.folder / "disks", self.folder / "root")
        self.catalog = Catalog(self.folder / "root", create=True, storage="replicated", fetch=self.disks.fetch)
        self.inline = Inline(ApartGround(self.folder / "root", self.folder / "exchange", self.disks))
        self.cluster = LoadCluster(
            self.inline,
            FolderExchange(self.folder / "exchange"),
            FolderRecord(self.folder / "record"),
            replicas=2,
            replicate=self.disks.replicate,
            staged=self.disks.staged,
        )


@pytest.fixture(autouse=True)
def without_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about power cuts."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture
def root(tmp_path: Path) -> ReplicatedRoot:
    return ReplicatedRoot(tmp_path, SMALL)


def star(root: Root, count: int = 400, first: int = 0, **asked: object) -> LoadRequest:
    files = sources(root, stars(count, first=first), 2)
    values = {"key": "id", "ra": "ra", "dec": "dec", **asked}
    return LoadRequest("sky", "star", Kind.DIRECTOR, files, **values)  # type: ignore[arg-type]


def test_a_root_without_parts(root: ReplicatedRoot, tmp_path: Path) -> None:
    """Director, child with orphans, an append that places them; verified, exported; no part in the root itself."""
    root.loaded(star(root))
    keys = np.arange(350, 450)
    child = LoadRequest("sky", "det", Kind.CHILD, sources(root, visits(keys), 2), director="star", key="star")
    assert root.loaded(child).orphan_rows == 50
    report = root.loaded(star(root, 50, 400, mode="append"))
    assert report.orphans_placed == 50
    assert verify(root.catalog, "sky", SMALL).problems == []
    assert list(root.catalog.root.rglob("*-*.parquet")) == []
    exported = export(root.catalog, "sky", "star", tmp_path / "copy", SMALL)
    assert exported.rows == 450
    files = [pq.ParquetFile(path).read() for path in sorted((tmp_path / "copy").rglob("star/**/Npix=*/*.parquet"))]
    assert sorted(id_ for file in files for id_ in file["id"].to_pylist()) == list(range(450))
    names = [path.relative_to(root.disks.folder).parts[1:] for path in root.disks.folder.rglob("parts/**/*.parquet")]
    assert all(names.count(name) == 2 for name in set(names))
    (root.disks.folder / "w0" / "parts").rename(root.disks.folder / "w0" / "gone")
    assert verify(root.catalog, "sky", SMALL).problems == [], "any replica will do"


def test_no_revision_without_replicas(root: ReplicatedRoot) -> None:
    root.cluster = replace(root.cluster, replicas=4)
    with refused("replicas-missing"):
        root.loaded(star(root))
    assert root.catalog.numbers("sky") == []
    root.cluster = replace(root.cluster, replicas=3)
    sent = len(root.inline.sent)
    root.loaded(star(root), resume=False)
    assert len(root.inline.sent) > sent


def test_what_would_lie_in_the_root_only_is_not_published(root: ReplicatedRoot) -> None:
    with refused("replicas-missing"):
        load(root.catalog, star(root), SMALL)
    root.loaded(star(root))
    root.loaded(star(root, 400, 400, mode="append"))
    with refused("replicas-missing"):
        compact(root.catalog, "sky", SMALL)
    assert root.catalog.revision("sky").number == 2


def test_the_root_remembers_its_mode(root: ReplicatedRoot, tmp_path: Path) -> None:
    assert json.loads((root.catalog.root / "qsky.json").read_bytes())["storage"] == "replicated"
    with refused("bad-arrangement"):
        Catalog(root.catalog.root)
    with refused("bad-arrangement"):
        Catalog(root.catalog.root, storage="shared", fetch=root.disks.fetch)
    with refused("bad-arrangement"):
        Catalog(Root(tmp_path / "other").catalog.root, storage="replicated", fetch=root.disks.fetch)


def test_replicas_of_a_shared_root(tmp_path: Path) -> None:
    root = SpreadRoot(tmp_path, SMALL)
    root.cluster = replace(root.cluster, replicas=2)
    with refused("usage"):
        root.loaded(star(root))


@pytest.mark.parametrize(
    "arrangement",
    [
        Arrangement("shared", 3),
        Arrangement("shared", 3, ledger=""),
        Arrangement("shared", 3, machines=3, private=False),
        Arrangement("shared", 3, coordinators=2, ledger="postgresql"),
        Arrangement("replicated", 3, replicas=2),
        Arrangement("replicated", 3, replicas=2, machines=3),
        Arrangement("replicated", 3, 2, coordinators=2, machines=3, private=False, ledger="postgresql"),
    ],
)
def test_what_may_start(arrangement: Arrangement) -> None:
    check_arrangement(arrangement)


@pytest.mark.parametrize(
    ("arrangement", "why"),
    [
        (Arrangement("raid", 3), "no storage mode"),  # type: ignore[arg-type]
        (Arrangement("shared", 0), "at least one worker"),
        (Arrangement("shared", 3, creates_once=False), "created twice"),
        (Arrangement("shared", 3, replicas=2), "stores each part once"),
        (Arrangement("shared", 3, machines=2), "could not read its parts"),
        (Arrangement("replicated", 3, replicas=0), "at least one replica"),
        (Arrangement("replicated", 3, replicas=4), "as many workers"),
        (Arrangement("replicated", 3, replicas=2, ledger=""), "need a ledger"),
        (Arrangement("replicated", 3, 2, coordinators=2, ledger="sqlite", private=False), "PostgreSQL"),
        (Arrangement("replicated", 3, 2, coordinators=2, machines=2, ledger="postgresql"), "each of them reaches"),
    ],
)
def test_what_may_not_start(arrangement: Arrangement, why: str) -> None:
    with refused("bad-arrangement") as failed:
        check_arrangement(arrangement)
    assert why in failed.value.message
