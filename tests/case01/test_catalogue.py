"""The loaded case01 itself: every row of every table, its columns, and what Qserv shows of its own storage."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import astropy.units as u
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import Latitude, Longitude
from cdshealpix import nested

from qsky.cli.app import run
from qsky.errors import QskyError
from qsky.wire import Sky
from tests.case01.cases import DATA, DATABASE, TABLES, cases
from tests.case01.compare import Row, assert_same_columns, assert_same_multiset, rows_of
from tests.case01.sky_reference import columns_of
from tests.mariadb import MariaDB

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mariadb")]

_CELL_ORDER: Final = 6
_TYPES: Final = {
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "char": "VARCHAR",
    "varchar": "VARCHAR",
    "text": "VARCHAR",
    "binary": "BLOB",
    "varbinary": "BLOB",
    "blob": "BLOB",
    "timestamp": "TIMESTAMP",
}


@pytest.mark.parametrize("table", TABLES)
def test_every_row_is_there(table: str, sky: Sky, reference: MariaDB) -> None:
    answer = sky.sql(f"SELECT * FROM {table}", database=DATABASE).arrow()
    wanted = reference.query(f"SELECT * FROM {table}", database=DATABASE)
    assert_same_columns(answer, wanted)
    assert_same_multiset(rows_of(answer), wanted.rows)


def test_the_sky_is_cut_and_overlaps(sky: Sky) -> None:
    assert sky.chunks(f"{DATABASE}.Object") == sky.chunks(f"{DATABASE}.Source") == 14
    assert sky.table(f"{DATABASE}.Object").overlap_rows == 5


# -- 3008: SHOW COLUMNS FROM Object


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_as_mariadb_shows_them(table: str, sky: Sky, reference: MariaDB) -> None:
    reference.create("declared", {})
    reference.run((DATA / "schema" / f"{table}.schema").read_text().strip().rstrip(";"), database="declared")
    shown = reference.query(f"SHOW FULL COLUMNS FROM {table}", database="declared").rows
    wanted = [(name, _TYPES[kind.split("(")[0]], "ci" if collation else "") for name, kind, collation, *_ in shown]
    have = [(column.name, column.type, column.collation) for column in sky.table(f"{DATABASE}.{table}").columns]
    assert have == wanted


def test_describe_shows_the_columns(sky: Sky, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--root", str(sky.root), "describe", f"{DATABASE}.Object"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = [(words[0], words[1]) for words in lines if len(words) > 1]
    columns = [(column.name, column.type) for column in sky.table(f"{DATABASE}.Object").columns]
    assert [pair for pair in shown if pair in columns] == columns


def test_show_columns_is_refused(sky: Sky) -> None:
    with pytest.raises(QskyError, match=r"^Qsky answers SELECT statements; SHOW is not supported\."):
        sky.sql(cases("active")["3008_showColumns"].text, database=DATABASE)


# -- 2100: SELECT count(*) AS n, AVG(ra_PS), AVG(decl_PS), chunkId FROM Object GROUP BY chunkId


def test_chunk_numbers_of_qserv_are_unknown(sky: Sky) -> None:
    with pytest.raises(QskyError, match=r"^There is no column 'chunkId' in Object\."):
        sky.sql(cases("active")["2100_groupByChunkId"].text, database=DATABASE)


@pytest.mark.parametrize(
    "cell", [f"healpix({_CELL_ORDER}, ra_PS, decl_PS)", f"_healpix_29 >> {2 * (29 - _CELL_ORDER)}"]
)
def test_group_by_cell_of_the_sky(cell: str, sky: Sky, reference: MariaDB) -> None:
    o = columns_of(reference, "Object", "ra_PS", "decl_PS")
    cells = nested.lonlat_to_healpix(Longitude(o["ra_PS"] * u.deg), Latitude(o["decl_PS"] * u.deg), _CELL_ORDER)
    wanted: list[Row] = []
    for number in np.unique(cells):
        ra, dec = (o[name][cells == number] for name in ("ra_PS", "decl_PS"))
        wanted.append((len(ra), float(np.mean(ra)), float(np.mean(dec)), int(number)))
    text = f"SELECT count(*) AS n, AVG(ra_PS), AVG(decl_PS), {cell} AS cell FROM Object GROUP BY cell"
    assert_same_multiset(rows_of(sky.sql(text, database=DATABASE).arrow()), wanted)


def test_group_by_chunk(sky: Sky) -> None:
    text = "SELECT Norder, Npix, count(*) AS n FROM Object GROUP BY Norder, Npix"
    assert_same_multiset(rows_of(sky.sql(text, database=DATABASE).arrow()), _rows_of_chunks(sky.root))


def _rows_of_chunks(root: Path) -> list[Row]:
    """(order, pixel, rows) of the leaves that lie on the disk."""
    found: Counter[tuple[int, int]] = Counter()
    for part in root.glob(f"public/{DATABASE}/Object.hats/Object/*/dataset/Norder=*/Dir=*/Npix=*/*.parquet"):
        order, pixel = (int(folder.name.partition("=")[2]) for folder in (part.parents[2], part.parent))
        found[order, pixel] += pq.read_metadata(part).num_rows
    return [(order, pixel, rows) for (order, pixel), rows in found.items()]
