"""Near neighbours as an equality join: a square grid on the plane that touches the sphere at the fragment's centre.

Seen along the centre's direction, distances only shrink; so a row within the radius of another lies in a grid cell that
the square around the other touches, whatever the hemisphere, pole or meridian. One side stands in all cells that its
square touches, the other in its own, and DuckDB joins on the cell. The user's own predicate decides afterwards. Where
rows lie thin, cells are many radii wide, so that most squares touch one of them. Called by plan.batch and plan.spell;
pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from typing import Final

import numpy as np

from qsky.plan.model import Grid, Near, Ref
from qsky.plan.words import number_text
from qsky.sky.cover import vectors
from qsky.sky.healpix import ORDER_MAX, Floats, Ints, centres_of
from qsky.sql.print import print_expression
from qsky.sql.query import Binary, ColumnRef, Expression, Literal_
from qsky.sql.statement import quoted, text_of

Axes = tuple[Floats, Floats]

# Cell numbers of both axes share one BIGINT; below this reach they would not fit, and rounding would matter.
_REACH_RAD_MIN: Final = 1e-8
_SLACK: Final = 1.000001
_ROW: Final = 1 << 32
_NINE: Final = ", ".join(f"({i * _ROW + j})" for i in (-1, 0, 1) for j in (-1, 0, 1))
# Widths of cells in units of the reach: three at least, for a square to touch no third cell; not so many that rows
# which lie far closer together somewhere in the fragment meet too many others.
_WIDTH_MIN: Final = 3.0
_WIDTH_MAX: Final = 16.0
# With more rows than this in a square of the reach, cells of the reach itself, nine to a square, make fewer pairs.
_CROWD: Final = 0.4


def reach_rad(radius_deg: float) -> float:
    """How far apart rows may lie on each axis: the chord of the radius, and a little more than rounding can take away."""
    reach = max(2 * math.sin(math.radians(min(radius_deg, 180.0)) / 2) * _SLACK, _REACH_RAD_MIN)
    return float(f"{reach:.12g}")


def side_rad(reach_rad: float, rows_per_sr: float) -> float:
    """The side of a grid cell for rows that lie so dense: `reach_rad` itself where they crowd.

    With cells x reaches wide a row stands in (1 + 2 / x)^2 of them and meets rows_per_sr * (x + 2)^2 * reach^2 others;
    the product's derivative is 0 where x^3 = 2 / (rows_per_sr * reach^2).
    """
    crowd = rows_per_sr * reach_rad**2
    if crowd > _CROWD:
        return reach_rad
    best = (2 / crowd) ** (1 / 3) if crowd > 0 else _WIDTH_MAX
    return reach_rad * round(min(max(best, _WIDTH_MIN), _WIDTH_MAX), 1)


def grids_of(alias: str, nears: tuple[Near, ...], refs: Mapping[str, Ref]) -> tuple[Grid, ...]:
    """The grids a reference takes part in, one for each near-neighbour join. The smaller side spreads, or that not kept."""
    grids = []
    for number, near in enumerate(nears):
        if alias in (near.left, near.right):
            small_left = refs[near.left].table.rows < refs[near.right].table.rows
            spread = alias == (near.left if small_left and not near.outer else near.right)
            position = near.left_position if alias == near.left else near.right_position
            grids.append(Grid(f"_qsky_{number}", position, reach_rad(near.radius_deg), spread))
    return tuple(grids)


def condition(near: Near, number: int) -> str:
    """What joins the two sides of an inner join on their cells; it rejects no pair within the radius."""
    return " AND ".join(text_of(part) for part in condition_expressions(near, number))


def conditions(nears: tuple[Near, ...]) -> list[str]:
    """Those of the inner joins, whose numbers are their places; the others have theirs in ON."""
    return [condition(near, number) for number, near in enumerate(nears) if not near.outer]


def condition_expressions(near: Near, number: int) -> tuple[Expression, Expression]:
    """Equal cells, and unit vectors that are no farther apart than the chord."""
    gaps = [_gap(near, f"_qsky_{number}{axis}") for axis in "xyz"]
    squares = [Binary(type="DOUBLE", operator="*", left=gap, right=gap) for gap in gaps]
    total = reduce(lambda one, other: Binary(type="DOUBLE", operator="+", left=one, right=other), squares)
    chord = Literal_(type="DOUBLE", value=float(f"{reach_rad(near.radius_deg) ** 2:.9g}"))
    left, right = (
        ColumnRef(type="BIGINT", table=alias, column=f"_qsky_{number}c") for alias in (near.left, near.right)
    )
    return (
        Binary(type="BOOLEAN", operator="=", left=left, right=right),
        Binary(type="BOOLEAN", operator="<=", left=total, right=chord),
    )


def _gap(near: Near, column: str) -> Binary:
    left, right = (ColumnRef(type="DOUBLE", table=alias, column=column) for alias in (near.left, near.right))
    return Binary(type="DOUBLE", operator="-", left=left, right=right)


def with_grid(relation: str, grid: Grid, centre: Axes, side_rad: float) -> str:
    """The relation with the columns of a grid: its cell c and unit vector x, y, z, under the grid's prefix.

    What is no position has no cell, and meets nothing.
    """
    prefix = grid.prefix
    columns = (f"CAST({print_expression(part, _own_column)} AS DOUBLE)" for part in grid.position)
    ra, dec = (f"radians(CASE WHEN isfinite({column}) THEN {column} END)" for column in columns)
    unit = f"cos({dec}) * cos({ra}) AS {prefix}x, cos({dec}) * sin({ra}) AS {prefix}y, sin({dec}) AS {prefix}z"
    placed = f"SELECT *, {unit} FROM {relation}"
    axes = [_dot(axis, prefix) for axis in centre]
    if grid.spread and side_rad > grid.reach_rad:
        return _in_touched_cells(placed, grid, axes, side_rad)
    low, high = (_cell(axis, 0.0, side_rad) for axis in axes)
    cell = f"(SELECT *, {low} * {_ROW} + {high} AS {prefix}c FROM ({placed}))"
    if not grid.spread:
        return cell
    shifted = f"* EXCLUDE ({prefix}c, _qsky_shift), {prefix}c + _qsky_shift AS {prefix}c"
    return f"(SELECT {shifted} FROM {cell} CROSS JOIN (VALUES {_NINE}) AS around(_qsky_shift))"


def _in_touched_cells(placed: str, grid: Grid, axes: list[str], side_rad: float) -> str:
    """Each row in the one, two or four cells that the square of the reach around it touches."""
    low, low_2, high, high_2 = (grid.prefix + letter for letter in "ijkl")
    ends = ", ".join(
        f"{_cell(axis, shift, side_rad)} AS {name}"
        for shift, names in ((-grid.reach_rad, (low, low_2)), (grid.reach_rad, (high, high_2)))
        for axis, name in zip(axes, names, strict=True)
    )
    steps = (
        f"CASE WHEN {low} = {high} THEN CASE WHEN {low_2} = {high_2} THEN [0] ELSE [0, 1] END"
        f" WHEN {low_2} = {high_2} THEN [0, {_ROW}] ELSE [0, 1, {_ROW}, {_ROW + 1}] END"
    )
    cell = f"{low} * {_ROW} + {low_2} + unnest({steps}) AS {grid.prefix}c"
    return f"(SELECT * EXCLUDE ({low}, {low_2}, {high}, {high_2}), {cell} FROM (SELECT *, {ends} FROM ({placed})))"


def _cell(axis: str, shift: float, side_rad: float) -> str:
    moved = f" + {number_text(shift)}" if shift else ""
    return f"CAST(floor(({axis}{moved}) / {number_text(side_rad)}) AS BIGINT)"


def _own_column(column: ColumnRef) -> str:
    """A column inside the relation, where it needs no alias."""
    return quoted(column.column)


def _dot(axis: Floats, prefix: str) -> str:
    return " + ".join(f"{number_text(value)} * {prefix}{name}" for value, name in zip(axis, "xyz", strict=True))


def tangent_axes(starts: Ints, ends: Ints) -> Axes:
    """East and north, shape (3,) each, of the plane that touches the sphere in the middle of chunks.

    Rounded: the grid has slack for it, and the text is the same on every machine.
    """
    sizes = (ends - starts).astype(np.float64)
    orders = np.round(ORDER_MAX - np.log2(sizes) / 2).astype(np.int64)
    total = np.zeros(3)
    for order in np.unique(orders).tolist():
        here = orders == order
        ra, dec = centres_of(starts[here] >> (2 * (ORDER_MAX - order)), int(order))
        total += (vectors(ra, dec) * sizes[here][:, None]).sum(axis=0)
    if len(starts) == 0:
        return np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    a0, d0 = math.atan2(total[1], total[0]), math.atan2(total[2], math.hypot(total[0], total[1]))
    east = np.array([-math.sin(a0), math.cos(a0), 0.0])
    north = np.array([-math.sin(d0) * math.cos(a0), -math.sin(d0) * math.sin(a0), math.cos(d0)])
    return east.round(9), north.round(9)
