"""What comes out of reading Parquet, FITS and VOTable; schema files beside them; the rejects file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import Column as AstropyColumn
from astropy.table import MaskedColumn, Table

from qsky.errors import QskyError
from qsky.ingest.rejects import RejectsWriter

from .reading import SETTINGS, read, write

FREE = {"position_required": False}


def types(table: pa.Table) -> dict[str, str]:
    return {field.name: str(field.type) for field in table.schema}


def parquet(tmp_path: Path, name: str, **columns: object) -> Path:
    pq.write_table(pa.table(columns), tmp_path / name)
    return tmp_path / name


# -- typed formats


def test_parquet_types(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        "a.parquet",
        ra=pa.array([1, 2], pa.float32()),
        dec=pa.array([1, 2], pa.int8()),
        u=pa.array([1, 255], pa.uint8()),
        c=pa.array(["a", "b"]).dictionary_encode(),
        l=pa.array([[1.5, None], None]),
        s=pa.array([{"x": 1, "y": "a"}, None]),
        t=pa.array([1, None], pa.timestamp("ns", tz="Europe/Paris")),
        n=pa.nulls(2),
        f=pa.array([float("nan"), float("inf")]),
        m=pa.array([-999, 1], pa.int16()),
    )
    found = read([path], tmp_path, nulls=("-999",))
    assert types(found.table) == {
        "ra": "double", "dec": "double", "u": "int16", "c": "string", "l": "list<item: double>",
        "s": "struct<x: int64, y: string>", "t": "timestamp[us, tz=UTC]", "n": "string", "f": "double", "m": "int16",
    }  # fmt: skip
    assert found.values("f") == [None, float("inf")]
    assert found.values("m") == [None, 1]
    assert found.rejects.nan_nulled == {"f": 1}
    assert [column.unit for column in found.schema.columns[:2]] == ["deg", "deg"]


def fits_file(folder: Path) -> Path:
    columns = [
        fits.Column("id", "J", null=-99, array=np.array([1, -99, 3])),
        fits.Column("u", "J", bzero=2**31, array=np.array([1, 2**32 - 1, 3], dtype=np.uint32)),
        fits.Column("scaled", "I", null=-32768, array=np.array([1, 2, -32768], dtype=np.int16)),
        fits.Column("logical", "L", array=np.array([True, False, True])),
        fits.Column("text", "8A", unit="", array=np.array(["abc  ", "", "  d"])),
        fits.Column("vector", "3E", array=np.arange(9).reshape(3, 3)),
        fits.Column("ragged", "PJ()", array=np.array([[1], [2, 3], []], dtype=object)),
        fits.Column("ra", "D", unit="rad", array=np.array([0.0, np.pi, 2 * np.pi])),
        fits.Column("dec", "E", unit="deg", array=np.array([-90, 0, 90])),
    ]
    unit = fits.BinTableHDU.from_columns(columns)
    unit.header["TSCAL3"], unit.header["TZERO3"] = 0.5, 10
    unit.header["TUCD1"], unit.header["TCOMM1"] = "meta.id", "the  id"
    path = folder / "a.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2))), unit]).writeto(path)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_fits(tmp_path: Path, packed: bool) -> None:
    path = fits_file(tmp_path)
    if packed:
        path = write(tmp_path, "b.fits.gz", gzip.compress(path.read_bytes()))
    found = read([path], tmp_path)
    assert types(found.table) == {
        "id": "int32", "u": "int64", "scaled": "double", "logical": "bool", "text": "string",
        "vector": "list<item: float>", "ragged": "list<item: int64>", "ra": "double", "dec": "double",
    }  # fmt: skip
    assert found.values("id") == [1, None, 3]
    assert found.values("u") == [1, 2**32 - 1, 3]
    assert found.values("scaled") == [10.5, 11.0, None]
    assert found.values("logical") == [True, False, True]
    assert found.values("text") == ["abc", None, "  d"]
    assert found.values("vector")[1] == [3.0, 4.0, 5.0]
    assert found.values("ragged") == [[1], [2, 3], []]
    assert found.values("ra") == pytest.approx([0.0, 180.0, 0.0])
    first = found.schema.columns[0]
    assert (first.ucd, first.description) == ("meta.id", "the id")


def test_fits_ascii_table_and_hdu(tmp_path: Path) -> None:
    ascii_table = fits.TableHDU.from_columns(
        [fits.Column("x", "I5", array=np.arange(3)), fits.Column("s", "A5", array=["a", "", "c"])]
    )
    other = fits.BinTableHDU(Table({"y": np.arange(2)}))
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(), ascii_table, other]).writeto(path)
    assert read([path], tmp_path, **FREE).rows() == [{"x": 0, "s": "a"}, {"x": 1, "s": None}, {"x": 2, "s": "c"}]
    assert read([path], tmp_path, hdu=2, **FREE).values("y") == [0, 1]


@pytest.mark.parametrize("serialisation", ["tabledata", "binary2"])
def test_votable(tmp_path: Path, serialisation: str) -> None:
    table = Table(
        {
            "RA_ICRS": AstropyColumn([1.0, 2.0, 3.0], unit="deg", description="Right\n  ascension"),
            "DE_ICRS": AstropyColumn([1.0, 2.0, 3.0], unit="deg"),
            "n": MaskedColumn([1, 2, 3], mask=[False, True, False]),
            "f": MaskedColumn([0.5, 1.5, 2.5], mask=[False, False, True]),
            "s": ["a", "", "c"],
            "v": np.arange(6.0).reshape(3, 2),
            "b": [True, False, True],
        }
    )
    document = from_table(table, table_id="t")
    document.get_first_table().fields[0].ucd = "pos.eq.ra;meta.main"
    document.get_first_table().fields[1].ucd = "pos.eq.dec;meta.main"
    path = tmp_path / "a.vot"
    document.to_xml(str(path), tabledata_format=serialisation)
    packed = write(tmp_path, "b.vot.gz", gzip.compress(path.read_bytes()))
    for source in (path, packed):
        found = read([source], tmp_path)
        assert found.values("n") == [1, None, 3]
        assert found.values("f") == [0.5, 1.5, None]
        assert found.values("s") == ["a", None, "c"]
        assert found.values("v") == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
        assert found.values("b") == [True, False, True]
        assert (found.schema.ra, found.schema.dec) == ("RA_ICRS", "DE_ICRS")
        first = found.schema.columns[0]
        assert (first.unit, first.ucd, first.description) == ("deg", "pos.eq.ra;meta.main", "Right ascension")


def test_a_votable_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "a.vot"
    Table({"ra": np.arange(99.0), "dec": np.zeros(99)}).write(path, format="votable")
    with pytest.raises(QskyError) as caught:
        read([path], tmp_path, settings=SETTINGS.with_changes(votable_bytes_max=1024))
    assert caught.value.code.name == "limit-source"


# -- schema files

FELIS = """
tables:
- name: Object
  columns:
  - {name: id, datatype: long, description: "the\\n id", ivoa:ucd: meta.id}
  - {name: mag, datatype: float, fits:tunit: mag}
  - {name: other, datatype: double}
- name: Source
  columns: [{name: id, datatype: char}]
"""


def test_felis(tmp_path: Path) -> None:
    felis = write(tmp_path, "s.yaml", FELIS)
    path = write(tmp_path, "a.csv", "ra,dec,id,mag\n1,1,1,5\n")
    found = read([path], tmp_path, felis=felis, felis_table="object")
    assert types(found.table) == {"ra": "double", "dec": "double", "id": "int64", "mag": "float"}
    described = {column.name: (column.unit, column.ucd, column.description) for column in found.schema.columns}
    assert described["id"] == ("", "meta.id", "the id")
    assert described["mag"] == ("mag", "", "")
    for options in ({"felis_table": "nothing"}, {}):
        with pytest.raises(QskyError, match="Object, Source"):
            read([path], tmp_path, felis=felis, **options)


def test_felis_of_rubin(shared_data: Path, tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "coord_ra,coord_dec,objectId\n1,1,123\n")
    found = read([path], tmp_path, felis=shared_data / "sdm_schemas" / "dp1.yaml", felis_table="Object")
    described = {column.name: column for column in found.schema.columns}
    assert described["coord_ra"].ucd.startswith("pos.eq.ra")
    assert described["objectId"].type == "BIGINT"
    assert described["objectId"].description


# -- rejects


def test_rejects_are_bounded_and_told_early(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "ra,dec\n" + "1,91\n" * 1000)
    with pytest.raises(QskyError) as caught:
        read([path], tmp_path, rejects_max=3)
    error = caught.value
    assert error.message.startswith("1000 rows were so far refused, more than the 3 that are allowed: ")
    assert error.message.count("outside") == 5
    assert str(tmp_path / "rejects.csv") in error.message
    assert error.hint.endswith("--max-rejects 1000.")
    assert len((tmp_path / "rejects.csv").read_text().splitlines()) < 10


def test_no_rejects_no_file(tmp_path: Path) -> None:
    with RejectsWriter(tmp_path / "r.csv", 0, 5) as rejects:
        rejects.check()
        rejects.finish()
    assert not rejects.path.exists()
