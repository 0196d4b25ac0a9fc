"""What LSDB and hats-import are measured at. LSDB reads the files that Qsky wrote, which are HATS catalogues.

It runs with Dask's threads, which need fewer CPU seconds than its processes; every job asks a small question first, so
that what Numba compiles is not charged.
"""

from __future__ import annotations

from typing import Any

import hats
import lsdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.clock import best, each, middle, once
from benchmarks.place import OVERLAP_ARCSEC, Place
from benchmarks.questions import (
    ARCMIN_ARCSEC,
    AVERAGE_COLUMNS,
    BRIGHT_NJY,
    COLUMNS_SHOWN,
    CONES,
    DEGREE_ARCSEC,
    MATCH_ARCSEC,
    PAIRS_ARCSEC,
    PLANS,
)

_POSITIONS = ["objectId", "coord_ra", "coord_dec"]
_CURVE = ["objectId", "midpointMjdTai", "band", "psfFlux"]
_SUMS = pd.DataFrame({"n": [0], "total": [0.0]})


def _objects(place: Place, columns: list[str]) -> Any:
    return lsdb.open_catalog(str(place.hats), columns=columns)


def _sources(place: Place) -> Any:
    return lsdb.open_catalog(str(next(place.hats.glob("source/g*"))), columns=_CURVE)


def load(place: Place) -> dict[str, Any]:
    """hats-import: catalogue and margin; its index pipeline does not run on Python 3.11 with a current Dask."""
    from dask.distributed import Client
    from hats_import import CollectionArguments
    from hats_import.collection.run_import import run

    arguments = (
        CollectionArguments(output_artifact_name="object", output_path=place.inside("hats"), progress_bar=False)
        .catalog(
            input_file_list=place.files("object"),
            file_reader="parquet",
            ra_column="coord_ra",
            dec_column="coord_dec",
        )
        .add_margin(margin_threshold=OVERLAP_ARCSEC, is_default=True)
    )

    def work() -> None:
        with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
            run(arguments, client)

    _, spent = once(work)
    rows = len(hats.read_hats(place.inside("hats") / "object").main_catalog)
    return {"answer": {"rows": rows}, **spent}


def cones_arcmin(place: Place) -> dict[str, Any]:
    return _cones(place, ARCMIN_ARCSEC)


def cones_degree(place: Place) -> dict[str, Any]:
    return _cones(place, DEGREE_ARCSEC)


def _cones(place: Place, radius_arcsec: float) -> dict[str, Any]:
    objects = _objects(place, list(COLUMNS_SHOWN))
    _warm(objects)
    return each(
        [lambda at=at: len(objects.cone_search(*at, radius_arcsec).compute(progress_bar=False)) for at in CONES]
    )


def _warm(catalog: Any) -> None:
    catalog.cone_search(180.0, 0.0, 1.0).compute(progress_bar=False)


def index(place: Place) -> dict[str, Any]:
    """An index of HATS over the ids, which LSDB's lookups need: where the row of each id lies, sorted by id."""
    found = [_keys(str(file), *_leaf(str(file))) for file in place.hats.glob("object/g*/dataset/**/*.parquet")]
    table = pa.concat_tables(found).sort_by("objectId")
    folder = place.inside("index")
    file = folder / "dataset/index/part.00000.parquet"
    file.parent.mkdir(parents=True)
    metadata: list[Any] = []
    pq.write_table(table, file, metadata_collector=metadata, row_group_size=100_000)
    metadata[0].set_file_path("index/part.00000.parquet")
    pq.write_metadata(table.schema, folder / "dataset/_metadata", metadata_collector=metadata)
    pq.write_metadata(table.schema, folder / "dataset/_common_metadata")
    (folder / "hats.properties").write_text(
        f"obs_collection=index\ndataproduct_type=index\nhats_nrows={len(table)}\nhats_index_column=objectId\n"
        f"hats_primary_table_url={place.hats}\nhats_version=v1.0\n"
    )
    return {"answer": {"rows": len(table)}}


def _leaf(file: str) -> tuple[int, int]:
    words = dict(word.split("=") for word in file.split("/") if "=" in word)
    return int(words["Norder"]), int(words["Npix"])


def _keys(file: str, order: int, npix: int) -> pa.Table:
    keys = pq.ParquetFile(file).read(columns=["objectId"])["objectId"]
    return pa.table(
        {
            "objectId": keys,
            "Norder": np.full(len(keys), order, dtype=np.uint8),
            "Npix": np.full(len(keys), npix, dtype=np.uint64),
        }
    )


def ids(place: Place) -> dict[str, Any]:
    return _lookups(place, _objects(place, list(COLUMNS_SHOWN)))


def light_curve(place: Place) -> dict[str, Any]:
    """Sources lie with their objects, so that one index serves both."""
    return _lookups(place, _sources(place))


def _lookups(place: Place, catalog: Any) -> dict[str, Any]:
    indexes = {"objectId": hats.read_hats(place.inside("index"))}
    keys = place.facts()["ids"]

    def look(key: int) -> int:
        return len(catalog.id_search({"objectId": key}, indexes).compute(progress_bar=False))

    return each([lambda key=key: look(key) for key in keys])


def one_column(place: Place) -> dict[str, Any]:
    return _sums(_objects(place, ["i_psfFlux"]), lambda frame: frame["i_psfFlux"])


def average(place: Place) -> dict[str, Any]:
    def kept(frame: Any) -> Any:
        i, r, g = (frame[name] for name in AVERAGE_COLUMNS)
        return i[r.astype("float64") > 2 * g.astype("float64")]

    return _sums(_objects(place, list(AVERAGE_COLUMNS)), kept)


def _sums(catalog: Any, chosen: Any) -> dict[str, Any]:
    """Count and mean of what is chosen of each partition."""

    def partial(frame: Any) -> Any:
        values = chosen(frame)
        return pd.DataFrame({"n": [len(values)], "total": [values.astype("float64").sum()]})

    mapped = catalog.map_partitions(partial, meta=_SUMS)
    found, spent = best(lambda: mapped.compute().sum())
    return {"answer": {"mean": float(found["total"] / found["n"]), "n": int(found["n"])}, **spent}


def pairs(place: Place) -> dict[str, Any]:
    """A catalogue matched with itself: as many neighbours as the densest place has, each pair counted once."""
    objects = _objects(place, _POSITIONS)
    neighbours = place.facts()["neighbours_max"] + 1
    _warm_match(objects, objects)
    matched = objects.crossmatch(
        objects, n_neighbors=neighbours, radius_arcsec=PAIRS_ARCSEC, suffixes=("_a", "_b"), suffix_method="all_columns"
    )

    def count(frame: Any) -> Any:
        return pd.DataFrame({"n": [int((frame["objectId_a"] < frame["objectId_b"]).sum())], "total": [0.0]})

    counted = matched.map_partitions(count, meta=_SUMS)
    found, spent = best(lambda: int(counted.compute()["n"].sum()))
    return {"answer": {"pairs": found}, **spent}


def match(place: Place) -> dict[str, Any]:
    """The nearest object of each of the user's positions; both are opened catalogues with margins."""
    user = lsdb.open_catalog(str(place.root / "public/mine/user.hats"))
    objects = _objects(place, _POSITIONS)
    _warm_match(user, objects)
    matched = user.crossmatch(objects, n_neighbors=1, radius_arcsec=MATCH_ARCSEC, suffixes=("_a", "_b"))
    found, spent = best(lambda: len(matched.compute(progress_bar=False)))
    return {"answer": {"rows": found}, **spent}


def _warm_match(left: Any, right: Any) -> None:
    near = left.cone_search(*CONES[0], ARCMIN_ARCSEC)
    near.crossmatch(right, radius_arcsec=1.0, suffixes=("_a", "_b")).compute(progress_bar=False)


def light_curves(place: Place) -> dict[str, Any]:
    """Sources nested into the bright objects, LSDB's own way to hold light curves."""
    bright = _objects(place, ["objectId", "i_psfFlux"]).query(f"i_psfFlux > {BRIGHT_NJY}")
    joined = bright.join_nested(
        _sources(place), left_on="objectId", right_on="objectId", nested_column_name="lightcurve"
    )

    def points() -> int:
        return int(joined.compute(progress_bar=False)["lightcurve"].nest.flat_length)

    found, spent = best(points)
    return {"answer": {"rows": found}, **spent}


def chunks(place: Place) -> dict[str, Any]:
    """The same 150,000 partitions opened, and cones planned."""
    from benchmarks.partitions import write_partitions

    folder, _ = write_partitions(place)
    _objects(place, _POSITIONS)  # what opening anything imports is not charged
    catalog, spent = once(lambda: lsdb.open_catalog(str(folder)))
    plan = middle([lambda at=at: catalog.cone_search(*at, DEGREE_ARCSEC).npartitions for at in CONES[:PLANS]])
    return {"answer": {"partitions": catalog.npartitions}, **spent, "plan_s": plan}
