"""Compaction: a family of tables written anew, in a tiling that fits its rows of today, with one part per chunk.

Many small parts of many appends become few, chunks that grew too heavy are split, index segments are merged, and the
overlap may get another width. All tables of the director get a new generation; old revisions keep the old one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qsky.catalog.lease import Lease, leased
from qsky.catalog.model import HEALPIX_COLUMN, Kind, Revision, Table
from qsky.catalog.settle import stored_schema
from qsky.catalog.snapshot import Parts, Tiling
from qsky.catalog.store import Catalog, read_parts, read_tiling
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Listener, Progress, silent
from qsky.ingest.build import ORPHAN_COLUMN, Built, build_parts
from qsky.ingest.change import made_of, replacing
from qsky.ingest.index import build_index
from qsky.ingest.parts import PartWriter
from qsky.ingest.publish import Change, discard, new_load_id, publish, scratch_path, settled_revision
from qsky.ingest.regenerate import matches_placed_again, read_rows
from qsky.ingest.request import existing_table, next_generation
from qsky.ingest.tile import CountMap, tiling_of
from qsky.sky.healpix import Ints
from qsky.storage.store import Store


def compact(
    catalog: Catalog,
    database: str,
    settings: Settings,
    listener: Listener = silent,
    *,
    overlap_arcsec: float | None = None,
) -> Revision:
    """Write every family of a database anew; the new revision, or the current one if there was nothing to do.

    Raises no-such-database, load-conflict, foreign-commit, disk-full.
    """
    base = settled_revision(catalog, database)
    store, load = catalog.store(base.database), new_load_id()
    with leased(store, Lease(load=load, revision=base.number), settings.lease_seconds):
        try:
            work = _Compaction(store, base, load, settings, listener, overlap_arcsec)
            tables = tuple(
                table
                for director in base.tables
                if director.kind is Kind.DIRECTOR and director.attached is None
                for table in work.family(director)
            ) + tuple(t for table in base.tables if table.kind is Kind.REPLICATED for t in work.replicated(table))
            if not tables:
                return base
            change = Change(
                operation="compact",
                load=load,
                apply=lambda current: replacing(current, tables),
                writes=frozenset(table.name for table in tables),
            )
            return publish(catalog, base, change, settings, listener)
        finally:
            discard(catalog, base, load)


@dataclass(frozen=True)
class _Compaction:
    """One compaction at work; its methods give the next states of tables, or nothing where nothing would change."""

    store: Store
    base: Revision
    load: str
    settings: Settings
    listener: Listener
    overlap_arcsec: float | None

    def family(self, director: Table) -> list[Table]:
        family = self.base.family_of(director.name)
        old = read_tiling(self.store, director.tiling)
        tiling = self._tiling(family)
        wider = self.overlap_arcsec is not None and self.overlap_arcsec != director.overlap_arcsec
        if tiling.same_as(old) and not wider and not any(self._scattered(table) for table in family):
            return []
        name = self.store.create_side_file("tiling", tiling.to_bytes(), "arrow")
        overlap = director.overlap_arcsec if self.overlap_arcsec is None else self.overlap_arcsec
        renewed = [self._renewed(replace(director, overlap_arcsec=overlap), tiling, name)]
        renewed += [self._renewed(table, tiling, name) for table in family[1:]]
        return renewed

    def replicated(self, table: Table) -> list[Table]:
        parts = self._parts(table)
        if len(parts) <= 1 or table.attached is not None:
            return []
        writer = PartWriter(self.store, self.load, self.settings)
        renewed = replace(table, generation=next_generation(self.store, table))
        rows = pa.concat_tables([read_rows(self.store.part(path), table, None) for path in parts.paths.to_pylist()])
        return [made_of(self.store, renewed, Built(writer.write(rows, renewed, (0, 0)), []))]

    def _parts(self, table: Table, *, overlap: bool = False) -> Parts:
        names = tuple(column.name for column in table.columns)
        return read_parts(self.store, table.overlap_parts if overlap else table.parts, names)

    def _scattered(self, table: Table) -> bool:
        """Whether a chunk has more parts than it needs."""
        for parts in (self._parts(table), self._parts(table, overlap=True)):
            _, first = np.unique(parts.leaf_starts[~parts.orphans], return_index=True)
            if len(first) < int((~parts.orphans).sum()) and bool(
                (parts.bytes < self.settings.part_bytes_max // 4).any()
            ):
                return True
        return len(table.index) > 1 and table.rows * 24 < self.settings.index_segment_bytes_max

    def _tiling(self, family: tuple[Table, ...]) -> Tiling:
        """The tiling for the rows of today, weighed with the bytes of the whole family."""
        director, settings = family[0], self.settings
        counts = CountMap(settings.tiling_order_max)
        parts = self._parts(director)
        for at, path in enumerate(parts.paths.to_pylist()):
            counts.add(
                pq.read_table(self.store.part(path), columns=[HEALPIX_COLUMN], partitioning=None)[
                    HEALPIX_COLUMN
                ].to_numpy()
            )
            self.listener(Progress(f"counting {director.name}", at + 1, len(parts), "parts"))
        row_bytes = sum(table.bytes for table in family) / max(1, director.rows)
        cells, weights = counts.cells()
        weight = max(1 / settings.chunk_rows_max, row_bytes / settings.chunk_bytes_max)
        return tiling_of(cells, weights * weight, counts.order)

    def _renewed(self, table: Table, tiling: Tiling, tiling_name: str) -> Table:
        renewed = replace(table, generation=next_generation(self.store, table), tiling=tiling_name)
        source = PartRows(self.store, table, self._parts(table))
        writer = PartWriter(self.store, self.load, self.settings)
        if table.kind is Kind.MATCH:
            built = matches_placed_again(
                self.store, renewed, source.parts, self._ends(table), tiling, writer, self.settings, self.listener
            )
        else:
            scratch = self.store.path(scratch_path(self.load))
            built = build_parts(source, renewed, tiling, writer, scratch, self.settings, self.listener)
        if built.rows != table.rows:
            raise QskyError(
                "damaged", f"{table.name} has {built.rows} rows, not {table.rows}.", hint="Run `qsky verify`."
            )
        made = made_of(self.store, renewed, built)
        if table.kind is not Kind.DIRECTOR or not table.key:
            return made
        fresh = replace(made, index=(), key_unique=True)
        indexed = build_index(source.keys, self.store, fresh, tiling, self.settings, allow_duplicates=True)
        return replace(made, index=indexed.segments, key_unique=indexed.unique)

    def _ends(self, table: Table) -> tuple[tuple[Table, str], ...]:
        """The directors a match table's keys point to."""
        found = [(existing_table(self.base, end.director), end.key) for end in table.match]
        return tuple((director, key) for director, key in found if director is not None)


@dataclass
class PartRows:
    """The rows of an older generation by ranges of cells: what `build` reads from."""

    store: Store
    table: Table
    parts: Parts

    @property
    def rows(self) -> int:
        return int(self.parts.rows.sum())

    @property
    def bytes(self) -> int:
        # Decoded rows take more room than stored ones; three times is on the safe side of zstd-1.
        return 3 * int(self.parts.bytes.sum())

    def count(self, start: int, end: int) -> int:
        """At most how many rows a range holds."""
        return int(self.parts.rows[self._meeting(start, end)].sum())

    def pieces(self, start: int, end: int, rows_max: int) -> Iterator[pa.Table]:
        cells = [self._cells(at, start, end) for at in self._meeting(start, end)]
        values = np.sort(np.concatenate(cells)) if cells else np.empty(0, dtype=np.int64)
        cuts = np.unique(np.concatenate(([start], values[rows_max::rows_max], [end])))
        for low, high in itertools.pairwise(cuts.tolist()):
            rows = self._rows(low, high)
            if rows.num_rows:
                yield rows

    def _meeting(self, start: int, end: int) -> Ints:
        return self.parts.meeting(np.array([start]), np.array([end]))

    def _path(self, at: int) -> object:
        return self.store.part(self.parts.paths[int(at)].as_py())

    def _cells(self, at: int, start: int, end: int) -> Ints:
        table = pq.read_table(self._path(at), columns=[HEALPIX_COLUMN], partitioning=None)
        cells: Ints = table[HEALPIX_COLUMN].to_numpy()
        return cells[slice(*np.searchsorted(cells, (start, end)))]

    def _rows(self, start: int, end: int) -> pa.Table:
        found = []
        for at in self._meeting(start, end):
            rows = read_rows(self._path(at), self.table, (start, end))
            if self.table.kind is Kind.CHILD:
                flag = np.full(rows.num_rows, self.parts.orphans[at], dtype=np.int8)
                rows = rows.append_column(ORPHAN_COLUMN, pa.array(flag))
            found.append(rows)
        whole = pa.concat_tables(found) if found else stored_schema(self.table).empty_table()
        cells = whole[HEALPIX_COLUMN].to_numpy()
        return whole.take(pa.array(np.argsort(cells, kind="stable")))

    def keys(self) -> Iterator[tuple[pa.ChunkedArray, Ints]]:
        """The keys and cells, part by part."""
        for path in self.parts.paths.to_pylist():
            names = [self.table.key, HEALPIX_COLUMN]
            rows = pq.read_table(self.store.part(path), columns=names, partitioning=None)
            yield rows[self.table.key], rows[HEALPIX_COLUMN].to_numpy()
