"""Where the rows of a list can have neighbours: its positions are known before planning, so the rest is not read.

A list is the rows of stages (a derived table, a UNION ALL of positions, an upload). Called by the rule `prune`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from qsky.catalog.model import Kind
from qsky.catalog.types import INTEGERS
from qsky.plan.cells import of_single
from qsky.plan.draft import Draft
from qsky.plan.model import Cells, Near
from qsky.plan.outer import crossing
from qsky.sky.cover import ranges_within
from qsky.sky.healpix import Floats, cells_of
from qsky.sql.parts import stages_of
from qsky.sql.query import ColumnRef, From, Join, sources_of
from qsky.sql.statement import given_name

# Longer lists lie everywhere, and would make planning slow.
_ROWS_MAX: Final = 20_000


def listed_cells(draft: Draft) -> Iterator[tuple[str, int, Cells]]:
    """(alias, rows of the list, cells) of every reference whose rows must lie near those of a list."""
    inner = (fact for fact in draft.facts if isinstance(fact, Near))
    for near in (*inner, *_kept_lists(draft, draft.query.source)):
        sides = ((near.left, near.left_position), (near.right, near.right_position))
        for (here, position), (there, other) in (sides, sides[::-1]):
            ref = draft.refs[there]
            own = tuple(part.column for part in other if isinstance(part, ColumnRef)) == (ref.table.ra, ref.table.dec)
            if not own or ref.table.kind not in (Kind.DIRECTOR, Kind.CHILD) or not draft.refs[here].given:
                continue
            found = _positions(draft, here, position)
            if found is not None:
                reach_deg = near.radius_deg + ref.table.own_angle_arcsec_max / 3600
                yield there, len(found[0]), ranges_within(*of_single(np.unique(cells_of(*found))), reach_deg)


def _kept_lists(draft: Draft, source: From | None) -> Iterator[Near]:
    """The near joins in which a LEFT JOIN keeps the rows of lists alone, so that it is gathered."""
    if not isinstance(source, Join):
        return
    yield from _kept_lists(draft, source.left)
    yield from _kept_lists(draft, source.right)
    lists = all(not draft.refs[leaf.alias].table.partitioned for leaf in sources_of(source.left))
    if source.kind == "left" and lists:
        # the other side is read less; the list, if it stood there, would lose rows that are kept
        yield from (near for near in crossing(source, draft.refs) if draft.refs[near.left].given)


def _positions(draft: Draft, alias: str, position: tuple[Any, ...]) -> tuple[Floats, Floats] | None:
    """Right ascensions and declinations of a list in degrees; None if they are not known, or no places of the sky."""
    leaf = next(leaf for leaf in sources_of(draft.owner(alias).source) if leaf.alias == alias)
    tables = [draft.given.get(name) for name in map(given_name, stages_of(leaf))]
    if any(table is None or table.num_rows > _ROWS_MAX for table in tables):
        return None
    if not all(isinstance(part, ColumnRef) and _is_number(part.type) for part in position):
        return None
    ra, dec = (np.concatenate([_numbers(table, part.column) for table in tables]) for part in position)
    known = np.isfinite(ra) & np.isfinite(dec)
    ra, dec = ra[known], dec[known]
    return (ra % 360.0, dec) if not (np.abs(dec) > 90).any() else None


def _is_number(kind: str) -> bool:
    return kind in ("DOUBLE", "FLOAT") or kind in INTEGERS or kind.startswith("DECIMAL")


def _numbers(table: Any, column: str) -> Floats:
    """A column of numbers of a stage as doubles, NULL as NaN."""
    values = [np.nan if value is None else float(value) for value in table.column(column).to_pylist()]
    return np.array(values, dtype=np.float64)
