"""Random skies from load to answer: each row in one chunk, overlaps complete, all pairs as a k-d tree finds them.

Positions gather where mistakes would: at the poles, at ra = 0, at the corners of base cells, on one point, in ragged
and disjoint footprints, in single rows. Every sky is loaded and most are appended to, often beyond the first
footprint; some have children, some are compacted, some are joined with a director of another tiling. Truth comes from
distances between all pairs and from random points, never from the code that chose the copies or joined them.
500 seeds in `make test`, 5,000 in `make test-long`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from qsky.catalog.snapshot import Tiling
from qsky.config import Settings
from qsky.engine import Engine
from qsky.ingest.compact import compact
from qsky.sky.healpix import cells_of
from qsky.storage.keyindex import Keys, lookup
from tests.ingest.loaded import Root

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SEEDS_AT_ONCE = 25
SEEDS = 500
SEEDS_LONG = 5000
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # thousands of small folders; disks are slow at that


@dataclass(frozen=True)
class World:
    """One root and one engine for all seeds; each is a database of its own."""

    root: Root
    engine: Engine


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        root = Root(Path(folder))
        with Engine(root.catalog, Settings(threads=1)) as engine:
            yield World(root, engine)


@pytest.fixture(autouse=True)
def without_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about power cuts."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


def footprint(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Some positions of one kind, in degrees."""
    kind = rng.integers(0, 8)
    if kind == 0:  # the whole sphere
        return rng.random(count) * 360, np.degrees(np.arcsin(rng.random(count) * 2 - 1))
    if kind == 1:  # around a pole, the pole itself among them
        dec = 90 - rng.random(count) ** 2 * rng.choice([0.01, 2.0, 40.0])
        dec[0] = 90
        return rng.random(count) * 360, dec * rng.choice([-1, 1])
    if kind == 2:  # along the meridian, on both sides of ra = 0
        return rng.normal(0, rng.choice([0.001, 1.0]), count) % 360, rng.uniform(-90, 90, count)
    if kind == 3:  # one point
        return np.full(count, rng.choice([0.0, 45.0, 359.999])), np.full(count, rng.choice([0.0, 41.8103, -90.0]))
    if kind == 4:  # the corners of base cells, where a pixel has seven neighbours
        return heaps(
            rng, count, 45.0 * rng.integers(0, 8, 1), rng.choice([-41.8103148957786, 0.0, 41.8103148957786], 1)
        )
    centres = rng.integers(1, 5)  # ragged or disjoint heaps
    return heaps(rng, count, rng.random(centres) * 360, np.degrees(np.arcsin(rng.random(centres) * 2 - 1)))


def heaps(rng: np.random.Generator, count: int, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
    """Positions around some centres, in degrees."""
    which = rng.integers(0, len(ra), count)
    width = rng.choice([0.05, 1.0, 6.0])
    found = np.clip(dec[which] + rng.normal(0, width, count), -90, 90)
    return (ra[which] + rng.normal(0, width, count) / np.maximum(0.02, np.cos(np.radians(found)))) % 360, found


def rows_of(rng: np.random.Generator, count: int, first: int) -> pa.Table:
    ra, dec = footprint(rng, count)
    return pa.table({"id": rng.permutation(count) + first, "ra": ra, "dec": dec})


def unit_vectors(ra: Floats, dec: Floats) -> Floats:
    """Shape (n, 3)."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)


def nearby(rng: np.random.Generator, vectors: Floats, radius_rad: float) -> Floats:
    """A point at most `radius_rad` from each vector, half of them nearly as far as that; shape (n, 3)."""
    sideways = np.cross(vectors, rng.normal(size=vectors.shape))
    sideways /= np.linalg.norm(sideways, axis=1)[:, None]
    angle = radius_rad * np.where(rng.random(len(vectors)) < 0.5, 0.999999, rng.random(len(vectors)))[:, None]
    return vectors * np.cos(angle) + sideways * np.sin(angle)


def cells_of_vectors(vectors: Floats) -> Ints:
    ra = np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])) % 360
    return cells_of(ra, np.degrees(np.arcsin(np.clip(vectors[:, 2], -1, 1))))


def assert_right(root: Root, truth: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Everything a director promises, for the rows of `truth`; its stored rows."""
    opened = root.table("star")
    tiling, stored, overlap = opened.tiling, root.rows("star"), root.rows("star", overlap=True)
    assert tiling is not None
    assert stored.select(truth.column_names).sort_by("id").equals(truth), "each row once, unchanged"
    cells, ids = stored["_healpix_29"].to_numpy(), stored["id"].to_numpy()
    assert np.array_equal(cells, cells_of(stored["ra"].to_numpy(), stored["dec"].to_numpy()))
    leaves = tiling.leaf_of(cells)
    assert np.array_equal(tiling.starts[leaves], stored["leaf"].to_numpy()), "in the chunk it belongs to"
    assert_index(root, ids, cells)
    assert_overlap(rng, tiling, stored, overlap, np.radians(opened.table.overlap_arcsec / 3600))
    return stored


def assert_index(root: Root, ids: Ints, cells: Ints) -> None:
    segments = root.table("star").table.index
    places, found = lookup(root.catalog.store(root.database).folder, segments, Keys(ids))
    assert np.array_equal(places, np.arange(len(ids))) and np.array_equal(found, cells)
    assert sum(segment.rows for segment in segments) == len(ids)


def assert_overlap(
    rng: np.random.Generator, tiling: Tiling, stored: pa.Table, overlap: pa.Table, radius_rad: float
) -> None:
    """Whoever stands in a chunk finds every row within the radius in it or in its overlap, and none twice."""
    ids = stored["id"].to_numpy()
    leaves = tiling.leaf_of(stored["_healpix_29"].to_numpy())
    leaf_of_id = dict(zip(ids.tolist(), leaves.tolist(), strict=True))
    held = (
        list(zip(tiling.leaf_of(overlap["leaf"].to_numpy()).tolist(), overlap["id"].to_pylist(), strict=True))
        if overlap.num_rows
        else []
    )
    copies = set(held)
    assert len(copies) == len(held), "no copy twice"
    assert all(leaf_of_id[key] != leaf for leaf, key in copies), "only rows of other chunks"
    if overlap.num_rows:
        whole = stored.drop_columns(["leaf"]).sort_by("id")
        places = np.searchsorted(np.sort(ids), overlap["id"].to_numpy())
        assert overlap.drop_columns(["leaf"]).equals(whole.take(pa.array(places))), "copies are the rows"
    if radius_rad == 0:
        assert not copies
        return
    vectors = unit_vectors(stored["ra"].to_numpy(), stored["dec"].to_numpy())
    near = np.argwhere(np.linalg.norm(vectors[:, None] - vectors[None], axis=2) <= 2 * np.sin(radius_rad / 2) - 1e-12)
    wanted = {(int(leaves[a]), int(ids[b])) for a, b in near if leaves[a] != leaves[b]}
    for _ in range(3):  # any point of any chunk, be it empty
        stands = tiling.leaf_of(cells_of_vectors(nearby(rng, vectors, radius_rad)))
        wanted |= {(int(a), int(b)) for a, b, own in zip(stands, ids, leaves, strict=True) if a != own}
    assert wanted <= copies, "complete"


def assert_children(root: Root, stored: pa.Table) -> None:
    """Each child lies in the chunk of its director, if that is known; none is lost."""
    directors = dict(zip(*stored.select(["id", "leaf"]).to_pydict().values(), strict=True))
    children = root.rows("det")
    at = zip(*children.select(["star", "leaf"]).to_pydict().values(), strict=True)
    assert all(directors.get(key, leaf) == leaf for key, leaf in at)


def assert_pairs(world: World, left: pa.Table, other: str, right: pa.Table, radius_deg: float) -> None:
    """The join of `star` with a table gives the pairs of a k-d tree, each once; ids are places in `left` and `right`.

    Pairs within rounding of the radius may fall either way.
    """
    database, slack_deg = world.root.database, 1e-9 * (1 + radius_deg)
    near = f"scisql_angSep(a.ra, a.dec, b.ra, b.dec) < {radius_deg!r}"
    answer = world.engine.query(f"SELECT a.id, b.id FROM {database}.star a, {database}.{other} b WHERE {near}").arrow()
    found = answer.column(0).to_numpy() * right.num_rows + answer.column(1).to_numpy()
    assert len(np.unique(found)) == len(found), "no pair twice"
    trees = [cKDTree(unit_vectors(rows["ra"].to_numpy(), rows["dec"].to_numpy())) for rows in (left, right)]
    pairs = trees[0].sparse_distance_matrix(trees[1], chord(radius_deg + slack_deg), output_type="ndarray")
    allowed = pairs["i"] * right.num_rows + pairs["j"]
    assert np.isin(found, allowed).all(), "no pair too far apart"
    assert np.isin(allowed[pairs["v"] < chord(radius_deg - slack_deg)], found).all(), "no pair missing"


def chord(angle_deg: float) -> float:
    return float(2 * np.sin(np.radians(angle_deg) / 2))


def settings_for(rng: np.random.Generator, rows: int, overlap_arcsec: float) -> Settings:
    """A load into one chunk, a few, or for one sky in 25 as many as there can be."""
    share = rng.choice([1, 2, 4, rows], p=[0.4, 0.4, 0.16, 0.04])
    return Settings(
        threads=1,
        chunk_rows_max=max(1, rows // share),
        overlap_arcsec=overlap_arcsec,
        tiling_order_max=int(rng.integers(0, 11)),
        load_batch_rows=int(rng.integers(16, 100)),
        load_memory_bytes_max=16 << 20,
    )


def load_stars(root: Root, rng: np.random.Generator, seed: int, overlap_arcsec: float) -> pa.Table:
    """Load the director of a sky, in one load to three, and maybe children before it is whole; its rows by id."""
    truth = rows_of(rng, int(rng.choice([1, 2, rng.integers(2, 20), rng.integers(2, 60)])), 0)
    root.settings = settings_for(rng, truth.num_rows, overlap_arcsec)
    root.load("star", truth)
    if seed % 10 == 0:
        keys = rng.integers(0, truth.num_rows * 2, rng.integers(1, 40))
        root.child("det", pa.table({"star": keys, "n": np.arange(len(keys))}), "star", "star")
    for _ in range(rng.choice([0, 1, 2], p=[0.5, 0.42, 0.08])):
        more = rows_of(rng, int(rng.choice([1, rng.integers(2, 30)])), truth.num_rows)
        root.load("star", more, "append")
        truth = pa.concat_tables([truth, more])
    return truth.sort_by("id")


def play(world: World, seed: int) -> None:
    """One sky from its first load to its last answer."""
    rng, root = np.random.default_rng(seed), world.root
    root.database = f"sky{seed}"
    overlap_arcsec = float(rng.choice([0.0, 1.0, 60.0, rng.uniform(0, 7200), rng.uniform(0, 7200)]))
    truth = load_stars(root, rng, seed, overlap_arcsec)
    stored = assert_right(root, truth, rng)
    if seed % 25 == 0:
        root.settings = root.settings.with_changes(chunk_rows_max=int(rng.choice([2, 10, 500])))
        wider_arcsec = float(rng.choice([overlap_arcsec, rng.uniform(0, 7200)]))
        compact(root.catalog, root.database, root.settings, overlap_arcsec=wider_arcsec)
        stored = assert_right(root, truth, rng)
    if seed % 10 == 0:
        assert_children(root, stored)
    # Within the overlap, at its very edge, and beyond, where the parts of neighbours are read.
    radius_deg = overlap_arcsec / 3600 * float(rng.choice([0.3, 1, 2, 3])) or float(10.0 ** rng.uniform(-3, 0.5))
    other, others = "star", truth
    if seed % 8 == 1:
        others = rows_of(rng, int(rng.integers(1, 60)), 0).sort_by("id")
        root.settings = settings_for(rng, others.num_rows, float(rng.choice([overlap_arcsec, 600.0])))
        other = "galaxy"
        root.load(other, others)
    assert_pairs(world, truth, other, others, radius_deg)
    if seed % 50 == 0:
        root.assert_clean()


def block(start: int) -> object:
    """A block of seeds as a parameter; the first is run even by `make test-fast`."""
    slow = [pytest.mark.slow] if start else []
    return pytest.param(start, marks=[*slow, pytest.mark.long] if start >= SEEDS else slow)


@pytest.mark.parametrize("first", [block(start) for start in range(0, SEEDS_LONG, SEEDS_AT_ONCE)])
def test_random_skies(world: World, first: int) -> None:
    for seed in range(first, first + SEEDS_AT_ONCE):
        try:
            play(world, seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        finally:
            shutil.rmtree(world.root.catalog.store(world.root.database).folder)
            world.root.catalog.forget(world.root.database)
