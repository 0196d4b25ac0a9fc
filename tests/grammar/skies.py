"""Small skies with every kind of table, each with an engine and with DuckDB over the same rows in one piece.

Their rows lie in few chunks at awkward places, because a fragment costs as much as a hundred rows. Called by `runs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

import duckdb
import numpy as np
import pyarrow as pa

from qsky.catalog.model import Attached, MatchEnd
from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.engine import Engine
from tests.engine.conftest import objects, plain_duckdb, sources
from tests.engine.made_sky import CENTRES, MadeSky, clustered, random_tiling


@dataclass(frozen=True)
class Shape:
    """A sky: how many objects, in which clumps, how deep its chunks, and how its rows are batched."""

    name: str
    objects: int
    clumps: tuple[int, ...]
    order_max: int
    settings: dict[str, int] = field(default_factory=dict)


# three chunks in a fragment, chunks cut in two, everything in one fragment, nothing at all
SHAPES = (
    Shape("batched", 40, (0, 3), 1, {"fragment_chunks_max": 4}),
    Shape("cut", 30, (1, 2), 0, {"fragment_bytes_target": 4000, "fragment_chunks_max": 1}),
    Shape("ragged", 40, (2, 4, 5), 2, {"fragment_chunks_max": 10}),
    Shape("empty", 0, (0,), 0),
)
# which sky a seed asks: the empty one rarely
TURNS = (0, 1, 2, 0, 2, 0, 2, 1, 0, 2, 3)


@dataclass(frozen=True)
class Sides:
    name: str
    engine: Engine
    oracle: duckdb.DuckDBPyConnection


def sky_of(folder: Path, shape: Shape, seed: int) -> MadeSky:
    rng = np.random.default_rng(seed)
    sky, count = MadeSky(folder, rng), shape.objects
    place = partial(clustered, centres=tuple(CENTRES[k] for k in shape.clumps), anywhere_max=2)
    tiling = random_tiling(rng, shape.order_max)
    obj = objects(rng, count, place)
    sky.director("db.obj", obj, tiling, overlap_arcsec=1800.0)
    pool = np.concatenate((obj["id"].to_numpy(), np.array([10_000, 10_001])))
    sky.child("db.src", sources(rng, rng.choice(pool, count * 2), obj, count * 2, place), "obj", key="oid")
    det = sources(rng, rng.choice(pool, count), obj, count, place).drop_columns(["ra", "dec"])
    unknown = pa.array(det["oid"].to_numpy(), mask=rng.random(count) < 0.1)
    sky.child("db.det", det.set_column(1, "oid", unknown), "obj", key="oid", position=False)
    sky.director("other.cat", objects(rng, count // 2, place), random_tiling(rng, shape.order_max), overlap_arcsec=10.0)
    dup = objects(rng, count // 2, place)
    dup = dup.set_column(0, "id", pa.array(rng.integers(0, 20, dup.num_rows)))
    sky.director("db.dup", dup, random_tiling(rng, shape.order_max), unique=False)
    named = objects(rng, count // 2, place)
    named = named.set_column(0, "id", pa.array([f"k'{i}" for i in range(named.num_rows)], pa.string()))
    sky.director("db.named", named, random_tiling(rng, shape.order_max))
    bands = {"band": np.arange(5, dtype=np.int16), "letter": list("ugriz"), "ra": [0.0, 10, 123.4, 45, 45]}
    sky.replicated("db.bands", pa.table({**bands, "dec": [0.0, 90, -20, 41.8, -95.0]}))
    sky.with_column("db.src", "late", "BIGINT")
    _add_cased(sky, obj, shape)
    _add_links(sky, rng)
    _add_bare(sky, objects(rng, count // 2, place), shape)
    return sky


def _add_cased(sky: MadeSky, obj: pa.Table, shape: Shape) -> None:
    """A director beside the objects whose names are compared without regard to case."""
    rng, count = sky.rng, obj.num_rows // 2
    ra = (obj["ra"].to_numpy()[:count] + rng.normal(0, 1e-3, count)) % 360
    dec = np.clip(obj["dec"].to_numpy()[:count] + rng.normal(0, 1e-3, count), -90, 90)
    names = [str(rng.choice(["abc", "AbC", "x", "X", "o'3"])) if k % 9 else None for k in range(count)]
    rows = obj.slice(0, count)
    for place, values in ((0, np.arange(count) * 2), (1, ra), (2, dec), (6, pa.array(names, pa.string()))):
        rows = rows.set_column(place, rows.column_names[place], pa.array(values))
    sky.director("db.cased", rows, random_tiling(rng, shape.order_max))
    old = sky.snapshots["db"]["cased"]
    columns = tuple(replace(c, collation="ci") if c.name == "name" else c for c in old.table.columns)
    sky.snapshots["db"]["cased"] = replace(old, table=replace(old.table, columns=columns))


def _add_links(sky: MadeSky, rng: np.random.Generator) -> None:
    """Links between neighbours, of ends that are NULL or unknown, twice the same, and of objects with objects."""
    objects, cased = (sky.rows[name]["id"].to_pylist() for name in ("db.obj", "db.cased"))
    pairs = [(objects[k], cased[k]) for k in range(len(cased)) if rng.random() < 0.8]
    if cased:
        pairs += [*pairs[:3], (None, cased[0]), (objects[0], None), (None, None), (99, cased[-1])]
    pairs += [(9999, 8888), (9999, None)]
    one, other = zip(*pairs, strict=True)
    rows = {"a": pa.array(one, pa.int64()), "b": pa.array(other, pa.int64()), "n": np.arange(len(pairs))}
    sky.match("db.link", pa.table(rows), (MatchEnd("obj", "a"), MatchEnd("cased", "b")))


def _add_bare(sky: MadeSky, rows: pa.Table, shape: Shape) -> None:
    """A catalogue attached where it lies: without margin and index."""
    sky.director("bare.star", rows, random_tiling(sky.rng, shape.order_max), overlap_arcsec=0.0)
    made = sky.snapshots["bare"]["star"]
    sky.snapshots["bare"]["star"] = replace(made, table=replace(made.table, attached=Attached(made.folder), index=()))


@contextmanager
def sides(folder: Path) -> Iterator[tuple[Sides, ...]]:
    """Every sky with its engine and its oracle."""
    with ExitStack() as stack:
        made = []
        for seed, shape in enumerate(SHAPES):
            sky = sky_of(folder / shape.name, shape, seed + 1)
            settings = Settings(threads=2, **shape.settings)
            engine = stack.enter_context(Engine(cast(Catalog, sky), settings))
            whole = stack.enter_context(plain_duckdb(sky))
            made.append(Sides(shape.name, engine, whole))
        yield tuple(made)
