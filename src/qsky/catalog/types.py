"""The types of columns: one vocabulary (DuckDB's names), its Arrow form, and what the storage formats can hold.

A stored type is one that Parquet, Delta and HATS readers all understand: signed integers, float32/64, decimal, text,
bytes, boolean, date, timestamps in microseconds, lists and structs of these.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from qsky.errors import QskyError

_SIMPLE: Final[dict[str, pa.DataType]] = {
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "BLOB": pa.binary(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
}
_NAMES: Final = {arrow: name for name, arrow in _SIMPLE.items()}

INTEGERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
FLOATS: Final = ("FLOAT", "DOUBLE")


def type_name(arrow: pa.DataType) -> str:
    """The name of a *stored* Arrow type. Raises bad-columns for one that is not stored."""
    if arrow in _NAMES:
        return _NAMES[arrow]
    if pa.types.is_decimal(arrow):
        return f"DECIMAL({arrow.precision},{arrow.scale})"
    if pa.types.is_list(arrow):
        return f"{type_name(arrow.value_type)}[]"
    if pa.types.is_struct(arrow):
        inner = ", ".join(f'"{field.name.replace(chr(34), chr(34) * 2)}" {type_name(field.type)}' for field in arrow)
        return f"STRUCT({inner})"
    raise QskyError("bad-columns", f"Qsky does not store the type {arrow}.")


def stored_type(arrow: pa.DataType) -> pa.DataType:
    """The stored type that holds every value of `arrow`; raises bad-columns if there is none."""
    t = pa.types
    if arrow in _NAMES:
        return arrow
    if t.is_dictionary(arrow):
        return stored_type(arrow.value_type)
    if t.is_large_string(arrow) or t.is_string_view(arrow):
        return pa.string()
    if t.is_large_binary(arrow) or t.is_binary_view(arrow) or t.is_fixed_size_binary(arrow):
        return pa.binary()
    widened = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.int64()}
    if arrow in widened:
        return widened[arrow]
    if t.is_float16(arrow):
        return pa.float32()
    if t.is_date64(arrow):
        return pa.date32()
    if t.is_timestamp(arrow):
        return pa.timestamp("us", tz="UTC" if arrow.tz else None)
    if t.is_decimal(arrow):
        if arrow.precision <= 38:
            return pa.decimal128(arrow.precision, arrow.scale)
    elif t.is_list(arrow) or t.is_large_list(arrow) or t.is_fixed_size_list(arrow):
        return pa.list_(stored_type(arrow.value_type))
    elif t.is_struct(arrow):
        return pa.struct([pa.field(f.name, stored_type(f.type), f.nullable) for f in arrow])
    elif t.is_null(arrow):
        return pa.string()
    raise QskyError("bad-columns", f"Qsky cannot store columns of the type {arrow}.")


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a type name as `type_name` gives it (structs included)."""
    name = name.strip()
    if name.endswith("[]"):
        return pa.list_(arrow_type(name[:-2]))
    if name in _SIMPLE:
        return _SIMPLE[name]
    if name.startswith("DECIMAL("):
        precision, scale = name[8:-1].split(",")
        return pa.decimal128(int(precision), int(scale))
    if name == "HUGEINT":
        return pa.decimal128(38, 0)
    if name.startswith("STRUCT(") and name.endswith(")"):
        return pa.struct(_struct_fields(name[7:-1]))
    raise QskyError(
        "bad-columns",
        f"{name!r} is not a type Qsky stores.",
        hint=f"Known: {', '.join(_SIMPLE)}, HUGEINT, DECIMAL(p,s).",
    )


def _struct_fields(text: str) -> list[pa.Field]:
    """The fields of a struct's inside, split at commas outside quotes and parentheses."""
    pieces, depth, quoted, start = [], 0, False, 0
    for at, letter in enumerate(text):
        quoted ^= letter == '"'
        if not quoted:
            depth += (letter == "(") - (letter == ")")
            if letter == "," and depth == 0:
                pieces.append(text[start:at])
                start = at + 1
    fields = []
    for piece in [*pieces, text[start:]]:
        name, _, inner = piece.strip()[1:].rpartition('" ')
        fields.append(pa.field(name.replace('""', '"'), arrow_type(inner)))
    return fields
