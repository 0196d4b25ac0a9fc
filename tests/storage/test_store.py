"""The folder as a store: one winner of a creation, whole files always, links, and errors in our words."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qsky.errors import QskyError
from qsky.storage.store import ASIDE, Store, digest_of_file, io_errors, make_folders


def test_one_of_many_creates(tmp_path: Path) -> None:
    store, start = Store(tmp_path), threading.Barrier(8)

    def create(number: int) -> tuple[int, bool]:
        start.wait()
        return number, store.create("revisions/000001.json", f"{number}".encode() * 1000)

    for _ in range(10):
        with ThreadPoolExecutor(8) as pool:
            winners = [number for number, won in pool.map(create, range(8)) if won]
        assert len(winners) == 1
        assert store.read("revisions/000001.json") == f"{winners[0]}".encode() * 1000
        assert store.names("revisions") == ["000001.json"]
        store.remove("revisions/000001.json")


def test_replacing_shows_the_old_or_the_new(tmp_path: Path) -> None:
    store, contents = Store(tmp_path), {b"a" * 100_000, b"b" * 70_000}
    store.replace("f", b"a" * 100_000)
    stop, seen = threading.Event(), set()

    def look() -> None:
        while not stop.is_set():
            seen.add(store.read("f"))

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        for _ in range(50):
            for content in sorted(contents):
                store.replace("f", content)
        stop.set()
        looking.result()
    assert seen <= contents
    assert store.names(".") == ["f"]


def test_side_files_are_named_by_their_bytes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    name = store.create_side_file("tiling", b"leaves", "arrow")
    os.utime(store.path(name), (1, 1))
    assert store.create_side_file("tiling", b"leaves", "arrow") == name
    assert store.changed(name) > 1, "written again, it is young again"
    assert digest_of_file(store.path(name)) in name
    assert store.create_side_file("tiling", b"others", "arrow") != name


def test_links_share_bytes_and_do_not_overwrite(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create("a/part", b"one")
    store.link("a/part", "b/c/part")
    assert store.read("b/c/part") == b"one" and store.path("b/c/part").samefile(store.path("a/part"))
    store.create("a/other", b"two")
    store.link("a/other", "b/c/part")
    assert store.read("b/c/part") == b"one"
    with pytest.raises(FileNotFoundError):
        store.link("a/gone", "b/c/another")


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EMLINK, errno.EPERM])
def test_what_cannot_be_linked_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    store = Store(tmp_path)
    store.create("a/part", b"one")
    monkeypatch.setattr(os, "link", refuse)
    store.link("a/part", "b/part")
    assert store.read("b/part") == b"one" and not store.path("b/part").samefile(store.path("a/part"))
    assert store.names("b") == ["part"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (tmp_path / "revisions").mkdir()
    with pytest.raises(QskyError, match="disk is full") as caught:
        Store(tmp_path).create("revisions/000001.json", b"{}")
    assert caught.value.code.name == "disk-full"
    assert list((tmp_path / "revisions").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "disk-full"), (errno.EDQUOT, "disk-full"), (errno.EACCES, "no-access"), (errno.EROFS, "no-access"),
     (errno.EIO, "damaged")],
)  # fmt: skip
def test_errors_of_the_system_in_our_words(number: int, code: str) -> None:
    with pytest.raises(QskyError) as caught, io_errors("the part"):
        raise OSError(number, os.strerror(number))
    assert caught.value.code.name == code and "the part" in caught.value.message


def test_folders_are_made_while_others_remove_them(tmp_path: Path) -> None:
    stop = threading.Event()

    def remove() -> None:
        while not stop.is_set():
            for name in ("a/b/c", "a/b", "a"):
                Store(tmp_path).remove_folder(name)

    with ThreadPoolExecutor(1) as pool:
        removing = pool.submit(remove)
        for _ in range(200):
            make_folders(tmp_path / "a/b/c")
        stop.set()
        removing.result()


def test_what_a_dead_writer_leaves_is_told_by_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store._written_aside("revisions/000001.json", b"{}") as aside:
        assert Path(aside).name.startswith(ASIDE) and Path(aside).read_bytes() == b"{}"
        raise KeyboardInterrupt
    assert store.names("revisions") == []


def test_files_and_folders_are_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("b/2", "a/1", "a/deep/3", "0"):
        store.create(name, b"")
    assert list(store.files()) == ["0", "a/1", "a/deep/3", "b/2"]
    folders = {name: names for name, names, _ in store.folders()}
    assert folders == {"a/deep": ["3"], "a": ["1"], "b": ["2"], "": ["0"]}
    assert not store.remove_folder("a") and store.names("nowhere") == []
    store.remove("gone")
