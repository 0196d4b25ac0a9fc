"""What comes out of reading text tables of every dialect, and many files at once."""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsky.errors import QskyError

from .reading import SETTINGS, read, write

FREE = {"position_required": False}


def types(table: pa.Table) -> dict[str, str]:
    return {field.name: str(field.type) for field in table.schema}


# -- text tables


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(tmp_path: Path, delimiter: str, end: str) -> None:
    lines = ["id,ra,dec,name", '1,10,20,"a,b;c|d"', "2,30,-40,", "3,350.5,0,d"]
    text = end.join(line if '"' not in line else line.replace(",", delimiter, 3) for line in lines)
    text = text.replace("1\t10", "1\t10")
    made = "".join(line.replace(",", delimiter) if '"' not in line else line for line in text.splitlines(keepends=True))
    made = made.replace(f'"a{delimiter}b', '"a,b')
    found = read([write(tmp_path, "a.csv", made + end)], tmp_path)
    assert found.values("id") == [1, 2, 3]
    assert found.values("ra") == [10.0, 30.0, 350.5]
    assert found.values("name") == ["a,b;c|d", None, "d"]


def test_types_of_text(tmp_path: Path) -> None:
    text = (
        "ra,dec,i,f,e,s,b,t,d,z,n,flag\n"
        "1,1,1,1,1e3,abc,true,2020-01-02T03:04:05.25,2020-01-02,007,,T\n"
        '2,2, -7 ,2.5,+.5,"x ""y""",FALSE,2020-01-02 03:04:05,2020-01-03,42,,F\n'
        "3,3,,NaN,1D2,,,,,1,,T\n"
    )
    found = read([write(tmp_path, "a.csv", text)], tmp_path)
    assert types(found.table) == {
        "ra": "double", "dec": "double", "i": "int64", "f": "double", "e": "double", "s": "string", "b": "bool",
        "t": "timestamp[us]", "d": "date32[day]", "z": "string", "n": "string", "flag": "bool",
    }  # fmt: skip
    assert found.values("i") == [1, -7, None]
    assert found.values("f") == [1.0, 2.5, None]
    assert found.values("e") == [1000.0, 0.5, 100.0]
    assert found.values("s") == ["abc", 'x "y"', None]
    assert found.values("b") == [True, False, None]
    assert found.values("t")[0] == datetime.datetime(2020, 1, 2, 3, 4, 5, 250_000)
    assert found.values("d")[1] == datetime.date(2020, 1, 3)
    assert found.values("z") == ["007", "42", "1"]
    assert found.rejects.nan_nulled == {"f": 1}


def test_a_type_is_decided_by_the_whole_file(tmp_path: Path) -> None:
    """Far beyond the sample: an integer column turns fractional, an empty one gets values, a date turns to text."""
    rows = 300_000
    early = "".join(f"{n},1,1,{n},,2020-01-01,{n}\n" for n in range(rows))
    path = write(tmp_path, "a.csv", f"id,ra,dec,x,late,d,code\n{early}{rows},1,1,0.5,7,unknown,0123\n")
    found = read([path], tmp_path)
    assert types(found.table) == {
        "id": "int64", "ra": "double", "dec": "double", "x": "double", "late": "int64", "d": "string", "code": "string",
    }  # fmt: skip
    assert found.rows()[-1] == {
        "id": rows, "ra": 1.0, "dec": 1.0, "x": 0.5, "late": 7, "d": "unknown", "code": "0123",
    }  # fmt: skip
    assert found.values("id") == list(range(rows + 1))
    assert found.values("code")[:2] == ["0", "1"]


def test_a_few_bad_fields_do_not_make_a_number_text(tmp_path: Path) -> None:
    text = "id,ra,dec\n" + "".join(f"{n},1,1\n" for n in range(50)) + "n/a,1,1\n"
    found = read([write(tmp_path, "a.csv", text)], tmp_path, rejects_max=1)
    assert types(found.table)["id"] == "int64"
    assert found.table.num_rows == 50
    assert found.rejects.path.read_text().splitlines() == [
        "file,line,reason,text",
        f'{tmp_path}/a.csv,52,"id is \'n/a\', not an integer","n/a,1,1"',
    ]


def test_words_for_null_among_numbers_only(tmp_path: Path) -> None:
    found = read([write(tmp_path, "a.csv", "ra,dec,x,s\n1,1,NULL,NULL\n2,2,5,null\n3,3,null,c\n")], tmp_path)
    assert found.values("x") == [None, 5, None]
    assert found.values("s") == ["NULL", "null", "c"]


def test_no_header(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "1,10,20\n2,30,40\n")
    assert read([path], tmp_path, columns=("id", "ra", "dec")).values("id") == [1, 2]
    with_header = write(tmp_path, "b.csv", "ID, RA ,Dec\n1,10,20\n")
    found = read([with_header], tmp_path, columns=("id", "ra", "dec"))
    assert found.rows() == [{"id": 1, "ra": 10.0, "dec": 20.0}]


def test_header_in_a_comment(tmp_path: Path) -> None:
    found = read([write(tmp_path, "a.txt", "# from somewhere\n# id ra dec\n 1  10   20\n2 30 40 \n")], tmp_path)
    assert found.rows() == [{"id": 1, "ra": 10.0, "dec": 20.0}, {"id": 2, "ra": 30.0, "dec": 40.0}]


def test_blanks_between_fields(tmp_path: Path) -> None:
    text = 'id   ra\tdec name\n1  10   20 "a b"\n\n   2 30 40 c\n'
    found = read([write(tmp_path, "a.dat", text)], tmp_path, delimiter=" ")
    assert found.rows()[0] == {"id": 1, "ra": 10.0, "dec": 20.0, "name": "a b"}
    assert found.values("name") == ["a b", "c"]


def test_padded_quotes_and_names(tmp_path: Path) -> None:
    text = '\ufeff ra , dec , γ-ray name \n1 , "2" , "a, b" \n3 , "4" , "" \n'
    found = read([write(tmp_path, "a.csv", text)], tmp_path)
    assert found.rows() == [{"ra": 1.0, "dec": 2.0, "γ-ray name": "a, b"}, {"ra": 3.0, "dec": 4.0, "γ-ray name": None}]


def test_an_unnamed_column(tmp_path: Path) -> None:
    assert read([write(tmp_path, "a.csv", ",ra,dec\n0,1,2\n")], tmp_path).table.column_names == [
        "column_1",
        "ra",
        "dec",
    ]


def test_latin_1(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "n,ra,dec\nétoile,1,2\n".encode("latin-1"))
    assert read([path], tmp_path, encoding="latin-1").values("n") == ["étoile"]


def test_a_dump_of_mysql(tmp_path: Path) -> None:
    ddl = write(tmp_path, "t.sql", (
        "CREATE TABLE `t` (\n  `id` bigint(20) unsigned NOT NULL,\n  `ra` double,\n  `dec` double,\n"
        "  `f` float DEFAULT NULL,\n  `s` varchar(9),\n  `b` blob,\n  PRIMARY KEY (`id`)\n) ENGINE=MyISAM;\n"
    ))  # fmt: skip
    rows = b'1\t10\t20\t\\N\ta\\\tb\\\\c\tx\\\ny\r\xff\\0\n2\t30\t91\t1.5\t\\N\t\\N\n3\t1\t1\t0.1\t"q\t\n'
    found = read([write(tmp_path, "t.tsv", rows)], tmp_path, ddl=ddl, rejects_max=1)
    assert types(found.table) == {
        "id": "decimal128(38, 0)", "ra": "double", "dec": "double", "f": "float", "s": "string", "b": "binary",
    }  # fmt: skip
    assert found.values("s") == ["a\tb\\c", '"q']
    assert found.values("b") == [b"x\ny\r\xff\0", None]
    assert found.values("f") == [None, pytest.approx(0.1)]
    assert found.rejects.examples == [f"{tmp_path}/t.tsv line 3: dec is 91, outside [-90, 90]"]
    assert [column.name for column in found.schema.columns if column.collation == "ci"] == ["s"]


@pytest.mark.parametrize(
    ("end", "ci"), [(") ENGINE=MyISAM DEFAULT CHARSET=latin1;", ["s", "u"]), (") COLLATE=utf8mb4_bin;", ["u"])]
)
def test_a_dump_says_where_case_counts(tmp_path: Path, end: str, ci: list[str]) -> None:
    ddl = write(tmp_path, "t.sql", (
        "CREATE TABLE `t` (\n  `s` char(3) NOT NULL,\n  `t` text COLLATE utf8mb3_bin,\n"
        f"  `u` varchar(9) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL,\n  `n` int\n{end}\n"
    ))  # fmt: skip
    row = write(tmp_path, "t.tsv", "a\tb\tc\t1\n")
    schema = read([row], tmp_path, ddl=ddl, position_required=False, types={"n": "VARCHAR"}).schema
    assert [column.name for column in schema.columns if column.collation == "ci"] == ci


NULL = ("", "\\N")  # quoted or not
FIELD = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters='\n",'), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FIELD, FIELD, st.sampled_from(["1", "95"])), min_size=1, max_size=12))
def test_any_quoted_text_and_its_lines(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    lines = ["ra,dec,a,b\n"]
    wanted, bad, line = [], [], 2
    for a, b, dec in rows:
        record = f'7,{dec},"{a.replace(chr(34), chr(34) * 2)}","{b.replace(chr(34), chr(34) * 2)}"\n'
        lines.append(record)
        if dec == "1":
            wanted.append((a if a not in NULL else None, b if b not in NULL else None))
        else:
            bad.append(line)
        line += record.count("\n")
    path = folder / "a.csv"
    path.write_text("".join(lines), newline="")
    found = read([path], folder, rejects_max=99, types={"a": "VARCHAR", "b": "VARCHAR"}, delimiter=",")
    assert list(zip(found.values("a"), found.values("b"), strict=True)) == wanted
    said = [int(row.split(" line ")[1].split(":")[0]) for row in found.rejects.examples]
    assert said == bad[:5]


# -- many files


def test_columns_of_many_files(tmp_path: Path) -> None:
    first = write(tmp_path, "a.csv", "ra,dec,x,s\n1,1,1,5\n")
    second = write(tmp_path, "b.csv", "s,dec,ra,y\nabc,2,2,7\n")
    third = write(tmp_path, "c.csv", "ra,dec,x\n3,3,0.5\n")
    found = read([first, second, third], tmp_path)
    assert types(found.table) == {"ra": "double", "dec": "double", "x": "double", "s": "string", "y": "int64"}
    assert found.rows() == [
        {"ra": 1.0, "dec": 1.0, "x": 1.0, "s": "5", "y": None},
        {"ra": 2.0, "dec": 2.0, "x": None, "s": "abc", "y": 7},
        {"ra": 3.0, "dec": 3.0, "x": 0.5, "s": None, "y": None},
    ]


def parquet(tmp_path: Path, name: str, **columns: object) -> Path:
    pq.write_table(pa.table(columns), tmp_path / name)
    return tmp_path / name


def test_types_widen_over_files_or_clash(tmp_path: Path) -> None:
    at = {"ra": [1.0], "dec": [1.0]}
    small = parquet(tmp_path, "a.parquet", **at, x=pa.array([1], pa.int16()), d=pa.array([1], pa.date32()))
    large = parquet(tmp_path, "b.parquet", **at, x=pa.array([2**40]), d=pa.array([1], pa.timestamp("ns")))
    real = parquet(tmp_path, "c.parquet", **at, x=pa.array([0.5], pa.float32()))
    text = parquet(tmp_path, "d.parquet", **at, x=["one"])
    assert types(read([small, large], tmp_path).table)["x"] == "int64"
    found = read([small, large, real], tmp_path)
    assert types(found.table)["d"] == "timestamp[us]"
    assert found.values("x") == [1.0, float(2**40), 0.5]
    with pytest.raises(QskyError, match=r"The column x is string in .*d\.parquet, but int16 in other files"):
        read([small, text], tmp_path)
    with pytest.raises(QskyError, match=r"The column RA of .*e\.parquet is called ra in other files"):
        read([small, parquet(tmp_path, "e.parquet", RA=[1.0], dec=[1.0])], tmp_path)
    assert read([small, text], tmp_path, types={"x": "VARCHAR"}).values("x") == ["1", "one"]


def test_rename_drop_and_type(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "RAJ2000,DEJ2000,Norder,junk,id\n1,2,3,4,5\n")
    found = read([path], tmp_path, rename={"Norder": "order"}, drop=("junk",), types={"ID": "INTEGER"})
    assert found.rows() == [{"RAJ2000": 1.0, "DEJ2000": 2.0, "order": 3, "id": 5}]
    assert types(found.table)["id"] == "int32"
    assert (found.schema.ra, found.schema.dec) == ("RAJ2000", "DEJ2000")


def test_batches_are_bounded_and_in_order(tmp_path: Path) -> None:
    paths = [
        parquet(tmp_path, f"{n}.parquet", ra=[1.0] * 70, dec=[1.0] * 70, id=range(n * 70, n * 70 + 70))
        for n in range(5)
    ]
    found = read(paths, tmp_path, settings=SETTINGS.with_changes(load_batch_rows=100))
    assert [batch.num_rows for batch in found.batches] == [100, 40, 100, 40, 70]
    assert found.values("id") == list(range(350))
    assert found.schema.rows == 350


def test_position_of_a_child_may_be_null(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,ra,dec\n1,,\n2,-1,5\n")
    assert read([path], tmp_path, ra="ra", dec="dec", **FREE).values("ra") == [None, 359.0]
    assert read([path], tmp_path, **FREE).values("ra") == [None, -1]
