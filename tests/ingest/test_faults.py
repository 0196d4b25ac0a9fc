"""Disks that fill up and folders that cannot be written: the old revision answers, and nothing is left over."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.ingest.compact import compact
from qsky.ingest.maintain import restore
from tests.ingest.loaded import Root, refused, stars

ROWS = 4000
SETTINGS = Settings(threads=2, chunk_rows_max=400, overlap_arcsec=900.0, tiling_order_max=5, load_batch_rows=1000)


def answers(root: Root) -> tuple[int, dict[str, tuple[int, int]]]:
    """The current revision and, of each table, the number of rows and the sum of the keys, seen by a new reader."""
    fresh = Root.__new__(Root)
    fresh.catalog, fresh.database = Catalog(root.catalog.root), root.database
    ids = {table.name: fresh.ids(table.name) for table in fresh.revision.tables}
    return fresh.revision.number, {name: (len(keys), sum(keys)) for name, keys in ids.items()}


def mounted(folder: Path, megabytes: int) -> bool:
    """A small disk of its own at `folder`, if this process may make one."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], capture_output=True)
    return made.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("what", ["append", "compact"])
def test_a_full_disk(what: str, tmp_path: Path) -> None:
    """A real one: filled bit by bit, so that the work fails at another step each time, until it fits."""
    disk = tmp_path / "disk"
    if not mounted(disk, 24):
        pytest.skip("this process cannot mount a small disk")
    try:
        root = Root(disk, SETTINGS)
        root.load("star", stars(ROWS))
        root.folder = tmp_path
        source = root.file(stars(ROWS // 2, first=ROWS))
        codes = [attempt(root, disk, what, source, kib << 10) for kib in (0, 40, 150, 300, 500, 700, 900, 1200, 8000)]
        assert set(codes[:3]) == {"disk-full"} and codes[-1] == "done" and set(codes) == {"done", "disk-full"}
        assert len(root.ids("star")) >= ROWS
        root.assert_clean()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def attempt(root: Root, disk: Path, what: str, source: Path, free: int) -> str:
    """One load or compaction with so many bytes free: "done", or how it ended, with the old revision untouched."""
    fill(disk, free)
    before, code = answers(root), "done"
    try:
        if what == "append":
            root.load("star", source, "append")
        else:
            other_tiling = SETTINGS.with_changes(chunk_rows_max=200 if root.revision.number % 2 else 400)
            compact(root.catalog, "sky", other_tiling)
    except QskyError as error:
        code = error.code.name
        assert answers(root) == before
    (disk / "filler").unlink()
    root.assert_clean()
    if code == "done" and what == "append":  # the same keys come again
        restore(root.catalog, root.database, root.revision.number - 1, root.settings)
    root.vacuum()
    assert root.unreferenced() == set()
    return code


def fill(disk: Path, free: int) -> None:
    """Leave so many bytes free."""
    space = os.statvfs(disk)
    with (disk / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, space.f_bavail * space.f_bsize - free))


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    """A limit on the size of files, which every system has, in place of a full disk."""
    root = Root(tmp_path, SETTINGS)
    root.load("star", stars(ROWS))
    source, before = root.file(stars(ROWS, first=ROWS)), answers(root)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with refused("disk-full"):
            root.load("star", source, "append")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert answers(root) == before
    root.assert_clean()
    root.vacuum()
    assert root.unreferenced() == set()
    root.load("star", source, "append")
    root.assert_clean()


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(tmp_path, SETTINGS)
    root.load("star", stars(10))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("os.link", refuse)
        with refused("no-access"):
            root.load("star", stars(10, first=10), "append")
    assert root.ids("star") == list(range(10))
    root.assert_clean()
