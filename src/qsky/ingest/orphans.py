"""Orphans and the directors that arrive later: rows that waited are moved to where their director lies.

Moving takes parts away, which no generation allows (HATS readers list folders), so the child gets a new generation:
its other parts are hard links, only the parts that hold orphans are written anew. A match table whose second end
arrives needs a copy there, so it is placed again as a whole. Called by `ingest.load`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qsky.catalog.model import HEALPIX_COLUMN, IndexSegment, Kind, Revision, Table
from qsky.catalog.snapshot import Parts, Tiling
from qsky.catalog.store import read_parts, read_tiling
from qsky.events import Listener
from qsky.ingest.build import Built
from qsky.ingest.change import made_of
from qsky.ingest.parts import PartRow, PartWriter
from qsky.ingest.place import as_key, own_angle_deg, rounded_up_arcsec
from qsky.ingest.regenerate import linked_parts, matches_placed_again, part_rows_of, read_rows
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
    base: Revision,
    director: Table,
    segments: tuple[IndexSegment, ...],
    tiling: Tiling,
    writer: PartWriter,
    listener: Listener,
) -> Adoption:
    """Place the orphans whose director is among the new keys of `segments`, and the matches that gain an end."""
    tables, rows = [], 0
    for table in base.tables:
        moved = None
        if table.kind is Kind.CHILD and table.director == director.name and table.orphan_rows:
            moved = _adopt_child(writer.store, table, director, segments, tiling, writer)
        elif table.kind is Kind.MATCH and director.name in {end.director for end in table.match}:
            moved = _adopt_matches(base, table, director, segments, writer, listener)
        if moved is not None:
            tables.append(moved)
            rows += table.orphan_rows - moved.orphan_rows
    return Adoption(tuple(tables), rows)


def _adopt_child(
    store: Store, child: Table, director: Table, segments: Sequence[IndexSegment], tiling: Tiling, writer: PartWriter
) -> Table | None:
    """The child with its orphans placed as far as that can be; None if none found its director."""
    parts = _parts(store, child)
    waiting = np.flatnonzero(parts.orphans)
    paths = parts.paths.take(pa.array(waiting)).to_pylist()
    rows = pa.concat_tables([read_rows(store.part(path), child, None) for path in paths]).combine_chunks()
    places, cells = lookup(store.folder, segments, keys_of(as_key(rows[child.key].combine_chunks(), director)))
    if len(places) == 0:
        return None
    new_cells = rows[HEALPIX_COLUMN].to_numpy().copy()
    new_cells[places] = cells
    still = np.ones(rows.num_rows, dtype=bool)
    still[places] = False
    rows = rows.set_column(0, pa.field(HEALPIX_COLUMN, pa.int64()), pa.array(new_cells))
    angle_arcsec = rounded_up_arcsec(own_angle_deg(rows.filter(pa.array(~still)), child, new_cells[~still]))
    next_child = replace(
        child,
        generation=next_generation(store, child),
        own_angle_arcsec_max=max(child.own_angle_arcsec_max, angle_arcsec),
    )
    written = linked_parts(store, next_child, part_rows_of(parts, np.flatnonzero(~parts.orphans)), writer.load)
    for chosen, orphans in ((~still, False), (still, True)):
        written += _write(rows.filter(pa.array(chosen)), next_child, tiling, writer, orphans=orphans)
    return made_of(store, next_child, Built(written, []))


def _parts(store: Store, table: Table) -> Parts:
    return read_parts(store, table.parts, tuple(column.name for column in table.columns))


def _adopt_matches(
    base: Revision,
    table: Table,
    director: Table,
    segments: tuple[IndexSegment, ...],
    writer: PartWriter,
    listener: Listener,
) -> Table | None:
    """The match table placed again if one of the new keys is an end of it; None if not."""
    store, parts = writer.store, _parts(writer.store, table)
    keys = [end.key for end in table.match if end.director == director.name]
    if not any(_holds(store, path, key, director, segments) for key in keys for path in parts.paths.to_pylist()):
        return None
    grown = replace(director, index=director.index + segments)
    directors = {t.name: t for t in base.tables} | {grown.name: grown}
    ends = tuple((directors[end.director], end.key) for end in table.match)
    renewed = replace(table, generation=next_generation(store, table))
    tiling = read_tiling(store, table.tiling)
    return made_of(
        store,
        renewed,
        matches_placed_again(store, renewed, parts, ends, tiling, writer, writer.settings, listener),
    )


def _holds(store: Store, path: str, key: str, director: Table, segments: tuple[IndexSegment, ...]) -> bool:
    """Whether a part has one of the new keys."""
    column = pq.read_table(store.part(path), columns=[key], partitioning=None)[key].combine_chunks().drop_null()
    return len(lookup(store.folder, segments, keys_of(as_key(column, director)))[0]) > 0


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
