"""Orphans and the directors that arrive later: rows that waited are moved to where their director lies.

Moving takes parts away, which no generation allows (HATS readers list folders), so the child gets a new generation:
its other parts are hard links, only the parts that hold orphans are written anew. Called by `ingest.load`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qsky.catalog.model import HEALPIX_COLUMN, IndexSegment, Kind, Revision, Table
from qsky.catalog.snapshot import Tiling
from qsky.catalog.store import read_parts
from qsky.ingest.build import Built
from qsky.ingest.change import made_of
from qsky.ingest.parts import PartRow, PartWriter
from qsky.ingest.place import as_key
from qsky.ingest.regenerate import linked_parts, part_rows_of
from qsky.ingest.request import next_generation
from qsky.sky.healpix import Ints
from qsky.storage.keyindex import keys_of, lookup
from qsky.storage.store import Store


@dataclass(frozen=True)
class Adoption:
    """The tables whose orphans found their director, in their next state, and how many rows that were."""

    tables: tuple[Table, ...] = field(default=())
    rows: int = 0


def adopt(
    store: Store, base: Revision, director: Table, segments: Sequence[IndexSegment], tiling: Tiling, writer: PartWriter
) -> Adoption:
    """Place the orphans whose director is among the new keys of `segments`."""
    tables, rows = [], 0
    for child in base.tables:
        if child.kind is Kind.CHILD and child.director == director.name and child.orphan_rows:
            moved = _adopt_child(store, child, director, segments, tiling, writer)
            if moved is not None:
                tables.append(moved)
                rows += child.orphan_rows - moved.orphan_rows
    return Adoption(tuple(tables), rows)


def _adopt_child(
    store: Store, child: Table, director: Table, segments: Sequence[IndexSegment], tiling: Tiling, writer: PartWriter
) -> Table | None:
    """The child with its orphans placed as far as that can be; None if none found its director."""
    names = tuple(column.name for column in child.columns)
    parts = read_parts(store, child.parts, names)
    waiting = np.flatnonzero(parts.orphans)
    paths = [store.path(path) for path in parts.paths.take(pa.array(waiting)).to_pylist()]
    rows = pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths], promote_options="default")
    keys = keys_of(as_key(rows[child.key].combine_chunks(), director))
    places, cells = lookup(store.folder, segments, keys)
    if len(places) == 0:
        return None
    new_cells = rows[HEALPIX_COLUMN].to_numpy().copy()
    new_cells[places] = cells
    still = np.ones(rows.num_rows, dtype=bool)
    still[places] = False
    rows = rows.set_column(0, pa.field(HEALPIX_COLUMN, pa.int64()), pa.array(new_cells))
    next_child = replace(child, generation=next_generation(store, child))
    written = linked_parts(store, next_child, part_rows_of(parts, np.flatnonzero(~parts.orphans)), writer.load)
    for chosen, orphans in ((~still, False), (still, True)):
        written += _write(rows.filter(pa.array(chosen)), next_child, tiling, writer, orphans=orphans)
    return made_of(store, replace(next_child, index=()), Built(written, []))


def _write(rows: pa.Table, table: Table, tiling: Tiling, writer: PartWriter, *, orphans: bool) -> list[PartRow]:
    cells: Ints = rows[HEALPIX_COLUMN].to_numpy()
    order = np.argsort(cells, kind="stable")
    leaves = tiling.leaf_of(cells[order])
    written = []
    for leaf in np.unique(leaves):
        chosen = rows.take(pa.array(order[leaves == leaf]))
        name = (int(tiling.orders[leaf]), int(tiling.npix[leaf]))
        written += writer.write(chosen, table, name, orphans=orphans)
    return written
