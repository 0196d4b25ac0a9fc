"""Binary and ASCII tables of FITS files, by slices of rows through a memory map. Called by `ingest.read`.

Integers with TNULL, scaled and unsigned columns come out as astropy reads them; TNULL, and blank text, is NULL.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from qsky.errors import QskyError
from qsky.ingest.source import RawBatch, RawColumn, RawTable, ReadOptions, SourceFile, corrupt, numbered_rows


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
            raise QskyError("bad-format", f"HDU {options.hdu} of {source.name} is no table.", hint=f"Tables: {tables}.")
        return units[options.hdu]
    if not tables:
        raise QskyError("bad-format", f"The FITS file {source.name} holds no table.")
    return units[tables[0]]


def scan(source: SourceFile, options: ReadOptions) -> RawTable:
    """The columns and rows of the table. Raises corrupt-file, bad-format."""
    with _table(source, options) as unit:
        rows = int(unit.header["NAXIS2"])
        end = unit.fileinfo()["datLoc"] + unit.header["NAXIS1"] * rows
        if source.unpacked().stat().st_size < end:
            raise corrupt(source.name, "it ends before its last row")
        columns = tuple(_column(unit, column) for column in unit.columns)
        return RawTable(columns, rows)


def _column(unit: Any, column: Any) -> RawColumn:
    at = unit.columns.names.index(column.name) + 1
    ucd = str(unit.header.get(f"TUCD{at}", ""))
    comment = str(unit.header.get(f"TCOMM{at}", "")) or str(unit.header.comments[f"TTYPE{at}"])
    sample = _arrow(unit.data[column.name][:1], column)
    return RawColumn(column.name, sample.type, str(column.unit or ""), ucd, comment)


def batches(source: SourceFile, table: RawTable, options: ReadOptions, rows: int) -> Iterator[RawBatch]:
    """The rows, by slices. Raises corrupt-file, bad-format."""
    with _table(source, options) as unit:
        for start in range(0, table.rows or 0, rows):
            data = unit.data[start : start + rows]
            columns = {c.name: _arrow(data[c.name], c) for c in unit.columns}
            yield RawBatch(columns, len(data), numbered_rows(columns, start))


def _arrow(values: Any, column: Any) -> pa.Array:
    """A slice of a column as Arrow, in the machine's byte order."""
    array = np.asarray(values)
    if array.dtype.kind in "SU":
        return _texts(values)
    if array.dtype.kind == "O":
        return pa.array([np.asarray(cell).tolist() for cell in array])
    if array.dtype.byteorder not in ("=", "|"):
        array = array.astype(array.dtype.newbyteorder("="))
    flat = pa.array(np.ascontiguousarray(array).reshape(-1), mask=_nulls(array, column).reshape(-1))
    width = int(np.prod(array.shape[1:])) if array.ndim > 1 else 0
    if not width:
        return flat
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(flat) + 1, width, dtype=np.int32)), flat)


def _nulls(array: Any, column: Any) -> Any:
    if column.null is None or array.dtype.kind not in "iu":
        return np.zeros(array.shape, dtype=bool)
    return array == array.dtype.type(column.null)


def _texts(values: Any) -> pa.Array:
    stripped = np.char.rstrip(np.asarray(values).astype(str), " \0")
    if stripped.ndim > 1:
        return pa.array(stripped.tolist())
    return pa.array(stripped.tolist(), mask=stripped == "", type=pa.string())
