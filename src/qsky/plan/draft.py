"""What the planner's rules hand on: a query, what is known of its tables, and what the rules before have decided.

Made by `plan.planner.plan`; each rule takes a Draft and gives a Draft. Never leaves the package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from qsky.catalog.model import FOLDER_COLUMNS, HEALPIX_COLUMN, Column, Kind, Table
from qsky.catalog.snapshot import NO_PARTS, TableSnapshot
from qsky.config import Settings
from qsky.plan.model import NO_BATCHES, Answers, Batches, Cells, Given, Near, Note, Plan, Reading, Ref, Team
from qsky.plan.predicate import Fact
from qsky.sql.parts import queries_of, stages_of
from qsky.sql.query import (
    Combined,
    Expression,
    From,
    GivenRef,
    Join,
    Query,
    TableRef,
    columns_in,
    conjuncts,
    expressions_of,
    sources_of,
)
from qsky.sql.statement import given_name, given_relation


@dataclass(frozen=True)
class Draft:
    """`gather` says why the joins cannot be done inside chunks, "" while they can. `plan` ends the planning."""

    query: Query
    refs: Mapping[str, Ref]
    answers: Answers
    settings: Settings
    given: Given = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    facts: tuple[Fact, ...] = ()
    cells: Mapping[str, Cells] = field(default_factory=dict)
    dec_deg: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    teams: tuple[Team, ...] = ()
    nears: tuple[Near, ...] = ()
    outer_nears: tuple[Near, ...] = ()
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
        """Aliases of the partitioned references, in the order of FROM, those of nested queries last."""
        return tuple(alias for alias, ref in self.refs.items() if ref.table.partitioned)

    @property
    def optional(self) -> frozenset[str]:
        """Aliases whose rows may be missing from a joined row: behind outer joins, and in nested queries."""
        return optional_in(self.query) | self.nested

    @property
    def nested(self) -> frozenset[str]:
        """Aliases of the references in nested queries."""
        return frozenset(leaf.alias for query in queries_of(self.query)[1:] for leaf in sources_of(query.source))

    def owner(self, alias: str) -> Query:
        """The query in whose FROM a reference stands."""
        queries = queries_of(self.query)
        return next(query for query in queries if any(leaf.alias == alias for leaf in sources_of(query.source)))


def optional_in(query: Query) -> frozenset[str]:
    """Aliases of a query's own FROM whose rows may be missing from a joined row."""
    return frozenset(_optional(query.source, False))


def _optional(source: From | None, missing: bool) -> Iterator[str]:
    if isinstance(source, Join):
        yield from _optional(source.left, missing or source.kind == "full")
        yield from _optional(source.right, missing or source.kind in ("left", "full"))
    elif source is not None and missing:
        yield source.alias


def all_tables(query: Query) -> tuple[TableRef, ...]:
    """The table references of a query and of the queries nested in it."""
    return tuple(ref for each in queries_of(query) for ref in each.tables)


def refs_of(query: Query, snapshots: Mapping[str, TableSnapshot], given: Given) -> dict[str, Ref]:
    """The references of a query by alias, in the order of FROM, each with the columns the query reads of it."""
    queries = queries_of(query)
    leaves = [leaf for each in queries for leaf in sources_of(each.source)]
    used: dict[str, set[str]] = {leaf.alias: set() for leaf in leaves}
    for expression in (expression for each in queries for expression in expressions_of(each)):
        for alias, column in columns_in(expression):
            if alias in used:
                used[alias].add(column)
    found = {}
    for leaf in leaves:
        if isinstance(leaf, GivenRef | Combined):
            found[leaf.alias] = _given_ref(leaf, given)
        else:
            snapshot = snapshots[leaf.alias]
            found[leaf.alias] = Ref(leaf.alias, snapshot, _columns(snapshot, used[leaf.alias]))
    return found


def _given_ref(leaf: GivenRef | Combined, given: Given) -> Ref:
    """The rows of a stage, or of a UNION of stages, as a small table that is whole everywhere."""
    relation = given_relation(leaf)
    columns = tuple((f"c{place}", kind) for place, kind in enumerate(leaf.types))
    rows = sum(given[name].num_rows for name in map(given_name, stages_of(leaf)) if name in given)
    table = Table(relation, Kind.REPLICATED, tuple(Column(column, kind) for column, kind in columns), rows=rows)
    return Ref(leaf.alias, TableSnapshot("", 0, table, "", None, NO_PARTS, NO_PARTS), columns, relation)


def _columns(snapshot: TableSnapshot, names: set[str]) -> tuple[tuple[str, str], ...]:
    found = [(column.name, column.type) for column in snapshot.table.columns if column.name in names]
    if HEALPIX_COLUMN in names and not any(name == HEALPIX_COLUMN for name, _ in found):
        found.append((HEALPIX_COLUMN, "BIGINT"))
    found += [(name, kind) for name, kind in FOLDER_COLUMNS.items() if name in names]
    return tuple(found)


def binding_predicates(query: Query) -> tuple[Expression, ...]:
    """The predicates every joined row must pass: those of WHERE, and of inner joins that no LEFT JOIN makes optional."""
    return (*_binding(query.source), *conjuncts(query.where))


def _binding(source: From | None) -> Iterator[Expression]:
    if not isinstance(source, Join):
        return
    if source.kind == "full":
        return
    yield from _binding(source.left)
    if source.kind != "left":
        yield from _binding(source.right)
        yield from conjuncts(source.on)
