"""A sky for ADQL: the tables of the engine's tests and one with units, quoted names, texts, times; DuckDB over the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.engine import Engine
from tests.engine.conftest import make_sky, plain_duckdb
from tests.engine.made_sky import MadeSky, clustered, random_tiling

_SEED = 2
_ROWS = 160
_UNITS = {"V-Mag": "mag", "pmra": "mas/yr", "dist": "pc", "wave": "nm", "Strange": "furlong"}
_NOTES = ("alpha#beta#gamma", "50%", "a_b", "It's", "Alpha Centauri", "aXb", "", "na\u00efve", None)
_NAMED_STARS = 5

# What ADQL's geometry means, from the definitions: no text of these is the engine's.
_ORACLE_MACROS = (
    """CREATE MACRO sep(ra1, dec1, ra2, dec2) AS degrees(2 * asin(least(1, sqrt(
        pow(sin(radians(dec2 - dec1) / 2), 2)
        + cos(radians(dec1)) * cos(radians(dec2)) * pow(sin(radians(ra2 - ra1) / 2), 2)))))""",
    # whether a position is on the left of the great circle from the first place to the second
    """CREATE MACRO leftof(ra, dec, ra1, dec1, ra2, dec2) AS
        cos(radians(dec)) * cos(radians(ra)) * (cos(radians(dec1)) * sin(radians(ra1)) * sin(radians(dec2))
            - sin(radians(dec1)) * cos(radians(dec2)) * sin(radians(ra2)))
        + cos(radians(dec)) * sin(radians(ra)) * (sin(radians(dec1)) * cos(radians(dec2)) * cos(radians(ra2))
            - cos(radians(dec1)) * cos(radians(ra1)) * sin(radians(dec2)))
        + sin(radians(dec)) * (cos(radians(dec1)) * cos(radians(ra1)) * cos(radians(dec2)) * sin(radians(ra2))
            - cos(radians(dec1)) * sin(radians(ra1)) * cos(radians(dec2)) * cos(radians(ra2))) >= 0""",
)


def _stars(rng: np.random.Generator) -> pa.Table:
    ra, dec = clustered(rng, _ROWS)
    start = datetime(2020, 1, 1)
    return pa.table(
        {
            "id": rng.permutation(_ROWS).astype(np.int64) + 1,
            "ra": ra,
            "dec": dec,
            "V-Mag": pa.array(rng.normal(12, 3, _ROWS), mask=rng.random(_ROWS) < 0.1),
            "order": pa.array(rng.integers(-5, 6, _ROWS).astype(np.int32)),
            "Class": pa.array([("O", "B", "a", "A", None)[i % _NAMED_STARS] for i in range(_ROWS)]),
            "pmra": rng.normal(0, 100, _ROWS),
            "dist": pa.array(rng.uniform(1, 500, _ROWS).astype(np.float32)),
            "wave": rng.uniform(300, 900, _ROWS),
            "Strange": rng.uniform(0, 1, _ROWS),
            "unit": rng.uniform(-1, 1, _ROWS),
            "note": pa.array([_NOTES[i % len(_NOTES)] for i in range(_ROWS)]),
            "seen": pa.array([start + timedelta(hours=7 * i) for i in range(_ROWS)], pa.timestamp("us")),
            "ok": pa.array([i % 3 == 0 for i in range(_ROWS)], mask=rng.random(_ROWS) < 0.1),
            "n": pa.array(rng.integers(0, 40, _ROWS).astype(np.int16), mask=rng.random(_ROWS) < 0.05),
        }
    )


def _with_units(sky: MadeSky, name: str) -> None:
    database, table_name = name.split(".")
    old = sky.snapshots[database][table_name]
    columns = tuple(replace(c, unit=_UNITS.get(c.name, c.unit)) for c in old.table.columns)
    sky.snapshots[database][table_name] = replace(old, table=replace(old.table, columns=columns))


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> MadeSky:
    made = make_sky(tmp_path_factory.mktemp("adql"), _SEED)
    rng = np.random.default_rng(_SEED)
    made.director("db.star", _stars(rng), random_tiling(rng, 2), overlap_arcsec=1800.0)
    _with_units(made, "db.star")
    return made


@pytest.fixture(scope="session")
def engine(sky: MadeSky) -> Iterator[Engine]:
    settings = Settings(threads=2, fragment_bytes_target=8000, fragment_chunks_max=2)
    with Engine(cast(Catalog, sky), settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def oracle(sky: MadeSky) -> Iterator[duckdb.DuckDBPyConnection]:
    with plain_duckdb(sky, _ORACLE_MACROS) as connection:
        connection.execute("SET schema = 'db'")
        yield connection
