"""Values as text, column by column: what every text format has in common. Exact for every type; NULL stays NULL."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def as_text(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """The text of each value: shortest exact floats, ISO 8601 times, hexadecimal bytes, JSON for lists and structs."""
    t, kind = pa.types, values.type
    if t.is_string(kind):
        return values
    if t.is_timestamp(kind):
        zone = "Z" if kind.tz else ""
        return pc.strftime(values.cast(pa.timestamp("us", tz=kind.tz)), format=f"%Y-%m-%dT%H:%M:%S{zone}")
    if t.is_nested(kind):
        return _each(values, lambda value: json.dumps(plain(value)))
    if t.is_binary(kind) or t.is_large_binary(kind):
        return _each(values, bytes.hex)
    return values.cast(pa.string())


def numbers_of(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decimals as int64 where that is exact, as float64 elsewhere."""
    if values.type.scale == 0:
        try:
            return values.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
    return values.cast(pa.float64())


def _each(values: pa.Array | pa.ChunkedArray, text_of: Any) -> pa.Array:
    return pa.array([None if value is None else text_of(value) for value in values.to_pylist()], pa.string())


def plain(value: Any) -> Any:
    """A value as JSON can say it. NaN and infinities, which JSON has not, are null; bytes are hexadecimal text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value
