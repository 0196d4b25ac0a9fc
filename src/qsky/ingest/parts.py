"""Writing parts: sorted rows of one leaf become an immutable Parquet file in the staging folder, named by its digest.

Encoding is what measurements favour: zstd level 1, but snappy for numbers that are mostly noise, which zstd makes a tenth
smaller and three times slower to read; 64k-row groups; a dictionary only where few values repeat (Arrow's default, a
dictionary for every column, is four times slower to write and larger); pages of 32 KiB, most of which a cone need not
unpack.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from dataclasses import asdict, dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qsky.catalog import layout
from qsky.catalog.model import HEALPIX_COLUMN, Table
from qsky.catalog.snapshot import COLUMN_SEPARATOR, PARTS_SCHEMA, arrow_bytes
from qsky.config import Settings
from qsky.ingest.runs import ints_of
from qsky.storage.store import DIGEST_LETTERS, Store, io_errors, make_folders

_SAMPLE_ROWS: Final = 65_536
_REPEATING: Final = 0.02
_NOISE: Final = 0.75  # what zstd leaves of a column that is not worth its price
_PAGE_BYTES: Final = 32 << 10


@dataclass(frozen=True)
class _Encoding:
    """How the columns of a table are written: those with a dictionary, and the codec and its level of each leaf column."""

    dictionaries: list[str]
    codecs: dict[str, str]
    levels: dict[str, int]


@dataclass(frozen=True)
class PartRow:
    """One line of a manifest; the fields are those of `PARTS_SCHEMA`."""

    path: str
    norder: int
    npix: int
    rows: int
    bytes: int
    hp_min: int
    hp_max: int
    key_min: int | None
    key_max: int | None
    orphans: bool
    columns: str


class PartWriter:
    """Writes the parts of one load. Safe for several threads.

    Several writers of one load number their parts from different `first` ones, so that no two ever share a name.
    """

    def __init__(self, store: Store, load: str, settings: Settings, first: int = 0) -> None:
        self.store = store
        self.load = load
        self.settings = settings
        self._sequence = itertools.count(first)
        self._lock = threading.Lock()
        self._encodings: dict[str, _Encoding] = {}
        with io_errors("the staging folder"):
            make_folders(store.path(layout.staging_path(load)))

    def write(
        self, rows: pa.Table, table: Table, leaf: tuple[int, int], *, overlap: bool = False, orphans: bool = False
    ) -> list[PartRow]:
        """Stage the rows of one leaf, sorted, as one part, or as more if it would be too large."""
        content = self._encode(rows, table)
        if len(content) > self.settings.part_bytes_max and rows.num_rows > 1:
            half = rows.num_rows // 2
            halves = (rows.slice(0, half), rows.slice(half))
            return [row for h in halves for row in self.write(h, table, leaf, overlap=overlap, orphans=orphans)]
        digest = hashlib.sha256(content).hexdigest()[:DIGEST_LETTERS]
        with self._lock:
            name = layout.part_name(self.load, next(self._sequence), digest)
        _write_durably(self.store, f"{layout.staging_path(self.load)}/{name}", content)
        dataset = layout.dataset_path(table, overlap=overlap)
        path = f"{dataset}/{layout.leaf_folder(*leaf)}/{name}" if table.partitioned else f"{dataset}/{name}"
        cells = ints_of(rows, HEALPIX_COLUMN) if table.partitioned else None
        low, high = (int(cells[0]), int(cells[-1])) if cells is not None else (0, 0)
        key_low, key_high = _key_range(rows, table.key)
        return [
            PartRow(
                path, *leaf, rows.num_rows, len(content), low, high, key_low, key_high, orphans, columns_text(table)
            )
        ]

    def _encode(self, rows: pa.Table, table: Table) -> pa.Buffer:
        sink = pa.BufferOutputStream()
        sorting = (
            pq.SortingColumn.from_ordering(rows.schema, [(HEALPIX_COLUMN, "ascending")]) if table.partitioned else None
        )
        encoding = self._encoding(rows, table.name)
        pq.write_table(
            rows,
            sink,
            row_group_size=self.settings.row_group_rows,
            compression=encoding.codecs,
            compression_level=encoding.levels,
            data_page_size=_PAGE_BYTES,
            use_dictionary=encoding.dictionaries,
            sorting_columns=sorting,
        )
        return sink.getvalue()

    def _encoding(self, rows: pa.Table, name: str) -> _Encoding:
        """Judged once per table by its first rows."""
        with self._lock:
            if name not in self._encodings:
                self._encodings[name] = _encoding_of(rows.slice(0, _SAMPLE_ROWS))
            return self._encodings[name]


def _encoding_of(sample: pa.Table) -> _Encoding:
    dictionaries = _repeating(sample)
    noise = {name for name in sample.column_names if name not in dictionaries and _is_noise(sample[name])}
    leaves = pq.ParquetFile(pa.py_buffer(_empty(sample.schema))).schema
    paths = [leaves.column(place).path for place in range(len(leaves))]
    codecs = {path: "snappy" if path in noise else "zstd" for path in paths}
    return _Encoding(dictionaries, codecs, {path: 1 for path, codec in codecs.items() if codec == "zstd"})


def _empty(schema: pa.Schema) -> pa.Buffer:
    """A file of no rows, which tells the paths of its leaf columns."""
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    return sink.getvalue()


def _is_noise(column: pa.ChunkedArray) -> bool:
    """Whether a column of numbers hardly gets smaller."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return False
    content = pa.concat_arrays(column.chunks).drop_null().to_numpy().tobytes()
    return len(content) > 0 and len(pa.compress(content, codec="zstd", asbytes=True)) > _NOISE * len(content)


def _repeating(sample: pa.Table) -> list[str]:
    t = pa.types
    found = []
    for field in sample.schema:
        if not (t.is_string(field.type) or t.is_integer(field.type) or t.is_date(field.type)):
            continue
        if pc.count_distinct(sample[field.name]).as_py() <= max(1, int(sample.num_rows * _REPEATING)):
            found.append(field.name)
    return found


def _key_range(rows: pa.Table, key: str) -> tuple[int | None, int | None]:
    if not key or not pa.types.is_integer(rows.schema.field(key).type):
        return None, None
    both = pc.min_max(rows[key])
    return both["min"].as_py(), both["max"].as_py()


def _write_durably(store: Store, name: str, content: pa.Buffer) -> None:
    with io_errors(name), open(store.path(name), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def columns_text(table: Table) -> str:
    """The table's column names, as a manifest keeps what a part was written with."""
    return COLUMN_SEPARATOR.join(column.name for column in table.columns)


def manifest_bytes(parts: list[PartRow]) -> bytes:
    """A manifest of parts."""
    ordered = sorted(parts, key=lambda part: (part.npix << 2 * (29 - part.norder), part.path))
    return arrow_bytes(pa.Table.from_pylist([asdict(part) for part in ordered], schema=PARTS_SCHEMA))
