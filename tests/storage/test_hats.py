"""HATS side files: what is written is read back, by us and by the reference reader."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qsky.storage import hats

VALUES = [
    "plain",
    "RAJ2000",
    "größe",
    "α_δ",
    "🌌 sky",
    "a\\b",
    "a=b:c",
    "#no",
    "two\nlines",
    " ends ",
    "tab\there",
    "!x",
]


@pytest.mark.parametrize("value", VALUES)
def test_properties_round_trip(value: str) -> None:
    text = hats.properties_text({"hats_col_ra": value, "other": 1}, "HATS catalog")
    assert text.isascii() and hats.properties_of(text) == {"hats_col_ra": value, "other": "1"}


@pytest.mark.peer
@pytest.mark.parametrize("value", [value for value in VALUES if value == value.strip()])
def test_the_reference_reader_reads_the_same(value: str) -> None:
    from jproperties import Properties

    read = Properties()
    read.load(hats.properties_text({"hats_col_ra": value}, "HATS catalog").encode(), "iso-8859-1")
    assert read["hats_col_ra"].data == value


def test_foreign_properties() -> None:
    text = "# comment\n! another\n\n obs_collection = gaia \r\nhats_nrows=12\nempty=\nhats_nrows=13\n"
    assert hats.properties_of(text) == {"obs_collection": "gaia", "hats_nrows": "13", "empty": ""}


def test_what_is_empty_is_left_out() -> None:
    assert hats.properties_of(hats.properties_text({"a": "", "b": None, "c": 0, "d": False}, "x")) == {
        "c": "0",
        "d": "False",
    }


def test_partition_info_round_trip() -> None:
    leaves = [(0, 3), (5, 4711), (13, 805306367)]
    assert hats.leaves_of(hats.partition_info(leaves)) == leaves
    assert hats.leaves_of(hats.partition_info([])) == []
    assert hats.leaves_of("Npix, Norder ,rows\n7,2,100\n") == [(2, 7)]


def test_moc_is_what_mocpy_reads() -> None:
    from mocpy import MOC

    leaves = [(1, 4), (0, 3), (1, 5), (3, 700)]
    moc = MOC.from_string(hats.moc_text(leaves))
    assert moc.sky_fraction == pytest.approx(2 / 48 + 1 / 12 + 1 / 768)


def test_common_metadata_is_a_schema_without_rows(tmp_path: Path) -> None:
    schema = pa.schema([("_healpix_29", pa.int64()), ("größe", pa.list_(pa.float32()))])
    content = hats.common_metadata(schema)
    assert pq.read_schema(io.BytesIO(content)).equals(schema)
    assert pq.read_metadata(io.BytesIO(content)).num_rows == 0
