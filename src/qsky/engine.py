"""The life of a query on one page: parse, bind, probe, plan, dispatch, merge, result.

`Engine` is what every door (command line, Python, servers) asks. Each step is a module of that name; this one only
hands values from one to the next, and keeps plans. It knows no file format and writes no SQL.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Final

import pyarrow as pa

from qsky.abandoned import Stream
from qsky.asking import Asking, Stage
from qsky.catalog.layout import PUBLIC
from qsky.catalog.lease import Lease, leased
from qsky.catalog.snapshot import TableSnapshot
from qsky.catalog.store import Catalog, DatabaseSnapshot
from qsky.catalog.view import View
from qsky.config import Settings
from qsky.dispatch.local import LocalTransport
from qsky.dispatch.run import run
from qsky.dispatch.state import Limits
from qsky.dispatch.transport import Transport
from qsky.events import Listener
from qsky.fragment import Piece
from qsky.merge import Above, Lent
from qsky.observed import StageRun
from qsky.plan.answers import answered
from qsky.plan.draft import all_tables
from qsky.plan.explain import explained, explanation
from qsky.plan.gather import too_much
from qsky.plan.model import Found, Plan, Probe
from qsky.plan.nest import final_in_fragments, lone_stages, over
from qsky.plan.planner import plan, probes_of
from qsky.plan.spell import fragment_of, given_in
from qsky.result import Facts, Result
from qsky.shape import BATCH_ROWS, as_schema, limited, schema_named, schema_of, with_first
from qsky.sql.bind import bind_text
from qsky.sql.explained import explained_statement
from qsky.sql.moments import Session, in_session
from qsky.sql.query import GivenRef, Query, Statement
from qsky.sql.statement import given_name
from qsky.storage.keyindex import keys_of, lookup
from qsky.worker.ducks import Ducks

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


class Engine:
    """Answers SELECTs about the databases of a root. Safe for several threads."""

    def __init__(self, catalog: Catalog, settings: Settings, transport: Transport | None = None) -> None:
        """`transport` None runs everything in this process. Nothing is opened before the first query needs it."""
        self.catalog = catalog
        self.settings = settings
        ducks = Ducks(settings, [str(catalog.root / PUBLIC)])
        self._transport: Transport = LocalTransport(settings, ducks) if transport is None else transport
        self._above = Above(ducks.above, settings.merge_bytes_max)
        self._prepared: OrderedDict[tuple[str, str, str | None], Prepared] = OrderedDict()
        self._lock = threading.Lock()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def query(
        self, text: str, lang: str = "mysql", database: str | None = None, listener: Listener | None = None
    ) -> Result:
        """The answer to one SELECT, its first batch made already. `database` is where bare table names are looked up.

        EXPLAIN before it gives the plan, a line in each row. `listener` hears how far it is (`events.Asked`). Raises any
        query error; those that come later in the stream are raised where it is read.
        """
        asked = explained_statement(text, lang)
        if asked is not None:
            looked = self._looked_at(asked.text, lang, database, asked.analyze)
            lines = [json.dumps(explained(*looked), indent=2)] if asked.json else explanation(*looked).splitlines()
            batch = pa.record_batch({"EXPLAIN": pa.array(lines, pa.string())})
            return Result(batch.schema, iter([batch]))
        return self._answer(Asking(self.settings, listener), text, lang, database)

    def _answer(self, asking: Asking, text: str, lang: str, database: str | None) -> Result:
        started = perf_counter()
        prepared = self._prepare(asking, text, lang, database)
        leases = ExitStack()
        try:
            plans = self._plans(asking, prepared, partial(self._rows_of, asking), leases)
            final = plans[-1]
            schema = schema_of(final, prepared.statement.query)
            batches = Stream(self._leased(leases, asking, final, schema))
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
        return Result(schema, with_first(first, batches), facts, plot_rows_max=self.settings.plot_rows_max)

    def explain(self, text: str, lang: str = "mysql", database: str | None = None, *, analyze: bool = False) -> str:
        """How the query would be answered, as text; with `analyze` it is, and what that took is said as well."""
        return explanation(*self._looked_at(text, lang, database, analyze))

    def explained(
        self, text: str, lang: str = "mysql", database: str | None = None, *, analyze: bool = False
    ) -> dict[str, Any]:
        """The same as values."""
        return explained(*self._looked_at(text, lang, database, analyze))

    def _looked_at(
        self, text: str, lang: str, database: str | None, analyze: bool
    ) -> tuple[Sequence[Plan], Sequence[StageRun]]:
        """The plans of a query, and of one that was answered what that took; its rows are let go."""
        asking = Asking(self.settings)
        if not analyze:
            return self._plans(asking, self._prepare(asking, text, lang, database)), ()
        deque(self._answer(asking, text, lang, database).batches(), maxlen=0)
        return [stage.plan for stage in asking.stages], [stage.run for stage in asking.stages]

    # -- parse, bind, probe, plan

    def _prepare(self, asking: Asking, text: str, lang: str, database: str | None) -> Prepared:
        """The plan of a text at the current revisions, kept while these stay current."""
        key = (text, lang, database)
        with self._lock:
            held = self._prepared.get(key)
            if held is not None:
                self._prepared.move_to_end(key)
        if held is not None and all(self._current(name) == number for name, number in held.revisions):
            return held
        return asking.planned(lambda: self._made(asking, text, lang, database))

    def _made(self, asking: Asking, text: str, lang: str, database: str | None) -> Prepared:
        """The bound statement of a text, and its plan if nothing need be answered before."""
        view = View(self.catalog)
        bound = bind_text(text, lang, view, self.settings, database)
        statement = in_session(bound, Session(datetime.now(UTC).replace(tzinfo=None), database))
        opened = {name: view.at(name, number) for name, number in statement.revisions}
        current = tuple((name, self._current(name)) for name, _ in statement.revisions)
        prepared = Prepared(statement, opened, current, None)
        if len(lone_stages(statement)) == len(statement.stages):
            # a stage that is worked out inside the query around it need not be answered first either
            plans = self._plans(asking, prepared)
            prepared = replace(prepared, plan=plans[0] if len(plans) == 1 else None)
        if not any(snapshot.staged for snapshot in opened.values()) and statement is bound:
            self._keep((text, lang, database), prepared)
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
        self,
        asking: Asking,
        prepared: Prepared,
        answer: Callable[[Plan], pa.Table] | None = None,
        leases: ExitStack | None = None,
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
            planned = asking.planned(partial(self._planned, prepared, query, given, waiting))
            if number in lone and final_in_fragments(planned):
                waiting[number] = planned
                continue
            plans.append(planned)
            if answer is not None and number < len(stages):
                given[given_name(number)] = answer(planned)
        return tuple(plans)

    def _rows_of(self, asking: Asking, plan: Plan) -> pa.Table:
        """The rows of a stage, held in memory, with columns c0, c1, ... Raises limit-gather."""
        schema = schema_named((f"c{place}", kind) for place, (_, kind) in enumerate(plan.columns))
        batches, held = [], 0
        for batch in self._batches(asking, plan, schema):
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

    def _leased(
        self, leases: ExitStack, asking: Asking, plan: Plan, schema: pa.Schema
    ) -> Generator[pa.RecordBatch, None, None]:
        """The answer as a stream, the leases given back at its end."""
        with leases:
            yield from self._batches(asking, plan, schema)

    def _batches(self, asking: Asking, plan: Plan, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The answer as a stream, each batch counted."""
        stage = asking.stage(plan)
        for batch in self._made_of_pieces(asking, stage, schema):
            stage.gave(batch.num_rows)
            yield batch

    def _made_of_pieces(self, asking: Asking, stage: Stage, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        plan, spell = stage.plan, partial(fragment_of, stage.plan)
        early_bytes_max, limits = self.settings.merge_bytes_max // 4, self._limits(plan)
        began = asking.began
        pieces = run(plan.fragments, spell, self._transport, limits, early_bytes_max, watch=stage, began=began)
        with closing(pieces):
            if plan.merge is None:
                yield from limited((piece.table for piece in pieces), plan, schema)
                return
            with self._above.lent() as lent:
                self._collect(plan, pieces, lent)
                for batch in lent.stream(plan.merge, BATCH_ROWS, asking.ends, given_in(plan.merge, plan.given)):
                    yield as_schema(pa.Table.from_batches([batch]), schema).to_batches()[0] if batch.num_rows else batch
                stage.merged(lent)

    def _limits(self, plan: Plan) -> Limits:
        slots = self._transport.slots
        return Limits(
            slots=slots,
            attempts_max=self.settings.fragment_attempts_max,
            ahead_max=self._transport.ahead + 1 if plan.merge is None else plan.fragments + 1,
            rows_wanted=plan.rows_wanted,
            seconds_max=self.settings.query_seconds_max,
            ended_max=self.settings.fragment_ended_max,
            losses_max=self.settings.fragment_losses_max,
            copies_max=self.settings.copies_max if self._transport.hosts > 1 else 0,
            copy_factor=self.settings.copy_factor,
            copy_seconds_least=self.settings.copy_seconds_least,
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

    def _allow(self, snapshots: Mapping[str, TableSnapshot]) -> None:
        """Let workers read what the query's tables are attached from."""
        attached = {s.folder for s in snapshots.values() if s.table.attached is not None}
        attached |= {s.table.attached.margin_address for s in snapshots.values() if s.table.attached is not None}
        if attached - {""}:
            self._transport.allow(attached - {""})

    def close(self) -> None:
        """Stop what runs and close every instance."""
        self._transport.close()
        self._above.close()


def looked_up(probe: Probe, opened: Mapping[str, DatabaseSnapshot]) -> Found:
    """Where the index of a director has the keys."""
    snapshot = opened[probe.database].table(probe.director)
    keys = keys_of(pa.array(probe.keys)) if probe.keys else keys_of(pa.array([], pa.int64()))
    places, cells = lookup(Path(snapshot.folder), snapshot.table.index, keys)
    return Found(cells, len(set(places.tolist())) == len(keys))
