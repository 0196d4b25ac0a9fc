"""Make `src/qsky/ingest/density.npz`, the map of the stars that `qsky synth` follows, from a table of counts.

    python scripts/make_density.py chunk_density.parquet

The table holds one row per box of the sky: ra_min, ra_max, dec_min, dec_max in degrees, rows (the stars counted in it)
and area (deg2). The shipped map was made from the real counts of 1,692,919,135 Gaia DR2 sources (ESA/Gaia/DPAC) in
146,332 boxes of 0.28 deg2. Run by hand when the map should change; nothing imports this.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from qsky.sky.healpix import Floats, cells_of

# Points per side of a box: 0.5 deg / 12 is a twentieth of a cell of order 6, so a box is shared fairly among cells.
POINTS = 12
BOXES_AT_A_TIME = 20_000
GAIA = "Gaia DR2 (ESA/Gaia/DPAC), counts of 1,692,919,135 sources in 146,332 boxes"
SHIPPED = Path(__file__).resolve().parents[1] / "src" / "qsky" / "ingest" / "density.npz"


def grid(boxes: dict[str, Floats]) -> tuple[Floats, Floats]:
    """(ra, dec) in degrees of points spread evenly in area over each box; shapes (boxes, POINTS**2)."""
    steps = (np.arange(POINTS) + 0.5) / POINTS
    ra = boxes["ra_min"][:, None] + steps * (boxes["ra_max"] - boxes["ra_min"])[:, None]
    low, high = np.sin(np.radians(boxes["dec_min"])), np.sin(np.radians(boxes["dec_max"]))
    dec = np.degrees(np.arcsin(low[:, None] + steps * (high - low)[:, None]))
    shape = (len(ra), POINTS, POINTS)
    return np.broadcast_to(ra[:, :, None], shape).reshape(-1), np.broadcast_to(dec[:, None, :], shape).reshape(-1)


def density_map(table: Path, order: int) -> Floats:
    """Stars per deg2 in each NESTED cell of `order`; shape (12 * 4**order,)."""
    columns = pq.read_table(table, columns=["ra_min", "ra_max", "dec_min", "dec_max", "rows", "area"])
    boxes = {name: columns[name].to_numpy().astype(np.float64) for name in columns.column_names}
    stars, area = np.zeros((2, 12 << (2 * order)))
    for start in range(0, columns.num_rows, BOXES_AT_A_TIME):
        some = {name: values[start : start + BOXES_AT_A_TIME] for name, values in boxes.items()}
        cells = cells_of(*grid(some), order)
        stars += np.bincount(cells, np.repeat(some["rows"], POINTS**2), minlength=len(stars))
        area += np.bincount(cells, np.repeat(some["area"], POINTS**2), minlength=len(area))
    return stars / area


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the map of the stars that qsky synth follows.")
    parser.add_argument("table", type=Path, help="Parquet file of boxes and their counts")
    parser.add_argument("--order", type=int, default=6, help="HEALPix order of the map")
    parser.add_argument(
        "--source", default="Gaia DR2 (ESA/Gaia/DPAC), counts of 1,692,919,135 sources in 146,332 boxes"
    )
    parser.add_argument("-o", "--output", type=Path, default=SHIPPED)
    given = parser.parse_args()
    per_deg2 = density_map(given.table, given.order)
    # In hundreds per deg2, half precision holds every density of the sky to 0.05%.
    np.savez_compressed(
        given.output,
        hundreds_per_deg2=(per_deg2 / 100).astype(np.float16),
        source=np.array(f"{given.source}; stars in hundreds per deg2, NESTED HEALPix order {given.order}"),
    )


if __name__ == "__main__":
    main()
