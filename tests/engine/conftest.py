"""Random skies with every kind of table, an engine over each, and DuckDB over the same rows in one piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import cast

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.engine import Engine
from qsky.sky.functions import MACROS

from .made_sky import MadeSky, clustered, random_tiling

Place = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
SEEDS = (1, 2, 3, 4, 5)
# how the rows are batched: one fragment, several chunks each, one chunk each, chunks cut in many, apart by cells
FRAGMENTS: dict[int, dict[str, int]] = {
    1: {"fragment_bytes_target": 12_000, "fragment_chunks_max": 3},
    2: {"fragment_bytes_target": 4000, "fragment_chunks_max": 1},
    3: {"fragment_chunks_max": 1},
    4: {},
    5: {"fragment_cell_order": 1},
}
SIZES = {1: 300, 2: 120, 3: 500, 4: 0, 5: 150}  # directors' rows by seed; one sky is empty
ORDERS = {1: 1, 2: 1, 3: 3, 4: 2, 5: 2}  # deepest chunks by seed


def objects(rng: np.random.Generator, count: int, place: Place = clustered) -> pa.Table:
    ra, dec = place(rng, count)
    return pa.table(
        {
            "id": rng.permutation(count).astype(np.int64) * 3 - 50,
            "ra": ra,
            "dec": dec,
            "mag": pa.array(rng.normal(20, 2, count), mask=rng.random(count) < 0.1),
            "flux": pa.array(rng.normal(0, 1, count).astype(np.float32)),
            "class": pa.array(rng.integers(0, 4, count).astype(np.int32), mask=rng.random(count) < 0.1),
            "name": pa.array([f"o'{i % 7}" if i % 5 else None for i in range(count)], pa.string()),
        }
    )


def sources(
    rng: np.random.Generator, keys: np.ndarray, whole: pa.Table, count: int, place: Place = clustered
) -> pa.Table:
    """Rows near their objects, some of objects that do not exist, at positions of their own."""
    ra, dec = place(rng, count)
    known = {k: i for i, k in enumerate(whole["id"].to_pylist())}
    at = np.array([known.get(int(k), -1) for k in keys], dtype=np.int64)
    have = at >= 0
    if have.any():
        ra[have] = (whole["ra"].to_numpy()[at[have]] + rng.normal(0, 1e-3, have.sum())) % 360
        dec[have] = np.clip(whole["dec"].to_numpy()[at[have]] + rng.normal(0, 1e-3, have.sum()), -90, 90)
    return pa.table(
        {
            "sid": np.arange(count),
            "oid": keys.astype(np.int64),
            "ra": ra,
            "dec": dec,
            "f": pa.array(rng.normal(5, 3, count), mask=rng.random(count) < 0.2),
            "band": pa.array(rng.integers(0, 6, count).astype(np.int16)),
        }
    )


def make_sky(folder: Path, seed: int) -> MadeSky:
    rng = np.random.default_rng(seed)
    count = SIZES.get(seed, int(rng.integers(0, 200)))
    sky = MadeSky(folder, rng)
    order_max = ORDERS.get(seed, 2)
    tiling = random_tiling(rng, order_max)
    obj = objects(rng, count)
    sky.director("db.obj", obj, tiling, overlap_arcsec=1800.0)
    pool = np.concatenate((obj["id"].to_numpy(), np.array([10_000, 10_001, 10_002])))
    src = sources(rng, rng.choice(pool, count * 3), obj, count * 3)
    sky.child("db.src", src, "obj", key="oid")
    det = sources(rng, rng.choice(pool, count), obj, count).drop_columns(["ra", "dec"])
    sky.child("db.det", det, "obj", key="oid", position=False)
    sky.director("other.cat", objects(rng, count // 2), random_tiling(rng, order_max), overlap_arcsec=10.0)
    dup = objects(rng, count // 2)
    dup = dup.set_column(0, "id", pa.array(rng.integers(0, 20, dup.num_rows)))
    sky.director("db.dup", dup, random_tiling(rng, order_max), unique=False)
    named = objects(rng, count // 2)
    named = named.set_column(0, "id", pa.array([f"k'{i}" for i in range(named.num_rows)], pa.string()))
    sky.director("db.named", named, random_tiling(rng, order_max))
    bands = {"band": np.arange(5, dtype=np.int16), "letter": list("ugriz"), "ra": [0.0, 10, 123.4, 45, 45]}
    sky.replicated("db.bands", pa.table({**bands, "dec": [0.0, 90, -20, 41.8, -95.0]}))
    sky.with_column("db.src", "late", "BIGINT")
    return sky


def plain_duckdb(sky: MadeSky, macros: Iterable[str] = MACROS) -> duckdb.DuckDBPyConnection:
    """The oracle: the same tables, whole."""
    connection = duckdb.connect(config={"threads": 1})
    for macro in macros:
        connection.execute(macro)
    for database in sky.snapshots:
        connection.execute(f"CREATE SCHEMA {database}")
    for name, rows in sky.rows.items():
        connection.register("incoming", rows)
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
        connection.unregister("incoming")
    return connection


@pytest.fixture(
    scope="session",
    params=[pytest.param(seed, marks=[pytest.mark.slow] if seed in (3, 5) else []) for seed in SEEDS],
)
def skies(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, duckdb.DuckDBPyConnection]]:
    sky = make_sky(tmp_path_factory.mktemp("sky"), request.param)
    with (
        Engine(cast(Catalog, sky), Settings(threads=2, **FRAGMENTS[request.param])) as engine,
        plain_duckdb(sky) as oracle,
    ):
        yield engine, oracle
