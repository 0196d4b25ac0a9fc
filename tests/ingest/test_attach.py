"""Foreign HATS catalogues where they lie: what is asked of them is what pyarrow reads in their files."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qsky
from qsky.catalog.model import Kind
from qsky.sky.healpix import cells_of
from qsky.sky.region import Cone
from qsky.wire import Sky

from .foreign import check_cone, check_every_row, rows_of, separation_deg
from .web import Web, served

SMALL = {
    "small_sky": "Norder=0",
    "small_sky_healpix13": "its own spatial index, of order 13",
    "small_sky_nested": "lists inside structs",
    "small_sky_npix_alt_suffix": ".parq",
    "small_sky_npix_as_dir": "leaves are folders",
    "small_sky_o1_collection": "a collection with two margins",
    "small_sky_o1_collection/small_sky_order1": "the catalogue of the collection, without margin",
    "small_sky_source": "many leaves of three orders",
}
OF_HTTP = [name for name in SMALL if name != "small_sky_npix_as_dir"]


@pytest.fixture(scope="module")
def hats(shared_data: Path) -> Path:
    return shared_data / "hats_test_data"


@pytest.fixture(scope="module", params=[True, False], ids=["ranges", "no-ranges"])
def web(hats: Path, request: pytest.FixtureRequest) -> Iterator[Web]:
    with served(hats, ranges=request.param) as running:
        yield running


@pytest.fixture
def sky(tmp_path: Path) -> Iterator[Sky]:
    with qsky.connect(tmp_path / "root", threads=2, http_seconds_max=5.0) as opened:
        yield opened


# -- every catalogue, near and far


@pytest.mark.parametrize("name", SMALL)
def test_a_local_catalogue_gives_its_rows(sky: Sky, hats: Path, name: str) -> None:
    revision = sky.attach(str(hats / name), "far", table="t")
    assert revision.table("t") is not None
    check_every_row(sky, hats / name, "far.t")
    check_cone(sky, hats / name, "far.t")


@pytest.mark.parametrize("name", OF_HTTP)
def test_a_catalogue_over_http_gives_its_rows(sky: Sky, hats: Path, web: Web, name: str) -> None:
    sky.attach(f"{web.address}/{name}", "far", table="t")
    check_every_row(sky, hats / name, "far.t")
    check_cone(sky, hats / name, "far.t")


def test_only_the_leaves_of_a_region_are_fetched(sky: Sky, hats: Path) -> None:
    with served(hats) as web:
        sky.attach(f"{web.address}/small_sky_source/", "far")
        assert not any("Npix" in line for line in web.asked), "attaching opens no file of rows"
        web.asked.clear()
        answer = sky.sql("SELECT COUNT(*) FROM far.small_sky_source WHERE qserv_areaspec_circle(303, -62, 3)")
        assert answer.scalar() > 0
        leaves = {line.split()[1] for line in web.asked if "Npix" in line}
        assert 0 < len(leaves) == answer.facts.chunks_read < answer.facts.chunks_total
        assert all("bytes=" in line for line in web.asked if line.startswith("GET"))


def test_the_name_comes_from_the_catalogue_and_stays(sky: Sky, hats: Path) -> None:
    revision = sky.attach(str(hats / "small_sky"), "far")
    (table,) = revision.tables
    assert (table.name, table.kind, table.ra, table.dec, table.rows) == (
        "small_sky",
        Kind.DIRECTOR,
        "ra",
        "dec",
        131,
    )
    with pytest.raises(qsky.QskyError, match="exists already") as caught:
        sky.attach(str(hats / "small_sky_source"), "far", table="Small_Sky")
    assert caught.value.code.name == "family-mismatch"
    sky.drop("far.small_sky")
    sky.attach(str(hats / "small_sky"), "far")
    assert [revision.number for revision in sky.history("far")] == [1, 2, 3]


def test_a_map_has_rows_but_no_positions(sky: Sky, hats: Path) -> None:
    sky.attach(str(hats / "square_map"), "far")
    check_every_row(sky, hats / "square_map", "far.square_map")
    with pytest.raises(qsky.QskyError, match="has no position"):
        sky.sql("SELECT COUNT(*) FROM far.square_map WHERE qserv_areaspec_circle(1, 1, 1)")


# -- joins


def test_object_and_source_join_by_id(sky: Sky, hats: Path) -> None:
    sky.attach(str(hats / "small_sky"), "far", table="object")
    sky.attach(str(hats / "small_sky_source"), "far", table="source")
    answer = sky.sql(
        "SELECT o.id, COUNT(*) AS n, AVG(s.mag) AS mag FROM far.object o JOIN far.source s ON o.id = s.object_id"
        " GROUP BY o.id ORDER BY o.id"
    )
    rows = rows_of(hats / "small_sky_source")
    wanted = rows.group_by("object_id").aggregate([("mag", "count"), ("mag", "mean")]).sort_by("object_id")
    assert answer.arrow()["id"].to_pylist() == wanted["object_id"].to_pylist()
    assert answer.arrow()["n"].to_pylist() == wanted["mag_count"].to_pylist()
    assert answer.arrow()["mag"].to_pylist() == pytest.approx(wanted["mag_mean"].to_pylist(), rel=1e-9)


MARGINS = {"small_sky_o1_collection": 7200.0, "small_sky_o1_collection/small_sky_order1": 0.0}


@pytest.mark.parametrize("name", MARGINS)
@pytest.mark.parametrize("radius", [0.5, 1.9, 5.9])
def test_near_neighbours_with_margin_and_without(sky: Sky, hats: Path, name: str, radius: float) -> None:
    sky.attach(str(hats / name), "far", table="t")
    assert sky.table("far.t").overlap_arcsec == MARGINS[name]
    check_pairs(sky, hats / name, radius)


@pytest.mark.parametrize("name", MARGINS)
def test_near_neighbours_over_http(sky: Sky, hats: Path, web: Web, name: str) -> None:
    sky.attach(f"{web.address}/{name}", "far", table="t")
    check_pairs(sky, hats / name, 1.9)


def test_a_margin_by_its_address(sky: Sky, hats: Path) -> None:
    collection = hats / "small_sky_o1_collection"
    margin = str(collection / "small_sky_order1_margin_10arcs")
    sky.attach(str(collection), "far", table="t", margin=margin)
    assert sky.table("far.t").overlap_arcsec == 10.0
    check_pairs(sky, collection, 1.9)


def check_pairs(sky: Sky, catalogue: Path, radius: float) -> None:
    """All pairs, and those of which only one side is limited to a region, against every row times every row."""
    rows = rows_of(catalogue)
    ids, ra, dec = (rows[name].to_numpy() for name in ("id", "ra", "dec"))
    gaps = separation_deg(ra[:, None], dec[:, None], ra[None, :], dec[None, :])
    near = (gaps < radius) & (ids[:, None] < ids[None, :])
    joined = f"FROM far.t a, far.t b WHERE a.id < b.id AND scisql_angSep(a.ra, a.dec, b.ra, b.dec) < {radius}"
    assert set(pairs(sky, joined)) == set(zip(*(ids[side] for side in np.nonzero(near)), strict=True))
    inside = separation_deg(ra, dec, 315.0, -60.0) <= 10
    for side, kept in (("a", near & inside[:, None]), ("b", near & inside[None, :])):
        limited = f"{joined} AND scisql_s2PtInCircle({side}.ra, {side}.dec, 315, -60, 10) = 1"
        assert set(pairs(sky, limited)) == set(zip(*(ids[place] for place in np.nonzero(kept)), strict=True))


def pairs(sky: Sky, joined: str) -> list[tuple[int, int]]:
    table = sky.sql(f"SELECT a.id AS one, b.id AS other {joined}").arrow()
    found = list(zip(table["one"].to_pylist(), table["other"].to_pylist(), strict=True))
    assert len(found) == len(set(found))
    return found


# -- many partitions


def test_a_catalogue_of_196608_partitions(sky: Sky, shared_data: Path, tmp_path: Path) -> None:
    """As it lies it has no column but the spatial index; with positions named, a cone is planned at once."""
    source, folder = shared_data / "hats_partition_maps/large_catalog", tmp_path / "large"
    (folder / "dataset").mkdir(parents=True)
    shutil.copy(source / "partition_info.csv", folder)
    text = (source / "hats.properties").read_text().replace("hats_col_ra=", "hats_col_ra=ra")
    (folder / "hats.properties").write_text(text.replace("hats_col_dec=", "hats_col_dec=dec"))
    schema = pa.schema([("_healpix_29", pa.int64()), ("ra", pa.float64()), ("dec", pa.float64())])
    pq.write_metadata(schema, folder / "dataset/_common_metadata")
    began = perf_counter()
    sky.attach(str(folder), "many", table="t")
    print(f"attached in {perf_counter() - began:.2f} s")
    began = perf_counter()
    assert sky.explain("SELECT COUNT(*) FROM many.t").startswith("chunks     196608 of 196608")
    print(f"opened in {perf_counter() - began:.2f} s")
    seconds = []
    for number in range(15):
        began = perf_counter()
        text = sky.explain(f"SELECT * FROM many.t WHERE qserv_areaspec_circle({20 * number}, {5 * number - 40}, 1)")
        seconds.append(perf_counter() - began)
        chunks = int(text.split()[1])
        assert 1 <= chunks <= 40
    print(f"planned in {1000 * statistics.median(seconds):.1f} ms")
    assert statistics.median(seconds) < 5, "hundredths of a second on a machine at rest"


def test_the_large_catalogue_as_it_lies(sky: Sky, shared_data: Path) -> None:
    revision = sky.attach(str(shared_data / "hats_partition_maps/large_catalog"), "many")
    assert revision.tables[0].rows == 196_608
    cell = 5 << 44
    text = sky.explain(f"SELECT COUNT(*) FROM many.large_catalog WHERE _healpix_29 BETWEEN {cell} AND {cell + 9}")
    assert text.startswith("chunks     1 of 196608")
    began = perf_counter()
    text = sky.explain("SELECT COUNT(*) FROM many.large_catalog WHERE qserv_areaspec_circle(20, -40, 1)")
    print(f"first cone planned in {1000 * (perf_counter() - began):.1f} ms")
    assert 1 <= int(text.split()[1]) <= 40


def test_a_table_without_positions_is_placed_by_its_cells(sky: Sky, tmp_path: Path) -> None:
    """As some catalogues are made: only the order-29 cell says where a row lies."""
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))
    cells = cells_of(ra, dec)
    folder = tmp_path / "bare"
    for npix in range(12):
        here = np.sort(cells[cells >> 58 == npix])
        leaf = folder / f"dataset/Norder=0/Dir=0/Npix={npix}.parquet"
        leaf.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"_healpix_29": here}), leaf)
    pq.write_metadata(pa.schema([("_healpix_29", pa.int64())]), folder / "dataset/_common_metadata")
    (folder / "partition_info.csv").write_text("Norder,Npix\n" + "".join(f"0,{n}\n" for n in range(12)))
    (folder / "hats.properties").write_text(
        "obs_collection=bare\ndataproduct_type=object\nhats_nrows=3000\nhats_col_healpix=_healpix_29\n"
        "hats_col_healpix_order=29\nhats_order=0\n"
    )
    sky.attach(str(folder), "bare", table="t")
    near = Cone(30.0, -20.0, 15.0).contains(ra, dec)
    asked = "FROM bare.t WHERE qserv_areaspec_circle(30, -20, 15)"
    assert sky.sql(f"SELECT COUNT(*) {asked}").scalar() == near.sum()
    assert int(sky.explain(f"SELECT COUNT(*) {asked}").split()[1]) < 12


def test_the_columns_of_folders_by_name(sky: Sky, hats: Path) -> None:
    sky.attach(str(hats / "small_sky_source"), "far", table="t")
    found = sky.sql("SELECT Norder, Npix, COUNT(*) FROM far.t GROUP BY Norder, Npix").arrow()
    rows = dict.fromkeys(zip(*(column.to_pylist() for column in found.columns), strict=True))
    files = (hats / "small_sky_source/dataset").glob("Norder=*/Dir=*/Npix=*.parquet")
    wanted = {
        (int(file.parts[-3][7:]), int(file.stem[5:]), pq.read_metadata(file).num_rows): None for file in files
    }  # fmt: skip
    assert rows == wanted and len({order for order, _, _ in rows}) > 1
    sky.attach(str(hats / "small_sky_healpix13"), "coarse", table="t")
    with pytest.raises(qsky.QskyError, match="no column '_?[nN]order'"):
        sky.sql("SELECT Norder FROM coarse.t")
