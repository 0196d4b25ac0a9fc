"""Loads of every kind of table, through revisions: what was put in is there once, where it belongs, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from qsky.catalog.model import Kind, MatchEnd
from qsky.errors import QskyError
from qsky.ingest import change
from qsky.ingest.compact import compact
from qsky.ingest.maintain import drop
from tests.ingest.loaded import SETTINGS, Root, refused, stars, visits


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


# -- the kinds


def test_a_director(root: Root) -> None:
    rows = stars(700)
    report = root.load("star", rows)
    assert (report.rows, report.revision, report.rows_refused) == (700, 1, 0)
    assert report.chunks > 7 and report.overlap_rows > 0
    assert root.ids("star") == list(range(700))
    table = root.revision.table("star")
    assert table is not None and table.key_unique and table.rows == 700
    assert root.table("star").tiling is not None
    root.assert_clean()
    assert root.unreferenced() == set()


def test_a_child_lies_with_its_director(root: Root) -> None:
    root.load("star", stars(500))
    keys = np.random.default_rng(0).integers(0, 500, 2000)
    report = root.child("det", visits(keys), "star", "star")
    assert report.rows == 2000 and report.orphan_rows == 0
    leaf_of = dict(zip(*root.rows("star").select(["id", "leaf"]).to_pydict().values(), strict=True))
    rows = root.rows("det")
    assert all(
        leaf_of[key] == leaf for key, leaf in zip(*rows.select(["star", "leaf"]).to_pydict().values(), strict=True)
    )
    root.assert_clean()


def test_orphans_wait_and_are_adopted(root: Root) -> None:
    root.load("star", stars(300))
    report = root.child("det", visits(np.arange(250, 400)), "star", "star")
    assert report.rows == 150 and report.orphan_rows == 100
    assert root.ids("det", column="star") == list(range(250, 400)), "orphans are stored and counted"
    root.assert_clean()
    report = root.load("star", stars(60, first=300), "append")
    assert report.orphans_placed == 60
    table = root.revision.table("det")
    assert table is not None and table.orphan_rows == 40 and table.rows == 150
    root.assert_clean()
    assert root.load("star", stars(100, first=360), "append").orphans_placed == 40
    root.assert_clean()
    assert root.ids("det", column="star") == list(range(250, 400))
    assert root.ids("det", 2, column="star") == list(range(250, 400)), "the old revision still has them as they were"


def test_adopted_rows_widen_the_recorded_angle(root: Root) -> None:
    """A query by a child's own position is widened by that angle; a row outside it would be missed."""
    root.load("star", pa.table({"id": [1], "ra": [10.0], "dec": [0.0]}))
    far = pa.table({"star": [1, 2], "ra": [10.5, 200.0], "dec": [0.0, 5.0]})
    root.child("det", far, "star", "star", ra="ra", dec="dec")
    table = root.revision.table("det")
    assert table is not None and table.own_angle_arcsec_max == pytest.approx(1800, abs=0.01)
    root.load("star", pa.table({"id": [2], "ra": [200.0], "dec": [7.0]}), "append")
    table = root.revision.table("det")
    assert table is not None and table.own_angle_arcsec_max == pytest.approx(7200, abs=0.01)
    root.assert_clean()


def test_orphans_older_than_a_column(root: Root) -> None:
    """Rows written before a column existed are adopted after it came."""
    root.load("star", stars(10))
    root.child("det", visits(np.arange(5, 15)), "star", "star")
    later = visits(np.arange(0, 3)).append_column("band", pa.array(["g", "r", "i"]))
    root.load("det", later, "append", Kind.CHILD)
    root.load("star", stars(10, first=10), "append")
    rows = root.rows("det")
    assert sorted(rows["star"].to_pylist()) == sorted([0, 1, 2, *range(5, 15)])
    assert sorted(rows["band"].drop_null().to_pylist()) == ["g", "i", "r"]
    root.assert_clean()


def links(pairs: list[tuple[int | None, int | None]]) -> pa.Table:
    first, second = zip(*pairs, strict=True)
    return pa.table({"a": pa.array(first, pa.int64()), "b": pa.array(second, pa.int64()), "n": range(len(pairs))})


ENDS = (MatchEnd("star", "a"), MatchEnd("galaxy", "b"))


def assert_matched(root: Root) -> None:
    """Every row once, where its first known end lies; a copy wherever the other end lies in another chunk."""
    star = dict(zip(*root.rows("star").select(["id", "_healpix_29"]).to_pydict().values(), strict=True))
    galaxy = dict(zip(*root.rows("galaxy").select(["id", "_healpix_29"]).to_pydict().values(), strict=True))
    tiling = root.table("m").tiling
    assert tiling is not None
    wanted_copies = []
    for row in root.rows("m").to_pylist():
        known = [cells[row[key]] for cells, key in ((star, "a"), (galaxy, "b")) if row[key] in cells]
        leaves = [int(tiling.starts[tiling.leaf_of(np.array([cell]))[0]]) for cell in known]
        if leaves:
            assert row["leaf"] == leaves[0]
        if len(set(leaves)) == 2:
            wanted_copies.append((row["n"], leaves[1]))
    copies = [(row["n"], row["leaf"]) for row in root.rows("m", overlap=True).to_pylist()]
    assert sorted(copies) == sorted(wanted_copies)


def test_a_match_table_lies_with_both_its_ends(root: Root) -> None:
    root.load("star", stars(300))
    root.load("galaxy", stars(200, seed=1, first=1000))
    pairs = [(i, 1000 + i % 200) for i in range(300)] + [(None, 1005), (7, None), (None, None), (9999, 1001), (3, 8888)]
    report = root.load("m", links(pairs), kind=Kind.MATCH, match=ENDS)
    assert report.rows == len(pairs)
    assert sorted(root.rows("m")["n"].to_pylist()) == list(range(len(pairs)))
    assert_matched(root)
    root.assert_clean()


def test_match_rows_follow_ends_that_arrive_later(root: Root) -> None:
    root.load("star", stars(100))
    root.load("galaxy", stars(100, seed=1, first=1000))
    pairs = [(i, 1000 + i) for i in range(0, 200, 3)] + [(150, None), (None, 1150), (500, 5000)]
    root.load("m", links(pairs), kind=Kind.MATCH, match=ENDS)
    root.load("star", stars(100, first=100), "append")
    assert_matched(root)
    root.load("galaxy", stars(100, seed=1, first=1100), "append")
    assert_matched(root)
    assert sorted(root.rows("m")["n"].to_pylist()) == list(range(len(pairs)))
    table = root.revision.table("m")
    assert table is not None and table.orphan_rows == 1
    root.assert_clean()
    root.settings = SETTINGS.with_changes(chunk_rows_max=20)
    compact(root.catalog, "sky", root.settings)
    assert_matched(root)
    root.assert_clean()


def test_a_replicated_table(root: Root) -> None:
    rows = pa.table({"filterId": [0, 1, 2], "name": ["u", "g", None]})
    assert root.load("filter", rows, kind=Kind.REPLICATED).rows == 3
    root.load("filter", pa.table({"filterId": [3], "name": ["r"]}), "append", Kind.REPLICATED)
    assert root.ids("filter", column="filterId") == [0, 1, 2, 3]
    root.assert_clean()
    compact(root.catalog, "sky", root.settings)
    assert len(root.table("filter").parts) == 1 and root.ids("filter", column="filterId") == [0, 1, 2, 3]
    root.assert_clean()


def test_one_row_is_a_sky(root: Root) -> None:
    root.load("star", pa.table({"id": [5], "ra": [0.0], "dec": [90.0]}))
    root.child("det", pa.table({"star": [5]}), "star", "star")
    assert root.ids("star") == [5] and root.ids("det", column="star") == [5]
    root.assert_clean()


@pytest.mark.parametrize("kind", [Kind.DIRECTOR, Kind.REPLICATED])
def test_no_rows_are_no_table(root: Root, kind: Kind) -> None:
    with refused("empty-load"):
        root.load("star", stars(0), kind=kind)
    assert root.catalog.databases() == []
    root.load("star", stars(3))
    with refused("empty-load"):
        root.load("star", stars(0), "append")
    assert root.revision.number == 1
    root.vacuum()
    assert root.unreferenced() == set()


# -- append, replace, columns


def test_appends_fill_the_same_chunks(root: Root) -> None:
    for first in range(0, 400, 100):
        root.load("star", stars(100, first=first), "append" if first else "create")
        assert root.ids("star") == list(range(first + 100))
        root.assert_clean()
    assert root.revision.number == 4
    assert [len(root.ids("star", number)) for number in (1, 2, 3, 4)] == [100, 200, 300, 400]


def test_more_appends_than_manifests(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "_MANIFESTS_MAX", 3)
    for first in range(7):
        root.load("star", stars(1, first=first), "append" if first else "create")
    table = root.revision.table("star")
    assert table is not None and len(table.parts) <= 3
    assert root.ids("star") == list(range(7)) and root.ids("star", 4) == list(range(4))
    root.assert_clean()


def test_replace_leaves_the_old_revision(root: Root) -> None:
    root.load("star", stars(100))
    root.load("star", stars(50, first=500), "replace")
    assert root.ids("star") == list(range(500, 550)) and root.ids("star", 1) == list(range(100))
    root.assert_clean()
    root.load("star", stars(50, first=600), "append")
    assert len(root.ids("star")) == 100
    root.assert_clean()


def test_what_others_point_to_stays(root: Root) -> None:
    root.load("star", stars(10))
    root.child("det", visits([1]), "star", "star")
    with refused("family-mismatch"):
        root.load("star", stars(10), "replace")
    with refused("family-mismatch"):
        drop(root.catalog, "sky", "star", root.settings)
    drop(root.catalog, "sky", "det", root.settings)
    root.load("star", stars(10), "replace")
    root.assert_clean()


def test_a_new_column_is_null_in_old_rows(root: Root) -> None:
    root.load("star", stars(20))
    root.load("star", stars(20, first=20).append_column("V-Mag", pa.array(np.arange(20.0))), "append")
    rows = root.rows("star").sort_by("id")
    assert rows["V-Mag"].to_pylist() == [None] * 20 + list(range(20))
    root.assert_clean()
    root.load("star", stars(5, first=40), "append")
    root.assert_clean()
    compact(root.catalog, "sky", root.settings)
    assert root.rows("star").sort_by("id")["V-Mag"].to_pylist() == [None] * 20 + list(range(20)) + [None] * 5
    root.assert_clean()
    opened = root.table("star")
    columns = [f.name for f in DeltaTable(str(Path(opened.addresses(np.array([0]))[0]).parents[3])).schema().fields]
    assert "V-Mag" in columns


def test_a_type_does_not_change(root: Root) -> None:
    root.load("star", stars(5))
    text = stars(5, first=5).set_column(3, "mag", pa.array(["a"] * 5))
    with refused("type-change"):
        root.load("star", text, "append")
    root.load("star", stars(5, first=5).set_column(3, "mag", pa.array(range(5), pa.int32())), "append")
    assert root.rows("star").sort_by("id")["mag"].to_pylist()[5:] == [0.0, 1.0, 2.0, 3.0, 4.0]
    root.assert_clean()


# -- keys


def test_keys_are_unique(root: Root) -> None:
    with refused("duplicate-keys"):
        root.load("star", pa.concat_tables([stars(10), stars(1, first=3)]))
    root.load("star", stars(10))
    with pytest.raises(QskyError, match="1 row repeats a key: 9"):
        root.load("star", stars(5, first=9), "append")
    assert root.revision.number == 1
    root.vacuum()
    assert root.unreferenced() == set()


def test_keys_may_repeat_if_allowed(root: Root) -> None:
    rows = pa.table({"id": [1, 1, 2], "ra": [0.0, 0.0, 5.0], "dec": [0.0, 0.0, 5.0]})
    root.load("star", rows, allow_duplicate_keys=True)
    assert root.ids("star") == [1, 1, 2]
    root.assert_clean()
    far = pa.table({"id": [2], "ra": [180.0], "dec": [-60.0]})
    root.load("star", far, "append", allow_duplicate_keys=True)
    table = root.revision.table("star")
    assert table is not None and not table.key_unique
    root.assert_clean()
    with refused("family-mismatch"):
        root.child("det", visits([1]), "star", "star")


def test_a_key_children_use_does_not_become_ambiguous(root: Root) -> None:
    root.load("star", pa.table({"id": [1, 2], "ra": [0.0, 90.0], "dec": [0.0, 0.0]}))
    root.child("det", visits([1, 2, 2]), "star", "star")
    far = pa.table({"id": [1], "ra": [180.0], "dec": [-60.0]})
    with refused("duplicate-keys"):
        root.load("star", far, "append", allow_duplicate_keys=True)
    root.assert_clean()


def test_text_keys(root: Root) -> None:
    names = [f"HD {n}" for n in range(300)] + ["ä", "HD 7 ", "hd 7"]
    sky = stars(303)
    root.load("star", sky.set_column(0, "id", pa.array(names)))
    root.child("det", pa.table({"star": [*names, "nobody"]}), "star", "star")
    root.assert_clean()
    table = root.revision.table("det")
    assert table is not None and table.orphan_rows == 1
    with refused("duplicate-keys"):
        root.load("star", stars(1, first=999).set_column(0, "id", pa.array(["HD 7"])), "append")
    root.load("star", stars(1, first=999).set_column(0, "id", pa.array(["nobody"])), "append")
    table = root.revision.table("det")
    assert table is not None and table.orphan_rows == 0
    root.assert_clean()


@pytest.mark.parametrize(
    "keys",
    [pa.array([1, 2, 3], pa.int16()), pa.array([1.0, 2.0, 3.0]), pa.array(["1", "2", "3"]),
     pa.array([1, 2, 3], pa.decimal128(10, 0)), pa.array([1, 2, 3], pa.uint64())],
    ids=str,
)  # fmt: skip
def test_a_childs_keys_may_have_another_type(root: Root, keys: pa.Array) -> None:
    root.load("star", stars(10))
    assert root.child("det", pa.table({"star": keys}), "star", "star").orphan_rows == 0
    root.assert_clean()


@pytest.mark.parametrize("keys", [pa.array([1.5]), pa.array(["one"])], ids=str)
def test_keys_that_cannot_be_the_directors(root: Root, keys: pa.Array) -> None:
    root.load("star", stars(10))
    with refused("family-mismatch"):
        root.child("det", pa.table({"star": keys}), "star", "star")
    assert root.revision.number == 1


def test_whole_numbers_point_to_text_keys(root: Root) -> None:
    root.load("star", stars(10).set_column(0, "id", pa.array([str(n) for n in range(10)])))
    assert root.child("det", visits(np.arange(12)), "star", "star").orphan_rows == 2
    root.assert_clean()


# -- names


@pytest.mark.parametrize(
    ("key", "ra", "dec"),
    [("HIP no.", "RA (ICRS)", "DE (ICRS)"), ("größe", "α", "δ"), ("select", "Group", "order"), ("🌟", "a/b", 'c"d')],
)
def test_odd_names(root: Root, key: str, ra: str, dec: str) -> None:
    rows = stars(150).rename_columns([key, ra, dec, "mag=0 \\"])
    root.load("star", rows, key=key, ra=ra, dec=dec)
    root.load("star", stars(50, first=150).rename_columns([key, ra, dec, "mag=0 \\"]), "append")
    root.child("det", pa.table({"V-Mag": [1.0], key: [3]}), "star", key)
    assert root.ids("star", column=key) == list(range(200))
    root.assert_clean()
    compact(root.catalog, "sky", root.settings)
    root.assert_clean()


def test_names_differ_by_more_than_case(root: Root) -> None:
    root.load("star", stars(5))
    with refused("family-mismatch"):
        root.load("STAR", stars(5))
    root.load("Star", stars(5, first=5), "append")
    assert root.ids("star") == list(range(10))
    assert [table.name for table in root.revision.tables] == ["star"]


# -- provenance


def test_where_rows_came_from_is_kept(root: Root) -> None:
    ra = pa.array([0.0, None, 370.0, 5.0])
    rows = pa.table({"id": [1, 2, 3, 4], "ra": ra, "dec": [0.0, 0.0, 1.0, 2.0], "mag": [1.0, 2.0, float("nan"), 4.0]})
    file = root.file(rows)
    report = root.load("star", file, rejects_max=10)
    assert report.rows == 3 and report.rows_refused == 1 and report.rejects_file is not None
    kept = root.revision.provenance
    assert kept.rows_accepted == 3 and kept.rows_refused == 1 and kept.nan_nulled == {"mag": 1}
    assert kept.sources[0]["name"] == str(file) and kept.sources[0]["bytes"] == file.stat().st_size
    assert root.rows("star").sort_by("id")["mag"].to_pylist() == [1.0, None, 4.0]
    assert root.revision.by and root.revision.created and root.revision.operation == "load"
    root.assert_clean()


def test_noise_is_packed_with_what_is_quick_to_unpack(root: Root) -> None:
    random = np.random.default_rng(7)
    extra = {
        "noise": random.random(5000),
        "same": np.full(5000, 1.5),
        "odd.name": random.random(5000).astype(np.float32),
        "listed": pa.array([[1.5, 2.5]] * 5000),
        "none": pa.nulls(5000, pa.float64()),
    }
    rows = stars(5000)
    for name, values in extra.items():
        rows = rows.append_column(name, pa.array(values))
    root.load("star", rows)
    part = next(root.folder.rglob("star/g0001/dataset/**/*.parquet"))
    group = pq.ParquetFile(part).metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    codecs = {column.path_in_schema: column.compression for column in columns}
    assert [codecs[name] for name in ("noise", "odd.name", "same", "none")] == ["SNAPPY", "SNAPPY", "ZSTD", "ZSTD"]
    assert [codec for path, codec in codecs.items() if path.startswith("listed")] == ["ZSTD"]
    assert codecs["_healpix_29"] == "SNAPPY"
