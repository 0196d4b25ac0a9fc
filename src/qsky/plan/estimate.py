"""How many bytes of parts a plan will read, before it runs: of the files it names, the columns it reads.

Called by `explain`, and by `asking` where somebody wants to know beforehand. Pure. It is an estimate: how columns are
compressed is not known, only how wide they are, and row groups that DuckDB skips are counted as if they were read.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qsky.plan.cells import common
from qsky.plan.leaves import meeting, places_in
from qsky.plan.model import Batches, Plan, Reading, Scan
from qsky.plan.spell import scan_width
from qsky.sky.cover import ranges_within


def bytes_estimated(plan: Plan) -> int:
    """Bytes of Parquet that the fragments of a plan will about read."""
    return int(sum(_bytes(reading, scan.batches) * _share(reading) for scan, reading in _readings(plan)))


def bytes_named(plan: Plan) -> int:
    """Bytes of the files that the fragments of a plan name."""
    return sum(_bytes(reading, scan.batches) for scan, reading in _readings(plan))


def _readings(plan: Plan) -> Iterator[tuple[Scan, Reading]]:
    return ((scan, reading) for scan in plan.scans for reading in scan.readings)


def _bytes(reading: Reading, batches: Batches) -> int:
    """Bytes of the files of a reference; those that several fragments read whole count for each."""
    ref, parts = reading.ref, reading.ref.snapshot.parts
    if ref.given or not len(batches):
        return 0
    if reading.role == "whole":
        return int(parts.bytes.sum()) * len(batches)
    if reading.role == "around":
        near = ranges_within(batches.starts, batches.ends, reading.reach_deg) if batches.chunks else None
        return int(parts.bytes[places_in(parts, common(near, reading.cells))].sum()) if batches.chunks else 0
    found = int(parts.bytes[meeting(parts, parts.of_leaves(batches.starts), reading.cells)].sum())
    if reading.role == "overlap":
        overlap = ref.snapshot.overlap
        found += int(overlap.bytes[meeting(overlap, overlap.of_leaves(batches.starts), reading.cells)].sum())
    if batches.orphans:
        found += int(parts.bytes[np.flatnonzero(parts.orphans)].sum())
    return found


def _share(reading: Reading) -> float:
    """The part of a row's width that the columns read take."""
    ref = reading.ref
    stored = {column.name: column.type for column in ref.table.columns}
    read = dict(ref.columns)
    if ref.cell_column:
        stored[ref.cell_column] = "BIGINT"
        if reading.cells is not None:
            read[ref.cell_column] = "BIGINT"
    return scan_width(tuple(read.items())) / max(1, scan_width(tuple(stored.items())))
