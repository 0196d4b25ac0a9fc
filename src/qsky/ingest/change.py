"""How a table of one revision becomes that of the next: manifests, versions, counts. Called by loads and maintenance.

Side files are written here, under digests; a revision that is never published leaves them to vacuum.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pyarrow as pa

from qsky.catalog import layout
from qsky.catalog.model import IndexSegment, Revision, Table
from qsky.catalog.snapshot import arrow_bytes
from qsky.catalog.store import read_manifest
from qsky.ingest.build import Built
from qsky.ingest.parts import PartRow, manifest_bytes
from qsky.ingest.place import rounded_up_arcsec
from qsky.storage import delta
from qsky.storage.store import Store

_MANIFESTS_MAX: Final = 32


def made_of(store: Store, table: Table, built: Built, index: tuple[IndexSegment, ...] = ()) -> Table:
    """A new generation of a table: exactly these parts, Delta version 0."""
    return replace(
        table,
        parts=_manifests(store, built.parts),
        overlap_parts=_manifests(store, built.overlap),
        delta_version=0,
        overlap_delta_version=0 if table.has_overlap else -1,
        index=index,
        rows=built.rows,
        overlap_rows=built.overlap_rows,
        bytes=built.bytes,
        orphan_rows=built.orphan_rows,
        own_angle_arcsec_max=max(table.own_angle_arcsec_max, rounded_up_arcsec(built.own_angle_deg)),
    )


def added_to(store: Store, base: Table, table: Table, built: Built, index: tuple[IndexSegment, ...] = ()) -> Table:
    """`table` with more parts, in the same generation; `base` is what it was, with perhaps fewer columns."""
    return replace(
        table,
        parts=_joined(store, table.parts + _manifests(store, built.parts)),
        overlap_parts=_joined(store, table.overlap_parts + _manifests(store, built.overlap)),
        delta_version=_next_version(store, base, table, overlap=False),
        overlap_delta_version=_next_version(store, base, table, overlap=True) if table.has_overlap else -1,
        index=table.index + index,
        rows=table.rows + built.rows,
        overlap_rows=table.overlap_rows + built.overlap_rows,
        bytes=table.bytes + built.bytes,
        orphan_rows=table.orphan_rows + built.orphan_rows,
    )


def _next_version(store: Store, base: Table, table: Table, *, overlap: bool) -> int:
    """The version that will hold the new parts: one past the log's end, or two if new columns need one of their own.

    A foreign commit that `verify` has seen is stood on, not overwritten.
    """
    known = base.overlap_delta_version if overlap else base.delta_version
    end = max(known, delta.newest_version(store.path(layout.dataset_path(base, overlap=overlap))))
    return end + (2 if len(table.columns) > len(base.columns) else 1)


def _manifests(store: Store, parts: list[PartRow]) -> tuple[str, ...]:
    return (store.create_side_file("parts", manifest_bytes(parts), "arrow"),) if parts else ()


def _joined(store: Store, manifests: tuple[str, ...]) -> tuple[str, ...]:
    """The manifests, or one that says the same when there are many."""
    if len(manifests) <= _MANIFESTS_MAX:
        return manifests
    whole = pa.concat_tables([read_manifest(store, name) for name in manifests]).unify_dictionaries().combine_chunks()
    return (store.create_side_file("parts", arrow_bytes(whole), "arrow"),)


def replacing(base: Revision, tables: tuple[Table, ...], dropped: frozenset[str] = frozenset()) -> Revision:
    """The revision with tables added or replaced, and others gone."""
    kept = replace(base, tables=tuple(t for t in base.tables if t.name not in dropped))
    for table in tables:
        kept = kept.with_table(table)
    return kept
