"""Other people's readers over HTTP: LSDB, hats, PyArrow and DuckDB see what our SQL sees, also while a load appends."""

from __future__ import annotations

import threading
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import qsky
from tests.serve.conftest import STARS, fill, load, stars
from tests.serve.running import Running, in_a_thread, serving

# One process for all that import LSDB, which takes longer than the tests.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.peer,
    pytest.mark.xdist_group("lsdb"),
    pytest.mark.filterwarnings("ignore"),
]

CONE = (150.0, 20.0, 15 * 3600.0)
PAIRS = (
    "SELECT COUNT(*) FROM sky.star{at} a, sky.star{at} b "
    "WHERE a.id < b.id AND scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 10/3600."
)


def opened(address: str, **how: Any) -> Any:
    import lsdb

    warnings.simplefilter("ignore")
    return lsdb.open_catalog(address, **how)


def ids(catalog: Any) -> list[int]:
    return sorted(catalog.compute()["id"].tolist())


def cone_ids(sky: Any, at: str = "") -> list[int]:
    radius = CONE[2] / 3600
    text = f"SELECT id FROM sky.star{at} WHERE qserv_areaspec_circle({CONE[0]}, {CONE[1]}, {radius})"
    return sorted(sky.sql(text).arrow()["id"].to_pylist())


def pairs_within_10_arcsec(catalog: Any) -> int:
    matched = catalog.crossmatch(catalog, radius_arcsec=10, n_neighbors=5, suffixes=("_a", "_b")).compute()
    return int((matched["id_a"] < matched["id_b"]).sum())


@pytest.mark.long
def test_lsdb_sees_what_sql_sees(server: Running, root: Path) -> None:
    import lsdb

    with qsky.connect(root) as sky:
        catalog = opened(f"{server.url}/hats/sky/star.hats")
        assert len(catalog) == STARS + 600
        assert ids(catalog.cone_search(*CONE)) == cone_ids(sky) != []
        table = sky.table("sky.star")
        assert catalog.margin is not None and len(catalog.margin.compute()) == table.overlap_rows > 0
        assert pairs_within_10_arcsec(catalog) == sky.sql(PAIRS.format(at="")).scalar() > 1000
        few = opened(f"{server.url}/hats/sky/star.hats", columns=["id", "mag"], filters=[("mag", "<", 11)])
        bright = sorted(sky.sql("SELECT id FROM sky.star WHERE mag < 11").arrow()["id"].to_pylist())
        assert ids(few) == bright
        visits = lsdb.read_hats(f"{server.url}/hats/sky/star.hats/visit/g0001")
        assert len(visits.compute()) == 2 * STARS


def test_hats_finds_every_catalogue_valid(server: Running) -> None:
    from hats.io.validation import is_valid_catalog

    warnings.simplefilter("ignore")
    for top in ("/hats/sky", "/hats/sky@1"):
        assert is_valid_catalog(f"{server.url}{top}/star.hats", strict=True)
    assert is_valid_catalog(f"{server.url}/hats/sky/star.hats/visit/g0001", strict=True)


def test_parquet_readers_read_ranges(server: Running, root: Path) -> None:
    import duckdb
    import pyarrow.parquet as pq
    from fsspec.implementations.http import HTTPFileSystem

    class Http(HTTPFileSystem):  # type: ignore[misc]
        def modified(self, path: str) -> datetime:  # DuckDB asks; fsspec cannot tell, and a part never changes
            return datetime(2026, 1, 1, tzinfo=UTC)

    http = Http(block_size=1 << 16)
    files = http.find(f"{server.url}/hats/wide/row.hats/row/g0001/dataset")
    parts = [name for name in files if name.endswith(".parquet")]
    size = int(str(server.ask(parts[0].removeprefix(server.url), "HEAD").header("content-length")))
    before = len(server.lines)
    column = pq.read_table(parts[0], columns=["id"], filesystem=http)["id"]
    assert column.to_pylist() and len(column) == 160_000
    server.logged("request", method="GET", status=206)
    read = sum(line["bytes"] for line in server.lines[before:] if line.get("method") == "GET")
    assert read < size
    stars_seen = [n for n in http.find(f"{server.url}/hats/sky/star.hats/star/g0001") if n.endswith(".parquet")]
    with duckdb.connect() as connection:
        connection.register_filesystem(http)
        found = connection.execute("SELECT COUNT(*), SUM(mag) FROM read_parquet(?)", [stars_seen]).fetchone()
    with qsky.connect(root) as sky:
        rows = sky.sql("SELECT COUNT(*) AS n, SUM(mag) AS total FROM sky.star").arrow().to_pylist()[0]
    assert found is not None and found[0] == rows["n"] and found[1] == pytest.approx(rows["total"], rel=1e-12)


def test_an_old_revision_stays_while_loads_append(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with qsky.connect(root, chunk_rows_max=2_000, overlap_arcsec=60.0) as sky:
        load(sky, "sky.star", stars(1, 4_000), key="id")
        before, margin = cone_ids(sky), sky.table("sky.star").overlap_rows

        def append() -> None:
            for number in range(2):
                load(sky, "sky.star", stars(10 + number, 500, first=50_000 + 1_000 * number), "append", key="id")

        with in_a_thread(root) as server:
            loading = threading.Thread(target=append)
            loading.start()
            seen = []
            while loading.is_alive() or len(seen) < 2:
                catalog = opened(f"{server.url}/hats/sky@1/star.hats")
                seen.append((len(catalog), ids(catalog.cone_search(*CONE))))
            loading.join()
            assert all(one == (4_000, before) for one in seen)
            catalog = opened(f"{server.url}/hats/sky@1/star.hats")
            assert len(catalog.compute()) == 4_000 and len(catalog.margin.compute()) == margin > 0
            now = opened(f"{server.url}/hats/sky/star.hats")
            assert len(now.compute()) == len(now) == 5_000 and ids(now.cone_search(*CONE)) == cone_ids(sky)


def test_parts_elsewhere_are_read_there(tmp_path: Path) -> None:
    """As in a cluster: the view lists, data servers give the parts out."""
    root = tmp_path / "root"
    fill(root)
    with serving(root, program=str(Path(__file__).with_name("running.py"))) as server, qsky.connect(root) as sky:
        catalog = opened(f"{server.url}/hats/sky/star.hats")
        assert ids(catalog.cone_search(*CONE)) == cone_ids(sky)
        sent = server.logged("request", method="GET", status=307)
        moved = server.ask(f"{sent['path']}")
        assert moved.status in (200, 307)
        name = f"/qsky/public{sent['path'].removeprefix('/hats')}".replace("%3D", "=")
        assert any(str(line.get("path", "")).startswith("/qsky/public/sky/star.hats/") for line in server.lines), name
        part = next(
            str(line["path"]) for line in server.lines if str(line.get("path", "")).startswith("/qsky/public/sky/")
        )
        there = server.ask(f"/hats{part.removeprefix('/qsky/public')}", "HEAD")
        assert there.status == 307 and there.header("location") == f"{server.url}{part}".replace("%3D", "=")
        assert there.header("cache-control") == "no-store"
        assert server.ask(f"/hats{part.removeprefix('/qsky/public')}x").status == 404
        (root / "nobody").touch()
        lost = server.ask(f"/hats{part.removeprefix('/qsky/public')}")
        assert lost.status == 503 and lost.header("retry-after") == "1" and lost.text.endswith("[not-ready]\n")
        assert server.ask("/readyz").text == "Not ready: the data servers. [not-ready]\n"
