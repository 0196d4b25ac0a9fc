"""Draws a picture that `output.picture` decided on, of rows that `output.plot` held. Returns the figure and its notes.

What a picture does not show (NULLs, outliers, rows not sampled) is said under it, in the same sentences that are
returned. Only this module and its neighbours `draw_*` import matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from qsky.output.cell_tally import Cells, numbers
from qsky.output.cells import as_text
from qsky.output.draw_axes import Drawn, bars, histogram, lightcurve, scatter
from qsky.output.draw_maps import cell_map, sky_map
from qsky.output.draw_style import INK, NOTE_POINTS, TEXT_POINTS, new_figure, rows_text
from qsky.output.picture import Picture
from qsky.output.sample import Rows

_SIZE_INCHES: Final = (8.0, 5.2)
_AXES: Final[dict[str, Callable[[Figure, Drawn], list[str]]]] = {
    "histogram": histogram,
    "scatter": scatter,
    "bars": bars,
    "lightcurve": lightcurve,
    "sky": sky_map,
}


def draw(picture: Picture, rows: Rows) -> tuple[Figure, tuple[str, ...]]:
    """The picture of the rows and the sentences under it."""
    figure = new_figure(*_SIZE_INCHES)
    drawn, notes = _drawn(picture, rows)
    if rows.table.num_rows < rows.total:
        scaled = "; counts are scaled up" if picture.kind in ("histogram", "scatter", "sky") else ""
        notes.insert(0, f"A random {rows.table.num_rows:,} of {rows.total:,} rows{scaled}.")
    notes += _AXES[picture.kind](figure, drawn)
    return _finished(figure, picture, notes, rows.total)


def draw_cells(picture: Picture, cells: Cells) -> tuple[Figure, tuple[str, ...]]:
    """The HEALPix map of the cells and the sentences under it."""
    figure = new_figure(*_SIZE_INCHES)
    return _finished(figure, picture, cell_map(figure, picture, cells), cells.rows)


def _drawn(picture: Picture, rows: Rows) -> tuple[Drawn, list[str]]:
    """The columns as arrays, without rows that have no place: x or y NULL or not finite."""
    table = rows.table
    arrays = {name: numbers(table.column(name)) for name in _numeric(picture)}
    texts = {name: _texts(table.column(name)) for name in picture.columns if name not in arrays}
    usable = np.ones(table.num_rows, dtype=bool)
    for column in (picture.x, picture.y):
        if column is not None and column.name in arrays:
            usable &= np.isfinite(arrays[column.name])
    left_out = int(table.num_rows - usable.sum())
    notes = [f"{rows_text(left_out * rows.weight)} without a value left out."] if left_out else []
    held = {name: values[usable] for name, values in {**arrays, **texts}.items()}
    return Drawn(picture, held, rows.weight), notes


def _numeric(picture: Picture) -> list[str]:
    """The columns that are drawn as numbers; a band is a word even where it is a number."""
    columns = (picture.x, picture.y, picture.colour, picture.error)
    return [c.name for c in columns if c is not None and c.kind in ("number", "time")]


def _texts(values: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    """Categories as texts; NULL is a category."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    texts = np.empty(len(values), dtype=object)
    texts[:] = as_text(values).fill_null("NULL").to_pylist()
    return texts


def _finished(figure: Figure, picture: Picture, notes: list[str], rows: int) -> tuple[Figure, tuple[str, ...]]:
    """Title and notes."""
    if picture.title:
        figure.suptitle(picture.title, fontsize=TEXT_POINTS + 2, color=INK, parse_math=False)
    if not rows:
        notes = ["The answer has no rows."]
        # Above the middle, where a map of the whole sky has a label.
        figure.axes[0].text(
            0.5, 0.62, "no rows", transform=figure.axes[0].transAxes, ha="center", va="center", fontsize=TEXT_POINTS + 4
        )
    if notes:
        figure.supxlabel(
            "  ".join(notes), x=0.01, ha="left", fontsize=NOTE_POINTS, color="#666666", parse_math=False, wrap=True
        )
    return figure, tuple(notes)
