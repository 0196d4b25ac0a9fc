"""Delta commits: at exactly the version asked for, once, and never over somebody else's."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from qsky.errors import QskyError
from qsky.storage import delta

SCHEMA = pa.schema([("_healpix_29", pa.int64()), ("id", pa.int64())])


def added(name: str, leaf: tuple[int, int] | None = (1, 5)) -> delta.Added:
    folder = f"Norder={leaf[0]}/Dir=0/Npix={leaf[1]}/" if leaf else ""
    return delta.Added(f"{folder}{name}.parquet", 100, 10, leaf, {"_healpix_29": 1}, {"_healpix_29": 9})


def commit(dataset: Path, version: int, *parts: delta.Added, load: str = "one", **changes: Any) -> None:
    options = {"partitioned": True, "revision": version + 1, "load": load, "when_ms": 0, "schema": SCHEMA, **changes}
    schema = options.pop("schema")
    delta.commit(dataset, version, schema, list(parts), **options)


def test_versions_add_up(tmp_path: Path) -> None:
    commit(tmp_path / "d", 0, added("a"), added("b", (2, 77)))
    commit(tmp_path / "d", 1, added("c"), load="two")
    assert delta.files_at(tmp_path / "d", 0) == {
        "Norder=1/Dir=0/Npix=5/a.parquet": (100, 10),
        "Norder=2/Dir=0/Npix=77/b.parquet": (100, 10),
    }
    assert len(delta.files_at(tmp_path / "d", 1)) == 3
    assert delta.newest_version(tmp_path / "d") == 1
    assert [delta.load_at(tmp_path / "d", version) for version in (0, 1, 2)] == ["one", "two", None]


def test_the_same_commit_again_does_nothing(tmp_path: Path) -> None:
    for _ in range(3):
        commit(tmp_path, 0, added("a"))
    commit(tmp_path, 1, added("b"), load="two")
    commit(tmp_path, 0, added("a"))
    assert delta.newest_version(tmp_path) == 1 and len(delta.files_at(tmp_path, 1)) == 2


def test_two_at_once_make_one_commit(tmp_path: Path) -> None:
    commit(tmp_path, 0, added("a"))
    for version in range(1, 6):
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(commit, tmp_path, version, added(f"p{version}"), load=f"l{version}") for _ in range(2)]
            for future in both:
                future.result()
        assert len(delta.files_at(tmp_path, version)) == version + 1


def test_a_version_of_somebody_else_is_not_ours(tmp_path: Path) -> None:
    commit(tmp_path, 0, added("a"))
    write_deltalake(str(tmp_path), pa.table({"_healpix_29": [1], "id": [1], "Norder": pa.array([1], pa.int32()),
                    "Dir": [0], "Npix": [1]}), mode="append")  # fmt: skip
    with pytest.raises(QskyError) as caught:
        commit(tmp_path, 1, added("b"), load="two")
    assert caught.value.code.name == "foreign-commit"
    assert delta.load_at(tmp_path, 1) == ""
    assert "WRITE" in delta.describe(tmp_path, 1, 1)


def test_a_log_that_lost_versions_is_not_ours(tmp_path: Path) -> None:
    commit(tmp_path, 0, added("a"))
    shutil.rmtree(tmp_path / "_delta_log")
    with pytest.raises(QskyError) as caught:
        commit(tmp_path, 5, added("b"))
    assert caught.value.code.name == "foreign-commit"


def test_new_columns_take_a_version_of_their_own(tmp_path: Path) -> None:
    commit(tmp_path, 0, added("a"))
    wider = pa.schema([*SCHEMA, pa.field("V-Mag", pa.float64()), pa.field("größe", pa.string())])
    commit(tmp_path, 2, added("b"), load="two", schema=wider)
    names = [field.name for field in DeltaTable(str(tmp_path)).schema().fields]
    assert names == ["_healpix_29", "id", "Norder", "Dir", "Npix", "V-Mag", "größe"] or set(names) == {
        "_healpix_29", "id", "V-Mag", "größe", "Norder", "Dir", "Npix"
    }  # fmt: skip
    assert delta.load_at(tmp_path, 1) == delta.load_at(tmp_path, 2) == "two"


def test_a_crash_between_new_columns_and_parts_is_made_good(tmp_path: Path) -> None:
    commit(tmp_path, 0, added("a"))
    wider = pa.schema([*SCHEMA, pa.field("new", pa.float64())])
    commit(tmp_path, 2, added("b"), load="two", schema=wider)
    (tmp_path / "_delta_log" / f"{2:020d}.json").unlink()
    commit(tmp_path, 2, added("b"), load="two", schema=wider)
    assert len(delta.files_at(tmp_path, 2)) == 2 and delta.newest_version(tmp_path) == 2


def test_tables_without_leaves(tmp_path: Path) -> None:
    commit(tmp_path, 0, added("a", None), partitioned=False)
    assert list(delta.files_at(tmp_path, 0)) == ["a.parquet"]


def test_checkpoints_come_by_themselves_and_logs_stay(tmp_path: Path) -> None:
    for version in range(102):
        commit(tmp_path, version, added(f"p{version}"), load=f"l{version}")
    names = {path.name for path in (tmp_path / "_delta_log").iterdir()}
    assert f"{0:020d}.json" in names and any("checkpoint" in name for name in names)
    assert len(delta.files_at(tmp_path, 101)) == 102 and len(delta.files_at(tmp_path, 3)) == 4


def test_leftovers_of_dead_commits_are_known_by_name() -> None:
    log = "a.hats/a/g0001/dataset/_delta_log"
    assert delta.is_leftover(f"{log}/{3:020d}.json#1") and delta.is_leftover(f"{log}/_commit_0b.json.tmp")
    assert not delta.is_leftover(f"{log}/{3:020d}.json") and not delta.is_leftover(f"{log}/_last_checkpoint")
