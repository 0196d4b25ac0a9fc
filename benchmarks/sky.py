"""The job that makes what everybody reads: Parquet files of a synthetic sky, and a user's catalogue of a part of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.place import SOURCES_PER_OBJECT, USER_SHARE, Place
from benchmarks.questions import IDS

_JITTER_ARCSEC = 0.3  # how well the user measured


def make(place: Place) -> dict[str, Any]:
    """Files of objects, sources and the user's positions; ids to look up are kept as a fact."""
    from qsky.config import Settings
    from qsky.events import silent
    from qsky.ingest.synth import SkyPlan, write_sky

    write_sky(SkyPlan(place.objects, SOURCES_PER_OBJECT), place.inside("files"), Settings(), silent)
    rows = sum(_write_user(place, number, file) for number, file in enumerate(place.files("object")))
    ids = pq.read_table(place.files("object")[0], columns=["objectId"])["objectId"]
    place.tell("ids", {"ids": [ids[at].as_py() for at in range(0, len(ids), max(1, len(ids) // IDS))][:IDS]})
    return {"answer": {"user_rows": rows}}


def _write_user(place: Place, number: int, file: str) -> int:
    """The user's positions of every fourth object of a file, with errors as Gaussian as his seeing."""
    objects = pq.read_table(file, columns=["objectId", "coord_ra", "coord_dec"])
    objects = objects.take(np.arange(0, len(objects), USER_SHARE))
    random = np.random.default_rng(number)
    ra, dec = objects["coord_ra"].to_numpy(), objects["coord_dec"].to_numpy()
    east, north = random.normal(0, _JITTER_ARCSEC / 3600, (2, len(ra)))
    moved = np.clip(dec + north, -90, 90)
    user = {
        "id": np.arange(len(ra)) + (number << 32),
        "ra": (ra + east / np.maximum(np.cos(np.radians(dec)), 1e-6)) % 360,
        "dec": moved,
    }
    pq.write_table(pa.table(user), place.inside("files") / f"user-{number:05d}.parquet")
    return len(ra)
