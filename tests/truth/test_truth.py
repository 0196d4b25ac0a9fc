"""Every answer of `truth.json`, through load and query: files as they are, one SQL text per number.

Each question is asked of skies that are cut differently; the answer may not depend on that. A sum or an average is
compared to 1e-9 of its size, everything else exactly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qsky.errors import QskyError
from tests.truth.catalogues import CUT, FINE, WHOLE, Cut, TruthSky
from tests.truth.conftest import Skies

two_cuts = pytest.mark.parametrize("sky", [WHOLE, CUT], indirect=True, ids=lambda cut: cut.name)
all_cuts = pytest.mark.parametrize("sky", [WHOLE, CUT, FINE], indirect=True, ids=lambda cut: cut.name)
# One of the three from the CSV file: its positions are rounded, these answers are not near a border.
stars = pytest.mark.parametrize(
    ("sky", "star"),
    [(WHOLE, "hip.star"), (CUT, "hipcsv.star"), (FINE, "hip.star")],
    indirect=["sky"],
    ids=["whole", "cut-csv", "fine"],
)
cut_only = pytest.mark.parametrize("sky", [CUT], indirect=True, ids=lambda cut: cut.name)

Truth = dict[str, Any]


@pytest.fixture
def sky(request: pytest.FixtureRequest, skies: Skies) -> TruthSky:
    cut: Cut = request.param
    return skies(cut)


def close(number: float) -> Any:
    return pytest.approx(number, rel=1e-9, abs=0.0)


def within(arcsec: float, a: str = "a", b: str = "b", ra: str = "ra", dec: str = "dec") -> str:
    return f"scisql_angSep({a}.{ra}, {a}.{dec}, {b}.{ra}, {b}.{dec}) < {arcsec} / 3600."


# -- Hipparcos: everyday questions


@stars
def test_t01_bright_stars(sky: TruthSky, truth: Truth, star: str) -> None:
    assert sky.one(f"SELECT COUNT(*) FROM {star} WHERE hpmag < 6.5") == (truth["T01"],)


@all_cuts
def test_t02_count_and_extremes(sky: TruthSky, truth: Truth) -> None:
    known = truth["T02"]
    wanted = [known[name] for name in ("n", "ra_min", "ra_max", "dec_min", "dec_max", "hpmag_min")]
    got = sky.one("SELECT COUNT(*), MIN(ra), MAX(ra), MIN(dec), MAX(dec), MIN(hpmag) FROM hip.star")
    assert got == tuple(wanted)


@stars
def test_t03_nearest_stars(sky: TruthSky, truth: Truth, star: str) -> None:
    rows = sky.ask(f"SELECT hip, plx_mas FROM {star} ORDER BY plx_mas DESC LIMIT 10")
    assert rows == [tuple(row) for row in truth["T03"]]


@stars
def test_t06_pole(sky: TruthSky, truth: Truth, star: str) -> None:
    wanted = tuple(truth["T06"].values())
    select = f"SELECT COUNT(*), SUM(hip), SUM(dec > 85) FROM {star} WHERE"
    assert sky.one(f"{select} scisql_angSep(ra, dec, 0, 90) < 5") == wanted
    assert sky.one(f"{select} qserv_areaspec_circle(0, 90, 5)") == wanted
    assert sky.one(f"{select} scisql_s2PtInCircle(ra, dec, 123, 90, 5) = 1") == wanted


@all_cuts
@pytest.mark.parametrize(
    "condition", ["scisql_angSep(ra, dec, {0}, {1}) < {2}", "qserv_areaspec_circle({0}, {1}, {2})"]
)
def test_t08_cones_across_ra_0(sky: TruthSky, truth: Truth, condition: str) -> None:
    known = truth["T08"]
    first, second = condition.format(0, 0, 3), condition.format(359.9, 45, 2.5)
    got = sky.one(f"SELECT COUNT(*), SUM(ra > 180), SUM(hip) FROM hip.star WHERE {first}")
    assert got == (known["a"], known["a_west"], known["a_sum_hip"])
    assert sky.one(f"SELECT COUNT(*), SUM(hip) FROM hip.star WHERE {second}") == (known["b"], known["b_sum_hip"])


@all_cuts
@pytest.mark.parametrize(
    "condition",
    [
        "qserv_areaspec_box(350, -5, 10, 5)",
        "scisql_s2PtInBox(ra, dec, 350, -5, 10, 5) = 1",
        "dec BETWEEN -5 AND 5 AND (ra >= 350 OR ra <= 10)",
    ],
)
def test_t09_box_across_ra_0(sky: TruthSky, truth: Truth, condition: str) -> None:
    assert sky.one(f"SELECT COUNT(*), SUM(hip) FROM hip.star WHERE {condition}") == tuple(truth["T09"].values())


@all_cuts
@pytest.mark.parametrize("condition", ["qserv_areaspec_poly({})", "scisql_s2PtInCPoly(ra, dec, {}) = 1"])
def test_t10_orion(sky: TruthSky, truth: Truth, condition: str) -> None:
    known = truth["T10"]
    inside = condition.format("78.63, -8.20, 86.94, -9.67, 88.79, 7.41, 81.28, 6.35")
    got = sky.one(f"SELECT COUNT(*), SUM(hpmag < 4), SUM(hip) FROM hip.star WHERE {inside}")
    assert got == (known["n"], known["brighter_than_4"], known["sum_hip"])


@all_cuts
def test_t16_counts_per_pixel(sky: TruthSky, truth: Truth) -> None:
    rows = sky.ask("SELECT healpix(0, ra, dec) p, COUNT(*) FROM hip.star GROUP BY p ORDER BY p")
    assert rows == list(enumerate(truth["T16"]))


@pytest.mark.parametrize(
    ("sky", "least", "most"), [(WHOLE, 12, 12), (CUT, 40, 200), (FINE, 200, 800)], indirect=["sky"], ids=lambda c: ""
)
def test_cuts_are_as_fine_as_they_should_be(sky: TruthSky, least: int, most: int) -> None:
    sky.load("hip.star")
    assert least <= sky.reports["hip.star"].chunks <= most


# -- near neighbours


@stars
def test_t13_close_pairs(sky: TruthSky, truth: Truth, star: str) -> None:
    known = truth["T13"]
    pairs = f"FROM {star} a, {star} b WHERE a.hip < b.hip AND {within(10)}"
    separation = "scisql_angSep(a.ra, a.dec, b.ra, b.dec) * 3600 AS arcsec"
    rows = sky.ask(f"SELECT a.hip, b.hip AS other, {separation} {pairs} ORDER BY arcsec")
    assert len(rows) == known["pairs"]
    digits = 4 if star == "hip.star" else 2  # the CSV file rounds positions to nine digits
    closest = [(one, other, round(arcsec, digits)) for one, other, arcsec in rows[: len(known["closest"])]]
    assert closest == [(one, other, round(arcsec, digits)) for one, other, arcsec in known["closest"]]


@all_cuts
def test_t48_pairs_across_partitions(sky: TruthSky, truth: Truth) -> None:
    def crossing(cell: str) -> str:
        return f"SUM({cell.format('a')} <> {cell.format('b')})"

    cells = ("qserv_chunk({0}.ra, {0}.dec, 340, 3)", "healpix(5, {0}.ra, {0}.dec)", "healpix(8, {0}.ra, {0}.dec)")
    got = sky.one(
        f"SELECT COUNT(*), {', '.join(map(crossing, cells))} FROM hip.star a, hip.star b"
        f" WHERE a.hip < b.hip AND {within(60)}"
    )
    assert got == tuple(truth["T48"].values())


@all_cuts
def test_t21_tycho_and_hipparcos(sky: TruthSky, truth: Truth) -> None:
    known = truth["T21"]
    near = sky.one(f"SELECT COUNT(*), SUM(t.hip = s.hip) FROM hip.tycho t, hip.star s WHERE {within(1, 't', 's')}")
    assert near == (known["pairs"], known["pairs_same_hip"])
    turned = sky.one(f"SELECT COUNT(*), SUM(t.hip = s.hip) FROM hip.star s, hip.tycho t WHERE {within(1, 's', 't')}")
    assert turned == near
    assert sky.one("SELECT COUNT(hip) FROM hip.tycho") == (known["with_hip"],)
    assert sky.one("SELECT COUNT(*) FROM hip.tycho t JOIN hip.star s ON t.hip = s.hip") == (known["equijoin_rows"],)


@two_cuts
def test_t33_young_stars(sky: TruthSky, truth: Truth) -> None:
    known = truth["T33"]
    rows = sky.ask(
        "SELECT TRIM(class) AS c, COUNT(*) FROM yso.spicy"
        " WHERE qserv_areaspec_circle(266.41683, -29.00781, 1) GROUP BY TRIM(class)"
    )
    assert dict(rows) == known["cone"]
    pairs = f"FROM yso.spicy a, yso.spicy b WHERE {within(3, ra='RAdeg', dec='DEdeg')}"
    assert sky.one(f"SELECT COUNT(*) {pairs} AND a._healpix_29 < b._healpix_29") == (known["pairs3"],)
    # the galactic pole in ICRS: sin b is the scalar product with it
    pole_ra, pole_dec = "RADIANS(192.85947789477606)", "RADIANS(27.128252414968028)"
    sin_b = (
        f"SIN(RADIANS(DEdeg)) * SIN({pole_dec})"
        f" + COS(RADIANS(DEdeg)) * COS({pole_dec}) * COS(RADIANS(RAdeg) - {pole_ra})"
    )
    in_plane = f"SELECT COUNT(*) FROM yso.spicy WHERE ABS(DEGREES(ASIN({sin_b}))) < 0.5"
    assert sky.one(in_plane) == (known["abs_b_lt_half"],)


@two_cuts
def test_t35_close_pairs_in_the_pleiades(sky: TruthSky, truth: Truth) -> None:
    known = truth["T35"]
    got = sky.one(
        "SELECT COUNT(*), MIN(scisql_angSep(a.ra, a.dec, b.ra, b.dec)) * 3600 FROM gaia.pleiades a, gaia.pleiades b"
        f" WHERE a.source_id < b.source_id AND {within(2)}"
    )
    assert got[0] == known["pairs"]
    assert got[1] == close(known["closest_arcsec"])


# -- NULLs, sentinels, odd files


@all_cuts
def test_t22_nulls(sky: TruthSky, truth: Truth) -> None:
    known = truth["T22"]
    counts = "COUNT(*), COUNT(btmag), COUNT(vtmag), COUNT(pmra), COUNT(hip)"
    *got, mean = sky.one(f"SELECT {counts}, AVG(vtmag) FROM hip.tycho")
    assert got == [known[name] for name in ("n", "bt", "vt", "pm", "hip")]
    assert mean == close(known["avg_vt"])


@two_cuts
@pytest.mark.parametrize("table", ["ngc.whole", "ngc.texts"])
def test_t31_dirty_columns_replicated(sky: TruthSky, truth: Truth, table: str) -> None:
    known = truth["T31"]
    got = sky.one(f"SELECT COUNT(*), COUNT(*) - COUNT(ra), COUNT(*) - COUNT(`V-Mag`) FROM {table}")
    assert got == (known["rows"], known["null_ra"], known["null_v"])
    assert dict(sky.ask(f"SELECT Type, COUNT(*) FROM {table} GROUP BY Type")) == known["types"]


@two_cuts
@pytest.mark.parametrize("table", ["ngc.placed", "ngc.text"])
def test_t31_rows_without_position_are_rejected(sky: TruthSky, truth: Truth, table: str) -> None:
    known = truth["T31"]
    got = sky.one(f"SELECT COUNT(*), COUNT(*) - COUNT(ra), COUNT(*) - COUNT(`V-Mag`) FROM {table}")
    rejected = known["null_ra"]  # all of them non-existent objects, none with a magnitude
    assert got == (known["rows"] - rejected, 0, known["null_v"] - rejected)
    types = {**known["types"], "NonEx": known["types"]["NonEx"] - rejected}
    assert dict(sky.ask(f"SELECT Type, COUNT(*) FROM {table} GROUP BY Type")) == types
    report = sky.reports[table]
    assert report.rows_refused == rejected and report.rejects_file is not None
    assert len(report.rejects_file.read_text().splitlines()) == 1 + rejected


@cut_only
def test_t31_one_reject_more_than_allowed_refuses_the_load(sky: TruthSky) -> None:
    request = replace(sky.request("ngc.placed"), table="strict", rejects_max=6)
    with pytest.raises(QskyError, match="more than the 6 that are allowed") as caught:
        sky.sky.load(request)
    assert caught.value.code.name == "too-many-rejects"
    with pytest.raises(QskyError):
        sky.ask("SELECT COUNT(*) FROM ngc.strict")


@cut_only
def test_t31_both_files_hold_the_same_sky(sky: TruthSky) -> None:
    """Sexagesimal positions of the CSV files are the degrees of the Parquet file."""
    select = "SELECT COUNT(*), COUNT(DISTINCT IC), MAX(ABS(t.RA - p.ra)), MAX(ABS(t.`Dec` - p.`dec`))"
    joined = "FROM ngc.text t JOIN ngc.placed p ON t.Name = p.Name"
    rows, names, ra_off, dec_off = sky.one(f"{select.replace('IC', 't.IC')} {joined}")
    assert (rows, names) == (14_026, 452)
    assert ra_off < 1e-6 and dec_off < 1e-6
    assert sky.ask("SELECT IC FROM ngc.text WHERE Name = 'IC1008 NED01'") == [("4414A",)]


@two_cuts
def test_t36_sentinels_of_a_fits_file(sky: TruthSky, truth: Truth) -> None:
    known = truth["T36"]
    real = "CASE WHEN REDSHIFT_HELIO > -1 THEN REDSHIFT_HELIO END"
    *counts, mean = sky.one(f"SELECT COUNT(*), SUM(NOBS), COUNT({real}), AVG({real}) FROM des.head")
    assert counts == [known["n"], known["sum_nobs"], known["with_z"]]
    assert mean == close(known["avg_z"])
    cells = sky.ask("SELECT healpix(5, RA, `DEC`) AS p, COUNT(*) AS n FROM des.head GROUP BY p ORDER BY n DESC")
    assert len(cells) == known["pixels"]
    assert cells[0] == (known["max_pixel"], known["max"])


@cut_only
def test_t36_sentinels_nulled_on_load(sky: TruthSky, truth: Truth) -> None:
    known = truth["T36"]
    n, with_z, mean = sky.one("SELECT COUNT(*), COUNT(REDSHIFT_HELIO), AVG(REDSHIFT_HELIO) FROM des.nulled")
    assert (n, with_z) == (known["n"], known["with_z"])
    assert mean == close(known["avg_z"])


@two_cuts
def test_t45_votable(sky: TruthSky, truth: Truth) -> None:
    known = truth["T45"]
    sky.load("oph.gaia")
    assert len(sky.sky.sql("SELECT * FROM oph.gaia LIMIT 1").schema) == known["cols"]
    nulls = ", ".join(f"COUNT(*) - COUNT({name})" for name in known["nulls"])
    assert sky.one(f"SELECT COUNT(*), {nulls} FROM oph.gaia") == (known["rows"], *known["nulls"].values())
    named = set(known["nulls"])
    others = [column.name for column in sky.sky.table("oph.gaia").columns if column.name not in named]
    assert sky.one(f"SELECT {', '.join(f'COUNT({name})' for name in others)} FROM oph.gaia") == (known["rows"],) * 17
    assert sky.one("SELECT AVG(parallax) FROM oph.gaia")[0] == close(known["avg_parallax"])


# -- directors and children


@all_cuts
def test_t41_a_hats_pair(sky: TruthSky, truth: Truth) -> None:
    known = truth["T41"]
    sky.load("small.object", "small.source")
    assert sky.one("SELECT COUNT(*) FROM small.object") == (known["objects"],)
    assert sky.one("SELECT COUNT(*), COUNT(DISTINCT object_id) FROM small.source") == (
        known["sources"],
        known["distinct_objects"],
    )
    most = sky.ask("SELECT object_id, COUNT(*) AS n FROM small.source GROUP BY object_id ORDER BY n DESC LIMIT 1")
    assert most[0][1] == known["max_per_object"]
    joined = "SELECT COUNT(*) FROM small.object o JOIN small.source s ON o.id = s.object_id"
    assert sky.one(joined) == (known["join_rows"],)
    cells = sky.ask("SELECT healpix(1, source_ra, source_dec) AS p, COUNT(*) FROM small.source GROUP BY p")
    assert {str(cell): count for cell, count in cells} == known["order1"]


@pytest.mark.slow
@cut_only
def test_t24a_raw_rows_and_duplicates(sky: TruthSky, truth: Truth) -> None:
    known = truth["T24a"]
    sky.load("asas.object")
    assert sky.one("SELECT COUNT(*), SUM(is_dup) FROM asas.source") == (known["raw"], known["dups"])
    assert sky.one("SELECT COUNT(DISTINCT objectId, hjd, mag) FROM asas.source") == (known["distinct"],)
    affected = "SELECT COUNT(DISTINCT objectId) FROM asas.source WHERE is_dup"
    assert sky.one(affected) == (known["objects_affected"],)


@pytest.mark.slow
@cut_only
def test_t24_full_scan(sky: TruthSky, truth: Truth) -> None:
    known = truth["T24"]
    sky.load("asas.object")
    n, mean, low, high, bright = sky.one(
        "SELECT COUNT(*), AVG(mag), MIN(hjd), MAX(hjd), SUM(CASE WHEN mag < 8 THEN 1 END) FROM asas.source"
        " WHERE NOT is_dup"
    )
    assert (n, low, high, bright) == (known["n"], known["hjd_min"], known["hjd_max"], known["bright"])
    assert mean == close(known["avg_mag"])


@pytest.mark.slow
@cut_only
def test_t26_detections_per_class(sky: TruthSky, truth: Truth) -> None:
    sky.load("asas.object")
    select = "SELECT o.var_class, COUNT(DISTINCT o.objectId), COUNT(*) FROM asas.object o JOIN asas.source s"
    for join in ("USING (objectId)", "ON o.objectId = s.objectId"):
        rows = sky.ask(f"{select} {join} WHERE NOT s.is_dup GROUP BY o.var_class")
        assert {name: [objects, count] for name, objects, count in rows} == truth["T26"]


@pytest.mark.slow
@cut_only
def test_t28_time_window(sky: TruthSky, truth: Truth) -> None:
    sky.load("asas.object")
    window = "hjd BETWEEN 2453000 AND 2453100 AND NOT is_dup"
    got = sky.one(f"SELECT COUNT(*), COUNT(DISTINCT objectId) FROM asas.source WHERE {window}")
    assert got == (truth["T28"]["rows"], truth["T28"]["objects"])


# -- Qserv's own partitioning


@pytest.mark.parametrize(("table", "rows"), [("density.chunk", "sources"), ("density.whole", "`rows`")])
@two_cuts
def test_t42_rows_per_chunk(sky: TruthSky, truth: Truth, table: str, rows: str) -> None:
    known = truth["T42"]
    got = sky.one(f"SELECT COUNT(*), SUM({rows}), MAX({rows}), MIN({rows}) FROM {table}")
    assert got == tuple(known[name] for name in ("chunks", "rows", "max_rows", "min_rows"))
    fullest = sky.one(f"SELECT chunkId FROM {table} ORDER BY {rows} DESC LIMIT 1")
    assert fullest == (known["max_chunk"],)
    share = f"SELECT ROUND(100 * SUM(CASE WHEN ABS(b) < 10 THEN {rows} END) / SUM({rows}), 1) FROM {table}"
    assert sky.one(share) == (known["rows_abs_b_lt_10_percent"],)
    assert sky.one(f"SELECT SUM(qserv_chunk(ra, `dec`, 340, 3) = chunkId) FROM {table}") == (known["chunks"],)


def test_no_answer_is_left_out(truth: Truth) -> None:
    asked = {name.split("_")[1].lower() for name in globals() if name.startswith("test_t")}
    assert {name.lower() for name in truth} == asked
