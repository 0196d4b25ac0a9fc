"""Plain limits of right ascension and declination: `ra BETWEEN a AND b`, `dec > c`, `ra > 350 OR ra < 10`. Pure.

Recognised by `plan.predicate`, made boxes of by `prune`. Like all facts they reject rows whose column is NULL. Qsky's
own tables hold ra in [0, 360) and dec in [-90, 90]; an attached catalogue may count ra from -180, so there only a
range with both ends says where rows lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from qsky.catalog.model import Kind
from qsky.plan.constant import constant
from qsky.plan.model import Ref
from qsky.sky.region import Box
from qsky.sql.query import Between, Binary, ColumnRef, Expression

Span = tuple[float, float]  # both ends belong to it
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
_SPANS_MAX: Final = 16
_LIMITS: Final[Mapping[str, Span]] = {"ra": (0.0, 360.0), "dec": (-90.0, 90.0)}


@dataclass(frozen=True)
class OnAxis:
    """A position column of the reference lies in one of the spans, in degrees."""

    alias: str
    axis: str  # ra or dec, whatever the column is called
    spans: tuple[Span, ...]


def on_axis(predicate: Expression, refs: Mapping[str, Ref]) -> OnAxis | None:
    """What a predicate says about one position column of its own, if it is of a known form. `refs` by alias."""
    if isinstance(predicate, Binary) and predicate.operator in ("OR", "AND"):
        left, right = on_axis(predicate.left, refs), on_axis(predicate.right, refs)
        if left is None or right is None or (left.alias, left.axis) != (right.alias, right.axis):
            return None
        both = _common(left.spans, right.spans) if predicate.operator == "AND" else left.spans + right.spans
        return OnAxis(left.alias, left.axis, both) if len(both) <= _SPANS_MAX else None
    if isinstance(predicate, Between):
        low, high = constant(predicate.low), constant(predicate.high)
        return (
            None if low is None or high is None else _limited(predicate.operand, _between(predicate, low, high), refs)
        )
    if isinstance(predicate, Binary) and predicate.operator in _FLIPPED:
        column, other, operator = predicate.left, predicate.right, predicate.operator
        if isinstance(other, ColumnRef):
            column, other, operator = other, column, _FLIPPED[operator]
        value = constant(other)
        if value is not None:
            return _limited(column, ((-inf if "<" in operator else value, inf if ">" in operator else value),), refs)
    return None


def _between(predicate: Between, low: float, high: float) -> tuple[Span, ...]:
    if predicate.negated:
        return ((-inf, low), (high, inf))
    return ((low, high),) if low <= high else ()


def _limited(column: Expression, spans: tuple[Span, ...], refs: Mapping[str, Ref]) -> OnAxis | None:
    """The fact, if the column is a position of a table whose rows lie by it."""
    if not isinstance(column, ColumnRef) or column.type != "DOUBLE":
        return None
    table = refs[column.table].table
    axis = {table.ra: "ra", table.dec: "dec"}.get(column.column)
    placed = table.kind in (Kind.DIRECTOR, Kind.CHILD) and table.ra != "" and table.dec != ""
    return OnAxis(column.table, axis, spans) if placed and axis else None


def _common(left: Iterable[Span], right: Iterable[Span]) -> tuple[Span, ...]:
    rights = tuple(right)
    both = ((max(a[0], b[0]), min(a[1], b[1])) for a in left for b in rights)
    return tuple(span for span in both if span[0] <= span[1])


def boxes(facts: Iterable[OnAxis], ref: Ref) -> tuple[Box, ...] | None:
    """The boxes of the sky a reference's own positions lie in; None if they may be anywhere."""
    spans: dict[str, tuple[Span, ...]] = {"ra": ((-inf, inf),), "dec": ((-inf, inf),)}
    for fact in facts:
        spans[fact.axis] = _common(spans[fact.axis], fact.spans)[: _SPANS_MAX + 1]
    ras, decs = _on_sky("ra", spans["ra"], ref), _on_sky("dec", spans["dec"], ref)
    if ras == (_LIMITS["ra"],) and decs == (_LIMITS["dec"],):
        return None
    return tuple(Box(ra[0], dec[0], ra[1], dec[1]) for ra in ras for dec in decs)


def _on_sky(axis: str, spans: tuple[Span, ...], ref: Ref) -> tuple[Span, ...]:
    """The spans within the limits of the axis, which are all there is where too little is known, or too much."""
    limits = _LIMITS[axis]
    if axis == "ra" and ref.table.attached is not None:
        open_ended = any(-inf in span or inf in span or span[1] - span[0] >= 360 for span in spans)
        return (limits,) if open_ended or len(spans) > _SPANS_MAX else spans
    return (limits,) if len(spans) > _SPANS_MAX else _common(spans, (limits,))


def spans_text(facts: Iterable[OnAxis]) -> str:
    """The limits in words: `ra in 10..20, dec in -5..`."""
    said = []
    for fact in facts:
        spans = " or ".join(f"{_end(low)}..{_end(high)}" for low, high in fact.spans)
        said.append(f"{fact.axis} in {spans or 'nothing'}")
    return ", ".join(said)


def _end(value: float) -> str:
    return "" if value in (-inf, inf) else f"{value:g}"
