"""Units of measure for IN_UNIT: the unit of a value, and the factor between two units. Pure.

astropy is imported when a query first asks, because it is slow to import and few queries do.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from qsky.sql.query import ColumnRef, Expression, Unary


def unit_of(value: Expression, units: Mapping[tuple[str, str], str]) -> str | None:
    """The unit of a column or its negative; None if it has none."""
    if isinstance(value, Unary) and value.operator == "-":
        return unit_of(value.operand, units)
    if isinstance(value, ColumnRef):
        return units.get((value.table, value.column)) or None
    return None


@lru_cache(maxsize=256)
def conversion(start: str, end: str) -> float:
    """What numbers in the first unit are multiplied by to be in the second. Raises ValueError with a sentence."""
    from astropy import units

    known = (_unit(units, start), _unit(units, end))
    try:
        return float(known[0].to(known[1]))
    except units.UnitsError:
        raise ValueError(f"Values in {start!r} cannot be expressed in {end!r}.") from None


def _unit(units: Any, text: str) -> Any:
    """A unit as VOUnits write it, or as astropy does otherwise."""
    for form in ("vounit", "generic", "cds"):
        try:
            return units.Unit(text, format=form)
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no unit of measure.")
