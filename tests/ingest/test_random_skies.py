"""Random skies through real loads: each row in one chunk, overlaps complete by brute force, children with directors.

Positions gather where mistakes would: at the poles, at ra = 0, on one point, in ragged and disjoint footprints. Every
sky is loaded, appended to, often beyond its first footprint, and some are compacted. Truth comes from distances
between all pairs and from random points, never from the code that chose the copies.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from qsky.catalog.snapshot import Tiling
from qsky.config import Settings
from qsky.ingest.compact import compact
from qsky.sky.healpix import cells_of
from qsky.storage.keyindex import Keys, lookup
from tests.ingest.loaded import Root

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SEEDS_AT_ONCE = 25
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # thousands of small folders; disks are slow at that


@pytest.fixture(autouse=True)
def without_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about power cuts."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


def footprint(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Some positions of one kind, in degrees."""
    kind = rng.integers(0, 7)
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
    centres = rng.integers(1, 5)  # ragged or disjoint heaps
    which = rng.integers(0, centres, count)
    ra, dec = rng.random(centres) * 360, np.degrees(np.arcsin(rng.random(centres) * 2 - 1))
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


def assert_right(root: Root, truth: pa.Table, rng: np.random.Generator) -> None:
    """Everything a director promises, for the rows of `truth`."""
    opened = root.table("star")
    tiling, stored, overlap = opened.tiling, root.rows("star"), root.rows("star", overlap=True)
    assert tiling is not None
    assert stored.select(truth.column_names).sort_by("id").equals(truth.sort_by("id")), "each row once, unchanged"
    cells, ids = stored["_healpix_29"].to_numpy(), stored["id"].to_numpy()
    assert np.array_equal(cells, cells_of(stored["ra"].to_numpy(), stored["dec"].to_numpy()))
    leaves = tiling.leaf_of(cells)
    assert np.array_equal(tiling.starts[leaves], stored["leaf"].to_numpy()), "in the chunk it belongs to"
    assert_index(root, ids, cells)
    assert_overlap(rng, tiling, stored, overlap, np.radians(opened.table.overlap_arcsec / 3600))


def assert_index(root: Root, ids: Ints, cells: Ints) -> None:
    segments = root.table("star").table.index
    places, found = lookup(root.catalog.store("sky").folder, segments, Keys(ids))
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


def assert_children(root: Root) -> None:
    """Each child lies in the chunk of its director, if that is known; none is lost."""
    directors = dict(zip(*root.rows("star").select(["id", "leaf"]).to_pydict().values(), strict=True))
    children = root.rows("det")
    at = zip(*children.select(["star", "leaf"]).to_pydict().values(), strict=True)
    assert all(directors.get(key, leaf) == leaf for key, leaf in at)


def play(seed: int, folder: Path) -> None:
    """One sky from its first load to its last."""
    rng = np.random.default_rng(seed)
    overlap = float(rng.choice([0.0, 1.0, 60.0, rng.uniform(0, 7200)]))
    settings = Settings(
        threads=1,
        chunk_rows_max=int(rng.choice([1, 3, 20, 60, 1000])) if seed % 4 else 1 + seed % 7,
        overlap_arcsec=overlap,
        tiling_order_max=int(rng.integers(0, 6)),
        load_batch_rows=int(rng.integers(16, 100)),
        load_memory_bytes_max=16 << 20,
    )
    root = Root(folder, settings)
    truth = rows_of(rng, int(rng.choice([1, 2, rng.integers(2, 60)])), 0)
    root.load("star", truth)
    if seed % 3 == 0:
        keys = rng.integers(0, truth.num_rows * 2, rng.integers(1, 40))
        root.child("det", pa.table({"star": keys, "n": np.arange(len(keys))}), "star", "star")
    more = rows_of(rng, int(rng.integers(1, 40)), truth.num_rows)
    root.load("star", more, "append")
    truth = pa.concat_tables([truth, more])
    assert_right(root, truth, rng)
    if seed % 5 == 0:
        root.settings = settings.with_changes(chunk_rows_max=int(rng.choice([2, 10, 500])))
        wider = float(rng.choice([overlap, rng.uniform(0, 7200)]))
        compact(root.catalog, "sky", root.settings, overlap_arcsec=wider)
        assert_right(root, truth, rng)
    if seed % 3 == 0:
        assert_children(root)
    if seed % 15 == 0:
        root.assert_clean()


def block(start: int) -> object:
    """A block of seeds as a parameter: the first is always run, 500 seeds by `make test`, 5000 by `make test-long`."""
    slow = [pytest.mark.slow] if start else []
    return pytest.param(start, marks=[*slow, pytest.mark.long] if start >= 500 else slow)


@pytest.mark.parametrize("first", [block(start) for start in range(0, 5000, SEEDS_AT_ONCE)])
def test_random_skies(first: int) -> None:
    for seed in range(first, first + SEEDS_AT_ONCE):
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            try:
                play(seed, Path(folder))
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
