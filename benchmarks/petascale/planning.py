"""The real planner over tables of many chunks that exist on paper only."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from qsky.catalog.model import Column, Kind, Table
from qsky.catalog.snapshot import NO_KEY, NO_PARTS, Parts, TableSnapshot, Tiling
from qsky.cluster.rebalance import wanted
from qsky.cluster.topology import Host, hashes_of, units_of
from qsky.config import Settings
from qsky.plan.planner import plan
from qsky.sky.healpix import range_of
from qsky.sql.bind import bind
from qsky.sql.parse import parse

QUERIES = {
    "cone of 1 arcmin": "SELECT ra, mag FROM object WHERE qserv_areaspec_circle({ra}, 30, 0.0167)",
    "scan of object": "SELECT AVG(mag), COUNT(mag) FROM object WHERE flux > {ra}",
    "scan of source": "SELECT AVG(psf) FROM source WHERE band > {ra}",
    "near neighbours": "SELECT COUNT(*) FROM object a, object b WHERE"
    " scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.0005 AND a.id < b.id AND a.mag > {ra}",
    "object joins source": "SELECT COUNT(*) FROM object o, source s WHERE o.id = s.oid AND o.mag > {ra}",
}
_BIG = [(name, kind) for name, kind in (("id", "BIGINT"), ("ra", "DOUBLE"), ("dec", "DOUBLE"))]


def _parts(order: int, chunks: int, bytes_each: int) -> Parts:
    npix = np.arange(chunks, dtype=np.int64)
    shift = 2 * (29 - order)
    full = np.full(chunks, int(NO_KEY), dtype=np.int64)
    return Parts(
        paths=pa.array(f"Norder={order}/Npix={i}/1-000000-0123456789abcdef.parquet" for i in range(chunks)),
        norder=np.full(chunks, order, dtype=np.uint8),
        npix=npix,
        rows=np.full(chunks, bytes_each // 100, dtype=np.int64),
        bytes=np.full(chunks, bytes_each, dtype=np.int64),
        hp_min=npix << shift,
        hp_max=((npix + 1) << shift) - 1,
        key_min=full,
        key_max=full,
        orphans=np.zeros(chunks, dtype=bool),
        schema_ids=np.zeros(chunks, dtype=np.int32),
        columns=("",),
        lacks=((),),
    )


class _Paper:
    """What bind asks of a catalogue."""

    def __init__(self, chunks: int, petabytes: float) -> None:
        order = next(order for order in range(4, 12) if 12 << (2 * order) >= chunks)
        cells = 12 << (2 * order)
        self.tiling = Tiling(np.full(cells, order, dtype=np.uint8), np.arange(cells, dtype=np.int64))
        columns = tuple(Column(name, kind) for name, kind in (*_BIG, ("mag", "DOUBLE"), ("flux", "DOUBLE")))
        own = tuple(Column(name, kind) for name, kind in (("oid", "BIGINT"), ("psf", "DOUBLE"), ("band", "BIGINT")))
        sky = Table("object", Kind.DIRECTOR, columns, key="id", ra="ra", dec="dec", overlap_arcsec=60.0)
        child = Table("source", Kind.CHILD, own, key="oid", director="object")
        each = int(petabytes * 1e15 / chunks)
        small, large = _parts(order, chunks, each // 50), _parts(order, chunks, each)
        self.snapshots = {
            "object": TableSnapshot("dr", 1, sky, "/r", self.tiling, small, _parts(order, chunks, each // 5000)),
            "source": TableSnapshot("dr", 1, child, "/r", self.tiling, large, NO_PARTS),
        }

    def databases(self) -> list[str]:
        return ["dr"]

    def tables(self, database: str) -> list[str]:
        return sorted(self.snapshots)

    def table(self, database: str, name: str, revision: int | None) -> tuple[Table, int]:
        return self.snapshots[name].table, 1


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def measure_planning(chunks: int, petabytes: float, hosts: list[Host], replicas: int) -> dict[str, Any]:
    """CPU seconds of planning and placing, the fragments of each query, and the memory of it all, in a new process."""
    settings = Settings()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made_s, paper = _timed(lambda: _Paper(chunks, petabytes))
    plans = {}
    for name, text in QUERIES.items():
        query = bind(parse(text.format(ra=17), "mysql", settings), paper, "dr").query
        aliases = {ref.alias: paper.snapshots[ref.table.name] for ref in query.tables}
        tries = [_timed(partial(plan, query, aliases, {}, settings)) for _ in range(2)]
        seconds, made = min(tries, key=_first)
        plans[name] = {"s": seconds, "fragments": made.fragments}
    units_s, units = _timed(lambda: units_of("dr", [paper.tiling], settings.placement_order))
    source = paper.snapshots["source"].parts
    sizes = np.bincount(units.of_leaves(source.norder, source.npix), source.bytes, len(units))
    filled = np.flatnonzero(sizes)
    names = hashes_of([units.name(i) for i in filled.tolist()])
    place_s, placement = _timed(lambda: wanted(names, sizes[filled], hosts, replicas))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "chunks": chunks,
        "made_s": made_s,
        "plans": plans,
        "units": len(filled),
        "units_s": units_s,
        "place_s": place_s,
        "fullest_over_mean": float(placement.loads.max() / placement.loads.mean()),
        "mb": (peak - before) / 1024,
        "leaf": range_of(int(source.norder[0]), 0)[1],
    }


def _first(pair: tuple[float, Any]) -> float:
    return pair[0]
