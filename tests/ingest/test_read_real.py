"""The real catalogues beside the repository, read as they are: counts known from `truth.json` or from their READMEs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .reading import read

S82 = ("id", "ra", "dec", *(f"{band}_{what}" for band in "ugriz" for what in ("n", "mean", "err")))


@pytest.mark.parametrize(
    ("name", "rows", "refused", "options"),
    [
        ("hip2/hip2.csv", 117_955, 0, {"key": "hip", "key_required": True}),
        ("openngc/NGC.csv", 13_962, 7, {}),
        ("tycho2_suppl/tycho2_suppl_1.csv", 17_588, 0, {"key": "tyc", "key_required": True}),
        ("s82_quasars/SDSS_lc_stats_multiband.txt", 9_258, 0, {"columns": S82}),
        ("fink_catalogs/3hsp.csv", 2_013, 0, {}),
        ("fink_catalogs/spicy.parquet", 117_446, 0, {}),
        ("des_sn5yr/DES-SN5YR_DES_HEAD.FITS.gz", 19_706, 0, {}),
        ("pleiades_gaia_dr3/pleiades.fits", 50_000, 0, {}),
        ("rho_oph_gaia_dr2/sample_oph_cone_r3.5-result.vot", 2_814, 0, {}),
        ("rho_oph_gaia_dr2/gaia_sample_cleaned.vot", 2_300, 0, {}),
        ("rho_oph_gaia_dr2/simbad.xml", 77, 0, {}),
        ("asas_acvs/object.parquet", 13_909, 0, {"key": "objectId", "key_required": True}),
    ],
)
def test_a_catalogue(
    shared_data: Path, tmp_path: Path, name: str, rows: int, refused: int, options: dict[str, Any]
) -> None:
    found = read([shared_data / name], tmp_path, rejects_max=refused, **options)
    assert (found.table.num_rows, found.rejects.count) == (rows, refused)
    assert found.table[found.schema.ra].null_count == found.table[found.schema.dec].null_count == 0


def test_openngc_is_in_degrees_and_keeps_its_names(shared_data: Path, tmp_path: Path) -> None:
    found = read([shared_data / "openngc" / "NGC.csv"], tmp_path, rejects_max=7)
    first = found.rows()[0]
    assert (first["RA"], first["Dec"]) == pytest.approx((2.112708333, 27.717666667))
    assert found.rejects.examples[0].endswith("NGC.csv line 1119: RA is NULL")
    assert {"4414A", "1577"} <= set(found.values("IC"))
    assert "031" in found.values("M")


def test_units_and_nulls_of_a_votable(shared_data: Path, tmp_path: Path) -> None:
    found = read([shared_data / "rho_oph_gaia_dr2" / "sample_oph_cone_r3.5-result.vot"], tmp_path)
    assert len(found.schema.columns) == 32
    assert found.table["radial_velocity"].null_count == 2539
    assert found.table["a_g_percentile_upper_2"].null_count == 2034
    described = {column.name: column for column in found.schema.columns}
    assert (described["parallax"].unit, described["parallax"].ucd) == ("mas", "pos.parallax")


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("Object", 88),
        ("Source", 3_339),
        ("RefSrcMatch", 3_344),
        ("SimRefObject", 3_314),
        ("Science_Ccd_Exposure", 3_304),
        ("Filter", 9),
        ("LeapSeconds", 38),
        ("Logs", 1_000),
        ("sdqa_Metric", 53),
    ],
)
def test_the_dumps_of_case01(shared_data: Path, tmp_path: Path, table: str, rows: int) -> None:
    folder = shared_data / "qserv_case01"
    found = read(
        [folder / f"{table}.tsv.gz"], tmp_path, ddl=folder / "schema" / f"{table}.schema", position_required=False
    )
    assert (found.table.num_rows, found.rejects.count) == (rows, 0)


@pytest.mark.slow
def test_all_detections_of_asas(shared_data: Path, tmp_path: Path) -> None:
    options = {"key": "objectId", "key_required": True, "position_required": False}
    found = read([shared_data / "asas_acvs" / "source.parquet"], tmp_path, **options)
    assert found.table.num_rows == found.schema.rows == 7_945_952
