"""Values as read -> values as stored: text is parsed, types are widened, sentinels and NaN become NULL.

Called by `ingest.clean` for every column that is no position. Whole columns at a time; a value that does not fit is
marked bad and becomes NULL, never silently rounded. Knows no files and no rejects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qsky.errors import QskyError
from qsky.ingest.source import Mask

NUMBER: Final = r"^[+-]?((\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?|(?i:nan|inf|infinity))$"
INTEGER: Final = r"^[+-]?\d+$"
DATE: Final = r"^\d{4}-\d{2}-\d{2}$"
TIMESTAMP: Final = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?Z?$"
TRUE_WORDS: Final = ("t", "true", "yes", "y", "1")
FALSE_WORDS: Final = ("f", "false", "no", "n", "0")

# Among numbers and dates these mean NULL; in a column of text they may be somebody's name.
_NULL_WORDS: Final = pa.array(["", "NULL", "Null", "null"])
_KINDS: Final = {"i": "an integer", "f": "a number", "b": "true or false", "d": "a date", "t": "a date and time"}


@dataclass(frozen=True)
class Conformed:
    """A column of the wanted type; `bad` marks the rows whose value did not fit (None: all did)."""

    array: pa.Array
    bad: Mask | None = None


def conform(array: pa.Array, target: pa.DataType, name: str) -> Conformed:
    """`array` as `target`. Raises bad-columns for integers beyond 64 bits and for types that have no way over."""
    if array.type == target:
        return Conformed(array)
    if pa.types.is_null(array.type):
        return Conformed(pa.nulls(len(array), target))
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if is_text(array.type):
        return _from_text(array, target)
    if pa.types.is_uint64(array.type) and pa.types.is_int64(target):
        return Conformed(_signed(array, name))
    if pa.types.is_integer(target) and (pa.types.is_floating(array.type) or pa.types.is_integer(array.type)):
        return _to_integer(array, target)
    try:
        return Conformed(pc.cast(array, target, safe=False))
    except pa.ArrowException as error:
        raise QskyError("bad-columns", f"The column {name} is {array.type} and cannot become {target}.") from error


def is_text(arrow: pa.DataType) -> bool:
    """Whether values of this type are text or bytes that may be text."""
    t = pa.types
    return bool(
        t.is_string(arrow)
        or t.is_large_string(arrow)
        or t.is_binary(arrow)
        or t.is_large_binary(arrow)
        or t.is_string_view(arrow)
        or t.is_binary_view(arrow)
    )


def kind_name(target: pa.DataType) -> str:
    """What a value of this type is, in words."""
    t = pa.types
    if t.is_integer(target):
        return _KINDS["i"] if target.bit_width == 64 else f"{_KINDS['i']} of {target.bit_width} bits"
    if t.is_floating(target) or t.is_decimal(target):
        return _KINDS["f"]
    if t.is_boolean(target):
        return _KINDS["b"]
    if t.is_date(target):
        return _KINDS["d"]
    if t.is_timestamp(target):
        return _KINDS["t"]
    return "UTF-8 text" if is_text(target) else str(target)


def as_text(array: pa.Array) -> Conformed:
    """Bytes as text; rows that are not UTF-8 are bad."""
    if pa.types.is_string(array.type):
        return Conformed(array)
    try:
        return Conformed(pc.cast(array, pa.string()))
    except pa.ArrowException:
        texts = [_decoded(value) for value in array.to_pylist()]
        valid = _numpy(pc.is_valid(array))
        made = pa.array(texts, pa.string())
        return Conformed(made, valid & ~_numpy(pc.is_valid(made)))


def _decoded(value: bytes | str | None) -> str | None:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _from_text(array: pa.Array, target: pa.DataType) -> Conformed:
    if pa.types.is_binary(target):
        return Conformed(pc.cast(array, target))
    text = as_text(array)
    if pa.types.is_string(target):
        return text
    parsed = _parsed(text.array, target)
    if text.bad is None or parsed.bad is None:
        return Conformed(parsed.array, text.bad if parsed.bad is None else parsed.bad)
    return Conformed(parsed.array, text.bad | parsed.bad)


def _parsed(text: pa.Array, target: pa.DataType) -> Conformed:
    """The fast way, then with padding and signs taken off, then row by row what is left."""
    if pa.types.is_boolean(target):
        return _booleans(text)
    try:
        return Conformed(_cast(text, target))
    except pa.ArrowException:
        pass
    tidy = tidied(text)
    try:
        return Conformed(_cast(tidy, target))
    except pa.ArrowException:
        return _one_by_one(tidy, target)


def _cast(text: pa.Array, target: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(target):
        # pandas and archives write nanoseconds; stored are microseconds
        return pc.cast(pc.cast(text, pa.timestamp("ns", tz=target.tz)), target, safe=False)
    if pa.types.is_decimal(target) and len(text):
        return pc.cast(text, target)
    return pc.cast(text, target)


def tidied(text: pa.Array) -> pa.Array:
    """Text as numbers are written: no padding, no leading plus, Fortran's D as E; blanks and null are NULL."""
    trimmed = pc.utf8_trim_whitespace(text)
    trimmed = pc.if_else(pc.is_in(trimmed, value_set=_NULL_WORDS), pa.scalar(None, pa.string()), trimmed)
    trimmed = pc.replace_substring_regex(trimmed, r"^\+", "")
    return pc.replace_substring_regex(trimmed, r"^(-?[\d.]+)[dD]([+-]?\d+)$", r"\1E\2")


def _one_by_one(tidy: pa.Array, target: pa.DataType) -> Conformed:
    """Parse the values that have the look of the type; of those that still fail, each is tried alone."""
    look = INTEGER if pa.types.is_integer(target) else NUMBER
    if pa.types.is_date(target):
        look = DATE
    elif pa.types.is_timestamp(target):
        look = TIMESTAMP
    fits = pc.fill_null(pc.match_substring_regex(tidy, look), False)
    kept = pc.if_else(fits, tidy, pa.scalar(None, pa.string()))
    try:
        made = _cast(kept, target)
    except pa.ArrowException:
        made = pa.array([_alone(value, target) for value in kept.to_pylist()], target)
    return Conformed(made, _numpy(pc.is_valid(tidy)) & ~_numpy(pc.is_valid(made)))


def _alone(value: str | None, target: pa.DataType) -> object:
    if value is None:
        return None
    try:
        return _cast(pa.array([value], pa.string()), target)[0].as_py()
    except pa.ArrowException:
        return None


def _booleans(text: pa.Array) -> Conformed:
    word = pc.utf8_lower(pc.utf8_trim_whitespace(text))
    true = pc.is_in(word, value_set=pa.array(TRUE_WORDS))
    known = pc.or_(true, pc.is_in(word, value_set=pa.array(FALSE_WORDS)))
    blank = pc.or_(pc.is_null(text), pc.is_in(word, value_set=_NULL_WORDS))
    made = pc.if_else(known, true, pa.scalar(None, pa.bool_()))
    return Conformed(made, ~_numpy(known) & ~_numpy(blank))


def _signed(array: pa.Array, name: str) -> pa.Array:
    try:
        return pc.cast(array, pa.int64())
    except pa.ArrowException as error:
        raise beyond_int64(name, pc.max(array).as_py()) from error


def beyond_int64(name: str, value: object) -> QskyError:
    """The error for integers that no signed 64-bit column holds."""
    return QskyError(
        "bad-columns",
        f"The column {name} holds {value}, which is beyond 64-bit signed integers.",
        hint=f"Give it a wider type: --type {name}=HUGEINT, or --type {name}=VARCHAR.",
    )


def _to_integer(array: pa.Array, target: pa.DataType) -> Conformed:
    try:
        return Conformed(pc.cast(array, target))
    except pa.ArrowException:
        pass
    values = array.to_numpy(zero_copy_only=False).astype(np.float64)
    limit = np.iinfo(target.to_pandas_dtype())
    valid = _numpy(pc.is_valid(array))
    with np.errstate(invalid="ignore"):
        fits = (values == np.floor(values)) & (values >= limit.min) & (values < float(limit.max) + 1)
    kept = pc.if_else(pa.array(fits), array, pa.scalar(None, array.type))
    return Conformed(pc.cast(kept, target), valid & ~fits & ~np.isnan(values))


def null_sentinels(array: pa.Array, sentinels: Sequence[float]) -> pa.Array:
    """Numbers equal to one of `sentinels` as NULL; other types as they are."""
    if not sentinels or not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        return array
    for sentinel in sentinels:
        if pa.types.is_integer(array.type) and not sentinel.is_integer():
            continue
        try:
            value = pa.scalar(int(sentinel) if pa.types.is_integer(array.type) else sentinel, array.type)
        except (pa.ArrowException, OverflowError):
            continue
        array = pc.if_else(pc.equal(array, value), pa.scalar(None, array.type), array)
    return array


def null_nan(array: pa.Array) -> tuple[pa.Array, int]:
    """NaN as NULL, and how many there were; other types as they are."""
    if not pa.types.is_floating(array.type):
        return array, 0
    nan = pc.is_nan(array)
    count = pc.sum(nan).as_py() or 0
    return (pc.if_else(nan, pa.scalar(None, array.type), array), count) if count else (array, 0)


def as_numbers(sentinels: Sequence[str]) -> tuple[float, ...]:
    """Those of the user's NULL spellings that are finite numbers."""
    found = []
    for text in sentinels:
        try:
            found.append(float(text))
        except ValueError:
            continue
    return tuple(value for value in found if np.isfinite(value))


def _numpy(mask: pa.Array) -> Mask:
    return np.asarray(mask.to_numpy(zero_copy_only=False), dtype=np.bool_)
