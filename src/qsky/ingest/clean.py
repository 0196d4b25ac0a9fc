"""Rows as read -> rows as stored: columns conformed, positions in degrees, and bad rows out, each with its reason.

Called by `ingest.read` for every batch of every format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qsky.ingest.conform import as_numbers, conform, is_text, kind_name, null_nan, null_sentinels
from qsky.ingest.positions import to_degrees
from qsky.ingest.rejects import RejectsWriter
from qsky.ingest.source import Mask, RawBatch, ReadOptions, Unit


@dataclass(frozen=True)
class Target:
    """One stored column: its name in the source and in the table, its type, and what it is for."""

    source: str
    name: str
    arrow: pa.DataType
    axis: str = ""  # "ra" or "dec" for position columns
    unit: Unit = ""
    required: bool = False  # NULL is refused


class _Bad:
    """Which rows of a batch are bad, and how to say why; only rows that are written down are put in words."""

    def __init__(self, rows: int) -> None:
        self.mask: Mask = np.zeros(rows, dtype=np.bool_)
        self._faults: list[tuple[Mask, Callable[[int], str]]] = []

    def mark(self, bad: Mask | None, reason: Callable[[int], str]) -> None:
        """Rows that are `bad`, and what is wrong with each."""
        if bad is not None and bad.any():
            self._faults.append((bad, reason))
            self.mask = self.mask | bad

    def reason(self, row: int) -> str:
        """What was first found wrong with a bad row."""
        return next(reason(row) for bad, reason in self._faults if bad[row])


def clean(
    batch: RawBatch,
    targets: tuple[Target, ...],
    file: str,
    options: ReadOptions,
    rejects: RejectsWriter,
    *,
    text: bool,
) -> pa.RecordBatch:
    """The good rows of a batch in the stored columns; the bad ones go to `rejects`. Raises bad-columns."""
    unit = "line" if text else "row"
    for refused in batch.refused:
        rejects.add(file, refused.place, refused.reason, refused.text, unit=unit)
    bad = _Bad(batch.rows)
    columns = [_column(batch, target, options, bad, text) for target in targets]
    schema = pa.schema([pa.field(target.name, target.arrow) for target in targets])
    if bad.mask.any():
        _refuse(batch, bad, file, rejects, unit)
        keep = pa.array(np.flatnonzero(~bad.mask))
        columns = [column.take(keep) for column in columns]
    cleaned = []
    for target, column in zip(targets, columns, strict=True):
        plain, count = null_nan(column)
        if count:
            rejects.add_nan(target.name, count)
        cleaned.append(plain)
    rejects.check()
    return pa.RecordBatch.from_arrays(cleaned, schema=schema)


def _column(batch: RawBatch, target: Target, options: ReadOptions, bad: _Bad, text: bool) -> pa.Array:
    raw = _given(batch.columns, target, batch.rows)
    if not text:
        raw = _without_nulls(raw, options)
    if target.axis:
        degrees = to_degrees(raw, target.unit, target.axis, target.source, required=target.required)  # type: ignore[arg-type]
        bad.mark(degrees.bad, degrees.reason)
        return degrees.array
    made = conform(raw, target.arrow, target.source)
    array = null_sentinels(made.array, as_numbers(options.nulls))
    bad.mark(made.bad, lambda row: f"{target.source} is {_shown(raw, row)}, not {kind_name(target.arrow)}")
    if target.required:
        bad.mark(_missing(array), lambda row: f"the key {target.source} is NULL")
    return array


def _missing(keys: pa.Array) -> Mask:
    """Rows without a key: NULL, NaN, or blank text."""
    missing = pc.is_null(keys, nan_is_null=pa.types.is_floating(keys.type))
    if pa.types.is_string(keys.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(pc.utf8_trim_whitespace(keys), ""), True))
    return np.asarray(missing.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _given(columns: Mapping[str, pa.Array], target: Target, rows: int) -> pa.Array:
    given = columns.get(target.source)
    return pa.nulls(rows, target.arrow) if given is None else given


def _without_nulls(raw: pa.Array, options: ReadOptions) -> pa.Array:
    """The user's NULL values out of columns that are typed already: text as spelled, numbers by value."""
    if not options.nulls or not is_text(raw.type):
        return null_sentinels(raw, as_numbers(options.nulls))
    spelled = pa.array([null.encode() for null in options.nulls], pa.binary()).cast(raw.type)
    return pc.if_else(pc.is_in(raw, value_set=spelled), pa.scalar(None, raw.type), raw)


def _shown(raw: pa.Array, row: int) -> str:
    value = raw[row].as_py()
    return repr(value.decode(errors="replace") if isinstance(value, bytes) else value)


def _refuse(batch: RawBatch, bad: _Bad, file: str, rejects: RejectsWriter, unit: str) -> None:
    """Write the bad rows down, as many as there is room for; count the rest."""
    rows = np.flatnonzero(bad.mask).tolist()
    told = rows[: rejects.room] if rejects.room < len(rows) else rows
    for row, (place, text) in zip(told, batch.places(told) if told else [], strict=True):
        rejects.add(file, place, bad.reason(row), text, unit=unit)
    if len(told) < len(rows):
        rejects.add_uncounted(len(rows) - len(told))
