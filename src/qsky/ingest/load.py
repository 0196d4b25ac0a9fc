"""A load, from sources to a published revision: read, place, tile, write with overlaps, index, publish.

`load` is the story; each step is a module of this folder. Until `publish` nothing is seen by anybody, and whatever
ends a load early leaves only staged files, which it removes itself or vacuum does after a crash.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from qsky.catalog.lease import Lease, leased
from qsky.catalog.model import Kind, Provenance, Revision, Table
from qsky.catalog.snapshot import Tiling
from qsky.catalog.store import Catalog, read_tiling
from qsky.catalog.types import arrow_type
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Listener, LoadReport, Notice, silent
from qsky.ingest.build import Built, build_parts
from qsky.ingest.change import added_to, made_of, replacing
from qsky.ingest.index import Indexed, build_index
from qsky.ingest.orphans import Adoption, adopt
from qsky.ingest.parts import PartRow, PartWriter
from qsky.ingest.place import Placer, rounded_up_arcsec
from qsky.ingest.publish import Change, current_revision, discard, new_load_id, publish, scratch_path
from qsky.ingest.read import SourceSchema, find_sources, read_batches, read_schema
from qsky.ingest.rejects import RejectsWriter
from qsky.ingest.request import (
    LoadRequest,
    check_request,
    dependents_of,
    director_of,
    existing_table,
    merged_columns,
    new_table,
)
from qsky.ingest.runs import Runs, ints_of
from qsky.ingest.source import ReadOptions, SourceFile
from qsky.ingest.tile import CountMap, tiling_of
from qsky.sky.healpix import Ints
from qsky.storage.store import Store


@dataclass(frozen=True)
class _Load:
    """What every step of one load needs."""

    request: LoadRequest
    base: Revision
    store: Store
    id: str
    settings: Settings
    listener: Listener
    rejects: RejectsWriter


@dataclass(frozen=True)
class _Staged:
    """What one load staged: its table's next state is `table(base state)`."""

    table: Table
    built: Built
    indexed: Indexed
    adoption: Adoption


def load(catalog: Catalog, request: LoadRequest, settings: Settings, listener: Listener = silent) -> LoadReport:
    """Load sources into a table and publish the revision.

    Raises errors of the families data, usage, conflict and storage; then the database is as it was.
    """
    began = time.monotonic()
    base = current_revision(catalog, request.database)
    standing = check_request(request, base)
    if standing is None:
        director_of(request, base)
    identity = new_load_id()
    store = catalog.store(request.database)
    rejects_max = settings.rejects_max if request.rejects_max is None else request.rejects_max
    rejects_path = catalog.root / "rejects" / f"{request.database}.{request.table}-{identity}.csv"
    with (
        RejectsWriter(rejects_path, rejects_max, settings.rejects_shown) as rejects,
        _staging(catalog, base, identity, settings),
    ):
        work = _Load(request, base, store, identity, settings, listener, rejects)
        scratch = store.path(f"{scratch_path(identity)}/sources")
        if request.answer is not None:
            sources = [request.answer.written(scratch)]
        else:
            sources = find_sources(request.inputs, scratch, settings, listener, format=request.format)
        schema, options, table = _shape(work, sources, standing)
        staged = _stage(work, sources, schema, options, table, standing)
        revision = publish(catalog, base, _change(work, staged, sources, standing), settings, listener)
    return _report(work, staged, revision, time.monotonic() - began)


@contextmanager
def _staging(catalog: Catalog, base: Revision, identity: str, settings: Settings) -> Iterator[None]:
    """Hold a lease while staging; whatever happens, leave nothing staged that is not published."""
    store = catalog.store(base.database)
    with leased(store, Lease(load=identity), settings.lease_seconds):
        try:
            yield
        finally:
            discard(catalog, base, identity)


def _shape(work: _Load, sources: list[SourceFile], standing: Table | None) -> tuple[SourceSchema, ReadOptions, Table]:
    """How to read the sources and the table they make, before any row is read."""
    request, director = work.request, work.request.kind is Kind.DIRECTOR
    options = replace(
        request.read,
        ra=(standing.ra if standing else request.ra) or None,
        dec=(standing.dec if standing else request.dec) or None,
        key=(standing.key if standing else request.key) or None,
        position_required=director,
        key_required=request.kind in (Kind.DIRECTOR, Kind.CHILD),
    )
    schema = read_schema(sources, options, work.settings)
    if standing is None:
        ra, dec = (schema.ra or "", schema.dec or "") if director else (request.ra, request.dec)
        return schema, options, new_table(request, schema.columns, ra, dec, work.base, work.store, work.settings)
    columns = merged_columns(standing, schema.columns, {source.format for source in sources})
    types = {c.name.lower(): c.type for c in columns}
    spelled = {c.name: types[c.name.lower()] for c in schema.columns if types[c.name.lower()] != c.type}
    if spelled:
        options = replace(options, types={**spelled, **options.types})
        schema = read_schema(sources, options, work.settings)
    return schema, options, replace(standing, columns=columns)


def _stage(
    work: _Load,
    sources: list[SourceFile],
    schema: SourceSchema,
    options: ReadOptions,
    table: Table,
    standing: Table | None,
) -> _Staged:
    """Everything up to the commit point."""
    writer = PartWriter(work.store, work.id, work.settings)
    batches = read_batches(sources, schema, options, work.settings, work.rejects, work.listener)
    aligned = (_aligned(batch, table) for batch in batches)
    if table.kind is Kind.REPLICATED:
        built = Built(_write_replicated(aligned, table, writer), [])
        work.rejects.finish()
        _refuse_empty(work, built.rows)
        return _Staged(table, built, Indexed((), True), Adoption())
    placer = Placer(work.store, table, _ends(work.base, table))
    scratch = work.store.path(scratch_path(work.id))
    runs, counts = _sorted_runs(
        aligned, placer, Runs(scratch / "rows", held_bytes_max=work.settings.load_memory_bytes_max // 2), work
    )
    work.rejects.finish()
    _refuse_empty(work, runs.rows)
    tiling, table = _tiling(work, table, counts, runs)
    indexed = Indexed((), True)
    if table.kind is Kind.DIRECTOR and table.key:
        # Before the parts are written: a duplicate key should not cost a whole load's time.
        indexed = build_index(
            partial(_key_columns, runs, table.key),
            work.store,
            table,
            tiling,
            work.settings,
            allow_duplicates=work.request.allow_duplicate_keys,
        )
        _refuse_ambiguous_directors(work, table, indexed)
    built = build_parts(runs, table, tiling, writer, scratch, work.settings, work.listener)
    angle_arcsec = max(table.own_angle_arcsec_max, rounded_up_arcsec(placer.own_angle_deg))
    table = replace(table, key_unique=indexed.unique, own_angle_arcsec_max=angle_arcsec)
    adoption = Adoption()
    if standing is not None and standing.kind is Kind.DIRECTOR:
        adoption = adopt(work.base, standing, indexed.segments, tiling, writer, work.listener)
    return _Staged(table, built, indexed, adoption)


def _key_columns(runs: Runs, key: str) -> Iterator[tuple[pa.ChunkedArray, Ints]]:
    """The keys and cells, run by run."""
    for run in runs.runs():
        rows = run.columns([key, runs.by])
        yield rows[key], ints_of(rows, runs.by)


def _aligned(batch: pa.RecordBatch, table: Table) -> pa.RecordBatch:
    """The batch with exactly the table's columns, in its order and types; what is missing is NULL."""
    places = {name.lower(): at for at, name in enumerate(batch.schema.names)}
    columns, fields = [], []
    for column in table.columns:
        wanted = arrow_type(column.type)
        at = places.get(column.name.lower())
        values = pa.nulls(batch.num_rows, wanted) if at is None else batch.column(at)
        columns.append(values if values.type == wanted else pc.cast(values, wanted))
        fields.append(pa.field(column.name, wanted))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _ends(base: Revision, table: Table) -> tuple[tuple[Table, str], ...]:
    """The directors a table's keys point to."""
    pairs = [(table.director, table.key)] if table.kind is Kind.CHILD else [(e.director, e.key) for e in table.match]
    found = [(existing_table(base, name), key) for name, key in pairs]
    return tuple((director, key) for director, key in found if director is not None)


def _sorted_runs(batches: Iterator[pa.RecordBatch], placer: Placer, runs: Runs, work: _Load) -> tuple[Runs, CountMap]:
    """Place, sort and write every batch, a few at a time on all cores, while the next ones are read."""
    counts = CountMap(work.settings.tiling_order_max)

    def place_and_write(number: int, batch: pa.RecordBatch) -> Ints:
        return runs.add(number, placer.place(batch))

    for cells in _ahead(place_and_write, batches, work.settings.cores):
        if placer.table.kind is Kind.DIRECTOR:
            counts.add(cells)
    return runs, counts


def _ahead(
    work: Callable[[int, pa.RecordBatch], Ints], batches: Iterator[pa.RecordBatch], threads: int
) -> Iterator[Ints]:
    """`work` on every batch in threads, at most one more than threads at a time, so that memory stays bounded."""
    with ThreadPoolExecutor(threads, thread_name_prefix="qsky-load") as pool:
        pending: set[Future[Ints]] = set()
        for number, batch in enumerate(batches):
            pending.add(pool.submit(work, number, batch))
            if len(pending) > threads:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in wait(pending).done)


def _tiling(work: _Load, table: Table, counts: CountMap, runs: Runs) -> tuple[Tiling, Table]:
    """The tiling to write into: the one there is, or for a new director one made from its counts."""
    if table.tiling:
        return read_tiling(work.store, table.tiling), table
    settings = work.settings
    row_bytes = runs.bytes / max(1, runs.rows)
    weight = max(1 / settings.chunk_rows_max, row_bytes / settings.chunk_bytes_max)
    cells, weights = counts.cells()
    tiling = tiling_of(cells, weights * weight, counts.order)
    return tiling, replace(table, tiling=work.store.create_side_file("tiling", tiling.to_bytes(), "arrow"))


def _refuse_empty(work: _Load, rows: int) -> None:
    if rows == 0:
        raise QskyError(
            "empty-load",
            f"There are no rows to load into {work.request.database}.{work.request.table}.",
            hint="Check the sources; the table is as it was.",
        )


def _refuse_ambiguous_directors(work: _Load, table: Table, indexed: Indexed) -> None:
    """Rows of other tables are placed by the key; it may not become ambiguous under them."""
    existing = existing_table(work.base, table.name)
    if existing and not indexed.unique and dependents_of(work.base, existing):
        raise QskyError(
            "duplicate-keys",
            f"Keys of {table.name} would lie in several chunks while other tables are placed by them.",
            hint="Give the new rows keys of their own, or drop the other tables first.",
        )


def _write_replicated(batches: Iterator[pa.RecordBatch], table: Table, writer: PartWriter) -> list[PartRow]:
    """Parts of about the size of a chunk, in the order of the source."""
    parts: list[PartRow] = []
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.nbytes for b in held) > writer.settings.load_memory_bytes_max // 4:
            parts += writer.write(pa.Table.from_batches(held), table, (0, 0))
            held = []
    if held and sum(b.num_rows for b in held):
        parts += writer.write(pa.Table.from_batches(held), table, (0, 0))
    return parts


def _change(work: _Load, staged: _Staged, sources: list[SourceFile], standing: Table | None) -> Change:
    def apply(base: Revision) -> Revision:
        if standing is None:
            table = made_of(work.store, staged.table, staged.built, staged.indexed.segments)
        else:
            table = added_to(work.store, standing, staged.table, staged.built, staged.indexed.segments)
        return replacing(base, (table, *staged.adoption.tables))

    name = staged.table.name
    reads = {staged.table.director, *(end.director for end in staged.table.match)} - {""}
    adopted = {table.name for table in staged.adoption.tables}
    return Change(
        operation={"create": "load", "append": "append", "replace": "replace"}[work.request.mode],
        load=work.id,
        apply=apply,
        writes=frozenset({name, *adopted}),
        reads=frozenset(reads),
        provenance=_provenance(work, staged, sources),
    )


def _provenance(work: _Load, staged: _Staged, sources: list[SourceFile]) -> Provenance:
    options = {k: str(v) for k, v in asdict(work.request.read).items() if v not in (None, "", (), {}, False)}
    return Provenance(
        sources=tuple(source.told() for source in sources),
        rows_accepted=staged.built.rows,
        rows_refused=work.rejects.count,
        rejects_file=str(work.rejects.path) if work.rejects.count else "",
        nan_nulled=dict(work.rejects.nan_nulled),
        options=options,
    )


def _report(work: _Load, staged: _Staged, revision: Revision, seconds: float) -> LoadReport:
    built, table = staged.built, revision.table(staged.table.name)
    assert table is not None
    if built.orphan_rows:
        work.listener(
            Notice(f"{built.orphan_rows} rows of {table.name} wait for their director; they are stored and counted.")
        )
    return LoadReport(
        database=revision.database,
        table=table.name,
        revision=revision.number,
        rows=built.rows,
        overlap_rows=built.overlap_rows,
        rows_refused=work.rejects.count,
        rejects_file=work.rejects.path if work.rejects.count else None,
        orphan_rows=built.orphan_rows,
        orphans_placed=staged.adoption.rows,
        nan_nulled=dict(work.rejects.nan_nulled),
        chunks=len({(part.norder, part.npix) for part in built.parts}),
        seconds=seconds,
        bytes=built.bytes,
    )
