"""Pictures with plain axes: histogram, scatter or density, bars, light curve. `output.draw` calls them.

Each gets a figure and arrays that are ready to draw, and returns the sentences that say what it does not show.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qsky.output.cell_tally import summed
from qsky.output.draw_style import (
    BAND_ORDER,
    CATEGORIES_MAX,
    FAINT,
    FILL,
    INK,
    OTHERS,
    POINTS_MAX,
    TICK_POINTS,
    View,
    band_style,
    colour_bar,
    label_of,
    outside_note,
    paint_of,
    plain_numbers,
    style_axes,
    view_of,
)
from qsky.output.picture import Picture
from qsky.output.roles import Column
from qsky.sky.healpix import Floats

_BARS_MAX: Final = 30
_BINS: Final = (13, 120)
_HEXAGONS: Final = (100, 36)
_ERROR_BARS_MAX: Final = 5_000
_BESIDE: Final = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}


@dataclass(frozen=True)
class Drawn:
    """A picture and its columns: float64 (finite in x and y), or texts; each row stands for `weight` of the answer's."""

    picture: Picture
    arrays: dict[str, Any]
    weight: float

    def of(self, column: Column | None) -> Any:
        """The values of a column, shape (n,); None for none."""
        return None if column is None else self.arrays[column.name]


def histogram(figure: Figure, drawn: Drawn) -> list[str]:
    """Rows per bin of one number."""
    column = drawn.picture.x
    values = drawn.of(column)
    view = view_of(values, may_log=_may_log(column))
    edges = bins_of(values[view.holds(values)], view, whole=column.whole)
    counts = np.histogram(values, edges)[0] * drawn.weight
    axes = figure.add_subplot()
    axes.stairs(counts, edges, fill=True, color=FILL, edgecolor="white", linewidth=0.5)
    style_axes(axes, label_of(column), "rows")
    axes.grid(visible=False, axis="x")
    _scale(axes.xaxis, axes.set_xscale, column, view)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, max(float(counts.max(initial=0)) * 1.05, 1.0))
    plain_numbers(axes.yaxis)
    return _outside([(column, view)], drawn.weight)


def bins_of(values: Floats, view: View, *, whole: bool = False) -> Floats:
    """Edges of bins by the rule of Freedman and Diaconis, between 13 and 120; whole numbers lie in their middles."""
    low, high = view.low, view.high
    if whole and not view.log and high - low <= _BINS[1] and low >= -(2**52):
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.0)
    if view.log:
        low, high, values = np.log10(low), np.log10(high), np.log10(values)
    quarter = np.subtract(*np.quantile(values, [0.75, 0.25])) if len(values) else 0.0
    width = 2 * quarter / max(len(values), 1) ** (1 / 3)
    wanted = int(np.ceil((high - low) / width)) if width > 0 else _BINS[0]
    number = int(np.clip(wanted, *_BINS))
    if whole and not view.log:
        step = max(1, int(np.ceil((high - low) / number)))
        return np.arange(np.floor(low), high + step, step) - 0.5
    edges = np.linspace(low, high, number + 1)
    return np.asarray(10**edges if view.log else edges)


def scatter(figure: Figure, drawn: Drawn) -> list[str]:
    """Points, or where they would cover each other the density or the mean colour of hexagons."""
    picture = drawn.picture
    x, y = picture.x, picture.y
    assert y is not None
    views = [(column, view_of(drawn.of(column), may_log=_may_log(column))) for column in (x, y)]
    inside = views[0][1].holds(drawn.of(x)) & views[1][1].holds(drawn.of(y))
    axes = figure.add_subplot()
    style_axes(axes, label_of(x), label_of(y))
    places = drawn.of(x)[inside], drawn.of(y)[inside]
    colours = None if picture.colour is None else drawn.of(picture.colour)[inside]
    _scale(axes.xaxis, axes.set_xscale, x, views[0][1])
    _scale(axes.yaxis, axes.set_yscale, y, views[1][1])
    if len(places[0]) > POINTS_MAX and (picture.colour is None or picture.colour.is_number):
        _hexagons(figure, axes, places, colours, views, drawn)
        notes = []
    else:
        notes = points(figure, axes, places, picture.colour, colours)
    _limit(axes, views)
    if y.is_magnitude:
        axes.invert_yaxis()
    return notes + _outside(views, drawn.weight)


def points(
    figure: Figure,
    axes: Any,
    places: tuple[Floats, Floats],
    column: Column | None,
    colours: Any,
    *,
    below: bool = False,
) -> list[str]:
    """Points with the colours of a column: a bar for numbers, a legend for categories. Also drawn on maps."""
    look = {"s": point_size(len(places[0])), "linewidths": 0, "rasterized": len(places[0]) > 5000}
    if column is None:
        axes.scatter(*places, color=FILL, alpha=0.8, **look)
        return []
    if column.is_number:
        known = np.isfinite(colours)
        paint = paint_of(colours[known], label_of(column), magnitude=column.is_magnitude)
        axes.scatter(*(place[~known] for place in places), color=FAINT, **look)
        painted = axes.scatter(*(place[known] for place in places), c=colours[known], **paint.arguments, **look)
        colour_bar(figure, axes, painted, paint, below=below)
        missing = int((~known).sum())
        return [f"Grey: {missing:,} without {column.name}."] if missing else []
    names = categories(colours, axes_max=CATEGORIES_MAX - 1)
    for place, name in enumerate(names):
        chosen = np.isin(colours, names[:-1], invert=True) if name == OTHERS else colours == name
        colour, marker = band_style(name, place)
        axes.scatter(*(p[chosen] for p in places), color=colour, marker=marker, label=name, **look)
    _legend(axes, column.name, below=below)
    return []


def point_size(count: int) -> float:
    """The area of a point in square points: few are large."""
    return float(np.clip(6e4 / max(count, 1), 3, 36))


def categories(texts: Any, axes_max: int) -> list[str]:
    """The categories, bands from blue to red, others most frequent first; what is too much is `others`."""
    names, counts = np.unique(texts.astype(str), return_counts=True) if len(texts) else ((), ())
    found = [str(name) for name in np.array(names)[np.argsort(-np.array(counts), kind="stable")]] if len(names) else []
    if found and all(len(name) == 1 and name.lower() in BAND_ORDER for name in found):
        return sorted(found, key=lambda name: BAND_ORDER.index(name.lower()))
    return found if len(found) <= axes_max else [*found[:axes_max], OTHERS]


def _hexagons(
    figure: Figure,
    axes: Any,
    places: tuple[Floats, Floats],
    colours: Any,
    views: list[tuple[Column, View]],
    drawn: Drawn,
) -> None:
    """Rows per hexagon, or the mean of the colour column."""
    column = drawn.picture.colour
    extent = [np.log10(end) if view.log else end for _, view in views for end in (view.low, view.high)]
    scales = ["log" if view.log else "linear" for _, view in views]
    known = np.ones(len(places[0]), dtype=bool) if colours is None else np.isfinite(colours)
    painted = axes.hexbin(
        *(place[known] for place in places),
        C=np.full(known.sum(), drawn.weight) if colours is None else colours[known],
        reduce_C_function=np.sum if colours is None else np.mean,
        gridsize=_HEXAGONS,
        extent=extent,
        xscale=scales[0],
        yscale=scales[1],
        linewidths=0.2,
        rasterized=True,
    )
    values = np.asarray(painted.get_array())
    label = "rows per hexagon" if column is None else f"mean {label_of(column)}"
    magnitude = column is not None and column.is_magnitude
    paint = paint_of(values, label, magnitude=magnitude, counted=column is None)
    painted.set(**paint.arguments)
    colour_bar(figure, axes, painted, paint)


def bars(figure: Figure, drawn: Drawn) -> list[str]:
    """A bar for each category with its number, its mean if it has several, or how often it occurs."""
    picture = drawn.picture
    if picture.x.kind != "text" and not picture.x.is_band:
        return _columns(figure, drawn)
    keys = drawn.of(picture.x)
    keys = keys if keys.dtype == object else np.array([f"{key:g}" for key in keys], dtype=object)
    names, values, label = _by_category(keys, drawn)
    axes = figure.add_subplot()
    shown, notes = slice(0, _BARS_MAX), []
    if len(names) > _BARS_MAX:
        notes.append(f"The first {_BARS_MAX} of {len(names):,} categories.")
    names, values = names[shown], values[shown]
    style_axes(axes, label, "")
    axes.grid(visible=False, axis="y")
    axes.barh(range(len(names)), values, color=FILL, height=0.75)
    size = TICK_POINTS if len(names) <= 16 else TICK_POINTS * 0.75
    axes.set_yticks(range(len(names)), [_short(name) for name in names], fontsize=size, parse_math=False)
    axes.set_ylabel(picture.x.name, color=INK, parse_math=False)
    axes.invert_yaxis()
    if view_of(values).log:
        axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    return notes


def _by_category(keys: Any, drawn: Drawn) -> tuple[list[str], Floats, str]:
    """Categories, their values and what these are. Sorted answers keep their order, others start with the largest."""
    value = drawn.picture.y
    first: dict[str, int] = {}
    places = np.array([first.setdefault(str(key), len(first)) for key in keys], dtype=np.int64)
    counts = np.bincount(places, minlength=len(first)).astype(float)
    names = list(first)
    if value is None:
        label, values = "rows", counts * drawn.weight
    else:
        values = summed(places, drawn.of(value), len(first))
        several = bool((counts > 1).any()) and not value.is_count
        label, values = (f"mean {label_of(value)}", values / counts) if several else (label_of(value), values)
    if all(len(name) == 1 and name.lower() in BAND_ORDER for name in names):
        order = np.argsort([BAND_ORDER.index(name.lower()) for name in names], kind="stable")
    elif names == sorted(names) and len(names) > 2:
        order = np.arange(len(names))
    else:
        order = np.argsort(-values, kind="stable")
    return [names[place] for place in order], values[order], label


def _columns(figure: Figure, drawn: Drawn) -> list[str]:
    """Bars over a number: a histogram made in SQL."""
    x, y = drawn.picture.x, drawn.picture.y
    places, around = np.unique(drawn.of(x), return_inverse=True)
    heights = np.bincount(around, weights=None if y is None else drawn.of(y), minlength=len(places))
    axes = figure.add_subplot()
    style_axes(axes, label_of(x), "rows" if y is None else label_of(y))
    axes.grid(visible=False, axis="x")
    spacing = float(np.diff(places).min()) if len(places) > 1 else 1.0
    axes.bar(places, heights, width=spacing * (0.9 if len(places) < 60 else 1.0), color=FILL)
    if not _dates(axes.xaxis, x) and bool((places == np.round(places)).all()):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_numbers(axes.yaxis)
    return []


def lightcurve(figure: Figure, drawn: Drawn) -> list[str]:
    """What was measured over time, each band with colour and marker of its own, errors as bars."""
    picture = drawn.picture
    assert picture.y is not None
    times, values = drawn.of(picture.x), drawn.of(picture.y)
    view = view_of(values, may_log=False)
    bands = _band_names(drawn)
    names = categories(bands, CATEGORIES_MAX - 1) if bands is not None else [""]
    axes = figure.add_subplot()
    style_axes(axes, label_of(picture.x), label_of(picture.y))
    size = np.sqrt(point_size(len(times) * 2))
    for place, name in enumerate(names):
        chosen = np.ones(len(times), dtype=bool) if bands is None else bands == name
        if name == OTHERS and bands is not None:
            chosen = np.isin(bands, names[:-1], invert=True)
        colour, marker = (FILL, "o") if bands is None else band_style(name, place)
        errors = _errors(drawn, chosen)
        look = {"color": colour, "markersize": size, "elinewidth": 0.8, "alpha": 0.9, "markeredgewidth": 0}
        axes.errorbar(times[chosen], values[chosen], errors, fmt=marker, label=name, **look)
    _dates(axes.xaxis, picture.x)
    plain_numbers(axes.yaxis)
    axes.set_ylim(*_margin(_with_errors(drawn, values, view)))
    if picture.y.is_magnitude:
        axes.invert_yaxis()
    if picture.band is not None and names:
        _legend(axes, picture.band.name)
    return _outside([(picture.y, view)], drawn.weight)


def _band_names(drawn: Drawn) -> Any:
    """The band of each row as text; None if there is no such column."""
    bands = drawn.of(drawn.picture.band)
    if bands is None or bands.dtype == object:
        return bands
    return np.array([f"{band:g}" for band in bands], dtype=object)


def _errors(drawn: Drawn, chosen: Any) -> Floats | None:
    """Error bars of the chosen rows; none where they would be all one sees. A missing or negative one has no length."""
    errors = drawn.of(drawn.picture.error)
    if errors is None or len(errors) > _ERROR_BARS_MAX:
        return None
    return np.asarray(np.clip(np.nan_to_num(errors[chosen], nan=0.0, posinf=0.0, neginf=0.0), 0, None))


def _with_errors(drawn: Drawn, values: Floats, view: View) -> View:
    """The view widened to hold the error bars of what it shows, to three times its height at most."""
    errors = _errors(drawn, view.holds(values))
    if errors is None or not len(errors):
        return view
    shown, span = values[view.holds(values)], view.high - view.low
    low, high = float((shown - errors).min()), float((shown + errors).max())
    return View(max(low, view.low - span), min(high, view.high + span), False, view.outside)


def _legend(axes: Any, title: str, *, below: bool = False) -> None:
    """The categories, at the right, or below a map of the whole sky."""
    at = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.02), "ncols": 4} if below else _BESIDE
    legend = axes.legend(title=title, fontsize=TICK_POINTS, frameon=False, scatterpoints=1, **at)
    for handle in legend.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([36])
    legend.get_title().set(fontsize=TICK_POINTS, parse_math=False)
    for text in legend.get_texts():
        text.set(text=_short(text.get_text()), parse_math=False)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _may_log(column: Column) -> bool:
    return not (column.is_magnitude or column.is_ra or column.is_dec or column.is_time)


def _scale(axis: Any, set_scale: Any, column: Column, view: View) -> None:
    """The scale of an axis and how its ticks are written."""
    if view.log:
        set_scale("log")
    elif not _dates(axis, column):
        plain_numbers(axis)


def _dates(axis: Any, column: Column) -> bool:
    """Write dates at the ticks of an axis if it shows moments; Modified Julian Dates stay numbers, in full."""
    if column.kind == "time":
        axis.axis_date()
        axis.set_major_locator(AutoDateLocator())
        axis.set_major_formatter(ConciseDateFormatter(axis.get_major_locator()))
        return True
    plain_numbers(axis, apart=not column.is_time)
    return False


def _limit(axes: Any, views: Iterable[tuple[Column, View]]) -> None:
    for set_limits, (_, view) in zip((axes.set_xlim, axes.set_ylim), views, strict=True):
        set_limits(*_margin(view))


def _margin(view: View) -> tuple[float, float]:
    """The ends of an axis, a little beyond what it shows."""
    if view.log:
        more = (view.high / view.low) ** 0.02
        return view.low / more, view.high * more
    more = (view.high - view.low) * 0.03
    return view.low - more, view.high + more


def _outside(views: Iterable[tuple[Column, View]], weight: float) -> list[str]:
    return [outside_note(column.name, view.outside * weight) for column, view in views if view.outside]
