"""Dropping and restoring: new revisions made of old parts. Nothing is deleted here; only vacuum deletes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qsky.catalog.lease import Lease, leased
from qsky.catalog.model import Provenance, Revision, Table
from qsky.catalog.store import Catalog, read_parts
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Listener, silent
from qsky.ingest.build import Built
from qsky.ingest.change import made_of, replacing
from qsky.ingest.parts import PartRow
from qsky.ingest.publish import Change, discard, new_load_id, publish, settled_revision
from qsky.ingest.regenerate import linked_parts, part_rows_of
from qsky.ingest.request import dependents_of, existing_table, next_generation
from qsky.storage.store import Store


def drop(
    catalog: Catalog, database: str, table: str | None, settings: Settings, listener: Listener = silent
) -> Revision:
    """A revision without the table, or without any. Its parts stay until vacuum; `restore` brings it back till then.

    Raises no-such-database, no-such-table, family-mismatch for a director others point to, load-conflict.
    """
    base = settled_revision(catalog, database)
    names = frozenset(t.name for t in base.tables) if table is None else frozenset({_droppable(base, table).name})
    load = new_load_id()
    change = Change(operation="drop", load=load, apply=lambda current: replacing(current, (), names), writes=names)
    with leased(catalog.store(base.database), Lease(load=load), settings.lease_seconds):
        return publish(catalog, base, change, settings, listener)


def _droppable(base: Revision, name: str) -> Table:
    table = existing_table(base, name)
    if table is None:
        raise QskyError("no-such-table", f"The database {base.database} has no table {name}.")
    dependents = dependents_of(base, table)
    if dependents:
        names = ", ".join(t.name for t in dependents)
        raise QskyError(
            "family-mismatch",
            f"{base.database}.{table.name} is the director of {names} and cannot be dropped before them.",
            hint=f"Drop {names} first.",
        )
    return table


def restore(catalog: Catalog, database: str, number: int, settings: Settings, listener: Listener = silent) -> Revision:
    """A new revision that holds what revision `number` held, in new generations made of links.

    Raises no-such-database, no-such-revision, damaged, load-conflict.
    """
    base = settled_revision(catalog, database)
    old = catalog.revision(database, number)
    store, load = catalog.store(base.database), new_load_id()
    with leased(store, Lease(load=load, revision=number), settings.lease_seconds):
        try:
            tables = tuple(_linked(store, table, load) for table in old.tables)
            touched = frozenset(t.name for t in (*base.tables, *old.tables))
            change = Change(
                operation=f"restore of revision {number}",
                load=load,
                apply=lambda current: replacing(replace(current, tables=()), tables),
                writes=touched,
                provenance=Provenance(options={"revision": number}),
            )
            return publish(catalog, base, change, settings, listener)
        finally:
            discard(catalog, base, load)


def _linked(store: Store, table: Table, load: str) -> Table:
    """The table as a new generation of the same parts."""
    if table.attached is not None:
        return table
    renewed = replace(table, generation=next_generation(store, table))
    parts = _links(store, table, renewed, load, overlap=False)
    overlap = _links(store, table, renewed, load, overlap=True) if table.has_overlap else []
    made = made_of(store, renewed, Built(parts, overlap), table.index)
    return replace(made, key_unique=table.key_unique)


def _links(store: Store, table: Table, renewed: Table, load: str, *, overlap: bool) -> list[PartRow]:
    names = tuple(column.name for column in table.columns)
    parts = read_parts(store, table.overlap_parts if overlap else table.parts, names)
    return linked_parts(store, renewed, part_rows_of(parts, np.arange(len(parts))), load, overlap=overlap)
