"""From rows as read to parts of chunks: the two halves of a load between which the tiling is chosen.

`read` places and sorts every row and counts cells; `build` writes parts and copies once the tiling is known. A
`Partition` does both, `Here` in this process; `ingest.spread` does the same steps as units on workers. Called by
`ingest.load`; publishes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from qsky.catalog.model import Kind, Revision, Table
from qsky.catalog.snapshot import Tiling
from qsky.catalog.types import arrow_type
from qsky.config import Settings
from qsky.events import Listener
from qsky.ingest.build import Built, RowSource, build_parts
from qsky.ingest.index import KeyColumns
from qsky.ingest.parts import PartWriter
from qsky.ingest.place import Placer
from qsky.ingest.publish import scratch_path
from qsky.ingest.read import SourceSchema, read_batches
from qsky.ingest.rejects import RejectsWriter
from qsky.ingest.request import LoadRequest, existing_table
from qsky.ingest.runs import Runs, ints_of
from qsky.ingest.source import ReadOptions, SourceFile
from qsky.ingest.tile import CountMap
from qsky.sky.healpix import Ints
from qsky.storage.store import Store

Ends = tuple[tuple[Table, str], ...]


@dataclass(frozen=True)
class Work:
    """What every step of one load needs."""

    request: LoadRequest
    base: Revision
    store: Store
    id: str
    settings: Settings
    listener: Listener
    rejects: RejectsWriter


@dataclass(frozen=True)
class Sources:
    """What a load reads, and how."""

    files: Sequence[SourceFile]
    schema: SourceSchema
    options: ReadOptions


@dataclass(frozen=True)
class Placed:
    """Every row where it belongs, sorted in runs. `rows`, `bytes` of all, `counts` of a director's cells.

    `keys` gives the keys and cells of a director. `told` is what the revision says of the sources.
    """

    rows: int
    bytes: int
    counts: CountMap
    own_angle_deg: float
    keys: KeyColumns
    told: tuple[dict[str, object], ...] = field(default=())


class Partition(Protocol):
    """Where and how the rows of one load become parts: `read`, then `build`, then `secure`, each once.

    What a `resumable` one has done is kept when the load fails.
    """

    @property
    def resumable(self) -> bool: ...

    def read(self, work: Work, sources: Sources, table: Table, ends: Ends) -> Placed: ...

    def build(self, work: Work, table: Table, tiling: Tiling, writer: PartWriter) -> Built: ...

    def secure(self, work: Work, paths: Sequence[str]) -> None:
        """Called before the revision is made, with the paths of all its new parts. Raises to forbid it."""


class Here:
    """Partitions in this process, on all its cores."""

    resumable = False

    def __init__(self) -> None:
        self._source: RowSource | None = None

    def read(self, work: Work, sources: Sources, table: Table, ends: Ends) -> Placed:
        placer = Placer(work.store, table, ends)
        scratch = work.store.path(scratch_path(work.id))
        runs = Runs(scratch / "rows", held_bytes_max=work.settings.load_memory_bytes_max // 2)
        batches = batches_of(sources, table, work.settings, work.rejects, work.listener)
        counted = table.kind is Kind.DIRECTOR and not table.tiling
        counts = sort_into(runs, batches, placer, work.settings, counted=counted)
        work.rejects.finish()
        self._source = runs.ranges()
        told = tuple(source.told() for source in sources.files)
        return Placed(runs.rows, runs.bytes, counts, placer.own_angle_deg, lambda: key_columns(runs, table.key), told)

    def build(self, work: Work, table: Table, tiling: Tiling, writer: PartWriter) -> Built:
        assert self._source is not None
        scratch = work.store.path(scratch_path(work.id))
        return build_parts(self._source, table, tiling, writer, scratch, work.settings, work.listener)

    def secure(self, work: Work, paths: Sequence[str]) -> None:
        """What is written here needs no copies."""


def key_columns(runs: Runs, key: str) -> Iterator[tuple[pa.ChunkedArray, Ints]]:
    """The keys and cells, run by run."""
    for run in runs.runs():
        rows = run.columns([key, runs.by])
        yield rows[key], ints_of(rows, runs.by)


def batches_of(
    sources: Sources, table: Table, settings: Settings, rejects: RejectsWriter, listener: Listener
) -> Iterator[pa.RecordBatch]:
    """The good rows with exactly the table's columns. Raises what reading raises."""
    batches = read_batches(sources.files, sources.schema, sources.options, settings, rejects, listener)
    return (_aligned(batch, table) for batch in batches)


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


def ends_of(base: Revision, table: Table) -> Ends:
    """The directors a table's keys point to."""
    pairs = [(table.director, table.key)] if table.kind is Kind.CHILD else [(e.director, e.key) for e in table.match]
    found = [(existing_table(base, name), key) for name, key in pairs]
    return tuple((director, key) for director, key in found if director is not None)


def sort_into(
    runs: Runs, batches: Iterator[pa.RecordBatch], placer: Placer, settings: Settings, *, counted: bool
) -> CountMap:
    """Place, sort and write every batch, a few at a time on all cores, while the next ones are read; the cells `counted`."""
    counts = CountMap(settings.tiling_order_max)

    def place_and_write(number: int, batch: pa.RecordBatch) -> Ints:
        return runs.add(number, placer.place(batch))

    for cells in _ahead(place_and_write, batches, settings.cores):
        if counted:
            counts.add(cells)
    return counts


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
