"""Where the rows of a list can have neighbours, or rows of their keys: a list is known before planning, so the rest
is not read.

A list is the rows of stages (a derived table, a UNION ALL of positions, an upload). Called by the rule `prune` and by
`planner.probes_of`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from qsky.catalog.model import Kind
from qsky.catalog.types import INTEGERS
from qsky.plan.cells import of_single
from qsky.plan.draft import Draft, binding_predicates
from qsky.plan.model import Cells, Given, Near
from qsky.plan.outer import crossing
from qsky.plan.predicate import KeyIn, Refs, alike, key_in
from qsky.sky.cover import ranges_within
from qsky.sky.healpix import Floats, cells_of
from qsky.sql.parts import stages_of
from qsky.sql.query import (
    Binary,
    ColumnRef,
    Expression,
    From,
    Join,
    Literal_,
    Query,
    SubQuery,
    columns_in,
    conjuncts,
    sources_of,
)
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
    for join in _joins_to_lists(source, draft.refs):
        # the other side is read less; the list, if it stood there, would lose rows that are kept
        yield from (near for near in crossing(join, draft.refs) if draft.refs[near.left].given)


def _joins_to_lists(source: From | None, refs: Refs) -> Iterator[Join]:
    """The LEFT JOINs that keep the rows of small tables alone."""
    if not isinstance(source, Join):
        return
    yield from _joins_to_lists(source.left, refs)
    yield from _joins_to_lists(source.right, refs)
    if source.kind == "left" and all(not refs[leaf.alias].table.partitioned for leaf in sources_of(source.left)):
        yield source


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


# -- keys


def listed_keys(query: Query, refs: Refs, given: Given) -> tuple[KeyIn, ...]:
    """The keys that rows must have to be joined with those of a list, or to be IN one; `refs` by alias."""
    kept = (part for join in _joins_to_lists(query.source, refs) for part in _of_the_right(join))
    found = (_keys_of(predicate, query, refs, given) for predicate in (*binding_predicates(query), *kept))
    return tuple(fact for fact in found if fact is not None)


def _of_the_right(join: Join) -> Iterator[Expression]:
    """The equalities of a kept list's columns with columns of the other side, which is read less."""
    left = {leaf.alias for leaf in sources_of(join.left)}
    for predicate in conjuncts(join.on):
        if isinstance(predicate, Binary) and len({alias for alias, _ in columns_in(predicate)} - left) == 1:
            yield predicate


def _keys_of(predicate: Expression, query: Query, refs: Refs, given: Given) -> KeyIn | None:
    if isinstance(predicate, SubQuery):
        plain = predicate.form == "in" and not predicate.negated and len(predicate.operands) == 1
        if not plain or predicate.stage is None:
            return None
        operand = predicate.operands[0]
        # of text it is not known here whether case counts
        return _keys_in(operand, (predicate.stage,), "c0", refs, given) if operand.type in INTEGERS else None
    if not isinstance(predicate, Binary) or predicate.operator != "=" or predicate.collation:
        return None
    for key, other in ((predicate.left, predicate.right), (predicate.right, predicate.left)):
        if not isinstance(key, ColumnRef) or not isinstance(other, ColumnRef) or not alike(key, other):
            return None
        leaf = next((leaf for leaf in sources_of(query.source) if leaf.alias == other.table), None)
        if leaf is not None and refs[other.table].given and not refs[key.table].given and not other.collation:
            return _keys_in(key, tuple(stages_of(leaf)), other.column, refs, given)
    return None


def _keys_in(key: Expression, stages: tuple[int, ...], column: str, refs: Refs, given: Given) -> KeyIn | None:
    """The values of a list's column as keys, if it is known, not too long, and of the key's own type."""
    tables = [given[name] for name in map(given_name, stages) if name in given]
    known_all = len(tables) == len(stages) and all(table.num_rows <= _ROWS_MAX for table in tables)
    if not isinstance(key, ColumnRef) or not known_all:
        return None
    values = dict.fromkeys(value for table in tables for value in table.column(column).to_pylist())
    kind = int if key.type in INTEGERS else str
    known = tuple(Literal_(type=key.type, value=value) for value in values if isinstance(value, kind))
    return key_in(key, known, refs) if len(known) == len(values.keys() - {None}) else None
