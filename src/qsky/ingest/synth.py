"""A realistic sky of any size from one seed: `qsky synth`, `make demo` and benchmarks get their rows here.

Objects and their detections come as streams of batches, or are written as Parquet files for a load to read. The rows
are made in blocks of 65,536 objects from all over the sky, so a load of them really has to partition. A plan gives the
same rows whatever the batch size, the threads and the files. Memory is bounded by a few blocks per thread. This never
loads anything into a database.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qsky.catalog.model import Column
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Listener, Progress
from qsky.ingest.synth_columns import FILTER_COLUMNS, OBJECT_COLUMNS, SOURCE_COLUMNS, VISIT_COLUMNS, schema_of
from qsky.ingest.synth_rows import object_rows, source_rows
from qsky.ingest.synth_sky import BANDS, FIELD_ORDER, VISIT_DEPTH_MAG, Sky, SkyPlan, sky_of
from qsky.ingest.synth_truth import BLOCK_OBJECTS, blocks_of
from qsky.sky.healpix import centres_of
from qsky.storage.store import io_errors

__all__ = [
    "FILTER_COLUMNS",
    "OBJECT_COLUMNS",
    "SOURCE_COLUMNS",
    "VISIT_COLUMNS",
    "SkyPlan",
    "filter_rows",
    "object_batches",
    "source_batches",
    "visit_rows",
    "write_sky",
]

_FILE_ROWS: Final = 1 << 19
_SOURCE_FILE_ROWS: Final = 1 << 21
_ROW_GROUP_ROWS: Final = 1 << 17
_EXPOSURE_SECONDS: Final = 30.0
_WAVELENGTH_NM: Final = (368.0, 480.0, 622.0, 754.0, 868.0, 973.0)
# How often the listener hears of progress, and an interrupted run notices.
_TICK_SECONDS: Final = 0.2

_RowsOfBlock = Callable[[Sky, int], Iterator[pa.RecordBatch]]


def object_batches(plan: SkyPlan, rows: int) -> Iterator[pa.RecordBatch]:
    """All objects, `rows` at a time (the last batch may be smaller), columns `OBJECT_COLUMNS`."""
    return _batches(sky_of(plan), _objects_of, range(blocks_of(plan)), rows)


def source_batches(plan: SkyPlan, rows: int) -> Iterator[pa.RecordBatch]:
    """All detections, `rows` at a time, columns `SOURCE_COLUMNS`; those of one object follow each other."""
    return _batches(sky_of(plan), source_rows, range(blocks_of(plan)), rows)


def visit_rows(plan: SkyPlan) -> pa.RecordBatch:
    """The visits in which the detections were made, columns `VISIT_COLUMNS`."""
    visits = sky_of(plan).visits
    ra, dec = centres_of(visits.field, FIELD_ORDER)
    values = {
        "visit": np.arange(1, len(ra) + 1),
        "band": pa.DictionaryArray.from_arrays(pa.array(visits.band), pa.array(list(BANDS))),
        "ra": ra,
        "dec": dec,
        "midpointMjdTai": visits.mjd,
        "expTime": np.full(len(ra), _EXPOSURE_SECONDS, dtype=np.float32),
        "seeing": visits.seeing_arcsec,
        "skyNoise": visits.sky_noise_njy,
    }
    return _rows(values, VISIT_COLUMNS)


def filter_rows() -> pa.RecordBatch:
    """The six filters, columns `FILTER_COLUMNS`."""
    numbers = pa.array(np.arange(len(BANDS), dtype=np.int8))
    values = {
        "band": pa.DictionaryArray.from_arrays(numbers, pa.array(list(BANDS))),
        "wavelength": np.array(_WAVELENGTH_NM, dtype=np.float32),
        "depth": np.array(VISIT_DEPTH_MAG, dtype=np.float32),
    }
    return _rows(values, FILTER_COLUMNS)


def write_sky(plan: SkyPlan, folder: Path, settings: Settings, listener: Listener) -> list[Path]:
    """Write object-*.parquet, source-*.parquet, visit.parquet and filter.parquet; the paths, sorted.

    Tells `listener` the rows written so far. Raises usage if the folder already holds such files, disk-full, no-access.
    An error or an interrupt leaves no unfinished file behind.
    """
    _refuse_mixing(folder)
    with io_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    sky = sky_of(plan)
    small = {folder / "filter.parquet": filter_rows()}
    if plan.sources_per_object:
        small[folder / "visit.parquet"] = visit_rows(plan)
    for path, rows in small.items():
        with io_errors(path.name), _parquet(path, rows.schema) as writer:
            writer.write_batch(rows)
    files = list(_files(plan, folder))
    _write_all(sky, files, settings.cores, listener)
    return sorted([*small, *(file.path for file in files)])


@dataclass(frozen=True)
class _File:
    """One file to write: its rows are those of a range of blocks."""

    path: Path
    columns: tuple[Column, ...]
    rows_of: _RowsOfBlock
    blocks: range


@dataclass
class _Count:
    """Rows written by all threads, and whether they should stop."""

    rows: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, rows: int) -> None:
        """Count rows of a finished row group. Raises cancelled when told to stop."""
        with self.lock:
            self.rows += rows
        if self.stop.is_set():
            raise QskyError("cancelled", "The synthetic sky was not finished.")


def _objects_of(sky: Sky, block: int) -> Iterator[pa.RecordBatch]:
    yield object_rows(sky, block)


def _batches(sky: Sky, rows_of: _RowsOfBlock, blocks: range, rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of some blocks, cut anew into batches of `rows`."""
    if rows < 1:
        raise QskyError("usage", f"A batch has at least one row; {rows} were asked.")
    waiting: list[pa.RecordBatch] = []
    missing = rows
    for batch in (batch for block in blocks for batch in rows_of(sky, block)):
        at = 0
        while at < batch.num_rows:
            piece = batch.slice(at, missing)
            waiting.append(piece)
            at, missing = at + piece.num_rows, missing - piece.num_rows
            if missing == 0:
                yield pa.concat_batches(waiting)
                waiting, missing = [], rows
    if waiting:
        yield pa.concat_batches(waiting)


def _rows(values: dict[str, object], columns: tuple[Column, ...]) -> pa.RecordBatch:
    arrays = [pa.array(values[column.name]) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=schema_of(columns))


def _refuse_mixing(folder: Path) -> None:
    """Files of another sky, if more than this one has, would be taken for part of it."""
    there = [path for kind in ("object", "source") for path in folder.glob(f"{kind}-*.parquet")]
    if there:
        raise QskyError(
            "usage",
            f"The folder {folder} already holds a synthetic sky: {min(there).name}.",
            hint="Choose another folder, or delete its files.",
        )


def _files(plan: SkyPlan, folder: Path) -> Iterator[_File]:
    """The files of a sky, each a few blocks; the large ones first, so that no core waits long at the end."""
    blocks = blocks_of(plan)
    if plan.sources_per_object:
        step = max(1, int(_SOURCE_FILE_ROWS / (BLOCK_OBJECTS * plan.sources_per_object)))
        for number, start in enumerate(range(0, blocks, step)):
            path = folder / f"source-{number:05d}.parquet"
            yield _File(path, SOURCE_COLUMNS, source_rows, range(start, min(start + step, blocks)))
    step = _FILE_ROWS // BLOCK_OBJECTS
    for number, start in enumerate(range(0, blocks, step)):
        path = folder / f"object-{number:05d}.parquet"
        yield _File(path, OBJECT_COLUMNS, _objects_of, range(start, min(start + step, blocks)))


def _write_all(sky: Sky, files: list[_File], threads: int, listener: Listener) -> None:
    count = _Count()
    plan = sky.plan
    expected = plan.objects + round(plan.objects * plan.sources_per_object)
    with ThreadPoolExecutor(threads, thread_name_prefix="qsky-synth") as pool:
        waiting: set[Future[None]] = {pool.submit(_write, sky, file, count) for file in files}
        try:
            while waiting:
                done, waiting = wait(waiting, _TICK_SECONDS, FIRST_COMPLETED)
                for future in done:
                    future.result()
                listener(Progress("synthesise", count.rows, max(expected, count.rows)))
        except BaseException:
            count.stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    listener(Progress("synthesise", count.rows, count.rows))


def _write(sky: Sky, file: _File, count: _Count) -> None:
    """Write one file, a row group at a time."""
    unfinished = file.path.with_suffix(".unfinished")
    try:
        with io_errors(file.path.name), _parquet(unfinished, schema_of(file.columns)) as writer:
            for batch in _batches(sky, file.rows_of, file.blocks, _ROW_GROUP_ROWS):
                writer.write_batch(batch)
                count.add(batch.num_rows)
        unfinished.rename(file.path)
    finally:
        unfinished.unlink(missing_ok=True)


def _parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of zstd-1 with dictionaries for words only, which all other columns would only slow down."""
    words = [column.name for column in schema if pa.types.is_dictionary(column.type)]
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=words)
