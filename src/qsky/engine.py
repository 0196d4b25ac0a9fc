"""The life of a query on one page: parse, bind, probe, plan, dispatch, merge, result.

`Engine` is what every door (command line, Python, servers) asks. Each step is a module of that name; this one only
hands values from one to the next, and keeps plans. It knows no file format and writes no SQL.
"""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from time import monotonic, perf_counter
from types import TracebackType
from typing import Any, Final

import pyarrow as pa

from qsky.catalog.layout import PUBLIC
from qsky.catalog.lease import Lease, leased
from qsky.catalog.model import Table
from qsky.catalog.snapshot import TableSnapshot
from qsky.catalog.store import Catalog, DatabaseSnapshot
from qsky.catalog.types import arrow_type
from qsky.config import Settings
from qsky.dispatch.local import LocalTransport
from qsky.dispatch.run import run
from qsky.dispatch.state import Limits
from qsky.dispatch.transport import Transport
from qsky.duck import Duck
from qsky.fragment import Piece
from qsky.merge import Above, Lent
from qsky.plan.answers import answered
from qsky.plan.draft import all_tables
from qsky.plan.explain import explained, explanation
from qsky.plan.gather import too_much
from qsky.plan.model import Found, Plan, Probe
from qsky.plan.nest import final_in_fragments, lone_stages, over
from qsky.plan.planner import plan, probes_of
from qsky.plan.spell import fragment_of, given_in
from qsky.result import Facts, Result
from qsky.sky.functions import ARROW_FUNCTIONS, MACROS
from qsky.sql.bind import bind_text
from qsky.sql.moments import Session, in_session
from qsky.sql.query import GivenRef, Query, Statement
from qsky.sql.statement import given_name
from qsky.storage.keyindex import keys_of, lookup

_BATCH_ROWS: Final = 100_000
_NO_PLANS: Final[Mapping[int, Plan]] = {}


@dataclass(frozen=True)
class Prepared:
    """A bound statement, and the current revision of each of its databases when that was done.

    `plan` is there if no stage must be answered before planning.
    """

    statement: Statement
    opened: Mapping[str, DatabaseSnapshot]
    revisions: tuple[tuple[str, int], ...]
    plan: Plan | None


@dataclass
class View:
    """What exists for one query: each database at one revision from the first look to the last."""

    catalog: Catalog
    opened: dict[tuple[str, int | None], DatabaseSnapshot] = field(default_factory=dict)

    @cached_property
    def _databases(self) -> list[str]:
        return self.catalog.databases()

    def databases(self) -> Iterable[str]:
        return self._databases

    def tables(self, database: str) -> Iterable[str]:
        return [table.name for table in self.snapshot(database, None).revision.tables]

    def table(self, database: str, name: str, revision: int | None) -> tuple[Table, int]:
        snapshot = self.snapshot(database, revision)
        return snapshot.table(name).table, snapshot.revision.number

    def snapshot(self, database: str, revision: int | None) -> DatabaseSnapshot:
        key = (database, revision)
        if key not in self.opened:
            self.opened[key] = self.catalog.snapshot(database, revision)
        return self.opened[key]

    def at(self, database: str, number: int) -> DatabaseSnapshot:
        """The snapshot of that revision, the same one bind saw."""
        known = (s for (name, _), s in self.opened.items() if name == database and s.revision.number == number)
        return next(known, None) or self.snapshot(database, number)


class Engine:
    """Answers SELECTs about the databases of a root. Safe for several threads."""

    def __init__(self, catalog: Catalog, settings: Settings, transport: Transport | None = None) -> None:
        """`transport` None runs everything in this process. Nothing is opened before the first query needs it."""
        self.catalog = catalog
        self.settings = settings
        self._folders: tuple[str, ...] = (str(catalog.root / PUBLIC),)
        self._local = LocalTransport(settings, self._open_duck) if transport is None else None
        self._transport: Transport = transport or self._local or _impossible()
        self._above = Above(self._open_merge, settings.merge_bytes_max)
        self._prepared: OrderedDict[tuple[str, str, str | None], Prepared] = OrderedDict()
        self._lock = threading.Lock()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def query(self, text: str, lang: str = "mysql", database: str | None = None) -> Result:
        """The answer to one SELECT, its first batch made already. `database` is where bare table names are looked up.

        Raises any query error; those that come later in the stream are raised where it is read.
        """
        started = perf_counter()
        prepared = self._prepare(text, lang, database)
        leases = ExitStack()
        try:
            plans = self._plans(prepared, self._rows_of, leases)
            final = plans[-1]
            schema = schema_of(final, prepared.statement.query)
            batches = self._leased(leases, final, schema)
            first = next(batches, None)
        except BaseException:
            leases.close()
            raise
        facts = Facts(
            chunks_read=sum(each.chunks_chosen for each in plans),
            chunks_total=sum(each.chunks_total for each in plans),
            bytes_named=sum(each.bytes for each in plans),
            seconds=perf_counter() - started,
            revisions=prepared.statement.revisions,
            explain=partial(explanation, plans),
        )
        return Result(schema, _with_first(first, batches), facts, plot_rows_max=self.settings.plot_rows_max)

    def explain(self, text: str, lang: str = "mysql", database: str | None = None) -> str:
        """How the query would be answered, as text."""
        return explanation(self._plans(self._prepare(text, lang, database)))

    def explained(self, text: str, lang: str = "mysql", database: str | None = None) -> dict[str, Any]:
        """How the query would be answered, as values."""
        return explained(self._plans(self._prepare(text, lang, database)))

    # -- parse, bind, probe, plan

    def _prepare(self, text: str, lang: str, database: str | None) -> Prepared:
        """The plan of a text at the current revisions, kept while these stay current."""
        key = (text, lang, database)
        with self._lock:
            held = self._prepared.get(key)
            if held is not None:
                self._prepared.move_to_end(key)
        if held is not None and all(self._current(name) == number for name, number in held.revisions):
            return held
        view = View(self.catalog)
        bound = bind_text(text, lang, view, self.settings, database)
        statement = in_session(bound, Session(datetime.now(UTC).replace(tzinfo=None), database))
        opened = {name: view.at(name, number) for name, number in statement.revisions}
        current = tuple((name, self._current(name)) for name, _ in statement.revisions)
        prepared = Prepared(statement, opened, current, None)
        if len(lone_stages(statement)) == len(statement.stages):
            # a stage that is worked out inside the query around it need not be answered first either
            plans = self._plans(prepared)
            prepared = replace(prepared, plan=plans[0] if len(plans) == 1 else None)
        if not any(snapshot.staged for snapshot in opened.values()) and statement is bound:
            self._keep(key, prepared)
        return prepared

    def _planned(
        self, prepared: Prepared, query: Query, given: Mapping[str, pa.Table], waiting: Mapping[int, Plan] = _NO_PLANS
    ) -> Plan:
        """The plan of one query of a statement, after the keys it names have been looked up.

        `waiting` are stages that have not been answered: a query over one of them runs inside its fragments.
        """
        query = answered(query, given)
        if isinstance(query.source, GivenRef) and query.source.stage in waiting:
            return over(query, waiting[query.source.stage], given, self.settings)
        snapshots = {ref.alias: prepared.opened[ref.database].table(ref.table.name) for ref in all_tables(query)}
        answers = {probe: looked_up(probe, prepared.opened) for probe in probes_of(query, snapshots, given)}
        planned = plan(query, snapshots, answers, self.settings, given)
        self._allow(snapshots)
        return planned

    def _plans(
        self, prepared: Prepared, answer: Callable[[Plan], pa.Table] | None = None, leases: ExitStack | None = None
    ) -> tuple[Plan, ...]:
        """The plans of the stages that are answered one after the other, and at the end that of the query.

        `answer` gives the rows of a stage; without it nothing runs, and what depends on such rows is planned without.
        `leases` takes those of a query that may take long.
        """
        short = prepared.plan is not None and all(scan.interactive for scan in prepared.plan.scans)
        if leases is not None and not short:
            self._lease(prepared, leases)
        if prepared.plan is not None:
            return (prepared.plan,)
        stages, lone = prepared.statement.stages, lone_stages(prepared.statement)
        plans, waiting, given = list[Plan](), dict[int, Plan](), dict[str, pa.Table]()
        for number, query in enumerate((*stages, prepared.statement.query)):
            planned = self._planned(prepared, query, given, waiting)
            if number in lone and final_in_fragments(planned):
                waiting[number] = planned
                continue
            plans.append(planned)
            if answer is not None and number < len(stages):
                given[given_name(number)] = answer(planned)
        return tuple(plans)

    def _rows_of(self, plan: Plan) -> pa.Table:
        """The rows of a stage, held in memory, with columns c0, c1, ... Raises limit-gather."""
        schema = schema_named((f"c{place}", kind) for place, (_, kind) in enumerate(plan.columns))
        batches, held = [], 0
        for batch in self._batches(plan, schema):
            batches.append(batch)
            held += batch.nbytes
            if held > self.settings.gather_bytes_max:
                raise too_much(held, self.settings.gather_bytes_max, "the rows of a sub-query, CTE or UNION")
        return pa.Table.from_batches(batches, schema)

    def _current(self, database: str) -> int:
        return self.catalog.snapshot(database).revision.number

    def _keep(self, key: tuple[str, str, str | None], prepared: Prepared) -> None:
        with self._lock:
            self._prepared[key] = prepared
            while len(self._prepared) > self.settings.plans_cached:
                self._prepared.popitem(last=False)

    # -- dispatch, merge

    def _lease(self, prepared: Prepared, leases: ExitStack) -> None:
        """Protect the revisions of a query that may take long from vacuum."""
        for name, number in prepared.statement.revisions:
            lease = Lease(revision=number)
            leases.enter_context(leased(self.catalog.store(name), lease, self.settings.lease_seconds))

    def _leased(self, leases: ExitStack, plan: Plan, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The answer as a stream, the leases given back at its end."""
        with leases:
            yield from self._batches(plan, schema)

    def _batches(self, plan: Plan, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The answer as a stream."""
        ends = monotonic() + self.settings.query_seconds_max if self.settings.query_seconds_max else None
        early_bytes_max = self.settings.merge_bytes_max // 4
        spell = partial(fragment_of, plan)
        pieces = run(plan.fragments, spell, self._transport, self._limits(plan), early_bytes_max)
        if plan.merge is None:
            yield from _limited((piece.table for piece in pieces), plan, schema)
            return
        with self._above.lent() as lent:
            self._collect(plan, pieces, lent)
            for batch in lent.stream(plan.merge, _BATCH_ROWS, ends, given_in(plan.merge, plan.given)):
                yield _as_schema(pa.Table.from_batches([batch]), schema).to_batches()[0] if batch.num_rows else batch

    def _limits(self, plan: Plan) -> Limits:
        slots = self._transport.slots
        return Limits(
            slots=slots,
            attempts_max=self.settings.fragment_attempts_max,
            ahead_max=self._transport.ahead + 1 if plan.merge is None else plan.fragments + 1,
            rows_wanted=plan.rows_wanted,
            seconds_max=self.settings.query_seconds_max,
        )

    def _collect(self, plan: Plan, pieces: Iterator[Piece], lent: Lent) -> None:
        """Take the pieces of each scan, in order; a gathering query is stopped where it collects too much."""
        found = [lent.collect(scan.name, schema_named(scan.schema)) for scan in plan.scans]
        for piece in pieces:
            scan, _ = plan.scan_of(piece.number)
            found[plan.scans.index(scan)].add(piece.table)
            total = sum(each.bytes for each in found)
            if plan.gathers and total > self.settings.gather_bytes_max:
                raise too_much(total, self.settings.gather_bytes_max, "")

    # -- DuckDB

    def _open_duck(self, interactive: bool) -> Duck:
        """An instance under the line."""
        return self._opened(self.settings.permit_bytes_max, footers_kept=interactive, same_plan=True)

    def _open_merge(self, memory_bytes: int) -> Duck:
        return self._opened(memory_bytes)

    def _opened(self, memory_bytes: int, *, footers_kept: bool = False, same_plan: bool = False) -> Duck:
        """An instance that may read the public folder and attached catalogues, and nothing else."""
        duck = Duck(
            memory_bytes=memory_bytes,
            spill_bytes_max=self.settings.spill_bytes_max // (self.settings.cores + 2),
            answer_bytes_max=self.settings.memory_bytes_max // 2,
            temp_dir=Path(tempfile.gettempdir()) / f"qsky-spill-{id(self):x}",
            folders=self._folders,
            macros=MACROS,
            footers_kept=footers_kept,
            same_plan=same_plan,
        )
        for function in ARROW_FUNCTIONS:
            duck.register_function(function.name, function.function, function.arguments, function.result)
        if any("://" in folder for folder in self._folders):
            from qsky.storage.objects import RemoteFiles  # slow to import, and rarely needed

            duck.register_files(RemoteFiles(self.settings.http_seconds_max))
        return duck

    def _allow(self, snapshots: Mapping[str, TableSnapshot]) -> None:
        """Open the instances anew if a query reads a catalogue attached from elsewhere for the first time."""
        attached = {s.folder for s in snapshots.values() if s.table.attached is not None}
        attached |= {s.table.attached.margin_address for s in snapshots.values() if s.table.attached is not None}
        with self._lock:
            new = sorted(attached - {""} - set(self._folders))
            self._folders = (*self._folders, *new)
        if new and self._local is not None:
            self._local.renew()

    def close(self) -> None:
        """Stop what runs and close every instance."""
        self._transport.close()
        self._above.close()


def _impossible() -> Transport:
    raise AssertionError("without a transport there is a local one")


def looked_up(probe: Probe, opened: Mapping[str, DatabaseSnapshot]) -> Found:
    """Where the index of a director has the keys."""
    snapshot = opened[probe.database].table(probe.director)
    keys = keys_of(pa.array(probe.keys)) if probe.keys else keys_of(pa.array([], pa.int64()))
    places, cells = lookup(Path(snapshot.folder), snapshot.table.index, keys)
    return Found(cells, len(set(places.tolist())) == len(keys))


def schema_named(columns: Iterable[tuple[str, str]]) -> pa.Schema:
    """The Arrow schema of (name, type) pairs; a bare NULL has Arrow's null type."""
    return pa.schema([pa.field(name, pa.null() if kind == "NULL" else arrow_type(kind)) for name, kind in columns])


def schema_of(plan: Plan, query: Query) -> pa.Schema:
    """The schema of the answer; unit, ucd and description of bare columns are metadata of the fields."""
    fields = []
    for shape, item in zip(schema_named(plan.columns), query.items, strict=True):
        about = {"unit": item.unit, "ucd": item.ucd, "description": item.description}
        said = {key: value for key, value in about.items() if value}
        fields.append(shape.with_metadata(said) if said else shape)
    return pa.schema(fields)


def _limited(tables: Iterator[pa.Table], plan: Plan, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Pieces in order as batches of the answer, after OFFSET and up to LIMIT."""
    skip, left = plan.offset, plan.limit
    for table in tables:
        dropped = min(skip, table.num_rows)
        skip -= dropped
        table = table.slice(dropped)
        if left is not None:
            table = table.slice(0, left)
            left -= table.num_rows
        yield from _as_schema(table, schema).to_batches(_BATCH_ROWS)
        if left == 0:
            return


def _as_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table's columns, by place, under the names and of the types of the answer."""
    columns = [
        column if column.type == spec.type else column.cast(spec.type)
        for column, spec in zip(table.columns[: len(schema)], schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _with_first(first: pa.RecordBatch | None, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    if first is not None:
        yield first
        yield from rest
