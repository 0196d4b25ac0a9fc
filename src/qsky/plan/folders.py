"""The columns that only folders have, `Norder`, `Dir` and `Npix`: the chunk a row lies in, worked out of its cell. Pure.

Called by `plan.spell` where a query asks for them by name. Files need not hold them, and no path is looked at.
"""

from __future__ import annotations

import numpy as np

from qsky.catalog.model import FOLDER_COLUMNS
from qsky.catalog.snapshot import Parts
from qsky.plan.leaves import places_in
from qsky.plan.model import Batch, Reading, Ref
from qsky.sky.cover import ranges_within
from qsky.sky.healpix import Ints
from qsky.sql.statement import quoted

_IN_A_FOLDER = 10_000


def asked_for(ref: Ref) -> bool:
    """Whether a query reads columns that the table does not store."""
    return any(name in FOLDER_COLUMNS for name, _ in ref.columns)


def with_folders(relation: str, reading: Reading, batch: Batch) -> str:
    """The relation with the three columns, for rows of the fragment's chunks and what is read around them."""
    cell = quoted(reading.ref.cell_column)
    order = f"CAST({_order_text(cell, *_chunks(reading, batch))} AS INTEGER)"
    pixel = f'({cell} >> (58 - 2 * "Norder"))'
    ordered = f'SELECT *, {order} AS "Norder" FROM {relation}'
    return f'(SELECT *, {pixel} - {pixel} % {_IN_A_FOLDER} AS "Dir", {pixel} AS "Npix" FROM ({ordered}))'


def _order_text(cell: str, starts: Ints, orders: Ints) -> str:
    """The order of the chunk that has a cell; neighbours of equal order are one step."""
    steps = np.flatnonzero(np.diff(orders)) + 1
    if not len(orders):
        return "0"
    if not len(steps):
        return str(orders[0])
    before = " ".join(f"WHEN {cell} < {starts[step]} THEN {orders[step - 1]}" for step in steps.tolist())
    return f"CASE {before} ELSE {orders[-1]} END"


def _chunks(reading: Reading, batch: Batch) -> tuple[Ints, Ints]:
    """First cells and orders of the chunks whose rows may be read, sorted."""
    parts = reading.ref.snapshot.parts
    if batch.orphans:
        places = np.flatnonzero(parts.orphans)
    elif reading.role == "own":
        places = parts.of_leaves(batch.starts)
    else:
        places = places_in(parts, ranges_within(batch.starts, batch.ends, reading.reach_deg))
    return _sorted(parts, places)


def _sorted(parts: Parts, places: Ints) -> tuple[Ints, Ints]:
    starts, first = np.unique(parts.leaf_starts[places], return_index=True)
    return starts, parts.norder[places][first].astype(np.int64)
