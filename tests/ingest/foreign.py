"""What the tests of attached catalogues share: the rows of a HATS catalogue by pyarrow alone, and how to compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qsky.wire import Sky

HIDDEN = {"_healpix_29", "healpix13", "Norder", "Dir", "Npix"}


def rows_of(catalogue: Path) -> pa.Table:
    """Every row of a catalogue, file by file, without its columns of places."""
    if (catalogue / "collection.properties").exists():
        catalogue = catalogue / "small_sky_order1"
    files = [f for f in sorted((catalogue / "dataset").rglob("*")) if f.suffix in (".parquet", ".parq") and f.is_file()]
    tables = [pq.ParquetFile(file).read() for file in files]
    table = pa.concat_tables(tables)
    return table.select([name for name in table.column_names if name not in HIDDEN])


def positions(table: pa.Table) -> tuple[str, str]:
    return ("source_ra", "source_dec") if "source_ra" in table.column_names else ("ra", "dec")


def sorted_rows(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist()
    return sorted(rows, key=lambda row: next(iter(row.values())))


def check_every_row(sky: Sky, catalogue: Path, table: str) -> None:
    wanted = rows_of(catalogue)
    answer = sky.sql(f"SELECT * FROM {table}").arrow()
    assert answer.column_names == wanted.column_names
    assert sorted_rows(answer) == sorted_rows(wanted)
    assert sky.table(table).rows == wanted.num_rows
    assert sky.sql(f"SELECT COUNT(*) FROM {table}").scalar() == wanted.num_rows


def check_cone(sky: Sky, catalogue: Path, table: str) -> None:
    ra0, dec0, radius = 310.0, -60.0, 8.0
    rows = rows_of(catalogue)
    ra, dec = positions(rows)
    inside = separation_deg(rows[ra].to_numpy(), rows[dec].to_numpy(), ra0, dec0) <= radius
    assert 0 < inside.sum() < len(inside)
    answer = sky.sql(f"SELECT * FROM {table} WHERE qserv_areaspec_circle({ra0}, {dec0}, {radius})")
    assert sorted_rows(answer.arrow()) == sorted_rows(rows.filter(pa.array(inside)))
    assert answer.facts.chunks_read <= answer.facts.chunks_total


def separation_deg(ra1: Any, dec1: Any, ra2: Any, dec2: Any) -> Any:
    a1, d1, a2, d2 = (np.radians(value) for value in (ra1, dec1, ra2, dec2))
    squared = np.sin((d2 - d1) / 2) ** 2 + np.cos(d1) * np.cos(d2) * np.sin((a2 - a1) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(squared)))
