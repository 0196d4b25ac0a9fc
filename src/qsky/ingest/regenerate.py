"""A new generation of a table from parts there are: unchanged parts become hard links, everything else is rewritten.

Called by compaction, restore and the placing of orphans.
"""

from __future__ import annotations

from dataclasses import replace

from qsky.catalog import layout
from qsky.catalog.model import Table
from qsky.catalog.snapshot import NO_KEY, Parts
from qsky.ingest.parts import PartRow
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
