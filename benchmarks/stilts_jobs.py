"""What STILTS is measured at: the cross-match, from FITS files of positions alone. It holds both catalogues in memory.

Its CPU and wall seconds are those of the whole command, with reading: STILTS is not a server that keeps anything open.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.clock import once
from benchmarks.place import Place
from benchmarks.questions import MATCH_ARCSEC

_HEAP = "6g"
_ROWS = re.compile(r"rows: *(\d+)")


def prepare(place: Place) -> dict[str, Any]:
    """Positions of both catalogues as FITS."""
    columns = {"object": ["objectId", "coord_ra", "coord_dec"], "user": ["id", "ra", "dec"]}
    rows = [_write_fits(place, kind, names) for kind, names in columns.items()]
    return {"answer": {"rows": rows}}


def _write_fits(place: Place, kind: str, names: list[str]) -> int:
    from astropy.table import Table

    rows = pq.ParquetDataset(place.files(kind)).read(columns=names)
    Table({name: rows[name].to_numpy() for name in names}).write(_file(place, kind), overwrite=True)
    return int(rows.num_rows)


def _file(place: Place, kind: str) -> Path:
    return place.inside(f"{kind}.fits")


def match(place: Place) -> dict[str, Any]:
    command = [
        "stilts",
        f"-Xmx{_HEAP}",
        f"-Djava.io.tmpdir={place.inside('tmp')}",
        "tskymatch2",
        f"in1={_file(place, 'user')}",
        f"in2={_file(place, 'object')}",
        "ifmt1=fits",
        "ifmt2=fits",
        "ra1=ra",
        "dec1=dec",
        "ra2=coord_ra",
        "dec2=coord_dec",
        f"error={MATCH_ARCSEC}",
        "find=best1",
        "join=1and2",
        "omode=count",
    ]
    said, spent = once(lambda: subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = _ROWS.search(said)
    if found is None:
        raise SystemExit(f"STILTS said {said[:200]}")
    return {"answer": {"rows": int(found[1])}, **spent}
