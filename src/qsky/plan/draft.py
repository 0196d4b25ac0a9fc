"""What the planner's rules hand on: a query, what is known of its tables, and what the rules before have decided.

Made by `plan.planner.plan`; each rule takes a Draft and gives a Draft. Never leaves the package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from qsky.catalog.model import HEALPIX_COLUMN
from qsky.catalog.snapshot import TableSnapshot
from qsky.config import Settings
from qsky.plan.model import NO_BATCHES, Answers, Batches, Cells, Near, Note, Plan, Reading, Ref, Team
from qsky.plan.predicate import Fact
from qsky.sql.query import Expression, From, Join, Query, TableRef, columns_in, conjuncts


@dataclass(frozen=True)
class Draft:
    """`gather` says why the joins cannot be done inside chunks, "" while they can. `plan` ends the planning."""

    query: Query
    refs: Mapping[str, Ref]
    answers: Answers
    settings: Settings
    notes: tuple[Note, ...] = ()
    facts: tuple[Fact, ...] = ()
    cells: Mapping[str, Cells] = field(default_factory=dict)
    dec_deg: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    teams: tuple[Team, ...] = ()
    nears: tuple[Near, ...] = ()
    gather: str = ""
    readings: Mapping[str, Reading] = field(default_factory=dict)
    batches: Batches = NO_BATCHES
    chunks_total: int = 0
    plan: Plan | None = None

    def fired(self, rule: str, why: str, **changes: object) -> Draft:
        """The draft after a rule did something."""
        return replace(self, notes=(*self.notes, Note(rule, True, why)), **changes)  # type: ignore[arg-type]

    def kept(self, rule: str, why: str) -> Draft:
        """The draft after a rule did nothing."""
        return replace(self, notes=(*self.notes, Note(rule, False, why)))

    @property
    def partitioned(self) -> tuple[str, ...]:
        """Aliases of the partitioned references, in the order of FROM."""
        return tuple(alias for alias, ref in self.refs.items() if ref.table.partitioned)

    @property
    def optional(self) -> frozenset[str]:
        """Aliases whose rows may be missing from a joined row: those on the right of a LEFT JOIN."""
        return frozenset(_optional(self.query.source, False))


def _optional(source: From | None, missing: bool) -> Iterator[str]:
    if isinstance(source, TableRef):
        if missing:
            yield source.alias
    elif isinstance(source, Join):
        yield from _optional(source.left, missing)
        yield from _optional(source.right, missing or source.kind == "left")


def refs_of(query: Query, snapshots: Mapping[str, TableSnapshot]) -> dict[str, Ref]:
    """The references of a query by alias, in the order of FROM, each with the columns the query reads of it."""
    used: dict[str, set[str]] = {ref.alias: set() for ref in query.tables}
    for expression in expressions_of(query):
        for alias, column in columns_in(expression):
            used[alias].add(column)
    return {alias: Ref(alias, snapshots[alias], _columns(snapshots[alias], names)) for alias, names in used.items()}


def _columns(snapshot: TableSnapshot, names: set[str]) -> tuple[tuple[str, str], ...]:
    found = [(column.name, column.type) for column in snapshot.table.columns if column.name in names]
    if HEALPIX_COLUMN in names and not any(name == HEALPIX_COLUMN for name, _ in found):
        found.append((HEALPIX_COLUMN, "BIGINT"))
    return tuple(found)


def expressions_of(query: Query) -> Iterator[Expression]:
    """Every expression of a query: items, conditions, groups, orders, and the conditions of its joins."""
    yield from (item.expression for item in query.items)
    yield from (part for part in (query.where, query.having) if part is not None)
    yield from query.group_by
    yield from (order.expression for order in query.order_by)
    yield from _conditions(query.source)


def _conditions(source: From | None) -> Iterator[Expression]:
    if isinstance(source, Join):
        yield from _conditions(source.left)
        yield from _conditions(source.right)
        if source.on is not None:
            yield source.on


def binding_predicates(query: Query) -> tuple[Expression, ...]:
    """The predicates every joined row must pass: those of WHERE, and of inner joins that no LEFT JOIN makes optional."""
    return (*_binding(query.source), *conjuncts(query.where))


def _binding(source: From | None) -> Iterator[Expression]:
    if not isinstance(source, Join):
        return
    yield from _binding(source.left)
    if source.kind != "left":
        yield from _binding(source.right)
        yield from conjuncts(source.on)
