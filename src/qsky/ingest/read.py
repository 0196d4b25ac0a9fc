"""Reading sources: what columns they have, then their rows, clean and of stored types, batch by batch.

The front of the reading side, called by `ingest.load`: `find_sources`, `read_schema`, `read_batches`. Each format is a
module of its own; what happens to values is in `clean`. Writes nothing but rejects and scratch files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import pyarrow as pa

from qsky.catalog.model import Column
from qsky.catalog.types import type_name
from qsky.config import Settings
from qsky.events import Listener, Progress
from qsky.ingest import read_csv, read_fits, read_parquet, read_votable
from qsky.ingest.clean import Target, clean
from qsky.ingest.columns import Named, check_duplicates, guess_position, required, stored, union
from qsky.ingest.conform import is_text
from qsky.ingest.felis import felis_columns
from qsky.ingest.positions import looks_sexagesimal, unit_of
from qsky.ingest.rejects import RejectsWriter
from qsky.ingest.source import RawBatch, RawTable, ReadOptions, SourceFile, Unit
from qsky.ingest.sources import find_sources

__all__ = ["SourceSchema", "find_sources", "read_batches", "read_schema"]

_BATCH_SHARE: Final = 16  # of the load's memory that one batch may fill
_ROWS_MIN: Final = 1024
_TEXT_BYTES_GUESS: Final = 24


@dataclass(frozen=True)
class SourceSchema:
    """What the sources hold, as one table. `ra`, `dec` are its position columns, "" where none were asked for.

    `rows` is the number of rows before any is refused, None where only reading would tell.
    """

    columns: tuple[Column, ...]
    arrow: pa.Schema
    ra: str
    dec: str
    rows: int | None
    tables: tuple[RawTable, ...]
    targets: tuple[Target, ...]

    def of(self, places: Sequence[int]) -> SourceSchema:
        """The same columns, for some of the sources."""
        return replace(self, tables=tuple(self.tables[at] for at in places), rows=None)


def read_schema(sources: Sequence[SourceFile], options: ReadOptions, settings: Settings) -> SourceSchema:
    """The union of the sources' columns; one that a file lacks is NULL there.

    Raises bad-columns, no-such-column, bad-format, corrupt-file, limit-source, usage.
    """
    felis = felis_columns(options.felis, options.felis_table or "") if options.felis else {}
    said = replace(options, types={name: c.type for name, c in felis.items() if c.type} | dict(options.types))
    tables = tuple(_scan(source, said, settings) for source in sources)
    for source, table in zip(sources, tables, strict=True):
        check_duplicates(source, table)
    columns = [_described(column, felis) for column in union(list(zip(sources, tables, strict=True)), said)]
    for name in options.types:
        required(columns, name, "named by --type")
    position = _position(columns, sources, options)
    key = required(columns, options.key, "the key") if options.key else None
    targets = tuple(_target(c, position, key, sources, tables, options) for c in columns)
    rows = [table.rows for table in tables]
    return SourceSchema(
        columns=tuple(_column(column, one) for column, one in zip(columns, targets, strict=True)),
        arrow=pa.schema([pa.field(one.name, one.arrow) for one in targets]),
        ra=position[0].name if position else "",
        dec=position[1].name if position else "",
        rows=None if None in rows else sum(count or 0 for count in rows),
        tables=tables,
        targets=targets,
    )


def read_batches(
    sources: Sequence[SourceFile],
    schema: SourceSchema,
    options: ReadOptions,
    settings: Settings,
    rejects: RejectsWriter,
    listener: Listener,
) -> Iterator[pa.RecordBatch]:
    """The good rows, in batches of at most `load_batch_rows`; refused ones go to `rejects`.

    Positions are degrees, ra in [0, 360). Raises too-many-rejects, as early as there are enough examples, corrupt-file.
    """
    rows_max = batch_rows(schema.arrow, settings)
    held: list[pa.RecordBatch] = []
    held_rows, done = 0, 0
    for source, table in zip(sources, schema.tables, strict=True):
        for raw in _raw_batches(source, table, options, rows_max):
            held.append(clean(raw, schema.targets, source.name, options, rejects, text=source.format == "csv"))
            held_rows += held[-1].num_rows
            done += raw.rows
            listener(Progress("reading", done, schema.rows))
            if held_rows >= rows_max:
                yield from _batches_of(held, rows_max)
                held, held_rows = [], 0
    if held_rows:
        yield from _batches_of(held, rows_max)
    rejects.finish()


def batch_rows(schema: pa.Schema, settings: Settings) -> int:
    """Rows in a batch: the setting's, fewer where rows are wide."""
    row_bytes = sum(_bytes_guess(field.type) for field in schema)
    fitting = max(settings.load_memory_bytes_max // _BATCH_SHARE // max(row_bytes, 1), _ROWS_MIN)
    return int(min(settings.load_batch_rows, fitting))


def _bytes_guess(arrow: pa.DataType) -> int:
    try:
        return max(int(arrow.bit_width) // 8, 1)
    except ValueError:
        return _TEXT_BYTES_GUESS


def _batches_of(held: list[pa.RecordBatch], rows_max: int) -> list[pa.RecordBatch]:
    """The held batches as few of at most `rows_max` rows."""
    if len(held) == 1 and held[0].num_rows <= rows_max:
        return held
    table = pa.Table.from_batches(held).combine_chunks()
    return [batch for batch in table.to_batches(max_chunksize=rows_max) if batch.num_rows]


def _scan(source: SourceFile, options: ReadOptions, settings: Settings) -> RawTable:
    if source.format == "csv":
        return read_csv.scan(source, options)
    if source.format == "parquet":
        return read_parquet.scan(source, options)
    if source.format == "fits":
        return read_fits.scan(source, options)
    return read_votable.scan(source, options, settings)


def _raw_batches(source: SourceFile, table: RawTable, options: ReadOptions, rows: int) -> Iterator[RawBatch]:
    if source.format == "csv":
        return read_csv.batches(source, table, options)
    if source.format == "parquet":
        return read_parquet.batches(source, table, options, rows)
    if source.format == "fits":
        return read_fits.batches(source, table, options, rows)
    return read_votable.batches(source, table, options, rows)


def _described(column: Named, felis: dict[str, Column]) -> Named:
    """What a Felis file says of the column goes before what its own file says."""
    said = felis.get(column.raw.name.lower()) or felis.get(column.name.lower())
    if said is None:
        return column
    raw = replace(
        column.raw,
        unit=said.unit or column.raw.unit,
        ucd=said.ucd or column.raw.ucd,
        description=said.description or column.raw.description,
    )
    return Named(column.name, raw)


def _position(
    columns: Sequence[Named], sources: Sequence[SourceFile], options: ReadOptions
) -> tuple[Named, Named] | None:
    """The position columns: the named ones, or if positions are required those that look like it."""
    if options.ra and options.dec:
        return required(columns, options.ra, "the right ascension"), required(columns, options.dec, "the declination")
    guessed = guess_position(columns, sources) if options.position_required else None
    if guessed is None and not options.position_required:
        return None
    if guessed is None or (options.ra or options.dec):
        ra = required(columns, options.ra or "ra", "the right ascension")
        return ra, required(columns, options.dec or "dec", "the declination")
    return guessed


def _target(
    column: Named,
    position: tuple[Named, Named] | None,
    key: Named | None,
    sources: Sequence[SourceFile],
    tables: Sequence[RawTable],
    options: ReadOptions,
) -> Target:
    axis = _axis(column, position)
    if axis == "":
        is_key = key is not None and column.name == key.name
        return Target(column.raw.name, column.name, stored(column), required=is_key and options.key_required)
    unit = options.ra_unit if axis == "ra" else options.dec_unit
    unit = unit or unit_of(column.raw.unit) or _unit_by_looks(column, sources, tables, options)
    return Target(column.raw.name, column.name, pa.float64(), axis, unit, required=options.position_required)


def _axis(column: Named, position: tuple[Named, Named] | None) -> Literal["", "ra", "dec"]:
    if position is None:
        return ""
    if column.name == position[0].name:
        return "ra"
    return "dec" if column.name == position[1].name else ""


def _unit_by_looks(
    column: Named,
    sources: Sequence[SourceFile],
    tables: Sequence[RawTable],
    options: ReadOptions,
) -> Unit:
    """Text that is mostly written as 00:08:27.05 is sexagesimal; everything else is degrees."""
    if column.raw.arrow is None or not is_text(column.raw.arrow):
        return "deg"
    for source, table in zip(sources, tables, strict=True):
        for raw in _raw_batches(source, table, options, _ROWS_MIN):
            if column.raw.name in raw.columns and raw.rows:
                sample = raw.columns[column.raw.name].slice(0, _ROWS_MIN)
                return "sexagesimal" if looks_sexagesimal(sample.cast(pa.string())) else "deg"
    return "deg"


def _column(column: Named, one: Target) -> Column:
    unit = "deg" if one.axis else column.raw.unit
    kind = type_name(one.arrow)
    collation = column.raw.collation if kind == "VARCHAR" else ""
    return Column(column.name, kind, unit, column.raw.ucd, " ".join(column.raw.description.split()), collation)
