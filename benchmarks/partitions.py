"""The side files of a HATS catalogue of 150,000 partitions without rows in them: what opening and planning read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.place import Place

PARTITIONS = 150_000
_ORDER = 7
_ROWS_EACH = 100_000
_PROPERTIES = """obs_collection=object
dataproduct_type=object
hats_nrows={rows}
hats_col_ra=coord_ra
hats_col_dec=coord_dec
hats_col_healpix=_healpix_29
hats_col_healpix_order=29
hats_npix_suffix=.parquet
hats_order={order}
hats_version=v1.0
"""


def write_partitions(place: Place) -> tuple[Path, int]:
    """The folder of the catalogue, made if it is not there, and how many partitions it has."""
    folder = place.inside("partitions")
    if folder.exists():
        return folder, PARTITIONS
    (folder / "dataset").mkdir(parents=True)
    lines = (f"{_ORDER},{npix},{_ROWS_EACH}" for npix in range(PARTITIONS))
    (folder / "partition_info.csv").write_text("Norder,Npix,num_rows\n" + "\n".join(lines) + "\n")
    (folder / "hats.properties").write_text(_PROPERTIES.format(rows=PARTITIONS * _ROWS_EACH, order=_ORDER))
    fields = {"_healpix_29": pa.int64(), "objectId": pa.int64(), "coord_ra": pa.float64(), "coord_dec": pa.float64()}
    pq.write_metadata(pa.schema(fields), folder / "dataset/_common_metadata")
    return folder, PARTITIONS
