"""The queries of Qserv's case01, and its tables as loads of Qsky and of MariaDB.

A query's text has lines meant for Qserv alone (`-- withQserv ...`) and lines meant for MySQL alone (`... -- noQserv`):
the first name an area as a restrictor, the second the same area as plain comparisons.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qsky.catalog.model import Kind
from qsky.ingest.request import LoadRequest
from qsky.ingest.source import ReadOptions
from qsky.wire import Sky, connect
from tests.conftest import SHARED
from tests.mariadb import MariaDB

DATABASE: Final = "qcase01"
DATA: Final = SHARED / "qserv_case01"
CHUNK_ROWS_MAX: Final = 10  # 88 objects in 14 chunks
OVERLAP_ARCSEC: Final = 60.012  # Qserv's own: 0.01667 degrees

TABLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "Object": {
        "kind": Kind.DIRECTOR,
        "key": "objectId",
        "ra": "ra_PS",
        "dec": "decl_PS",
        "overlap_arcsec": OVERLAP_ARCSEC,
    },
    "Source": {"kind": Kind.CHILD, "director": "Object", "key": "objectId", "ra": "raObject", "dec": "declObject"},
    **{
        name: {"kind": Kind.REPLICATED}
        for name in (
            "Filter",
            "LeapSeconds",
            "Logs",
            "RefSrcMatch",
            "Science_Ccd_Exposure",
            "SimRefObject",
            "sdqa_Metric",
        )
    },
}


@dataclass(frozen=True)
class Case:
    """One query: `text` as Qserv is asked, `plain` as MySQL is asked without the restrictors of Qserv."""

    name: str
    text: str
    plain: str

    @property
    def ordered(self) -> bool:
        return " ORDER BY " in self.plain.upper()


def cases(group: str) -> dict[str, Case]:
    """The queries of `active` or `refused_by_qserv` by name; none where the data are not on this machine."""
    if not DATA.is_dir():
        return {}
    entries = json.loads((DATA / "queries.json").read_text())[group]
    return {entry["id"]: _case(entry["id"], entry["text"]) for entry in entries}


def _case(name: str, raw: str) -> Case:
    lines = [line.strip() for line in raw.replace("{DBTAG_A}", f"{DATABASE}.").splitlines()]
    mark = "-- withQserv "
    text = [line.removeprefix(mark) for line in lines if not line.endswith("-- noQserv")]
    plain = [re.sub(r"-- noQserv$", "", line) for line in lines]
    return Case(name, _joined(text), _joined(plain))


def _joined(lines: list[str]) -> str:
    """One statement of the lines, without comments and the last semicolon."""
    kept = (re.sub(r"\s--\s.*$", "", line).strip() for line in lines if not line.startswith("--"))
    return " ".join(line for line in kept if line).rstrip("; ")


def load_into_qsky(root: Path) -> Sky:
    """Every table through the public load, with the types and collations of its CREATE TABLE."""
    sky = connect(root, chunk_rows_max=CHUNK_ROWS_MAX)
    for table, given in TABLES.items():
        read = ReadOptions(ddl=DATA / "schema" / f"{table}.schema")
        sky.load(LoadRequest(DATABASE, table, inputs=(str(DATA / f"{table}.tsv.gz"),), read=read, **given))
    return sky


def load_into_mariadb(server: MariaDB, scratch: Path) -> None:
    """Every table whole, as its CREATE TABLE says and LOAD DATA reads; FLOAT columns become DOUBLE of the same values."""
    server.create(DATABASE, {})
    for table in TABLES:
        rows = scratch / f"{table}.tsv"
        rows.write_bytes(gzip.decompress((DATA / f"{table}.tsv.gz").read_bytes()))
        ddl = (DATA / "schema" / f"{table}.schema").read_text()
        load = f"LOAD DATA LOCAL INFILE '{rows}' INTO TABLE `{table}` CHARACTER SET latin1"
        server.run(ddl.strip().rstrip(";"), load, database=DATABASE)
        server.widen_floats(DATABASE, table)
