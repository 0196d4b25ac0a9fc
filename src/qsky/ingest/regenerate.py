"""A new generation of a table from parts there are: unchanged parts become hard links, everything else is rewritten.

Called by compaction, restore and the placing of orphans.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qsky.catalog import layout
from qsky.catalog.model import HEALPIX_COLUMN, Table
from qsky.catalog.settle import stored_schema
from qsky.catalog.snapshot import NO_KEY, Parts, Tiling
from qsky.config import Settings
from qsky.events import Listener
from qsky.ingest.build import Built, build_parts
from qsky.ingest.parts import PartRow, PartWriter
from qsky.ingest.place import Placer
from qsky.ingest.publish import scratch_path
from qsky.ingest.runs import Runs
from qsky.sky.healpix import Ints
from qsky.storage.store import Store


def part_rows_of(parts: Parts, places: Ints) -> list[PartRow]:
    """The manifest lines of chosen parts."""
    paths = parts.paths.to_pylist()
    return [
        PartRow(
            path=paths[at],
            norder=int(parts.norder[at]),
            npix=int(parts.npix[at]),
            rows=int(parts.rows[at]),
            bytes=int(parts.bytes[at]),
            hp_min=int(parts.hp_min[at]),
            hp_max=int(parts.hp_max[at]),
            key_min=None if parts.key_min[at] == NO_KEY else int(parts.key_min[at]),
            key_max=None if parts.key_max[at] == NO_KEY else int(parts.key_max[at]),
            orphans=bool(parts.orphans[at]),
            columns=parts.columns[parts.schema_ids[at]],
        )
        for at in places.tolist()
    ]


def linked_parts(
    store: Store, table: Table, parts: list[PartRow], load: str, *, overlap: bool = False
) -> list[PartRow]:
    """Stage parts of an older generation for `table`'s new one, as links; their new manifest lines."""
    dataset = layout.dataset_path(table, overlap=overlap)
    moved = []
    for part in parts:
        name = part.path.rsplit("/", 1)[-1]
        store.link(part.path, f"{layout.staging_path(load)}/{name}")
        folder = f"/{layout.leaf_folder(part.norder, part.npix)}" if table.partitioned else ""
        moved.append(replace(part, path=f"{dataset}{folder}/{name}"))
    return moved


def read_rows(path: object, table: Table, cells: tuple[int, int] | None) -> pa.Table:
    """Rows of a part as the table has its columns now, those in a range of cells; reads only the row groups it must."""
    filters = None if cells is None else (pc.field(HEALPIX_COLUMN) >= cells[0]) & (pc.field(HEALPIX_COLUMN) < cells[1])
    rows = pq.read_table(path, filters=filters, partitioning=None)
    columns = []
    schema = stored_schema(table)
    for field in schema:
        present = field.name in rows.column_names
        columns.append(rows[field.name].cast(field.type) if present else pa.nulls(rows.num_rows, field.type))
    return pa.table(columns, schema=schema)


def matches_placed_again(
    store: Store,
    table: Table,
    parts: Parts,
    ends: tuple[tuple[Table, str], ...],
    tiling: Tiling,
    writer: PartWriter,
    settings: Settings,
    listener: Listener,
) -> Built:
    """The rows of a match table, in `parts`, staged where their ends lie by the directors' present indexes.

    The cell of the other end is not stored, and an end that was unknown may be known now, so every row is placed anew.
    """
    scratch = store.path(scratch_path(writer.load))
    placer = Placer(store, table, ends)
    runs = Runs(scratch / f"rows-{table.name}", held_bytes_max=settings.load_memory_bytes_max // 2)
    numbers = itertools.count()
    for path in parts.paths.to_pylist():
        rows = read_rows(store.part(path), table, None).drop_columns([HEALPIX_COLUMN])
        for batch in rows.to_batches(max_chunksize=settings.load_batch_rows):
            runs.add(next(numbers), placer.place(batch))
    built = build_parts(runs.ranges(), table, tiling, writer, scratch, settings, listener)
    runs.remove()
    return replace(built, own_angle_deg=placer.own_angle_deg)
