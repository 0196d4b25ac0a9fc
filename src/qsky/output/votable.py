"""Answers as VOTable in BINARY2, batch by batch. `output.formats` calls this; needs no XML library and no astropy.

It must never turn an integer into a float to make room for a NULL: BINARY2 marks NULLs of every type by a bit. A row is
its marks, then its values, big-endian (VOTable 1.4, section 5.4). VOTable has neither signed bytes nor unsigned integers
but bytes: those are written in the next larger type.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Final
from xml.sax.saxutils import quoteattr

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qsky.output.cells import as_text, numbers_of

_ROWS_AT_ONCE = 32_768
_HEAD: Final = """<?xml version="1.0" encoding="utf-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
<RESOURCE type="results">
<TABLE>
"""
_TAIL: Final = "</STREAM></BINARY2></DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n"
_FIXED: Final[dict[pa.DataType, tuple[str, str]]] = {
    pa.bool_(): ("boolean", "u1"),
    pa.uint8(): ("unsignedByte", "u1"),
    pa.int8(): ("short", ">i2"),
    pa.int16(): ("short", ">i2"),
    pa.uint16(): ("int", ">i4"),
    pa.int32(): ("int", ">i4"),
    pa.uint32(): ("long", ">i8"),
    pa.int64(): ("long", ">i8"),
    pa.float16(): ("float", ">f4"),
    pa.float32(): ("float", ">f4"),
    pa.float64(): ("double", ">f8"),
}
_ILLEGAL: Final = {code: " " for code in range(32) if chr(code) not in "\t\n\r"}  # no XML can hold them

_Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class _Texts:
    """A column of variable width: the bytes of all rows, one after the other, and how many of them each row has."""

    content: _Bytes
    lengths: np.ndarray[Any, Any]


def write_votable(schema: pa.Schema, batches: Iterable[pa.RecordBatch], sink: IO[bytes]) -> None:
    """A VOTable of one table. Dates and times are ISO 8601 text; decimals become numbers, as in FITS.

    Holds a batch at a time; the whole answer only if it has decimals, whose type depends on all of their values.
    """
    if any(pa.types.is_decimal(field.type) for field in schema):
        table = _without_decimals(pa.Table.from_batches(batches, schema=schema))
        schema, batches = table.schema, table.to_batches()
    fields = "".join(_declared(field) for field in schema)
    sink.write(f'{_HEAD}{fields}<DATA><BINARY2><STREAM encoding="base64">\n'.encode())
    for text in _base64(_rows(schema, batches)):
        sink.write(text)
    sink.write(_TAIL.encode())


def _without_decimals(table: pa.Table) -> pa.Table:
    for place, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            values = numbers_of(table.column(place))
            table = table.set_column(place, field.with_type(values.type), values)
    return table


def _declared(field: pa.Field) -> str:
    """The FIELD element, with the column's unit, UCD and description."""
    metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    known = {"name": field.name, "ucd": metadata.get("ucd"), "unit": metadata.get("unit"), **_typed(field.type)}
    attributes = "".join(f" {name}={_attribute(value)}" for name, value in known.items() if value)
    if not metadata.get("description"):
        return f"<FIELD{attributes}/>\n"
    return f"<FIELD{attributes}>\n<DESCRIPTION>{_text(metadata['description'])}</DESCRIPTION>\n</FIELD>\n"


def _typed(kind: pa.DataType) -> dict[str, str]:
    if kind in _FIXED:
        return {"datatype": _FIXED[kind][0]}
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return {"datatype": "char", "arraysize": "*", "xtype": "timestamp"}
    return {"datatype": "unicodeChar", "arraysize": "*"}


def _attribute(value: str) -> str:
    return quoteattr(value.translate(_ILLEGAL))


def _text(value: str) -> str:
    return value.translate(_ILLEGAL).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _base64(contents: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of base64 that are one stream: three bytes are four letters, so what is left over waits for more."""
    left = b""
    for content in contents:
        content = left + content
        whole = len(content) - len(content) % 3
        left = content[whole:]
        yield b2a_base64(memoryview(content)[:whole])
    if left:
        yield b2a_base64(left)


def _rows(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    packers = [_packer(field.type) for field in schema]
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            piece = batch.slice(start, _ROWS_AT_ONCE)
            columns = [pack(column) for pack, column in zip(packers, piece.columns, strict=True)]
            yield _joined([_marks(piece), *columns], piece.num_rows)


def _marks(batch: pa.RecordBatch) -> _Bytes:
    """A bit for each value of a row, the first the highest; set for NULL."""
    bits = np.zeros((batch.num_rows, batch.num_columns), dtype=bool)
    for place, column in enumerate(batch.columns):
        if column.null_count:
            bits[:, place] = pc.is_null(column).to_numpy(zero_copy_only=False)
    return np.packbits(bits, axis=1)


def _packer(kind: pa.DataType) -> Callable[[pa.Array], _Bytes | _Texts]:
    """What makes bytes of a column of that type: a matrix with a line for each row, or texts."""
    if pa.types.is_boolean(kind):
        return _booleans
    if kind in _FIXED:
        return lambda column: _numbers(column, _FIXED[kind][1])
    return _ascii if _typed(kind)["datatype"] == "char" else _unicode


def _booleans(column: pa.Array) -> _Bytes:
    letters = np.where(column.fill_null(False).to_numpy(zero_copy_only=False), ord("T"), ord("F"))
    if column.null_count:
        letters[pc.is_null(column).to_numpy(zero_copy_only=False)] = ord("?")
    return letters.astype(np.uint8).reshape(-1, 1)


def _numbers(column: pa.Array, stored: str) -> _Bytes:
    if column.null_count:
        column = column.fill_null(float("nan") if pa.types.is_floating(column.type) else 0)
    values = np.asarray(column.to_numpy(zero_copy_only=False)).astype(stored)
    return values.view(np.uint8).reshape(len(values), -1)


def _ascii(column: pa.Array) -> _Bytes | _Texts:
    text = as_text(column).fill_null("")
    return _with_lengths(_characters(text), pc.binary_length(text).to_numpy(), 1)


def _unicode(column: pa.Array) -> _Bytes | _Texts:
    """UTF-16, whose code units are counted: two for what lies beyond the first 65,536 characters."""
    text = as_text(column).fill_null("")
    content = _characters(text).tobytes().decode().encode("utf-16-be")
    units = pc.utf8_length(text).to_numpy()
    if len(content) != 2 * int(units.sum()):
        units = np.array([len(value.encode("utf-16-be")) // 2 for value in text.to_pylist()])
    return _with_lengths(np.frombuffer(content, dtype=np.uint8), units, 2)


def _characters(text: pa.Array) -> _Bytes:
    """The UTF-8 of all values, one after the other."""
    offsets = np.frombuffer(text.buffers()[1], dtype=np.int32)[text.offset : text.offset + len(text) + 1]
    content = text.buffers()[2]
    return np.frombuffer(content or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]


def _with_lengths(content: _Bytes, units: np.ndarray[Any, Any], unit_bytes: int) -> _Texts:
    """Each text preceded by its number of characters, in four bytes."""
    lengths = units.astype(np.int64) * unit_bytes
    counts = units.astype(">i4").view(np.uint8).reshape(-1, 4)
    return _Texts(np.frombuffer(_joined([counts, _Texts(content, lengths)], len(units)), dtype=np.uint8), lengths + 4)


def _joined(columns: list[_Bytes | _Texts], rows: int) -> bytes:
    """The bytes of the columns, row after row."""
    widths = [column.lengths if isinstance(column, _Texts) else column.shape[1] for column in columns]
    if all(isinstance(column, np.ndarray) for column in columns):
        return np.concatenate(columns, axis=1).tobytes()  # type: ignore[arg-type]
    ends = np.cumsum(sum(widths, start=np.zeros(rows, dtype=np.int64)))
    out = np.empty(int(ends[-1]) if rows else 0, dtype=np.uint8)
    at = np.concatenate(([0], ends[:-1]))
    for column, width in zip(columns, widths, strict=True):
        if isinstance(column, _Texts):
            before = np.cumsum(column.lengths) - column.lengths
            out[np.repeat(at - before, column.lengths) + np.arange(len(column.content))] = column.content
        else:
            out[at[:, None] + np.arange(column.shape[1])] = column
        at = at + width
    return out.tobytes()
