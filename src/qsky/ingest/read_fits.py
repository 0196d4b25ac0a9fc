"""Binary and ASCII tables of FITS files, by slices of rows through a memory map. Called by `ingest.read`.

Scaled and unsigned columns come out as astropy reads them; TNULL, undefined logicals and blank text are NULL. Columns
of arrays become lists, complex numbers lists of two.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qsky.errors import QskyError
from qsky.ingest.source import RawBatch, RawColumn, RawTable, ReadOptions, SourceFile, corrupt, numbered_rows

_BLOCK_BYTES: Final = 2880


@contextmanager
def _table(source: SourceFile, options: ReadOptions) -> Iterator[Any]:
    """The table HDU: the one asked for, or the first. Raises corrupt-file, bad-format."""
    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(source.unpacked(), memmap=True) as units:
                yield _chosen(source, units, options)
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise corrupt(source.name, str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _chosen(source: SourceFile, units: Any, options: ReadOptions) -> Any:
    from astropy.io import fits

    tables = [at for at, unit in enumerate(units) if isinstance(unit, fits.BinTableHDU | fits.TableHDU)]
    if options.hdu is not None:
        if options.hdu not in tables:
            known = f"It has tables in HDU {', '.join(map(str, tables))}." if tables else "It has no tables at all."
            raise QskyError("bad-format", f"HDU {options.hdu} of {source.name} is no table.", hint=known)
        return units[options.hdu]
    if not tables and source.unpacked().stat().st_size % _BLOCK_BYTES:
        raise corrupt(source.name, "it ends in the middle of a block")
    if not tables:
        raise QskyError("bad-format", f"The FITS file {source.name} holds no table.", hint="Images cannot be loaded.")
    return units[tables[0]]


def scan(source: SourceFile, options: ReadOptions) -> RawTable:
    """The columns and rows of the table. Raises corrupt-file, bad-format."""
    with _table(source, options) as unit:
        rows = int(unit.header["NAXIS2"])
        end = unit.fileinfo()["datLoc"] + unit.header["NAXIS1"] * rows
        if source.unpacked().stat().st_size < end:
            raise corrupt(source.name, "it ends before its last row")
        first = unit.data[:1]
        columns = tuple(_column(unit, at, column, first) for at, column in enumerate(unit.columns))
        return RawTable(columns, rows)


def _column(unit: Any, at: int, column: Any, first: Any) -> RawColumn:
    ucd = str(unit.header.get(f"TUCD{at + 1}", ""))
    comment = str(unit.header.get(f"TCOMM{at + 1}", "")) or str(unit.header.comments[f"TTYPE{at + 1}"])
    return RawColumn(column.name, _arrow(first, at, column).type, str(column.unit or ""), ucd, comment)


def batches(source: SourceFile, table: RawTable, options: ReadOptions, rows: int) -> Iterator[RawBatch]:
    """The rows, by slices. Raises corrupt-file, bad-format."""
    with _table(source, options) as unit:
        for start in range(0, table.rows or 0, rows):
            data = unit.data[start : start + rows]
            columns = {c.name: _arrow(data, at, c) for at, c in enumerate(unit.columns)}
            yield RawBatch(columns, len(data), numbered_rows(columns, start))


def _arrow(data: Any, at: int, column: Any) -> pa.Array:
    """One column of a slice of rows as Arrow, in the machine's byte order."""
    raw = data.view(np.ndarray)[data.dtype.names[at]]
    if raw.dtype.kind == "S" and column.dim is None and column.format.format == "A":
        return _texts(np.ascontiguousarray(raw))
    values = np.asarray(data.field(at))
    if values.dtype.kind in "SU":
        return pa.array(np.char.rstrip(values.astype(str), " \0").tolist())
    if values.dtype.kind == "O":
        return pa.array([np.asarray(cell).tolist() for cell in values])
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    missing = _missing(values, raw, column)
    if values.dtype.kind == "c":
        values = values.view(values.real.dtype).reshape(*values.shape, 2)
        missing = np.zeros(values.shape, dtype=bool)
    flat = pa.array(values.reshape(-1), mask=missing.reshape(-1) if missing.any() else None)
    if values.ndim == 1:
        return flat
    width = int(np.prod(values.shape[1:]))
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(flat) + 1, width, dtype=np.int32)), flat)


def _missing(values: Any, raw: Any, column: Any) -> Any:
    """Where an integer is TNULL (which is spelled before scaling) or a logical is neither T nor F."""
    if values.dtype.kind == "b" and raw.dtype.itemsize == 1 and raw.shape == values.shape:
        return raw.view(np.uint8) == 0
    if column.null is None or raw.dtype.kind not in "iu" or raw.shape != values.shape:
        return np.zeros(values.shape, dtype=bool)
    return np.asarray(raw) == column.null


def _texts(raw: Any) -> pa.Array:
    """Text of fixed width without its padding; blank text is NULL, what is not ASCII must be UTF-8 to be text."""
    if raw.dtype.itemsize == 0 or not len(raw):
        return pa.nulls(len(raw), pa.string())
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(raw.dtype.itemsize), len(raw), [None, pa.py_buffer(raw.tobytes())]
    )
    whole = fixed.cast(pa.binary())
    ended = pc.replace_substring_regex(whole, r"(?s)\x00.*$", "")
    try:
        text = ended.cast(pa.string())
    except pa.ArrowException:
        text = pa.array([value.decode("latin-1") for value in ended.to_pylist()], pa.string())
    stripped = pc.utf8_rtrim(text, " ")
    return pc.if_else(pc.equal(stripped, ""), pa.scalar(None, pa.string()), stripped)
