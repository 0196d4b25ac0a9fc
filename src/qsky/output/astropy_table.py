"""Arrow tables as astropy tables and, through those, as FITS. `Result.to_astropy` and `output.formats` call this.

It must never turn an integer into a float to make room for a NULL: that corrupts 64-bit ids without a word. NULLs are
filled first and masked after. Field metadata `unit`, `ucd` and `description` become the columns'.
"""

from __future__ import annotations

from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.io import fits
from astropy.table import Column, MaskedColumn, Table
from astropy.units import Unit

from qsky.output.cells import as_text, numbers_of

_DATETIME_UNITS: Final = {"date": "datetime64[D]", "timestamp": "datetime64[us]"}


def astropy_table(table: pa.Table) -> Table:
    """An astropy Table of the same columns; NULLs are masked, dates and timestamps are datetime64 in UTC."""
    return Table([_column(field, table.column(i)) for i, field in enumerate(table.schema)])


def write_fits(table: pa.Table, sink: IO[bytes]) -> None:
    """A FITS file with one binary table. NULL integers get a TNULL that no row uses; dates are ISO 8601 text."""
    columns = [_with_null_values(column) for column in _file_columns(table)]
    fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(Table(columns))]).writeto(sink)


def _file_columns(table: pa.Table) -> list[Column]:
    """The columns as FITS can hold them: it has no signed byte."""
    columns = [_column(field, table.column(i), for_file=True) for i, field in enumerate(table.schema)]
    return [column.astype(np.int16) if column.dtype == np.int8 else column for column in columns]


def _column(field: pa.Field, values: pa.ChunkedArray, *, for_file: bool = False) -> Column:
    metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    unit = metadata.get("unit")
    described = {
        "name": field.name,
        "unit": Unit(unit, parse_strict="silent") if unit else None,
        "description": metadata.get("description") or None,
        "meta": {"ucd": metadata["ucd"]} if metadata.get("ucd") else None,
    }
    data = _numpy(values, for_file=for_file)
    if not values.null_count:
        return Column(data, **described)
    return MaskedColumn(data, mask=pc.is_null(values).to_numpy(), **described)


def _numpy(values: pa.ChunkedArray, *, for_file: bool) -> np.ndarray[Any, Any]:
    """Values as a numpy array of their own type; NULL places hold anything."""
    t, kind = pa.types, values.type
    if t.is_integer(kind) or t.is_boolean(kind):
        return np.asarray(values.fill_null(0 if t.is_integer(kind) else False).to_numpy())
    if t.is_floating(kind):
        return np.asarray(values.fill_null(float("nan")).to_numpy())
    if t.is_decimal(kind):
        return _numpy(numbers_of(values), for_file=for_file)
    if t.is_null(kind):
        return np.full(len(values), "", dtype="U1")
    if not for_file and (t.is_date(kind) or t.is_timestamp(kind)):
        target = "date" if t.is_date(kind) else "timestamp"
        plain = values.cast(pa.date32() if target == "date" else pa.timestamp("us"))
        return np.asarray(plain.to_numpy()).astype(_DATETIME_UNITS[target])
    if not for_file and (t.is_nested(kind) or t.is_binary(kind)):
        nested = np.empty(len(values), dtype=object)
        nested[:] = values.to_pylist()
        return nested
    texts = as_text(values).fill_null("").to_pylist()
    return np.array(texts, dtype=str) if texts else np.empty(0, dtype="U1")


def _with_null_values(column: Column) -> Column:
    """In FITS a NULL integer or boolean is a number set aside for it."""
    if not isinstance(column, MaskedColumn):
        return column
    if column.dtype == np.bool_:
        column = column.astype(np.int16)
    if column.dtype.kind == "i":
        column.fill_value = _unused(np.asarray(column.data.data))
    return column


def _unused(values: np.ndarray[Any, Any]) -> int:
    """The lowest value of the integer type that does not occur."""
    lowest = int(np.iinfo(values.dtype).min)
    while lowest in values:
        lowest += 1
    return lowest
