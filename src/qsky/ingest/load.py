"""A load, from sources to a published revision: read, place, tile, write with overlaps, index, publish.

`load` is the story; each step is a module of this folder. Until `publish` nothing is seen by anybody, and whatever
ends a load early leaves only staged files, which it removes itself or vacuum does after a crash.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from qsky.catalog.lease import Lease, leased
from qsky.catalog.model import Kind, Provenance, Revision, Table
from qsky.catalog.snapshot import Tiling
from qsky.catalog.store import Catalog, read_manifest, read_tiling
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Listener, LoadReport, Notice, silent
from qsky.ingest.build import Built
from qsky.ingest.change import added_to, made_of, replacing
from qsky.ingest.index import Indexed, build_index
from qsky.ingest.orphans import Adoption, adopt
from qsky.ingest.partition import Here, Partition, Placed, Sources, Work, batches_of, ends_of
from qsky.ingest.parts import PartRow, PartWriter
from qsky.ingest.place import rounded_up_arcsec
from qsky.ingest.publish import Change, current_revision, discard, new_load_id, publish, scratch_path
from qsky.ingest.read import find_sources, read_schema
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
from qsky.ingest.source import SourceFile
from qsky.ingest.tile import tiling_of


@dataclass(frozen=True)
class _Staged:
    """What one load staged: its table's next state is `table(base state)`."""

    table: Table
    built: Built
    indexed: Indexed
    adoption: Adoption
    told: tuple[dict[str, object], ...]


def load(
    catalog: Catalog,
    request: LoadRequest,
    settings: Settings,
    listener: Listener = silent,
    *,
    partition: Partition | None = None,
    resumed: str = "",
) -> LoadReport:
    """Load sources into a table and publish the revision.

    `partition` does the work between reading and publishing, in this process if None. `resumed` is the load whose
    units it has on record: it goes on under the same name.
    Raises errors of the families data, usage, conflict and storage; then the database is as it was.
    """
    began = time.monotonic()
    base = current_revision(catalog, request.database)
    if resumed:
        _refuse_published(catalog, base, resumed)
    standing = check_request(request, base)
    if standing is None:
        director_of(request, base)
    identity, partition = resumed or new_load_id(), partition or Here()
    store = catalog.store(request.database)
    rejects_max = settings.rejects_max if request.rejects_max is None else request.rejects_max
    rejects_path = catalog.root / "rejects" / f"{request.database}.{request.table}-{identity}.csv"
    with (
        RejectsWriter(rejects_path, rejects_max, settings.rejects_shown) as rejects,
        _staging(catalog, base, identity, settings, kept=partition.resumable),
    ):
        work = Work(request, base, store, identity, settings, listener, rejects)
        scratch = store.path(f"{scratch_path(identity)}/sources")
        if request.answer is not None:
            files = [request.answer.written(scratch)]
        else:
            files = find_sources(request.inputs, scratch, settings, listener, format=request.format)
        sources, table = _shape(work, files, standing)
        staged = _stage(work, partition, sources, table, standing)
        partition.secure(work, _new_parts(work, staged))
        revision = publish(catalog, base, _change(work, staged, standing), settings, listener)
    return _report(work, staged, revision, time.monotonic() - began)


def _refuse_published(catalog: Catalog, base: Revision, load: str) -> None:
    """A load that died after its commit point is done."""
    revisions = catalog.history(base.database) if base.number else []
    published = next((revision for revision in revisions if revision.load == load), None)
    if published is not None:
        raise QskyError(
            "load-conflict",
            f"The load {load} was published as revision {published.number} of {base.database}; nothing of it is left to do.",
        )


@contextmanager
def _staging(catalog: Catalog, base: Revision, identity: str, settings: Settings, *, kept: bool) -> Iterator[None]:
    """Hold a lease while staging; whatever happens, leave nothing staged that is not published, unless it is `kept`."""
    store = catalog.store(base.database)
    with leased(store, Lease(load=identity), settings.lease_seconds):
        try:
            yield
        except BaseException:
            if not kept:
                discard(catalog, base, identity)
            raise
        discard(catalog, base, identity)


def _shape(work: Work, files: list[SourceFile], standing: Table | None) -> tuple[Sources, Table]:
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
    schema = read_schema(files, options, work.settings)
    if standing is None:
        ra, dec = (schema.ra or "", schema.dec or "") if director else (request.ra, request.dec)
        table = new_table(request, schema.columns, ra, dec, work.base, work.store, work.settings)
        return Sources(files, schema, options), table
    columns = merged_columns(standing, schema.columns, {file.format for file in files})
    types = {c.name.lower(): c.type for c in columns}
    spelled = {c.name: types[c.name.lower()] for c in schema.columns if types[c.name.lower()] != c.type}
    if spelled:
        options = replace(options, types={**spelled, **options.types})
        schema = read_schema(files, options, work.settings)
    return Sources(files, schema, options), replace(standing, columns=columns)


def _stage(work: Work, partition: Partition, sources: Sources, table: Table, standing: Table | None) -> _Staged:
    """Everything up to the commit point."""
    writer = PartWriter(work.store, work.id, work.settings)
    if table.kind is Kind.REPLICATED:
        # Small by definition, and its parts keep the order of the source: one process reads it.
        batches = batches_of(sources, table, work.settings, work.rejects, work.listener)
        built = Built(_write_replicated(batches, table, writer), [])
        work.rejects.finish()
        _refuse_empty(work, built.rows)
        return _Staged(table, built, Indexed((), True), Adoption(), _told(sources))
    placed = partition.read(work, sources, table, ends_of(work.base, table))
    _refuse_empty(work, placed.rows)
    tiling, table = _tiling(work, table, placed)
    indexed = Indexed((), True)
    if table.kind is Kind.DIRECTOR and table.key:
        # Before the parts are written: a duplicate key should not cost a whole load's time.
        indexed = build_index(
            placed.keys,
            work.store,
            table,
            tiling,
            work.settings,
            allow_duplicates=work.request.allow_duplicate_keys,
        )
        _refuse_ambiguous_directors(work, table, indexed)
    built = partition.build(work, table, tiling, writer)
    angle_arcsec = max(table.own_angle_arcsec_max, rounded_up_arcsec(placed.own_angle_deg))
    table = replace(table, key_unique=indexed.unique, own_angle_arcsec_max=angle_arcsec)
    adoption = Adoption()
    if standing is not None and standing.kind is Kind.DIRECTOR:
        adoption = adopt(work.base, standing, indexed.segments, tiling, writer, work.listener)
    return _Staged(table, built, indexed, adoption, placed.told)


def _told(sources: Sources) -> tuple[dict[str, object], ...]:
    return tuple(file.told() for file in sources.files)


def _new_parts(work: Work, staged: _Staged) -> list[str]:
    """The paths of every part this load adds, those of the tables written again for its sake among them."""
    names = [name for table in staged.adoption.tables for name in table.parts + table.overlap_parts]
    again = [path for name in names for path in read_manifest(work.store, name)["path"].to_pylist()]
    return [part.path for part in staged.built.parts + staged.built.overlap] + again


def _tiling(work: Work, table: Table, placed: Placed) -> tuple[Tiling, Table]:
    """The tiling to write into: the one there is, or for a new director one made from its counts."""
    if table.tiling:
        return read_tiling(work.store, table.tiling), table
    settings = work.settings
    row_bytes = placed.bytes / max(1, placed.rows)
    weight = max(1 / settings.chunk_rows_max, row_bytes / settings.chunk_bytes_max)
    cells, weights = placed.counts.cells()
    tiling = tiling_of(cells, weights * weight, placed.counts.order)
    return tiling, replace(table, tiling=work.store.create_side_file("tiling", tiling.to_bytes(), "arrow"))


def _refuse_empty(work: Work, rows: int) -> None:
    if rows == 0:
        raise QskyError(
            "empty-load",
            f"There are no rows to load into {work.request.database}.{work.request.table}.",
            hint="Check the sources; the table is as it was.",
        )


def _refuse_ambiguous_directors(work: Work, table: Table, indexed: Indexed) -> None:
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


def _change(work: Work, staged: _Staged, standing: Table | None) -> Change:
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
        provenance=_provenance(work, staged),
    )


def _provenance(work: Work, staged: _Staged) -> Provenance:
    options = {k: str(v) for k, v in asdict(work.request.read).items() if v not in (None, "", (), {}, False)}
    return Provenance(
        sources=staged.told,
        rows_accepted=staged.built.rows,
        rows_refused=work.rejects.count,
        rejects_file=str(work.rejects.path) if work.rejects.count else "",
        nan_nulled=dict(work.rejects.nan_nulled),
        options=options,
    )


def _report(work: Work, staged: _Staged, revision: Revision, seconds: float) -> LoadReport:
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
