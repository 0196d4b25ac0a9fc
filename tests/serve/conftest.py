"""A root with a history, and a server of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qsky
from qsky.catalog.model import Kind
from qsky.ingest.request import LoadRequest
from qsky.wire import Sky
from tests.serve.running import Running, serving

STARS = 12_000


def stars(seed: int, rows: int, first: int = 0) -> pa.Table:
    """Stars all over the sky, every second one within 20 arcsec of the one before."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.random(rows) * 360, np.degrees(np.arcsin(rng.random(rows) * 1.9 - 0.95))
    ra[1::2], dec[1::2] = ra[::2], dec[::2] + (rng.random(rows // 2) - 0.5) / 180
    ids = np.arange(first, first + rows)
    return pa.table({"id": ids, "ra": ra, "dec": dec, "mag": rng.random(rows) * 10 + 10})


def load(sky: Sky, name: str, rows: pa.Table, mode: Any = "create", **how: Any) -> None:
    """Rows into a table, by a file that is gone afterwards."""
    database, table = name.split(".")
    kind = how.pop("kind", Kind.DIRECTOR)
    file = Path(sky.root).parent / f"{table}.parquet"
    pq.write_table(rows, file)
    sky.load(LoadRequest(database, table, kind, (str(file),), mode=mode, **how))
    file.unlink()


def fill(root: Path) -> None:
    """sky@1: star, @2: visit, @3: band, @4: stars appended; wide@1: one part of more bytes than sockets hold."""
    with qsky.connect(root, chunk_rows_max=2_000, overlap_arcsec=60.0) as sky:
        load(sky, "sky.star", stars(1, STARS), key="id")
        visits = pa.table({"star": np.repeat(np.arange(STARS), 2), "mjd": np.arange(2 * STARS) / 7})
        load(sky, "sky.visit", visits, kind=Kind.CHILD, director="star", key="star")
        load(sky, "sky.band", pa.table({"band": ["g", "r"], "nm": [480.0, 620.0]}), kind=Kind.REPLICATED)
        load(sky, "sky.star", stars(2, 600, first=STARS), "append", key="id")
    with qsky.connect(root) as sky:
        rng, rows = np.random.default_rng(3), 160_000
        wide = {"id": np.arange(rows), "ra": 10 + rng.random(rows) / 10, "dec": 45 + rng.random(rows) / 10}
        wide |= {f"x{i}": rng.random(rows) for i in range(10)}
        load(sky, "wide.row", pa.table(wide), key="id")


@pytest.fixture(scope="package")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read: tests that change it fill one of their own."""
    root = tmp_path_factory.mktemp("serve") / "root"
    fill(root)
    return root


@pytest.fixture(scope="package")
def server(root: Path) -> Iterator[Running]:
    with serving(root) as running:
        yield running
        assert running.stop() == 0
