"""Bad input, one row per case: what the file holds, how it is read, and what the user is told.

Each case is a clear error with its code, or a right result (code "") with what was refused. A case is a file's name,
its bytes (or a function that writes it), the telling part of the message or of the first reason, the options, and of
a right result the columns. What whole loads say, with several tables and loads, is in cli/test_bad_loads.py.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from typer.testing import CliRunner

from qsky.cli.app import app
from qsky.errors import QskyError

from .reading import read, write


@dataclass(frozen=True)
class Case:
    """`code` "" means the load goes on (with `rejects_max` rows allowed) and `refused` rows are left out."""

    id: str
    name: str
    content: str | bytes | Callable[[], bytes]
    code: str
    message: str
    options: dict[str, Any] = field(default_factory=dict)
    refused: int = 0
    rejects_max: int = 0
    rows: dict[str, list[Any]] = field(default_factory=dict)

    def bytes(self) -> bytes:
        content = self.content() if callable(self.content) else self.content
        return content.encode() if isinstance(content, str) else content


def parquet(**columns: Any) -> Callable[[], bytes]:
    def made() -> bytes:
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file)
        return file.getvalue()

    return made


def fits_table(**columns: Any) -> bytes:
    file = io.BytesIO()
    fits.BinTableHDU(Table(columns)).writeto(file)
    return file.getvalue()


def votable() -> bytes:
    file = io.BytesIO()
    Table({"ra": MaskedColumn([1.0, 2.0], mask=[False, True]), "dec": [3.0, 4.0]}).write(file, format="votable")
    return file.getvalue()


def damaged_parquet() -> bytes:
    """One whose footer is whole and whose rows are not."""
    rows = bytearray(parquet(ra=np.arange(5000.0), dec=np.zeros(5000))())
    rows[4:3000] = b"?" * 2996
    return bytes(rows)


def long_fits() -> bytes:
    return fits_table(ra=np.zeros(2000), dec=np.zeros(2000))


GOOD = "id,ra,dec\n1,10,20\n2,30,40\n"
KEYED = {"key": "id", "key_required": True}

# fmt: off
CASES = [
    # -- positions
    Case("ra is NULL", "a.csv", "id,ra,dec\n1,,20\n", "too-many-rejects", "a.csv line 2: ra is NULL"),
    Case("dec is NaN", "a.csv", "id,ra,dec\n1,5,nan\n", "too-many-rejects", "line 2: dec is nan"),
    Case("ra is inf", "a.csv", "id,ra,dec\n1,-inf,20\n", "too-many-rejects", "line 2: ra is -inf"),
    Case("beyond the pole", "a.csv", "id,ra,dec\n1,1,2\n2,1,91.2\n", "too-many-rejects",
         "line 3: dec is 91.2, outside [-90, 90]"),
    Case("a sentinel as position", "a.csv", "id,ra,dec\n1,-999,2\n", "too-many-rejects",
         "ra is -999, outside [-360, 720]"),
    Case("parquet row", "a.parquet", parquet(ra=[1.0, np.nan], dec=[2.0, 3.0]), "too-many-rejects",
         "a.parquet row 2: ra is nan"),
    Case(
         "parquet inf", "a.parquet", parquet(ra=[1.0, 2.0], dec=[np.inf, 3.0]), "too-many-rejects", "row 1: dec is inf"),
    Case("not sexagesimal", "a.csv", "ra,dec\n00:01:02,+1:2:3\n00:01:03,-1:2:3\n00:61:02,+1:2:3\n", "too-many-rejects",
         "line 4: ra is '00:61:02', not a sexagesimal position"),
    Case("sexagesimal beyond the pole", "a.csv", "ra,dec\n00:01:02,-90:00:01\n", "too-many-rejects",
         "dec is -90:00:01 (-90.00027778 degrees), outside"),
    Case("25 hours", "a.csv", "ra,dec\n25:01:02,-10:00:01\n00:00:01,1:2:3\n", "too-many-rejects",
         "ra is '25:01:02', not a sexagesimal position"),
    Case("degrees said, text found", "a.csv", "ra,dec\n00:01:02,1:2:3\n", "too-many-rejects",
         "ra is '00:01:02', not a number", {"ra_unit": "deg"}),
    Case("sexagesimal said, numbers found", "a.parquet", parquet(ra=[1.0], dec=[2.0]), "bad-columns",
         "sexagesimal positions are text", {"ra_unit": "sexagesimal"}),
    Case("rad beyond the pole", "a.csv", "ra,dec\n1,1.6\n", "too-many-rejects",
         "dec is 1.6 (91.67324722 degrees), outside", {"dec_unit": "rad"}),
    Case("no position columns", "a.csv", "id,x,y\n1,2,3\n", "no-such-column", "no column ra (the right ascension)"),
    Case("no such position column", "a.csv", GOOD, "no-such-column", "no column alpha", {"ra": "alpha", "dec": "dec"}),
    # -- fields and records
    Case("unparsable field", "a.csv", "id,ra,dec\n" + "1,1,1\n" * 20 + "x7,1,1\n", "too-many-rejects",
         "line 22: id is 'x7', not an integer"),
    Case("fraction among given integers", "a.csv", "id,ra,dec\n1.5,1,1\n", "too-many-rejects",
         "id is '1.5', not an integer", {"types": {"id": "BIGINT"}}),
    Case("too big for its type", "a.csv", "id,ra,dec\n300,1,1\n", "too-many-rejects",
         "id is '300', not an integer of 8 bits", {"types": {"id": "TINYINT"}}),
    Case(
         "too few fields", "a.csv", "id,ra,dec\n1,1,1\n2,2\n", "too-many-rejects", "line 3: it has 2 fields instead of 3"),
    Case("cut in its last line", "a.csv", "id,ra,dec\n1,1,1\n2,2,2\n3,3", "too-many-rejects",
         "line 4: it has 2 fields instead of 3"),
    Case("too many fields", "a.csv", "id,ra,dec\n1,1,1\n2,2,2,2\n", "too-many-rejects",
         "line 3: it has 4 fields instead of 3"),
    Case("line after a quoted line end", "a.csv", 'n,ra,dec\n"a\nb",1,1\n"c\nd\ne",2,2\nx,3,93\n', "too-many-rejects",
         "line 7: dec is 93"),
    Case("line after comments and blanks", "a.csv", "# made by hand\nid,ra,dec\n\n# more\n1,1,1\n\n2,2,92\n",
         "too-many-rejects", "line 7: dec is 92"),
    Case("line after a refused record", "a.csv", "id,ra,dec\n1,1\n2,2,2\n3,3\n4,4,94\n", "too-many-rejects",
         "line 5: dec is 94"),
    Case("not UTF-8", "a.csv", b"n,ra,dec\na,1,1\n\xe9toile,2,2\n", "too-many-rejects",
         "line 3: n is '\ufffdtoile', not UTF-8 text"),
    Case("bad boolean", "a.csv", "b,ra,dec\ntrue,1,1\nmaybe,1,1\n", "too-many-rejects",
         "b is 'maybe', not true or false", {"types": {"b": "BOOLEAN"}}),
    Case("bad date", "a.csv", "d,ra,dec\n2020-02-01,1,1\n2020-02-31,1,1\n", "too-many-rejects",
         "d is '2020-02-31', not a date", {"types": {"d": "DATE"}}),
    Case("quote that never ends", "a.csv", 'id,n,ra,dec\n1,a,1,1\n2,"b,2,2\n3,c,3,3\n', "corrupt-file",
         "a quoted field never ends"),
    Case("quote that never ends in the last field", "a.csv", 'ra,dec,n\n1,1,a\n2,2,"b\n3,3,c\n', "corrupt-file",
         "a quoted field never ends"),
    # -- keys
    Case("NULL key", "a.csv", "id,ra,dec\n1,1,1\n,2,2\n", "too-many-rejects", "line 3: the key id is NULL", KEYED),
    Case("blank key", "a.parquet", parquet(id=["a", " "], ra=[1.0, 2.0], dec=[1.0, 2.0]), "too-many-rejects",
         "row 2: the key id is NULL", KEYED),
    Case("NaN key", "a.parquet", parquet(id=[1.0, np.nan], ra=[1.0, 2.0], dec=[1.0, 2.0]), "too-many-rejects",
         "row 2: the key id is NULL", KEYED),
    Case("key is a sentinel", "a.csv", "id,ra,dec\n1,1,1\n-999,2,2\n", "too-many-rejects",
         "line 3: the key id is NULL", {**KEYED, "nulls": ("-999",)}),
    Case("no such key", "a.csv", GOOD, "no-such-column", "no column objid (the key)", {"key": "objid"}),
    # -- columns
    Case("two columns of a name", "a.csv", "ra,dec,x,x\n1,1,1,1\n", "bad-columns", "more than one column called x"),
    Case("names but for case", "a.csv", "ra,dec,Mag,mag\n1,1,1,1\n", "bad-columns", "tell them apart: Mag and mag"),
    Case("reserved name", "a.csv", "ra,dec,_HEALPIX_29\n1,1,1\n", "bad-columns", "a name that Qsky keeps for itself"),
    Case("reserved partition name", "a.parquet", parquet(ra=[1.0], dec=[1.0], Norder=[1]), "bad-columns",
         "has a column Norder"),
    Case("beyond 64 bits in text", "a.csv", "id,ra,dec\n18446744073709551615,1,1\n", "bad-columns",
         "id holds 18446744073709551615, which is beyond 64-bit"),
    Case("beyond 64 bits in Parquet", "a.parquet",
         parquet(id=pa.array([1, 2**64 - 1], pa.uint64()), ra=[1.0, 2.0], dec=[1.0, 2.0]), "bad-columns",
         "id holds 18446744073709551615"),
    Case("a type Qsky does not store", "a.parquet", parquet(ra=[1.0], dec=[1.0], t=pa.array([1], pa.duration("s"))),
         "bad-columns", "The column t has the type duration[s]"),
    Case("unknown type", "a.csv", GOOD, "bad-columns", "'REAL8' is not a type", {"types": {"id": "REAL8"}}),
    Case("type of no column", "a.csv", GOOD, "no-such-column", "no column idd", {"types": {"idd": "BIGINT"}}),
    Case("no header", "a.csv", "1,10,20\n2,30,40\n", "bad-columns", "has no header: its first line is 1, 10, 20"),
    Case("wrong number of names", "a.csv", "1,10,20\n", "bad-columns", "has 3 columns, but 2 names were given",
         {"columns": ("ra", "dec")}),
    # -- files
    Case("empty file", "a.csv", "", "corrupt-file", "a.csv is empty"),
    Case("blank file", "a.csv", "\n\n", "no-input", "holds no rows and no header"),
    Case("web page", "a.csv", "<!DOCTYPE html><html>not found</html>", "bad-format", "is a web page"),
    Case("zip archive", "a.csv", b"PK\x03\x04rest", "bad-format", "is a zip archive"),
    Case("unknown format", "a.bin", b"\x01\x02\x03", "bad-format", "The format of"),
    Case("UTF-16", "a.csv", GOOD.encode("utf-16"), "bad-format", "is not UTF-8 text"),
    Case("truncated gzip", "a.csv.gz", gzip.compress(GOOD.encode() * 1000)[:-20], "corrupt-file", "gzip data"),
    Case("damaged gzip", "a.csv.gz", b"\x1f\x8b" + b"garbage" * 9, "corrupt-file", "gzip data"),
    Case("truncated Parquet", "a.parquet", lambda: parquet(ra=[1.0], dec=[1.0])()[:-30], "corrupt-file",
         "a.parquet cannot be read"),
    Case("damaged Parquet", "a.parquet", damaged_parquet, "corrupt-file", "a.parquet cannot be read: it is damaged ("),
    Case("no Parquet", "a.parquet", "ra,dec\n1,1\n", "corrupt-file",
         "a.parquet cannot be read: it is no Parquet file or its end is missing."),
    Case("truncated FITS", "a.fits", lambda: long_fits()[:-2880], "corrupt-file", "it ends before its last row"),
    Case("FITS cut in its header", "a.fits", lambda: long_fits()[:3000], "corrupt-file", "a.fits cannot be read"),
    Case("FITS without a table", "a.fits", lambda: long_fits()[:2880], "bad-format", "holds no table"),
    Case("no such HDU", "a.fits", long_fits, "bad-format", "HDU 7 of", {"hdu": 7}),
    Case(
         "truncated FITS.gz", "a.fits.gz", lambda: gzip.compress(long_fits())[:-9], "corrupt-file", "gzip data end early"),
    Case("truncated VOTable", "a.vot", lambda: votable()[:-60], "corrupt-file",
         "its XML is damaged or cut off in line 19"),
    Case(
         "damaged VOTable", "a.vot", lambda: votable().replace(b"</TD>", b"", 1), "corrupt-file", "a.vot cannot be read"),
    Case("no such table", "a.vot", votable, "bad-format", "has no table 3.", {"table": 3}),
    # -- right results
    Case("allowed rejects", "a.csv", "id,ra,dec\n1,1,1\n2,2,92\n", "", "line 3: dec is 92", refused=1, rejects_max=1),
    Case("no more than allowed", "a.csv", "id,ra,dec\n" + "1,1,95\n" * 3, "too-many-rejects", "3 rows were refused",
         rejects_max=2),
    Case("masked VOTable", "a.vot", votable, "", "row 2: ra is NULL", refused=1, rejects_max=9),
    Case("sentinels", "a.csv", "id,ra,dec,z\n1,1,1,-999\n2,2,2,-999.0\n", "", "", {"nulls": ("-999",)},
         rows={"id": [1, 2], "z": [None, None]}),
    Case("odd names", "a.csv", "ra,dec,V-Mag,μ,select,MiXed,a b\n1,2,3,4,5,6,7\n", "", "",
         rows={"ra": [1], "dec": [2], "V-Mag": [3], "μ": [4], "select": [5], "MiXed": [6], "a b": [7]}),
    Case("ra is wrapped", "a.csv", "ra,dec\n360,1\n-10,2\n370,3\n-0.0,4\n720,5\n", "", "",
         rows={"ra": [0, 350, 10, 0, 0], "dec": [1, 2, 3, 4, 5]}),
    Case("the poles are on the sky", "a.csv", "ra,dec\n0,90\n0,-90\n", "", "", rows={"dec": [90, -90]}),
    Case("NaN beside the position", "a.parquet", parquet(ra=[1.0], dec=[2.0], mag=[np.nan]), "", "",
         rows={"mag": [None]}),
]
# fmt: on


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_bad_input(case: Case, tmp_path: Path) -> None:
    path = write(tmp_path, case.name, case.bytes())
    if case.code:
        with pytest.raises(QskyError) as caught:
            read([path], tmp_path, rejects_max=case.rejects_max, **case.options)
        assert case.message in caught.value.message
        assert caught.value.code.name == case.code
        assert str(path.name) in caught.value.message or case.code in ("no-such-column", "bad-columns")
        assert_well_said(caught.value)
        return
    done = read([path], tmp_path, rejects_max=case.rejects_max, **case.options)
    assert done.rejects.count == case.refused
    assert not case.refused or case.message in done.rejects.examples[0]
    assert done.rejects.path.exists() == bool(case.refused)
    assert {name: done.values(name) for name in case.rows} == case.rows


OPTIONS = set(re.findall(r"--[a-z-]+", CliRunner().invoke(app, ["load", "--help"]).stdout))


def assert_well_said(error: QskyError) -> None:
    """A sentence with its full stop, a hint with another, and no option that `qsky load` does not have."""
    assert re.fullmatch(r"[\w'].*[^.]\.", error.message, re.DOTALL), error.message
    assert re.fullmatch(r"[A-Z].*[^.]\.", error.hint), error.hint
    assert set(re.findall(r"--[a-z-]+", error.message + error.hint)) <= OPTIONS
