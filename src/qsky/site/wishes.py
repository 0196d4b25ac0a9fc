"""Which parts must exist, and where a new one should lie: read from revisions, placed by `cluster`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qsky.catalog.layout import PUBLIC
from qsky.catalog.snapshot import Parts, TableSnapshot, Tiling
from qsky.catalog.store import Catalog, DatabaseSnapshot
from qsky.cluster.orders import WantedPart
from qsky.cluster.topology import Units, everywhere, units_of


def wanted_parts(catalog: Catalog, database: str, numbers: Sequence[int], placement_order: int) -> list[WantedPart]:
    """The parts of some revisions of a database, each once. Raises no-such-database, no-such-revision, damaged."""
    return _of_all([catalog.snapshot(database, number) for number in numbers], database, placement_order)


def wanted_of(snapshot: DatabaseSnapshot, placement_order: int) -> list[WantedPart]:
    """The parts of one revision."""
    return _of_all([snapshot], snapshot.revision.database, placement_order)


def _of_all(opened: Sequence[DatabaseSnapshot], database: str, placement_order: int) -> list[WantedPart]:
    tables = [
        snapshot.table(table.name)
        for snapshot in opened
        for table in snapshot.revision.tables
        if table.attached is None
    ]
    units = units_of(database, _tilings(tables), placement_order)
    names = units.names()
    found: dict[str, WantedPart] = {}
    for table in tables:
        for parts in (table.parts, table.overlap):
            found.update((part.name, part) for part in _wanted(table, parts, units, names))
    return list(found.values())


def _tilings(tables: Sequence[TableSnapshot]) -> list[Tiling]:
    different: list[Tiling] = []
    for table in tables:
        if table.tiling is not None and not any(table.tiling.same_as(other) for other in different):
            different.append(table.tiling)
    return different


def _wanted(table: TableSnapshot, parts: Parts, units: Units, names: list[str]) -> list[WantedPart]:
    folder = f"{PUBLIC}/{Path(table.folder).name}"
    paths, sizes = parts.paths.to_pylist(), parts.bytes.tolist()
    if table.tiling is None:
        return [
            WantedPart(f"{folder}/{path}", size, everywhere(table.database))
            for path, size in zip(paths, sizes, strict=True)
        ]
    places = units.of_leaves(parts.norder.astype(np.uint8), parts.npix)
    return [
        WantedPart(f"{folder}/{path}", size, names[place])
        for path, size, place in zip(paths, sizes, places.tolist(), strict=True)
    ]
