"""Foreign HATS catalogues where they lie: what is asked of them is what pyarrow reads in their files."""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import qsky
from qsky.catalog.model import Kind
from qsky.ingest.request import LoadRequest
from qsky.sky.healpix import cells_of
from qsky.wire import Sky

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
HIDDEN = {"_healpix_29", "healpix13", "Norder", "Dir", "Npix"}


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


def rows_of(catalogue: Path) -> pa.Table:
    """Every row of a catalogue, file by file, without its columns of places."""
    if (catalogue / "collection.properties").exists():
        catalogue = catalogue / "small_sky_order1"
    files = [f for f in sorted((catalogue / "dataset").rglob("*")) if f.suffix in (".parquet", ".parq") and f.is_file()]
    tables = [pq.ParquetFile(file).read() for file in files]
    table = pa.concat_tables(tables)
    return table.select([name for name in table.column_names if name not in HIDDEN])


def positions(table: pa.Table) -> tuple[str, str]:
    return ("source_ra", "source_dec") if "source_ra" in table.column_names else ("ra", "dec")


def sorted_rows(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist()
    return sorted(rows, key=lambda row: next(iter(row.values())))


def check_every_row(sky: Sky, catalogue: Path, table: str) -> None:
    wanted = rows_of(catalogue)
    answer = sky.sql(f"SELECT * FROM {table}").arrow()
    assert answer.column_names == wanted.column_names
    assert sorted_rows(answer) == sorted_rows(wanted)
    assert sky.table(table).rows == wanted.num_rows
    assert sky.sql(f"SELECT COUNT(*) FROM {table}").scalar() == wanted.num_rows


def check_cone(sky: Sky, catalogue: Path, table: str) -> None:
    ra0, dec0, radius = 310.0, -60.0, 8.0
    rows = rows_of(catalogue)
    ra, dec = positions(rows)
    inside = separation_deg(rows[ra].to_numpy(), rows[dec].to_numpy(), ra0, dec0) <= radius
    assert 0 < inside.sum() < len(inside)
    answer = sky.sql(f"SELECT * FROM {table} WHERE qserv_areaspec_circle({ra0}, {dec0}, {radius})")
    assert sorted_rows(answer.arrow()) == sorted_rows(rows.filter(pa.array(inside)))
    assert answer.facts.chunks_read <= answer.facts.chunks_total


def separation_deg(ra1: Any, dec1: Any, ra2: Any, dec2: Any) -> Any:
    a1, d1, a2, d2 = (np.radians(value) for value in (ra1, dec1, ra2, dec2))
    squared = np.sin((d2 - d1) / 2) ** 2 + np.cos(d1) * np.cos(d2) * np.sin((a2 - a1) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(squared)))


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


# -- NaN


def nan_catalogue(folder: Path) -> pa.Table:
    """A catalogue of two leaves with NaN, infinities and NULL in floating columns; its rows with NULL for NaN."""
    rng = np.random.default_rng(5)
    count = 4000
    ra, dec = rng.uniform(1, 89, count), rng.uniform(5, 35, count)
    x = rng.normal(0, 10, count)
    x[rng.random(count) < 0.2] = np.nan
    x[:3] = np.inf, -np.inf, np.nan
    cells = cells_of(ra, dec)
    table = pa.table(
        {
            "_healpix_29": cells,
            "id": np.arange(count),
            "ra": ra,
            "dec": dec,
            "x": pa.array(x, mask=rng.random(count) < 0.1),
            "f": pa.array(np.where(rng.random(count) < 0.5, np.nan, x).astype(np.float32)),
            "none": np.full(count, np.nan),
        }
    ).sort_by("_healpix_29")
    leaves = np.unique(cells >> 56)
    for order_1 in leaves.tolist():
        file = folder / f"dataset/Norder=1/Dir=0/Npix={order_1}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        here = pc.equal(pc.shift_right(table["_healpix_29"], 56), order_1)
        pq.write_table(table.filter(here), file, row_group_size=100)
    properties = (
        f"obs_collection=holes\ndataproduct_type=object\nhats_nrows={count}\nhats_col_ra=ra\nhats_col_dec=dec\n"
    )
    (folder / "hats.properties").write_text(properties)
    (folder / "partition_info.csv").write_text("Norder,Npix\n" + "".join(f"1,{npix}\n" for npix in leaves.tolist()))
    pq.write_metadata(table.schema, folder / "dataset/_common_metadata")
    for name in ("x", "f", "none"):
        known = pc.if_else(pc.is_nan(table[name]), pa.scalar(None, table[name].type), table[name])
        table = table.set_column(table.column_names.index(name), name, known)
    return table


REGIONS = {
    "everywhere": "1 = 1",
    "by region": "qserv_areaspec_box(20, 10, 40, 30)",
    "by ra": "ra BETWEEN 20 AND 40 AND dec BETWEEN 10 AND 30",
}


@pytest.mark.parametrize("region", REGIONS)
def test_nan_is_null_whether_chunks_are_pruned_or_not(sky: Sky, tmp_path: Path, region: str) -> None:
    rows = nan_catalogue(tmp_path / "holes")
    sky.attach(str(tmp_path / "holes"), "far")
    if region != "everywhere":
        rows = rows.filter((pc.field("ra") >= 20) & (pc.field("ra") <= 40))
        rows = rows.filter((pc.field("dec") >= 10) & (pc.field("dec") <= 30))
    assert rows.num_rows > 100
    where = f"FROM far.holes WHERE {REGIONS[region]}"
    assert sky.sql(f"SELECT id, x, f, none {where} ORDER BY id").arrow().to_pylist() == (
        rows.select(["id", "x", "f", "none"]).sort_by("id").to_pylist()
    )
    for name in ("x", "f", "none"):
        check_holes(sky, where, name, [value for value in rows[name].to_pylist() if value is not None], rows.num_rows)


def check_holes(sky: Sky, where: str, name: str, known: list[float], rows: int) -> None:
    """Counts, filters on both sides, extremes, groups and orders of one column."""

    def ask(items: str, condition: str = "") -> Any:
        (row,) = sky.sql(f"SELECT {items} {where}{condition}").arrow().to_pylist()
        return tuple(row.values())

    assert ask(f"COUNT(*), COUNT({name})") == (rows, len(known))
    for condition, test in FILTERS.items():
        count = rows - len(known) if condition == "IS NULL" else sum(map(test, known))
        assert ask("COUNT(*)", f" AND {name} {condition}") == (count,), condition
    assert ask(f"MIN({name}), MAX({name})") == (min(known, default=None), max(known, default=None))
    finite = [value for value in known if math.isfinite(value)]
    mean = ask(f"AVG({name})", f" AND ABS({name}) < 1e9")[0]
    assert mean == (pytest.approx(math.fsum(finite) / len(finite), rel=1e-9) if finite else None)
    biggest = sky.sql(f"SELECT {name} AS v {where} ORDER BY {name} DESC LIMIT 5").arrow()["v"].to_pylist()
    assert biggest == (sorted(known, reverse=True) + [None] * 5)[:5]
    groups = sky.sql(f"SELECT {name} IS NULL AS hole, COUNT(*) AS n {where} GROUP BY {name} IS NULL").arrow()
    counted = dict(zip(groups["hole"].to_pylist(), groups["n"].to_pylist(), strict=True))
    assert counted.get(1, 0) == rows - len(known) and counted.get(0, 0) == len(known)


FILTERS: dict[str, Callable[[float], bool]] = {
    "> 0": lambda v: v > 0,
    "<= 0": lambda v: v <= 0,
    "> 1e9": lambda v: v > 1e9,
    "< -1e9": lambda v: v < -1e9,
    "= 0": lambda v: v == 0,
    "<> 0": lambda v: v != 0,
    "BETWEEN -1 AND 1": lambda v: -1 <= v <= 1,
    "IS NULL": lambda v: False,
    "IS NOT NULL": lambda v: True,
}


# -- what cannot be done


def refused(action: Callable[..., object], *arguments: Any) -> qsky.QskyError:
    with pytest.raises(qsky.QskyError) as caught:
        action(*arguments)
    return caught.value


def test_an_address_without_catalogue(sky: Sky, tmp_path: Path, web: Web) -> None:
    for address in (str(tmp_path / "nothing"), str(tmp_path), f"{web.address}/nothing"):
        error = refused(sky.attach, address, "far")
        assert error.code.name == "no-input" and address in error.message
    assert sky.databases() == []


def test_a_server_that_is_not_there_or_fails(sky: Sky, hats: Path) -> None:
    with served(hats) as web:
        web.failing.add("/small_sky/partition_info.csv")
        gone = web.address
        error = refused(sky.attach, f"{web.address}/small_sky", "far")
        assert error.code.name == "download-failed" and "partition_info.csv" in error.message
    error = refused(sky.attach, f"{gone}/small_sky", "far")
    assert error.code.name == "download-failed" and gone in error.message


@pytest.mark.parametrize(
    ("file", "content", "code", "message"),
    [
        ("partition_info.csv", None, "bad-format", "has no partition_info.csv"),
        ("partition_info.csv", "Norder,Npix\n1,a\n", "corrupt-file", "partition_info.csv is damaged"),
        ("partition_info.csv", "Norder,Npix\n0,12\n", "corrupt-file", "no cell 12 of order 0"),
        ("partition_info.csv", "Norder,Npix\n0,-1\n", "corrupt-file", "no cell -1 of order 0"),
        ("partition_info.csv", "Norder,Npix\n30,1\n", "corrupt-file", "no cell 1 of order 30"),
        ("partition_info.csv", "Norder,Npix\n0,11\n1,44\n", "corrupt-file", "the leaves (0, 11) and (1, 44) overlap"),
        ("partition_info.csv", "Norder,Npix\n1,44\n1,44\n", "corrupt-file", "the leaves (1, 44) and (1, 44) overlap"),
        ("partition_info.csv", "", "corrupt-file", "partition_info.csv is damaged"),
        ("hats.properties", None, "no-input", "has no hats.properties"),
        ("dataset/_common_metadata", "PAR1", "corrupt-file", "_common_metadata is damaged"),
        ("dataset/_common_metadata", None, "bad-format", "neither _common_metadata nor _metadata"),
    ],
)
def test_damaged_side_files(
    sky: Sky, hats: Path, tmp_path: Path, file: str, content: str | None, code: str, message: str
) -> None:
    folder = tmp_path / "small_sky"
    shutil.copytree(hats / "small_sky", folder)
    (folder / "properties").unlink()
    (folder / "dataset/_metadata").unlink()
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    error = refused(sky.attach, str(folder), "far")
    assert error.code.name == code and message in error.message, str(error)
    assert sky.databases() == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("hats_nrows=131", "hats_nrows=many", "says hats_nrows=many"), ("order=29", "order=", ""), ("=dec", "=decl", "")],
)
def test_odd_properties(sky: Sky, hats: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = tmp_path / "small_sky"
    shutil.copytree(hats / "small_sky", folder)
    text = (folder / "hats.properties").read_text()
    assert old in text
    (folder / "hats.properties").write_text(text.replace(old, new))
    if message:
        error = refused(sky.attach, str(folder), "far")
        assert error.code.name == "corrupt-file" and message in error.message
        return
    sky.attach(str(folder), "far")
    assert (sky.table("far.small_sky").dec == "") == (new == "=decl")
    check_every_row(sky, folder, "far.small_sky")


def test_a_collection_without_a_primary(sky: Sky, tmp_path: Path) -> None:
    (tmp_path / "collection.properties").write_text("obs_collection=lost\n")
    error = refused(sky.attach, str(tmp_path), "far")
    assert error.code.name == "corrupt-file" and "names no primary table" in error.message


def test_a_catalogue_without_leaves(sky: Sky, hats: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small_sky"
    shutil.copytree(hats / "small_sky", folder)
    (folder / "partition_info.csv").write_text("Norder,Npix\n")
    sky.attach(str(folder), "far")
    for sql in ("SELECT * FROM far.small_sky", "SELECT id FROM far.small_sky WHERE qserv_areaspec_circle(1, 1, 1)"):
        assert len(sky.sql(sql)) == 0
    assert sky.sql("SELECT COUNT(*) FROM far.small_sky").scalar() == 0


def test_a_leaf_that_is_gone(sky: Sky, hats: Path, tmp_path: Path) -> None:
    folder = tmp_path / "far" / "small_sky"
    shutil.copytree(hats / "small_sky", folder)
    with served(tmp_path / "far") as web:
        sky.attach(str(folder), "local")
        sky.attach(f"{web.address}/small_sky", "http")
        (folder / "dataset/Norder=0/Dir=0/Npix=11.parquet").unlink()
        error = refused(sky.sql, "SELECT MAX(id) FROM local.small_sky")
        assert error.code.name == "damaged" and "Npix=11.parquet" in error.message
        error = refused(sky.sql, "SELECT MAX(id) FROM http.small_sky")
        assert error.code.name == "download-failed" and "Npix=11.parquet" in error.message
        shutil.copy(hats / "small_sky/dataset/Norder=0/Dir=0/Npix=11.parquet", folder / "dataset/Norder=0/Dir=0")
        assert sky.sql("SELECT COUNT(*) FROM http.small_sky").scalar() == 131, "nothing keeps the failure"


def test_folders_of_leaves_cannot_be_listed_over_http(sky: Sky, web: Web) -> None:
    error = refused(sky.attach, f"{web.address}/small_sky_npix_as_dir", "far")
    assert error.code.name == "bad-format" and "local copy" in error.hint


def test_attached_tables_are_never_written(sky: Sky, hats: Path, tmp_path: Path) -> None:
    sky.attach(str(hats / "small_sky"), "far")
    before = {file: file.stat().st_mtime_ns for file in (hats / "small_sky").rglob("*")}
    for mode in ("create", "append", "replace"):
        request = LoadRequest("far", "small_sky", Kind.DIRECTOR, (str(hats / "small_sky"),), key="id", mode=mode)
        assert refused(sky.load, request).code.name == "read-only"
    child = LoadRequest(
        "far", "c", Kind.CHILD, (str(hats / "small_sky_source"),), director="small_sky", key="object_id"
    )
    assert refused(sky.load, child).code.name == "no-such-table"
    assert refused(sky.export, "far.small_sky", tmp_path / "copy").code.name == "read-only"
    sky.compact("far")
    sky.vacuum("far")
    assert sky.verify("far").clean
    check_every_row(sky, hats / "small_sky", "far.small_sky")
    sky.drop("far.small_sky")
    assert {file: file.stat().st_mtime_ns for file in (hats / "small_sky").rglob("*")} == before


def test_an_own_table_beside_an_attached_one(sky: Sky, hats: Path) -> None:
    sky.attach(str(hats / "small_sky"), "both", table="far")
    sky.load(LoadRequest("both", "near", Kind.DIRECTOR, (str(hats / "small_sky"),), key="id"))
    joined = "FROM both.near n, both.far f WHERE scisql_angSep(n.ra, n.dec, f.ra, f.dec) < 0.0001"
    assert sky.sql(f"SELECT COUNT(*) {joined}").scalar() >= 131
    assert sky.sql(f"SELECT SUM(n.id = f.id) {joined}").scalar() == 131


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
    assert statistics.median(seconds) < 0.25


def test_the_large_catalogue_as_it_lies(sky: Sky, shared_data: Path) -> None:
    revision = sky.attach(str(shared_data / "hats_partition_maps/large_catalog"), "many")
    assert revision.tables[0].rows == 196_608
    cell = 5 << 44
    text = sky.explain(f"SELECT COUNT(*) FROM many.large_catalog WHERE _healpix_29 BETWEEN {cell} AND {cell + 9}")
    assert text.startswith("chunks     1 of 196608")
