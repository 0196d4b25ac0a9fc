"""Text tables: CSV, TSV and their cousins, in blocks through Arrow's parser. Called by `ingest.read`.

The parser gives bytes, never numbers: what a field means is decided by `csv_types` (once, over the whole file where
that can change a type) and `conform` (strictly: no rounding of fractions to integers). Records the parser cannot
split are refused with their line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from qsky.catalog.model import Column
from qsky.catalog.types import arrow_type
from qsky.ingest.csv_shape import CsvShape, find_shape
from qsky.ingest.csv_stream import LineFinder, RowBytes
from qsky.ingest.csv_types import Kinds
from qsky.ingest.mysql_ddl import read_ddl
from qsky.ingest.source import RawBatch, RawColumn, RawTable, ReadOptions, Refused, SourceFile, corrupt

_BLOCK_BYTES: Final = 16 << 20
_SAMPLE_BYTES: Final = 4 << 20
_ALWAYS_NULL: Final = ("", "\\N")


def scan(source: SourceFile, options: ReadOptions) -> RawTable:
    """The columns with the types their values have. Raises bad-format, bad-columns, corrupt-file, no-input."""
    shape = find_shape(source, options)
    if len(set(shape.names)) < len(shape.names):
        # the parser could not tell them apart; the caller refuses them by name
        return RawTable(tuple(RawColumn(name, None) for name in shape.names))
    declared = {column.name: column for column in read_ddl(options.ddl)} if options.ddl else {}
    given = _given_types(shape, options, declared)
    kinds = {name: Kinds(name) for name in shape.names if name not in given}
    whole = _sample(source, shape, options, kinds)
    unsure = [name for name, kind in kinds.items() if not kind.settled]
    if not whole and unsure:
        _look_at_all(source, shape, options, unsure, kinds)
    folded = {name: column.collation for name, column in declared.items()}
    return RawTable(
        tuple(
            RawColumn(name, given[name] if name in given else kinds[name].arrow(), collation=folded.get(name, ""))
            for name in shape.names
        )
    )


def _given_types(shape: CsvShape, options: ReadOptions, declared: Mapping[str, Column]) -> dict[str, pa.DataType]:
    """The types somebody said, the user before a CREATE TABLE."""
    said = {name: column.type for name, column in declared.items()}
    found = {name: options.type_of(name) or said.get(name) for name in shape.names}
    return {name: arrow_type(spelled) for name, spelled in found.items() if spelled}


def _sample(source: SourceFile, shape: CsvShape, options: ReadOptions, kinds: dict[str, Kinds]) -> bool:
    """Look at the first block; True if it was the whole file."""
    with _Parser(source, shape, options, list(kinds), _SAMPLE_BYTES) as parser:
        for number, batch in enumerate(parser):
            if number:
                return False
            for name in kinds:
                kinds[name].add(batch.column(name))
    return True


def _look_at_all(
    source: SourceFile, shape: CsvShape, options: ReadOptions, names: Sequence[str], kinds: dict[str, Kinds]
) -> None:
    """Look at every value of the columns whose type a later value can still change: integers, dates, nothing yet."""
    for name in names:
        kinds[name] = Kinds(name)
    with _Parser(source, shape, options, names, _BLOCK_BYTES) as parser:
        for batch in parser:
            for name in names:
                kinds[name].add(batch.column(name))


def batches(source: SourceFile, table: RawTable, options: ReadOptions) -> Iterator[RawBatch]:
    """The rows as bytes, in the order of the file. Raises corrupt-file."""
    shape = find_shape(source, options)
    with _Parser(source, shape, options, shape.names, _BLOCK_BYTES) as parser, ExitStack() as finders:
        # two walks, because either goes only forwards and the records they look for alternate
        of_rows, of_refused = _finder(source, shape, finders), _finder(source, shape, finders)
        first = 0
        for batch in parser:
            columns = {name: _plain_field(batch.column(name), shape) for name in shape.names}
            numbers = parser.record_numbers(first, batch.num_rows)
            refused, parser.refused = parser.refused, []
            yield RawBatch(columns, batch.num_rows, _places(of_rows, numbers), _with_lines(of_refused, refused))
            first += batch.num_rows
        if parser.refused:
            yield RawBatch({}, 0, lambda rows: [], _with_lines(of_refused, parser.refused))


def _finder(source: SourceFile, shape: CsvShape, finders: ExitStack) -> Callable[[list[int]], list[tuple[int, str]]]:
    """Lines and texts of ascending record numbers; the file is opened when the first is asked for."""
    opened: list[LineFinder] = []

    def find(numbers: list[int]) -> list[tuple[int, str]]:
        if not opened:
            opened.append(LineFinder(source, shape))
            finders.callback(opened[0].close)
        return opened[0].find(numbers)

    return find


def _places(
    find: Callable[[list[int]], list[tuple[int, str]]], numbers: np.ndarray[Any, np.dtype[np.int64]]
) -> Callable[[Sequence[int]], list[tuple[int, str]]]:
    return lambda rows: find([int(numbers[row]) for row in rows])


def _with_lines(find: Callable[[list[int]], list[tuple[int, str]]], refused: list[Refused]) -> tuple[Refused, ...]:
    """Refused records with the line they begin on in place of their number."""
    if not refused:
        return ()
    places = find([one.place for one in refused])
    return tuple(Refused(line, one.reason, one.text) for one, (line, _) in zip(refused, places, strict=True))


def _plain_field(column: pa.Array, shape: CsvShape) -> pa.Array:
    """MySQL's escapes undone; other text is plain already."""
    if not shape.backslash:
        return column
    escaped = pc.fill_null(pc.match_substring(column, "\\"), False)
    if not pc.any(escaped).as_py():
        return column
    return pa.array([_unescaped(value) for value in column.to_pylist()], pa.binary())


_ESCAPES: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"0": b"\0", b"b": b"\b", b"Z": b"\x1a"}


def _unescaped(value: bytes | None) -> bytes | None:
    if value is None or b"\\" not in value:
        return value
    pieces, at = [], 0
    while at < len(value):
        letter = value[at : at + 1]
        if letter == b"\\" and at + 1 < len(value):
            letter = _ESCAPES.get(value[at + 1 : at + 2], value[at + 1 : at + 2])
            at += 1
        pieces.append(letter)
        at += 1
    return b"".join(pieces)


class _Parser:
    """Arrow's streaming parser over one file: an iterator of batches of bytes; `refused` fills as it goes.

    A refused record's `place` is its number among the records, from 1.
    """

    def __init__(
        self, source: SourceFile, shape: CsvShape, options: ReadOptions, names: Sequence[str], block_bytes: int
    ) -> None:
        self._source = source
        self._shape = shape
        self._stream = RowBytes(source, shape)
        self.refused: list[Refused] = []
        self._refused_numbers: list[int] = []
        self._options = options
        self._names = list(names)
        self._block_bytes = block_bytes

    def __enter__(self) -> _Parser:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        last: pa.RecordBatch | None = None
        try:
            for batch in self._open():
                yield batch
                last = batch if batch.num_rows else last
        except pa.ArrowException as error:
            if "Empty CSV" in str(error):
                return
            raise self._error(error) from error
        if last is not None or self._refused_numbers:
            self._check_end(last)

    def _open(self) -> Any:
        shape = self._shape
        return pacsv.open_csv(
            pa.PythonFile(self._stream, mode="r"),
            read_options=pacsv.ReadOptions(
                use_threads=False,
                block_size=self._block_bytes,
                column_names=list(shape.names),
                encoding=shape.encoding,
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=shape.delimiter,
                quote_char=False if shape.backslash else '"',
                newlines_in_values=not shape.backslash,
                invalid_row_handler=self._refuse,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.binary() for name in shape.names},
                include_columns=self._names,
                null_values=[*_ALWAYS_NULL, *self._options.nulls],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )

    def _refuse(self, row: Any) -> str:
        fields = f"{row.actual_columns} field{'s' * (row.actual_columns != 1)}"
        self.refused.append(Refused(row.number, f"it has {fields} instead of {row.expected_columns}", row.text))
        self._refused_numbers.append(row.number)
        return "skip"

    def record_numbers(self, first: int, rows: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The record numbers of rows `first` to `first + rows` of those that were not refused."""
        wanted = np.arange(first + 1, first + rows + 1, dtype=np.int64)
        refused = np.array(self._refused_numbers, dtype=np.int64)
        numbers = wanted
        while len(refused):
            moved = wanted + np.searchsorted(refused, numbers, side="right")
            if np.array_equal(moved, numbers):
                break
            numbers = moved
        return numbers

    def _error(self, error: Exception) -> Exception:
        text = str(error).splitlines()[0]
        if "straddling" in text or "out of sync" in text:
            return corrupt(
                self._source.name,
                f"a quoted field never ends, or a line is longer than {self._block_bytes >> 20} MiB",
            )
        return corrupt(self._source.name, text)

    def _check_end(self, last: pa.RecordBatch | None) -> None:
        """A quote that never closes swallows the rest of the file into the last field; that must not pass."""
        if self._shape.backslash or self._stream.tail.rstrip().endswith(b'"'):
            return
        texts = [one.text for one in self.refused[-1:]]
        if last is not None:
            ends = [column[len(column) - 1].as_py() for column in last.columns]
            texts += [value.decode(errors="replace") for value in ends if value]
        runaway = next((text for text in texts if "\n" in text.strip()), None)
        if runaway is not None and not _closed(runaway):
            raise corrupt(self._source.name, f"a quoted field never ends; it begins {runaway.splitlines()[0][:60]!r}")


def _closed(text: str) -> bool:
    return text.rstrip().endswith('"') and text.count('"') % 2 == 0
