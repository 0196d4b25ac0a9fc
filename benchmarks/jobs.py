"""The jobs that `make bench` measures, each run in a process of its own; the last line printed is its answer as JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

OVERLAP_ARCSEC = 10.0
CONES = [(266.4 + 0.37 * step, -28.9 + 0.21 * step) for step in range(20)]


def make_sky(folder: Path, objects: int) -> dict[str, Any]:
    """Object files of a synthetic sky, and no sources."""
    from qsky.config import Settings
    from qsky.events import silent
    from qsky.ingest.synth import SkyPlan, write_sky

    files = write_sky(SkyPlan(objects, sources_per_object=0), folder / "files", Settings(), silent)
    return {"files": len(files)}


def _object_files(folder: Path) -> list[str]:
    return sorted(str(path) for path in (folder / "files").glob("object-*.parquet"))


def qsky_load(folder: Path) -> dict[str, Any]:
    import qsky
    from qsky.catalog.model import Kind
    from qsky.ingest.request import LoadRequest

    request = LoadRequest(
        "sky",
        "object",
        Kind.DIRECTOR,
        tuple(_object_files(folder)),
        key="objectId",
        ra="coord_ra",
        dec="coord_dec",
        overlap_arcsec=OVERLAP_ARCSEC,
    )
    with qsky.connect(folder / "root") as sky:
        report = sky.load(request)
    return {"rows": report.rows, "overlap_rows": report.overlap_rows, "chunks": report.chunks}


def hats_import(folder: Path) -> dict[str, Any]:
    """Catalogue and margin; its index pipeline does not run on Python 3.11 with a current Dask, so it is left out."""
    from dask.distributed import Client
    from hats_import import CollectionArguments
    from hats_import.collection.run_import import run

    arguments = (
        CollectionArguments(output_artifact_name="object", output_path=folder / "hats", progress_bar=False)
        .catalog(
            input_file_list=_object_files(folder), file_reader="parquet", ra_column="coord_ra", dec_column="coord_dec"
        )
        .add_margin(margin_threshold=OVERLAP_ARCSEC, is_default=True)
    )
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        run(arguments, client)
    import hats

    return {"rows": len(hats.read_hats(folder / "hats" / "object").main_catalog)}


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return (time.perf_counter() - began) * 1000, found


def qsky_query(folder: Path) -> dict[str, Any]:
    """First time and plan cached, medians over positions and ids; the count is that of the first position."""
    import qsky

    said: dict[str, Any] = {}
    with qsky.connect(folder / "root") as sky:
        ids = sky.sql("SELECT objectId FROM sky.object WHERE MOD(objectId, 9973) = 0 LIMIT 20").arrow()["objectId"]
        wanted = {
            "cone_1arcmin": [f"qserv_areaspec_circle({ra}, {dec}, {1 / 60})" for ra, dec in CONES],
            "cone_1deg": [f"qserv_areaspec_circle({ra}, {dec}, 1)" for ra, dec in CONES],
            "one_id": [f"objectId = {key}" for key in ids.to_pylist()],
        }
        for kind, predicates in wanted.items():
            texts = [f"SELECT objectId, coord_ra, coord_dec, i_psfFlux FROM sky.object WHERE {p}" for p in predicates]
            first = [_timed(lambda text=text: sky.sql(text).arrow()) for text in texts]
            cached = [_timed(lambda text=text: sky.sql(text).arrow())[0] for text in texts for _ in range(3)]
            said[kind] = {
                "rows": sum(found.num_rows for _, found in first),
                "first_ms": round(statistics.median(ms for ms, _ in first), 1),
                "cached_ms": round(statistics.median(cached), 1),
            }
    return said


def lsdb_query(folder: Path) -> dict[str, Any]:
    """Cones on an opened catalogue of Qsky's own files; medians over positions."""
    import lsdb

    warnings.simplefilter("ignore")
    columns = ["objectId", "coord_ra", "coord_dec", "i_psfFlux"]
    catalog = lsdb.open_catalog(str(folder / "root/public/sky/object.hats"), columns=columns)
    said: dict[str, Any] = {}
    for kind, radius_arcsec in (("cone_1arcmin", 60.0), ("cone_1deg", 3600.0)):
        timed = [_timed(lambda at=at, r=radius_arcsec: catalog.cone_search(*at, r).compute()) for at in CONES]
        said[kind] = {
            "rows": sum(len(found) for _, found in timed),
            "warm_ms": round(statistics.median(ms for ms, _ in timed), 1),
        }
    return said


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    folder = Path(given.pop("folder"))
    print(json.dumps(globals()[sys.argv[1]](folder, **given)))
