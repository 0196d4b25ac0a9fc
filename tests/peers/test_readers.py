"""Other people's readers on our files: LSDB, hats, Polars and deltalake see what our SQL sees, through every change."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qsky
from qsky.catalog.model import Kind
from qsky.ingest.request import LoadRequest
from qsky.wire import Sky

# One process for all that import LSDB, which takes longer than the tests.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.peer,
    pytest.mark.xdist_group("lsdb"),
    pytest.mark.filterwarnings("ignore"),
]


def load(sky: Sky, file: Path, mode: Any) -> None:
    sky.load(LoadRequest("hip", "star", Kind.DIRECTOR, (str(file),), key="hip", mode=mode))


@pytest.fixture(scope="module")
def sky(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sky]:
    root = tmp_path_factory.mktemp("peers") / "root"
    with qsky.connect(root, chunk_rows_max=10_000, overlap_arcsec=60.0) as sky:
        load(sky, shared_data / "hip2" / "hip2.parquet", "create")
        yield sky


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stars to append, with a column that is new."""
    rng = np.random.default_rng(5)
    rows = 400
    path = tmp_path_factory.mktemp("more") / "more.parquet"
    dec = np.degrees(np.arcsin(rng.random(rows) * 2 - 1))
    ids = np.arange(200_000, 200_000 + rows)
    pq.write_table(pa.table({"hip": ids, "ra": rng.random(rows) * 360, "dec": dec, "extra": rng.random(rows)}), path)
    return path


def check_readers(sky: Sky, root: Path) -> None:
    import lsdb
    import polars
    from deltalake import DeltaTable
    from hats.io.validation import is_valid_catalog

    warnings.simplefilter("ignore")
    table = sky.revision("hip").table("star")
    assert table is not None
    collection = root / "public" / "hip" / "star.hats"
    generation = collection / "star" / f"g{table.generation:04d}"
    assert is_valid_catalog(collection, strict=True)
    assert is_valid_catalog(generation, strict=True)
    assert is_valid_catalog(collection / "star_overlap" / f"g{table.generation:04d}", strict=True)
    rows = sky.sql("SELECT COUNT(*) FROM hip.star").scalar()
    ids = set(sky.sql("SELECT hip FROM hip.star").arrow()["hip"].to_pylist())

    catalog = lsdb.open_catalog(str(collection))
    assert len(catalog) == rows and set(catalog.compute()["hip"]) == ids
    assert catalog.margin is not None and len(catalog.margin.compute()) == table.overlap_rows
    cone = sky.sql("SELECT hip FROM hip.star WHERE qserv_areaspec_circle(56.75, 24.12, 2)").arrow()["hip"].to_pylist()
    assert sorted(catalog.cone_search(56.75, 24.12, 7200).compute()["hip"]) == sorted(cone)
    matched = catalog.crossmatch(catalog, radius_arcsec=10, n_neighbors=5, suffixes=("_a", "_b")).compute()
    pairs = sky.sql(
        "SELECT COUNT(*) FROM hip.star a, hip.star b "
        "WHERE a.hip < b.hip AND scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 10/3600."
    ).scalar()
    assert int((matched["hip_a"] < matched["hip_b"]).sum()) == pairs

    frame = polars.scan_delta(str(generation / "dataset")).collect()
    assert set(frame["hip"]) == ids and frame.height == rows
    assert {column.name for column in table.columns} <= set(frame.columns)
    assert DeltaTable(str(generation / "dataset")).to_pyarrow_dataset().count_rows() == rows


def test_readers_follow_every_change(sky: Sky, more: Path, shared_data: Path) -> None:
    root = Path(sky.root)
    check_readers(sky, root)
    load(sky, more, "append")
    check_readers(sky, root)
    sky.compact("hip")
    check_readers(sky, root)
    sky.restore("hip", 1)
    check_readers(sky, root)
