"""What PyArrow is measured at: merely decoding the columns that a scan needs, part after part, and writing CSV.

Decoding is the floor of a scan that reads Parquet with it. The answer is worked out outside of what is measured.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.clock import best
from benchmarks.place import Place
from benchmarks.qsky_jobs import Sink, opened, rows_to_write
from benchmarks.questions import AVERAGE_COLUMNS


def one_column(place: Place) -> dict[str, Any]:
    spent = _decoded(place, ["i_psfFlux"])
    flux = _column(place, "i_psfFlux")
    return {"answer": {"mean": pc.mean(flux).as_py(), "n": len(flux) - flux.null_count}, **spent}


def average(place: Place) -> dict[str, Any]:
    spent = _decoded(place, list(AVERAGE_COLUMNS))
    i, r, g = (_column(place, name) for name in AVERAGE_COLUMNS)
    kept = i.filter(pc.greater(r, pc.multiply(g, 2.0)))
    return {"answer": {"mean": pc.mean(kept).as_py(), "n": len(kept)}, **spent}


def _parts(place: Place) -> list[str]:
    return sorted(map(str, place.hats.glob("object/g*/dataset/**/*.parquet")))


def _decoded(place: Place, columns: list[str]) -> dict[str, float]:
    def decode() -> None:
        for part in _parts(place):
            pq.ParquetFile(part).read(columns=columns)

    return best(decode)[1]


def _column(place: Place, name: str) -> pa.ChunkedArray:
    read = [pq.ParquetFile(part).read(columns=[name])[name].cast(pa.float64()) for part in _parts(place)]
    return pa.chunked_array([chunk for column in read for chunk in column.chunks], pa.float64())


def write_csv(place: Place) -> dict[str, Any]:
    with opened(place) as sky:
        rows = rows_to_write(sky).arrow()
    _, spent = best(lambda: pa.csv.write_csv(rows, Sink()))
    return {"answer": {"rows": rows.num_rows}, **spent, "rows_per_cpu_s": rows.num_rows / max(spent["cpu_s"], 1e-6)}
