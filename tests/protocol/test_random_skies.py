"""Random skies through load and query: each row in one chunk, overlaps complete by brute force, all pairs as a k-d tree.

Poles, ra = 0, ragged and disjoint footprints, appends into empty sky, one position many times, single rows, and a
second director with another tiling. 100 seeds in `make test`, 5,000 in `make test-long`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.spatial import cKDTree

from qsky.catalog.model import Kind
from qsky.catalog.snapshot import TableSnapshot
from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.engine import Engine
from qsky.ingest.load import load
from qsky.ingest.request import LoadRequest

BLOCK = 25
SEEDS = 100
SEEDS_LONG = 5000


@dataclass
class World:
    folder: Path
    catalog: Catalog
    engine: Engine


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("skies")
    catalog = Catalog(folder / "root", create=True)
    with Engine(catalog, Settings(threads=1)) as engine:
        yield World(folder, catalog, engine)


def positions(rng: np.random.Generator, rows: int) -> tuple[Any, Any]:
    """Positions of one footprint."""
    kind = rng.integers(0, 7)
    spread = 10.0 ** rng.uniform(-3, 1)
    if kind == 0:
        return rng.random(rows) * 360, np.degrees(np.arcsin(rng.random(rows) * 2 - 1))
    if kind == 1:
        pole = rng.choice([-90.0, 90.0])
        return rng.random(rows) * 360, np.clip(pole - np.sign(pole) * np.abs(rng.normal(0, spread, rows)), -90, 90)
    if kind == 2:
        return rng.normal(0, spread, rows) % 360, np.clip(rng.normal(rng.uniform(-60, 60), spread, rows), -90, 90)
    if kind == 3:
        return np.full(rows, rng.random() * 360), np.full(rows, rng.uniform(-89, 89))
    if kind == 4:
        # The corners of base cells, where a pixel has seven neighbours.
        corner = 45.0 * rng.integers(0, 8), rng.choice([-41.8103148957786, 0.0, 41.8103148957786])
        return (corner[0] + rng.normal(0, spread, rows)) % 360, np.clip(
            corner[1] + rng.normal(0, spread, rows), -90, 90
        )
    if kind == 5:
        half = rows // 2
        ra = np.concatenate([rng.normal(10, spread, half), rng.normal(200, spread, rows - half)]) % 360
        dec = np.concatenate([rng.normal(-30, spread, half), rng.normal(50, spread, rows - half)])
        return ra, np.clip(dec, -90, 90)
    return rng.uniform(350, 370, rows) % 360, rng.uniform(-1.3, 1.3, rows)


def vectors(ra: Any, dec: Any) -> Any:
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def write(world: World, name: str, first: int, ra: Any, dec: Any) -> str:
    path = world.folder / f"{name}-{first}.parquet"
    pq.write_table(pa.table({"id": np.arange(first, first + len(ra)), "ra": ra, "dec": dec}), path)
    return str(path)


def make(world: World, rng: np.random.Generator, database: str, table: str) -> tuple[Any, Any, float]:
    """A director of one to three loads: ids are 0, 1, 2, ...; its positions and overlap (degrees)."""
    overlap_deg = float(rng.choice([0.0, 10.0 ** rng.uniform(-3, 0.3)]))
    settings = Settings(
        threads=1,
        chunk_rows_max=int(rng.integers(1, 60)),
        tiling_order_max=int(rng.integers(1, 11)),
        load_batch_rows=64,
    )
    ra, dec = np.empty(0), np.empty(0)
    for step in range(int(rng.integers(1, 4))):
        rows = int(rng.choice([1, 3, 40, 150]))
        new_ra, new_dec = positions(rng, rows)
        request = LoadRequest(
            database,
            table,
            Kind.DIRECTOR,
            (write(world, f"{database}-{table}", len(ra), new_ra, new_dec),),
            key="id",
            ra="ra",
            dec="dec",
            mode="append" if step else "create",
            overlap_arcsec=None if step else overlap_deg * 3600,
        )
        load(world.catalog, request, settings)
        ra, dec = np.concatenate([ra, new_ra]), np.concatenate([dec, new_dec])
    return ra, dec, overlap_deg


def ids_by_chunk(snapshot: TableSnapshot, *, overlap: bool) -> dict[int, list[int]]:
    parts = snapshot.overlap if overlap else snapshot.parts
    found: dict[int, list[int]] = {}
    for at, address in enumerate(snapshot.addresses(np.arange(len(parts)), overlap=overlap)):
        ids = pq.read_table(address, columns=["id"], partitioning=None)["id"].to_pylist()
        found.setdefault(int(parts.leaf_starts[at]), []).extend(ids)
    return found


def check_chunks(snapshot: TableSnapshot, points: Any, overlap_deg: float) -> None:
    own = ids_by_chunk(snapshot, overlap=False)
    assert sorted(row for rows in own.values() for row in rows) == list(range(len(points)))
    home = {row: chunk for chunk, rows in own.items() for row in rows}
    copies = ids_by_chunk(snapshot, overlap=True)
    for chunk, rows in copies.items():
        assert len(set(rows)) == len(rows)
        assert all(home[row] != chunk for row in rows)
    if overlap_deg == 0:
        assert not copies
        return
    reach = 2 * np.sin(np.radians(overlap_deg) / 2) * (1 - 1e-12)
    for a, b in cKDTree(points).query_pairs(reach):
        for row, other in ((a, b), (b, a)):
            if home[row] != home[other]:
                assert row in copies.get(home[other], []), f"row {row} is missing around the chunk of row {other}"


def pairs_by_tree(a: Any, b: Any, radius_deg: float) -> set[tuple[int, int]]:
    found = cKDTree(a).query_ball_tree(cKDTree(b), 2 * np.sin(np.radians(radius_deg) / 2))
    return {(left, right) for left, rights in enumerate(found) for right in rights}


def check_pairs(world: World, text: str, a: Any, b: Any, radius_deg: float) -> None:
    """The join gives the pairs of the tree, each once; pairs within rounding of the radius may fall either way."""
    rows = world.engine.query(text).arrow()
    found = list(zip(rows.column(0).to_pylist(), rows.column(1).to_pylist(), strict=True))
    assert len(set(found)) == len(found)
    slack = 1e-9 * radius_deg + 1e-9
    assert pairs_by_tree(a, b, max(radius_deg - slack, 0)) - set(found) == set()
    assert set(found) - pairs_by_tree(a, b, radius_deg + slack) == set()


def check_sky(world: World, seed: int) -> None:
    rng = np.random.default_rng(seed)
    database = f"sky{seed}"
    ra, dec, overlap_deg = make(world, rng, database, "one")
    points = vectors(ra, dec)
    check_chunks(world.catalog.snapshot(database).table("one"), points, overlap_deg)
    radius_deg = (
        float(10.0 ** rng.uniform(-3, 0.5)) if overlap_deg == 0 else overlap_deg * float(rng.choice([0.3, 1, 2]))
    )
    near = f"scisql_angSep(a.ra, a.dec, b.ra, b.dec) < {radius_deg!r}"
    check_pairs(
        world, f"SELECT a.id, b.id FROM {database}.one a, {database}.one b WHERE {near}", points, points, radius_deg
    )
    if seed % 3 == 0:
        other_ra, other_dec, _ = make(world, rng, database, "two")
        other = vectors(other_ra, other_dec)
        text = f"SELECT a.id, b.id FROM {database}.one a JOIN {database}.two b ON {near}"
        check_pairs(world, text, points, other, radius_deg)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(SEEDS // BLOCK))
def test_random_skies(world: World, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        check_sky(world, seed)


@pytest.mark.long
@pytest.mark.parametrize("block", range(SEEDS // BLOCK, SEEDS_LONG // BLOCK))
def test_many_more_random_skies(world: World, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        check_sky(world, seed)
