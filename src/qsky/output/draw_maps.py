"""Maps of the sky: Mollweide for what is wide, the tangent plane for what is small; points, densities, HEALPix cells.

Axes are astropy's WCSAxes, so that whoever wants more on a map draws with `transform=axes.get_transform("icrs")`. Right
ascension grows to the left. `output.draw` calls `sky_map` and `cell_map`; both return the sentences under the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy import units
from astropy.visualization.wcsaxes.frame import EllipticalFrame
from astropy.wcs import WCS
from matplotlib.figure import Figure

from qsky.output.cell_tally import Cells, summed
from qsky.output.draw_axes import Drawn, points
from qsky.output.draw_style import (
    BACKGROUND,
    FAINT,
    INK,
    POINTS_MAX,
    TEXT_POINTS,
    TICK_POINTS,
    colour_bar,
    label_of,
    paint_of,
    rows_text,
)
from qsky.output.picture import Picture
from qsky.sky.healpix import Floats, Ints, cells_of, centres_of

LOCAL_RADIUS_DEG_MAX: Final = 25.0
_WIDTH_PIXELS: Final = (1600, 1200)
_SMALLEST_FIELD_DEG: Final = 1 / 60
_CELL_DEG: Final = 58.6323  # the side of a cell of order 0: the square root of its area
_SKY_DEG2: Final = 4 * np.pi * (180 / np.pi) ** 2
_ROWS_PER_CELL: Final = 8


@dataclass(frozen=True)
class Chart:
    """A piece of sky on a raster: how pixels become positions, its size in pixels, degrees per pixel."""

    wcs: Any
    shape: tuple[int, int]
    pixel_deg: float
    whole_sky: bool

    @property
    def order(self) -> int:
        """The deepest order whose cells are seen as more than a pixel."""
        return int(np.clip(np.floor(np.log2(_CELL_DEG / (1.4 * self.pixel_deg))), 0, 29))

    def places(self, ra_deg: Floats, dec_deg: Floats) -> tuple[Floats, Floats]:
        """Positions as pixels; shape (n,) each."""
        x, y = self.wcs.wcs_world2pix(ra_deg, dec_deg, 0) if len(ra_deg) else (np.empty(0), np.empty(0))
        return x, y

    def image(self, cells: Cells) -> Any:
        """The value of the cell that each pixel lies in; NaN where there is none; shape (height, width)."""
        if not len(cells.cells):
            return np.full(self.shape, np.nan)
        y, x = np.indices(self.shape)
        ra, dec = self.wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)
        image = np.full(x.size, np.nan)
        inside = np.isfinite(ra) & np.isfinite(dec)
        wanted = cells_of(ra[inside], dec[inside], cells.order)
        place = np.minimum(np.searchsorted(cells.cells, wanted), len(cells.cells) - 1)
        image[inside] = np.where(cells.cells[place] == wanted, cells.values[place], np.nan)
        return image.reshape(self.shape)


def sky_map(figure: Figure, drawn: Drawn) -> list[str]:
    """Positions as points with the colours of a third column; where they would cover each other, cells of sky."""
    picture = drawn.picture
    assert picture.y is not None
    ra, dec = drawn.of(picture.x), drawn.of(picture.y)
    colours = drawn.of(picture.colour)
    on_sky = np.abs(dec) <= 90
    notes = [] if on_sky.all() else [f"{rows_text(int((~on_sky).sum()))} beyond the poles left out."]
    ra, dec = ra[on_sky] % 360, dec[on_sky]
    colours = None if colours is None else colours[on_sky]
    chart = chart_of(ra, dec)
    labels = (picture.x.name, picture.y.name)
    axes = _axes(figure, chart, labels, below=picture.colour is not None or len(ra) > POINTS_MAX)
    if len(ra) <= POINTS_MAX or (picture.colour is not None and not picture.colour.is_number):
        return notes + points(figure, axes, chart.places(ra, dec), picture.colour, colours, below=chart.whole_sky)
    return notes + _dense(figure, axes, chart, drawn, (ra, dec, colours))


def _dense(
    figure: Figure, axes: Any, chart: Chart, drawn: Drawn, rows: tuple[Floats, Floats, Floats | None]
) -> list[str]:
    """Many positions as cells: how many lie in each, or the mean of the colour column."""
    ra, dec, colours = rows
    column = drawn.picture.colour
    known = np.ones(len(ra), dtype=bool) if colours is None else np.isfinite(colours)
    order = _dense_order(cells_of(ra, dec, chart.order), chart)
    found, where, counts = np.unique(cells_of(ra[known], dec[known], order), return_inverse=True, return_counts=True)
    if column is None or colours is None:
        values = np.asarray(counts * (drawn.weight * (12 << 2 * order) / _SKY_DEG2), dtype=np.float64)
        paint = paint_of(values, "rows per square degree", counted=True)
    else:
        values = summed(where, colours[known], len(found)) / counts
        paint = paint_of(values, f"mean {label_of(column)}", magnitude=column.is_magnitude)
    cells = Cells(order, found, values, False, order, False, 0, len(ra))
    painted = axes.imshow(chart.image(cells), origin="lower", interpolation="nearest", **paint.arguments)
    colour_bar(figure, axes, painted, paint, below=chart.whole_sky)
    return [f"Cells of HEALPix order {order}."]


def _dense_order(cells: Ints, chart: Chart) -> int:
    """The deepest order at which a cell that is not empty holds enough rows for its colour to mean something."""
    order = chart.order
    while order > 2 and len(cells) < _ROWS_PER_CELL * len(np.unique(cells)):
        order, cells = order - 1, cells >> 2
    return order


def cell_map(figure: Figure, picture: Picture, cells: Cells) -> list[str]:
    """Cells filled with the colour of their value."""
    ra, dec = centres_of(cells.cells, cells.order) if len(cells.cells) else (np.empty(0), np.empty(0))
    chart = chart_of(ra, dec, margin_deg=_CELL_DEG / (1 << cells.order))
    drawn = cells.coarser(chart.order) if cells.order > chart.order else cells
    column = picture.colour
    label = "rows per cell" if column is None else label_of(column)
    magnitude = column is not None and column.is_magnitude
    paint = paint_of(drawn.values, label, magnitude=magnitude, counted=cells.summed)
    axes = _axes(figure, chart, ("ra", "dec"), below=True)
    painted = axes.imshow(chart.image(drawn), origin="lower", interpolation="nearest", **paint.arguments)
    colour_bar(figure, axes, painted, paint, below=chart.whole_sky)
    return _cell_notes(cells, drawn)


def _cell_notes(cells: Cells, drawn: Cells) -> list[str]:
    inferred = ", the lowest that has all the cells (order= names another)" if cells.inferred else ""
    notes = [f"HEALPix order {cells.order_of_answer}{inferred}."]
    if drawn.order < cells.order_of_answer:
        notes.append(f"Drawn at order {drawn.order}: {'sums' if cells.summed else 'means'} of the cells inside.")
    if cells.left_out:
        notes.append(f"{rows_text(cells.left_out)} without a value left out.")
    return notes


def chart_of(ra_deg: Floats, dec_deg: Floats, margin_deg: float = 0.0) -> Chart:
    """The whole sky, or if everything lies within 25 degrees of its middle the tangent plane there."""
    if not len(ra_deg):
        return _whole_sky()
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    vectors = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    middle = (vectors.min(axis=1) + vectors.max(axis=1)) / 2
    length = float(np.linalg.norm(middle))
    if length < 0.5:
        return _whole_sky()
    middle /= length
    farthest = np.degrees(np.arccos(np.clip(float((middle @ vectors).min()), -1, 1))) + margin_deg
    if farthest > LOCAL_RADIUS_DEG_MAX:
        return _whole_sky()
    centre = np.degrees(np.arctan2(middle[1], middle[0])) % 360, np.degrees(np.arcsin(middle[2]))
    return _local(centre, ra_deg, dec_deg, margin_deg)


def _whole_sky() -> Chart:
    """Mollweide with right ascension 0 in the middle. Its width is 4 sqrt(2) radians of the sphere's scale."""
    width = _WIDTH_PIXELS[0]
    pixel_deg = float(np.degrees(4 * np.sqrt(2)) / width)
    wcs = _wcs("MOL", (0.0, 0.0), pixel_deg)
    wcs.wcs.crpix = [width / 2 + 0.5, width / 4 + 0.5]
    return Chart(wcs, (width // 2, width), pixel_deg, True)


def _local(centre: tuple[float, float], ra_deg: Floats, dec_deg: Floats, margin_deg: float) -> Chart:
    """The tangent plane around all positions, not too narrow either way."""
    plane = _wcs("TAN", centre, 1.0)
    x, y = plane.wcs_world2pix(ra_deg, dec_deg, 0)
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    size = (high - low) * 1.06 + 2 * margin_deg
    size = np.maximum(size, max(_SMALLEST_FIELD_DEG if size.max() == 0 else 0.0, size.max() / 1.6))
    pixel_deg = float(size.max() / _WIDTH_PIXELS[1])
    shape = np.maximum(np.round(size / pixel_deg), 1).astype(int)
    wcs = _wcs("TAN", centre, pixel_deg)
    wcs.wcs.crpix = shape / 2 + 0.5 - ((low + high) / 2 + 1) / pixel_deg
    return Chart(wcs, (int(shape[1]), int(shape[0])), pixel_deg, False)


def _wcs(projection: str, centre: tuple[float, float], pixel_deg: float) -> Any:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval = list(centre)
    wcs.wcs.cdelt = [-pixel_deg, pixel_deg]
    wcs.wcs.crpix = [0.0, 0.0]
    wcs.wcs.radesys = "ICRS"
    return wcs


def _axes(figure: Figure, chart: Chart, labels: tuple[str, str], *, below: bool) -> Any:
    """Axes with a grid of degrees, and a figure that is as high as they and what is `below` them need."""
    height, width = chart.shape
    figure.set_size_inches(*((10.0, 6.2 if below else 5.4) if chart.whole_sky else _local_size(width / height)))
    frame = {"frame_class": EllipticalFrame} if chart.whole_sky else {}
    axes = figure.add_subplot(projection=chart.wcs, **frame)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(-0.5, height - 0.5)
    axes.set_aspect("equal")
    axes.set_facecolor(BACKGROUND)
    axes.coords.grid(color=INK, alpha=0.25, linewidth=0.5)
    axes.coords.frame.set_color(FAINT)
    axes.coords.frame.set_linewidth(1)
    for coordinate in axes.coords:
        coordinate.set_format_unit(units.deg, decimal=True, show_decimal_unit=chart.whole_sky)
        coordinate.set_ticklabel(size=TICK_POINTS, color=INK)
    (_label_whole_sky if chart.whole_sky else _label_local)(axes, chart, labels)
    return axes


def _local_size(aspect: float) -> tuple[float, float]:
    """Inches of a figure for axes of this aspect, with room for labels and a bar."""
    height = float(np.clip(7.0 / aspect, 4.5, 7.0))
    return height * aspect + 2.2, height + 0.9


def _label_local(axes: Any, chart: Chart, labels: tuple[str, str]) -> None:
    for coordinate, name in zip(axes.coords, labels, strict=True):
        coordinate.set_axislabel(f"{name} [deg]", fontsize=TEXT_POINTS, color=INK)
        coordinate.set_ticks_position("lb")
        coordinate.set_ticks(number=6, color=FAINT)


def _label_whole_sky(axes: Any, chart: Chart, labels: tuple[str, str]) -> None:
    """Declinations at the edge; right ascensions along the equator, legible on any colour."""
    ra, dec = axes.coords
    ra.set_ticks(spacing=30 * units.deg, color=FAINT)
    dec.set_ticks(spacing=30 * units.deg, color=FAINT)
    ra.set_ticks_visible(False)
    ra.set_ticklabel_visible(False)
    ra.set_axislabel("")
    dec.set_axislabel("")
    plate = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "linewidth": 0}
    for degrees in (120, 60, 0, 300, 240):
        (x,), (y,) = chart.places(np.array([float(degrees)]), np.array([0.0]))
        axes.text(
            x,
            y + 8,
            f"{degrees}°",
            ha="center",
            va="bottom",
            fontsize=TICK_POINTS,
            color=INK,
            bbox=plate,
            zorder=5,
        )
    system = f"{labels[0]}, {labels[1]} [deg]"
    axes.text(0, 0, system, transform=axes.transAxes, fontsize=TICK_POINTS, color=INK, parse_math=False)
