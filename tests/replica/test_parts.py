"""Finding parts: own ones, copies, fetched ones; damage of every kind; copies that are in use stay."""

from __future__ import annotations

import os
import random
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.worker.folder import DataFolder
from qsky.worker.parts import Parts, from_folder
from tests.replica.stores import Elsewhere, One, named

CONTENT = random.Random(1).randbytes(50_000)


def test_own_part_is_hashed_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, name = One(tmp_path), named(CONTENT)
    hashed: list[str] = []
    monkeypatch.setattr("qsky.worker.parts.why_bad", lambda path, name, size: hashed.append(name) or "")
    one.path(name).parent.mkdir(parents=True)
    one.path(name).write_bytes(CONTENT)
    for _ in range(3):
        with one.replica.parts.held({name: len(CONTENT)}) as paths:
            assert paths == {name: one.path(name)}
    assert len(hashed) == 1
    os.utime(one.path(name))
    with one.replica.parts.held({name: len(CONTENT)}):
        assert len(hashed) == 2


@pytest.mark.parametrize("damage", ["bits", "short", "empty", "long", "other"])
@pytest.mark.parametrize("seen_before", [False, True])
def test_a_damaged_part_goes_to_quarantine_and_is_fetched(damage: str, seen_before: bool, tmp_path: Path) -> None:
    one = One(tmp_path)
    name = one.elsewhere.add(CONTENT)
    one.replica.receive(name, len(CONTENT), one.elsewhere.folder / name)
    one.path(name).unlink()
    one.path(name).write_bytes(CONTENT)
    if seen_before:
        with one.replica.parts.held({name: len(CONTENT)}):
            pass
    at = random.Random(damage).randrange(len(CONTENT))
    flipped = CONTENT[:at] + bytes([CONTENT[at] ^ 1]) + CONTENT[at + 1 :]
    bad = {"bits": flipped, "short": CONTENT[:at], "empty": b"", "long": CONTENT + b"x", "other": CONTENT[::-1]}
    one.path(name).write_bytes(bad[damage])
    with one.replica.parts.held({name: len(CONTENT)}) as paths:
        assert paths[name].read_bytes() == CONTENT and "cache" in paths[name].parts
    assert [kept.read_bytes() for kept in one.quarantined()] == [bad[damage]]
    assert one.quarantined()[0].with_name(one.quarantined()[0].name + ".json").exists()
    assert [told for told, _ in one.bad] == [name] and one.told[-1] == ("retract", name)
    assert one.replica.inventory().parts == () and one.elsewhere.fetched == [name]


def test_sixteen_threads_fetch_a_part_once(tmp_path: Path) -> None:
    one = One(tmp_path)
    name = one.elsewhere.add(CONTENT)

    def read(_: int) -> bytes:
        with one.replica.parts.held({name: len(CONTENT)}) as paths:
            return paths[name].read_bytes()

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(read, range(64))) == {CONTENT}
    assert one.elsewhere.fetched == [name] and one.replica.parts.cache.bytes == len(CONTENT)


def test_a_failure_is_shared_by_those_who_waited(tmp_path: Path) -> None:
    one, name = One(tmp_path, Settings(part_fetches_max=16)), named(CONTENT)
    one.elsewhere.gate.clear()

    def read(_: int) -> str:
        with pytest.raises(QskyError) as failed, one.replica.parts.held({name: len(CONTENT)}):
            pass
        return failed.value.code.name

    with ThreadPoolExecutor(16) as threads:
        codes = threads.map(read, range(16))
        threading.Timer(0.3, one.elsewhere.gate.set).start()
        assert set(codes) == {"damaged"}
    assert len(one.elsewhere.fetched) == 1 and one.replica.parts.cache.bytes == 0


def test_wrong_bytes_are_not_taken(tmp_path: Path) -> None:
    one = One(tmp_path)
    name = one.elsewhere.add(CONTENT)
    one.elsewhere.instead[name] = CONTENT[:-1]
    with pytest.raises(QskyError, match="not fetched whole"), one.replica.parts.held({name: len(CONTENT)}):
        pass
    assert not list((tmp_path / "data" / "cache").rglob("*.parquet"))
    assert not list((tmp_path / "data" / "incoming").rglob("*.part"))


def test_copies_used_longest_ago_go_and_those_in_use_stay(tmp_path: Path) -> None:
    one = One(tmp_path, Settings(cache_bytes_max=3000))
    sizes = {one.elsewhere.add(bytes([number]) * 1000, number): 1000 for number in range(5)}
    names = list(sizes)
    parts = one.replica.parts
    with parts.held({names[0]: 1000}) as first:
        for name in names[1:]:
            with parts.held({name: 1000}):
                pass
        assert first[names[0]].exists() and not parts.folder.cached(names[2]).exists()
        with pytest.raises(QskyError) as failed, parts.held(dict(list(sizes.items())[1:4])):
            pass
        assert failed.value.code.name == "limit-cache"
    with parts.held(dict(list(sizes.items())[1:4])) as paths:
        assert all(path.exists() for path in paths.values()) and parts.cache.bytes == 3000
    again = One(tmp_path, Settings(cache_bytes_max=1000), one.elsewhere)
    assert again.replica.parts.cache.bytes == 1000


def test_many_threads_in_a_small_cache_always_read_right_bytes(tmp_path: Path) -> None:
    one = One(tmp_path, Settings(cache_bytes_max=20_000))
    contents = {one.elsewhere.add(bytes([number]) * 1000, number): bytes([number]) * 1000 for number in range(40)}

    def read(seed: int) -> bool:
        names = random.Random(seed).sample(list(contents), 2)
        with one.replica.parts.held(dict.fromkeys(names, 1000)) as paths:
            return all(paths[name].read_bytes() == contents[name] for name in names)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(300)))
    assert one.replica.parts.cache.bytes <= 20_000


def test_a_shared_root_is_read_in_place_and_copied_when_hot(tmp_path: Path) -> None:
    root = Elsewhere(tmp_path / "root")
    name = root.add(CONTENT)
    parts = Parts(DataFolder(tmp_path / "data"), from_folder(root.folder), Settings(), shared=root.folder)
    places = []
    for _ in range(3):
        with parts.held({name: len(CONTENT)}) as paths:
            places.append(paths[name])
    assert places[0] == root.folder / name and places[1] == places[2] == parts.folder.cached(name)
    small = Parts(
        DataFolder(tmp_path / "small"),
        from_folder(root.folder),
        Settings(cache_bytes_max=10, cache_uses_min=1),
        shared=root.folder,
    )
    with small.held({name: len(CONTENT)}) as paths:
        assert paths[name] == root.folder / name
    (root.folder / name).write_bytes(CONTENT[:5])
    with pytest.raises(QskyError) as failed, small.held({name: len(CONTENT)}):
        pass
    assert failed.value.code.name == "damaged"


@pytest.mark.parametrize("name", ["../../etc/passwd", "public/../x-0123456789abcdef.parquet", "/public/x", ""])
def test_a_name_stays_inside_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(QskyError, match="not the name of a part"), One(tmp_path).replica.parts.held({name: 1}):
        pass


@pytest.mark.slow
def test_a_full_disk_takes_copies_away_and_then_says_so(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this process cannot mount a small disk")
    try:
        one = One(disk, elsewhere=Elsewhere(tmp_path / "elsewhere"))
        sizes = {one.elsewhere.add(os.urandom(1_500_000), number): 1_500_000 for number in range(4)}
        names = list(sizes)
        for name in names:
            with one.replica.parts.held({name: sizes[name]}) as paths:
                assert paths[name].stat().st_size == sizes[name]
        with pytest.raises(QskyError) as failed, one.replica.parts.held(sizes):
            pass
        assert failed.value.code.name == "disk-full"
        with one.replica.parts.held({names[0]: sizes[names[0]]}):
            pass
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
