"""The grid of near neighbours, by itself: every pair within reach meets in exactly one cell, whatever the cells' width."""

from __future__ import annotations

import math

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from qsky.plan.model import Grid
from qsky.plan.near import reach_rad, side_rad, tangent_axes, with_grid
from qsky.sky.cover import vectors
from qsky.sql.query import ColumnRef

POSITION = (
    ColumnRef(type="DOUBLE", table="t", column="ra"),
    ColumnRef(type="DOUBLE", table="t", column="dec"),
)
CHUNK = (np.array([7 << 50]), np.array([8 << 50]))


def _meeting(table: pa.Table, reach: float, side: float) -> list[tuple[int, int]]:
    """Pairs that the grid brings together within reach, each as often as it does."""
    axes = tangent_axes(*CHUNK)
    one, other = (with_grid("t", Grid("_qsky_0", POSITION, reach, spread), axes, side) for spread in (False, True))
    gap = " + ".join(f"(a._qsky_0{axis} - b._qsky_0{axis}) ** 2" for axis in "xyz")
    sql = f"SELECT a.id, b.id FROM {one} a, {other} b WHERE a._qsky_0c = b._qsky_0c AND {gap} <= {reach**2!r} ORDER BY ALL"
    with duckdb.connect() as connection:
        connection.register("t", table)
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("radius_deg", [1e-7, 0.01, 1.0, 40.0])
@pytest.mark.parametrize("width", [1.0, 3.0, 4.7, 16.0])
def test_each_pair_within_reach_meets_once(radius_deg: float, width: float) -> None:
    chance = np.random.default_rng(round(width * 10))
    reach = reach_rad(radius_deg)
    spread_deg = min(6 * radius_deg, 60.0)
    ra, dec = 180 + spread_deg * chance.uniform(-1, 1, 300), np.clip(spread_deg * chance.uniform(-1, 1, 300), -90, 90)
    ra[:6], dec[:6] = [0, 360, 90, 45, 45, np.nan], [90, 90, -90, 0, 0, 0]
    table = pa.table({"id": np.arange(300), "ra": ra, "dec": dec})
    points = vectors(ra, dec)
    near = ((points[:, None] - points[None]) ** 2).sum(axis=2) <= reach**2
    assert _meeting(table, reach, reach * width) == list(
        zip(*(places.tolist() for places in np.nonzero(near)), strict=True)
    )


def test_cells_follow_how_dense_rows_lie() -> None:
    reach = reach_rad(2 / 3600)
    per_square_degree = (180 / math.pi) ** 2
    widths = [side_rad(reach, rows * per_square_degree) / reach for rows in (0, 100, 30_000, 300_000, 5_000_000)]
    assert widths == pytest.approx([16, 16, 6.0, 3.0, 1], rel=0.1)
    assert sorted(widths, reverse=True) == widths
