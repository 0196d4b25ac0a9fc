"""A load spread over workers gives what a load in one process gives, for every kind of table, and refuses the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from qsky.catalog.model import Kind, MatchEnd
from qsky.errors import QskyError
from qsky.ingest.load import load
from qsky.ingest.request import LoadRequest
from tests.ingest.loaded import SETTINGS, Root, refused, stars, visits
from tests.ingest.spreading import SpreadRoot, assert_same

SMALL = SETTINGS.with_changes(load_unit_bytes_target=2000, placement_order=1, load_batch_rows=150)


@pytest.fixture(autouse=True)
def without_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about power cuts."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Root, SpreadRoot]:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    return Root(tmp_path / "one", SMALL), SpreadRoot(tmp_path / "other", SMALL)


def both(pair: tuple[Root, SpreadRoot], request: LoadRequest) -> None:
    """The same load, in one process and spread; the results are equal."""
    one, other = pair
    expected = load(one.catalog, request, one.settings)
    report = other.loaded(request)
    assert (report.rows, report.overlap_rows, report.chunks, report.orphan_rows, report.orphans_placed) == (
        expected.rows,
        expected.overlap_rows,
        expected.chunks,
        expected.orphan_rows,
        expected.orphans_placed,
    )
    assert (report.rows_refused, report.nan_nulled) == (expected.rows_refused, expected.nan_nulled)
    if expected.rejects_file is not None and report.rejects_file is not None:
        assert report.rejects_file.read_text() == expected.rejects_file.read_text()
    assert_same(one, other)
    assert list(other.folder.glob("exchange/*")) == [] and other.staged() == []
    assert other.cluster.record.unfinished("sky", request.table) == ()


def sources(root: Root, rows: pa.Table, files: int) -> tuple[str, ...]:
    step = -(-rows.num_rows // files)
    return tuple(str(root.file(rows.slice(first, step))) for first in range(0, rows.num_rows, step))


def director(root: Root, rows: pa.Table, files: int = 3, **asked: object) -> LoadRequest:
    values = {"key": "id", "ra": "ra", "dec": "dec", **asked}
    return LoadRequest("sky", "star", Kind.DIRECTOR, sources(root, rows, files), **values)  # type: ignore[arg-type]


def test_every_kind_of_table(pair: tuple[Root, SpreadRoot]) -> None:
    """Directors, children with orphans, matches, replicated; appends that place orphans; a replacement."""
    root = pair[0]
    both(pair, director(root, stars(500)))
    keys = np.random.default_rng(0).integers(0, 540, 800)
    both(pair, LoadRequest("sky", "det", Kind.CHILD, sources(root, visits(keys), 4), director="star", key="star"))
    other = stars(250, seed=5).rename_columns(["oid", "ra", "dec", "mag"])
    both(
        pair,
        LoadRequest("sky", "galaxy", Kind.DIRECTOR, sources(root, other, 2), key="oid", ra="ra", dec="dec"),
    )
    rng = np.random.default_rng(1)
    ends = pa.table({"a": rng.integers(0, 530, 400), "b": rng.integers(0, 260, 400)})
    match = (MatchEnd("star", "a"), MatchEnd("galaxy", "b"))
    both(pair, LoadRequest("sky", "pairs", Kind.MATCH, sources(root, ends, 3), match=match))
    both(pair, LoadRequest("sky", "filter", Kind.REPLICATED, sources(root, pa.table({"f": list("ugrizy")}), 2)))
    both(pair, LoadRequest("sky", "star", Kind.DIRECTOR, sources(root, stars(40, first=500), 2), mode="append"))
    more = visits(np.arange(100, 140))
    both(pair, LoadRequest("sky", "det", Kind.CHILD, sources(root, more, 2), mode="append"))
    both(
        pair,
        LoadRequest("sky", "det", Kind.CHILD, sources(root, more, 2), mode="replace", director="star", key="star"),
    )


def test_rejects_nulls_and_bad_rows_are_summed(pair: tuple[Root, SpreadRoot], tmp_path: Path) -> None:
    rows = stars(300).to_pydict()
    rows["mag"][7] = float("nan")
    good = pa.table(rows)
    files = []
    for number in range(3):
        path = tmp_path / f"rows-{number}.csv"
        pacsv.write_csv(good.slice(number * 100, 100), path)
        path.write_text(path.read_text() + f"{1000 + number},400,95,1\n{2000 + number},10,too,1\n")
        files.append(str(path))
    types = {"dec": "DOUBLE", "mag": "DOUBLE"}
    request = LoadRequest("sky", "star", Kind.DIRECTOR, tuple(files), key="id", ra="ra", dec="dec", rejects_max=6)
    request = LoadRequest(**{**vars(request), "read": type(request.read)(types=types)})
    both(pair, request)
    other = pair[1]
    with refused("too-many-rejects") as failed:
        other.loaded(LoadRequest(**{**vars(request), "table": "more", "rejects_max": 5}))
    assert "6 rows were refused, more than the 5" in str(failed.value)
    assert str(other.catalog.root / "rejects") in str(failed.value)
    assert other.revision.number == 1


def test_duplicate_keys_across_units(pair: tuple[Root, SpreadRoot]) -> None:
    rows = pa.concat_tables([stars(200), stars(1, first=150)])
    messages = []
    for attempt in (lambda r: load(pair[0].catalog, r, SMALL), pair[1].loaded):
        with refused("duplicate-keys") as failed:
            attempt(director(pair[0], rows, 4))
        messages.append(failed.value.message)
    assert messages[0] == messages[1]
    both(pair, director(pair[0], rows, 4, allow_duplicate_keys=True))


def test_nothing_to_load(pair: tuple[Root, SpreadRoot]) -> None:
    with refused("empty-load"):
        pair[1].loaded(LoadRequest("sky", "star", Kind.DIRECTOR, (str(pair[0].file(stars(0))),), key="id"))


def test_nothing_to_resume(pair: tuple[Root, SpreadRoot]) -> None:
    with pytest.raises(QskyError, match="No load of sky.star was interrupted"):
        pair[1].loaded(director(pair[0], stars(10)), resume=True)
