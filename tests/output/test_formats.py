"""Every format gives back what went in, NULLs of every type included."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import parse
from astropy.table import Table

from qsky.errors import QskyError
from qsky.output.astropy_table import astropy_table
from qsky.output.formats import WRITERS, format_of, write

BIG = 2**63 - 1


def answer() -> pa.Table:
    """Two rows and one of NULLs, every type; ids that no float64 can hold."""
    columns = {
        "id": pa.array([BIG, -BIG - 1, None], pa.int64()),
        "small": pa.array([-128, 127, None], pa.int8()),
        "ra": pa.array([0.1, 1e300, None], pa.float64()),
        "mag": pa.array([0.1, -2.5, None], pa.float32()),
        "flag": pa.array([True, False, None]),
        "name": pa.array(['a,"b"\n', "", None]),
        "total": pa.array([Decimal(10**20), Decimal(3), None], pa.decimal128(38, 0)),
        "at": pa.array([datetime(2020, 1, 2, 3, 4, 5, 60), datetime(1999, 1, 1), None], pa.timestamp("us")),
        "at_utc": pa.array([datetime(2020, 1, 2, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC), None]),
        "day": pa.array([date(2020, 1, 2), date(1, 1, 1), None]),
        "raw": pa.array([b"\x00\xff", b"", None]),
        "list": pa.array([[1, None], [], None], pa.list_(pa.int32())),
        "pair": pa.array([{"x": 1.5}, {"x": None}, None]),
    }
    table = pa.table(columns)
    described = table.schema.field("ra").with_metadata({"unit": "deg", "ucd": "pos.eq.ra", "description": "where"})
    return table.cast(table.schema.set(table.schema.get_field_index("ra"), described))


def written(format_name: str, table: pa.Table, rows_per_batch: int = 2) -> bytes:
    sink = io.BytesIO()
    write(format_name, table.schema, table.to_batches(max_chunksize=rows_per_batch), sink)
    return sink.getvalue()


def test_csv_keeps_null_and_empty_text_apart() -> None:
    lines = written("csv", answer().select(["id", "name", "mag", "flag", "at", "at_utc", "day", "raw", "list", "pair"]))
    assert lines.decode() == (
        "id,name,mag,flag,at,at_utc,day,raw,list,pair\n"
        '9223372036854775807,"a,""b""\n",0.1,true,2020-01-02T03:04:05.000060,2020-01-02T00:00:00.000000Z,'
        '2020-01-02,00ff,"[1, null]","{""x"": 1.5}"\n'
        '-9223372036854775808,"",-2.5,false,1999-01-01T00:00:00.000000,1999-01-01T00:00:00.000000Z,'
        '0001-01-01,"",[],"{""x"": null}"\n'
        ",,,,,,,,,\n"
    )


@pytest.mark.parametrize(("format_name", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_delimited_text_reads_back(format_name: str, delimiter: str) -> None:
    numbers = answer().select(["id", "ra", "mag", "name", "total"])
    back = pyarrow.csv.read_csv(
        io.BytesIO(written(format_name, numbers)),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=numbers.schema, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    assert back.to_pylist() == numbers.to_pylist()


@pytest.mark.parametrize("format_name", ["json", "jsonl"])
def test_json_is_exact_and_valid(format_name: str) -> None:
    text = written(format_name, answer()).decode()
    rows = json.loads(text) if format_name == "json" else [json.loads(line) for line in text.splitlines()]
    assert [row["id"] for row in rows] == [BIG, -BIG - 1, None]
    assert [row["total"] for row in rows] == [10**20, 3, None]
    assert rows[0]["at"] == "2020-01-02T03:04:05.000060"
    assert rows[2] == dict.fromkeys(answer().schema.names)


def test_json_has_no_nan() -> None:
    table = pa.table({"x": [float("nan"), float("inf"), 1.0]})
    assert json.loads(written("json", table)) == [{"x": None}, {"x": None}, {"x": 1.0}]


def test_parquet_and_arrow_are_the_same_table() -> None:
    table = answer()
    assert pq.read_table(io.BytesIO(written("parquet", table))).equals(table)
    back = pa.ipc.open_stream(written("arrow", table)).read_all()
    assert back.equals(table, check_metadata=True)


@pytest.mark.parametrize("format_name", ["fits", "votable"])
def test_astronomers_formats_keep_ids_and_nulls(tmp_path: Path, format_name: str) -> None:
    file = tmp_path / f"answer.{format_name}"
    file.write_bytes(written(format_name, answer()))
    back = Table.read(file, format=format_name)
    assert back["id"].tolist() == [BIG, -BIG - 1, None]
    assert back["small"].tolist() == [-128, 127, None]
    assert back["ra"].tolist()[:2] == [0.1, 1e300] and (np.ma.is_masked(back["ra"][2]) or np.isnan(back["ra"][2]))
    assert [None if v is None else bool(v) for v in back["flag"].tolist()] == [True, False, None]
    assert [text or "" for text in back["at"].tolist()[:1]] == ["2020-01-02T03:04:05.000060"]
    assert str(back["ra"].unit) == "deg"


@pytest.mark.parametrize("format_name", ["fits", "votable"])
def test_a_large_id_column_with_nulls_is_exact(tmp_path: Path, format_name: str) -> None:
    """The trap: through float64 thousands of such ids come back wrong, and no reader complains."""
    random = np.random.default_rng(1)
    ids = random.integers(2**53, 2**62, 5000)
    nulls = random.random(5000) < 0.1
    table = pa.table({"id": pa.array(ids, mask=nulls)})
    file = tmp_path / "ids"
    file.write_bytes(written(format_name, table))
    back = Table.read(file, format=format_name)["id"]
    assert back.dtype.kind == "i"
    assert back.tolist() == table["id"].to_pylist()


@pytest.mark.parametrize("rows_per_batch", [1, 7, 1000])
def test_votable_of_many_rows_reads_back(tmp_path: Path, rows_per_batch: int) -> None:
    """Texts of all lengths between numbers, NULLs among them, in batches that begin in the middle of an array."""
    random = np.random.default_rng(2)
    words = ["", "r", "é", "a longer text", "\U0001f30c beyond UTF-16's first plane", "<&>"]
    rows = 1000
    columns = {
        "word": pa.array(random.choice(words, rows), mask=random.random(rows) < 0.2),
        "id": pa.array(random.integers(-(2**62), 2**62, rows), mask=random.random(rows) < 0.2),
        "again": pa.array(random.choice(words, rows)).dictionary_encode(),
        "flag": pa.array(random.random(rows) < 0.5, mask=random.random(rows) < 0.2),
        "x": pa.array(random.random(rows).astype(np.float32)),
        "day": pa.array(random.integers(0, 20000, rows).astype("datetime64[D]"), mask=random.random(rows) < 0.2),
        **{f"c{n}": pa.array(random.integers(0, 9, rows), mask=random.random(rows) < 0.5) for n in range(9)},
    }
    table = pa.table(columns).slice(3)
    file = tmp_path / "many.vot"
    file.write_bytes(written("votable", table, rows_per_batch))
    back = Table.read(file, format="votable")
    for name in ("id", "x", *(f"c{n}" for n in range(9))):
        assert back[name].tolist() == table[name].to_pylist(), name
    assert [None if v is None else bool(v) for v in back["flag"].tolist()] == table["flag"].to_pylist()
    for name in ("word", "again", "day"):
        expected = ["" if value is None else str(value) for value in table[name].to_pylist()]
        assert [value or "" for value in back[name].tolist()] == expected, name


def test_votable_names_what_xml_would_misread(tmp_path: Path) -> None:
    described = {"unit": 'm"<', "ucd": "a&b", "description": "<less> & more\x00"}
    schema = pa.schema([pa.field('a<b & "c"', pa.int64(), metadata=described)])
    file = tmp_path / "odd.vot"
    file.write_bytes(written("votable", pa.table([pa.array([1])], schema=schema)))
    field = parse(file).get_first_table().fields[0]
    assert (field.name, field.ucd, field.description) == ('a<b & "c"', "a&b", "<less> & more")


@pytest.mark.parametrize("format_name", sorted(WRITERS))
def test_no_rows_is_an_answer(tmp_path: Path, format_name: str) -> None:
    content = written(format_name, answer().slice(0, 0))
    if format_name in ("fits", "votable"):
        (tmp_path / "empty").write_bytes(content)
        assert len(Table.read(tmp_path / "empty", format=format_name)) == 0
    elif format_name == "json":
        assert json.loads(content) == []
    elif format_name in ("csv", "tsv"):
        assert content.count(b"\n") == 1


def test_astropy_table_is_masked_typed_and_described() -> None:
    table = astropy_table(answer())
    assert table["id"].tolist() == [BIG, -BIG - 1, None]
    assert table["at"].dtype == np.dtype("datetime64[us]")
    assert str(table["at_utc"][0]) == "2020-01-02T00:00:00.000000"
    assert table["raw"][0] == b"\x00\xff"
    assert table["list"][0] == [1, None]
    assert str(table["ra"].unit) == "deg" and table["ra"].description == "where"
    assert all(np.ma.is_masked(table[name][2]) for name in table.colnames if name not in ("list", "pair", "raw"))


def test_formats_by_file_name() -> None:
    names = ["a.csv", "a.FITS", "a.vot", "a.parquet", "a.arrow", "a.jsonl", "a.txt"]
    assert [format_of(Path(name)) for name in names] == ["csv", "fits", "votable", "parquet", "arrow", "jsonl", None]


def test_an_unknown_format_is_a_usage_error() -> None:
    with pytest.raises(QskyError, match=r"'xlsx' is not a format") as caught:
        write("xlsx", pa.schema([]), [], io.BytesIO())
    assert caught.value.exit_status == 2
