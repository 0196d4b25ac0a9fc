"""The real catalogues of `truth.json` as loads, and a sky that loads each of them when a question first names it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import qsky
from qsky.catalog.model import Kind
from qsky.events import LoadReport
from qsky.ingest.request import LoadRequest
from qsky.ingest.source import ReadOptions

# Table -> files and how they are loaded; the files are read as they lie in the folder.
LOADS: Mapping[str, Mapping[str, Any]] = {
    "hip.star": {"files": "hip2/hip2.parquet", "key": "hip", "ra": "ra", "dec": "dec"},
    "hip.tycho": {"files": "tycho2_suppl/tycho2_suppl_1.csv", "key": "tyc", "ra": "ra", "dec": "dec"},
    "hipcsv.star": {"files": "hip2/hip2.csv", "key": "hip", "ra": "ra", "dec": "dec"},
    "asas.object": {"files": "asas_acvs/object.parquet", "key": "objectId", "ra": "ra", "dec": "dec"},
    "asas.source": {"files": "asas_acvs/source.parquet", "kind": Kind.CHILD, "director": "object", "key": "objectId"},
    "ngc.whole": {"files": "openngc/openngc.parquet", "kind": Kind.REPLICATED},
    "ngc.placed": {"files": "openngc/openngc.parquet", "key": "Name", "ra": "ra", "dec": "dec", "rejects_max": 7},
    "ngc.text": {
        "files": "openngc/NGC.csv openngc/addendum.csv",
        "key": "Name",
        "ra": "RA",
        "dec": "Dec",
        "rejects_max": 7,
        "read": ReadOptions(types={"IC": "VARCHAR"}),  # only line 1059 of 14,035 says '4414A'
    },
    "ngc.texts": {"files": "openngc/NGC.csv openngc/addendum.csv", "kind": Kind.REPLICATED},
    "yso.spicy": {"files": "fink_catalogs/spicy.parquet", "ra": "RAdeg", "dec": "DEdeg"},
    "gaia.pleiades": {"files": "pleiades_gaia_dr3/pleiades.fits", "key": "source_id", "ra": "ra", "dec": "dec"},
    "des.head": {"files": "des_sn5yr/DES-SN5YR_DES_HEAD.FITS.gz", "key": "SNID", "ra": "RA", "dec": "DEC"},
    "des.nulled": {
        "files": "des_sn5yr/DES-SN5YR_DES_HEAD.FITS.gz",
        "key": "SNID",
        "ra": "RA",
        "dec": "DEC",
        "read": ReadOptions(nulls=("-999", "-9")),
    },
    "small.object": {"files": "hats_test_data/small_sky", "key": "id"},
    "small.source": {
        "files": "hats_test_data/small_sky_source",
        "kind": Kind.CHILD,
        "director": "object",
        "key": "object_id",
        "ra": "source_ra",
        "dec": "source_dec",
    },
    "density.chunk": {
        "files": "gaia_dr2_density/chunk_density.parquet",
        "key": "chunkId",
        "ra": "ra",
        "dec": "dec",
        "rename": {"rows": "sources"},
    },
    "density.whole": {"files": "gaia_dr2_density/chunk_density.parquet", "kind": Kind.REPLICATED},
    "oph.gaia": {
        "files": "rho_oph_gaia_dr2/sample_oph_cone_r3.5-result.vot",
        "key": "source_id",
        "ra": "ra",
        "dec": "dec",
    },
}


@dataclass(frozen=True)
class Cut:
    """How finely the sky is cut, and how much overlap is stored."""

    name: str
    chunk_rows_max: int
    overlap_arcsec: float


WHOLE = Cut("whole", 1_000_000, 60.0)
CUT = Cut("cut", 4_000, 60.0)  # about a hundred chunks
FINE = Cut("fine", 800, 5.0)  # hundreds of chunks, and less overlap than the questions need


@dataclass
class TruthSky:
    """A root cut in one way. `ask` loads the tables that a question names, then gives the rows of its answer."""

    data: Path
    root: Path
    cut: Cut
    reports: dict[str, LoadReport] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sky = qsky.connect(self.root, chunk_rows_max=self.cut.chunk_rows_max)

    def ask(self, sql: str, lang: str = "mysql") -> list[tuple[Any, ...]]:
        self.load(*(name for name in LOADS if re.search(rf"\b{re.escape(name)}\b", sql)))
        return [tuple(row.values()) for row in self.sky.sql(sql, lang=lang).arrow().to_pylist()]

    def one(self, sql: str) -> tuple[Any, ...]:
        """The only row of the answer."""
        (row,) = self.ask(sql)
        return row

    def load(self, *names: str) -> None:
        for name in names:
            if name not in self.reports:
                self.reports[name] = self.sky.load(self.request(name))

    def request(self, name: str) -> LoadRequest:
        database, table = name.split(".")
        given = dict(LOADS[name])
        read = given.pop("read", ReadOptions(rename=given.pop("rename", {})))
        kind = given.pop("kind", Kind.DIRECTOR)
        files = tuple(str(self.data / file) for file in given.pop("files").split())
        overlap = self.cut.overlap_arcsec if kind is Kind.DIRECTOR else None
        return LoadRequest(database, table, kind, files, overlap_arcsec=overlap, read=read, **given)
