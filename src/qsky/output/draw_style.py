"""How every picture looks: sizes, colours that all eyes and a projector tell apart, labels with units, scales.

The `draw` modules ask. Nothing here touches matplotlib's global settings: whoever draws in a server or a notebook keeps
their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from qsky.output.roles import Column
from qsky.sky.healpix import Floats

DPI: Final = 200
TEXT_POINTS: Final = 12
TICK_POINTS: Final = 10.5
NOTE_POINTS: Final = 8
INK: Final = "#262626"
FAINT: Final = "#b0b0b0"
BACKGROUND: Final = "#f4f4f2"
FILL: Final = "#31688e"
POINTS_MAX: Final = 20_000
CATEGORIES_MAX: Final = 8

# Okabe and Ito's colours, which people with any colour vision tell apart; the yellow is too pale for points.
PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Bands from blue to red get colours from cold to warm, and markers, because six colours are many.
_BANDS: Final = {
    "u": ("#56B4E9", "o"),
    "g": ("#009E73", "s"),
    "r": ("#D55E00", "^"),
    "i": ("#CC79A7", "D"),
    "z": ("#7B3294", "v"),
    "y": ("#000000", "P"),
}
BAND_ORDER: Final = "ugrizy"
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
OTHERS: Final = "others"

_SUPERSCRIPTS: Final = str.maketrans("0123456789-+", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺")
_LOG_RATIO: Final = 1000.0
_OUTLIER_RATIO: Final = 5.0


class SkyFigure(Figure):
    """A figure of its own, known to no pyplot, so that nothing keeps it alive; notebooks show it as it is."""

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        sink = BytesIO()
        self.savefig(sink, format="png")
        return sink.getvalue()


def new_figure(width_inches: float, height_inches: float) -> Figure:
    figure = SkyFigure(figsize=(width_inches, height_inches), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def label_of(column: Column) -> str:
    """The name, and in brackets the unit: `pmra [mas yr⁻¹]`."""
    return f"{column.name} [{unit_text(column.unit)}]" if column.unit else column.name


def unit_text(unit: str) -> str:
    """A unit with its exponents raised: `arcsec**2` and `mas yr-1` as people write them."""
    raised = re.sub(
        r"(?<=[A-Za-z])(?:\*\*|\^)\(?([-+]?\d+)\)?", lambda found: found.group(1).translate(_SUPERSCRIPTS), unit
    )
    return re.sub(r"(?<=[A-Za-z])(-?\d+)(?![\d⁰-⁹])", lambda found: found.group(1).translate(_SUPERSCRIPTS), raised)


def style_axes(axes: Any, x_label: str, y_label: str) -> None:
    """Labels, quiet spines, a faint grid."""
    axes.set_xlabel(x_label, fontsize=TEXT_POINTS, color=INK, parse_math=False)
    axes.set_ylabel(y_label, fontsize=TEXT_POINTS, color=INK, parse_math=False)
    axes.tick_params(labelsize=TICK_POINTS, color=FAINT, labelcolor=INK)
    axes.grid(color=FAINT, alpha=0.35, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_color(FAINT)
        spine.set_visible(side in ("left", "bottom"))


def plain_numbers(axis: Any, *, apart: bool = True) -> None:
    """Ticks in full, thousands `apart`: no offsets, powers only beyond ten million."""
    axis.set_major_formatter(FuncFormatter(_plain if apart else _together))


def _plain(value: float, _place: object = None) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 1e7 or abs(value) < 1e-4:
        digits, power = f"{value:.3g}".split("e") if "e" in f"{value:.3g}" else (f"{value:.3g}", "0")
        text = f"{digits}×10{str(int(power)).translate(_SUPERSCRIPTS)}" if int(power) else digits
    else:
        text = f"{value:,.4f}" if abs(value) < 1000 else f"{value:,.1f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "−")


def _together(value: float, _place: object = None) -> str:
    return f"{value:.5f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class View:
    """What part of an axis to show: from `low` to `high`; `outside` values lie beyond."""

    low: float
    high: float
    log: bool
    outside: int

    def holds(self, values: Floats) -> Any:
        """Which values lie in it; shape (n,) of bool."""
        return (values >= self.low) & (values <= self.high)


def view_of(values: Floats, *, may_log: bool = True) -> View:
    """All of the values, unless a few lie so far out that the rest would be a line; logarithmic over three decades.

    A logarithmic view may leave out the few that are not positive: noise around faint fluxes, for one.

    `values` are finite, shape (n,).
    """
    if not len(values):
        return View(0.0, 1.0, False, 0)
    low, high = float(values.min()), float(values.max())
    if low == high:
        margin = abs(low) * 0.05 or 0.5
        return View(low - margin, high + margin, False, 0)
    tails = np.quantile(values, [0.005, 0.05, 0.995])
    if may_log and tails[1] > 0 and tails[2] / tails[1] > _LOG_RATIO:
        start = max(float(values[values > 0].min()), float(tails[1]) / 100)
        return View(start, high, True, int((values < start).sum()))
    span = tails[2] - tails[0]
    if len(values) < 100 or not span or high - low <= _OUTLIER_RATIO * span:
        return View(low, high, False, 0)
    low, high = max(low, float(tails[0] - 0.1 * span)), min(high, float(tails[2] + 0.1 * span))
    return View(low, high, False, int(((values < low) | (values > high)).sum()))


def outside_note(name: str, count: float) -> str:
    """The sentence that says what a view does not show."""
    return f"{rows_text(count)} outside the range of {name} shown."


def rows_text(count: float) -> str:
    """ "1 row", "2,000 rows"."""
    return f"{count:,.0f} row{'s' if round(count) != 1 else ''}"


@dataclass(frozen=True)
class Paint:
    """How numbers become colours: arguments for matplotlib, and what the bar says."""

    low: float
    high: float
    log: bool
    map_name: str
    extend: str
    label: str
    inverted: bool = False

    @property
    def arguments(self) -> Mapping[str, Any]:
        norm = LogNorm(self.low, self.high) if self.log else Normalize(self.low, self.high)
        return {"norm": norm, "cmap": self.map_name}

    @property
    def decades(self) -> float:
        """Powers of ten from end to end of a logarithmic scale."""
        return float(np.log10(self.high / self.low)) if self.log else 0.0


def paint_of(values: Floats, label: str, *, magnitude: bool = False, counted: bool = False) -> Paint:
    """Viridis from the 1st to the 99th percentile; logarithmic for counts and over three decades. Bright is light."""
    low, high, extend = _colour_range(values)
    map_name = "viridis_r" if magnitude else "viridis"
    log = low > 0 and high / low > (10 if counted else _LOG_RATIO) and not magnitude
    return Paint(low, high, log, map_name, extend, label, magnitude)


def _colour_range(values: Floats) -> tuple[float, float, str]:
    if not len(values):
        return 0.0, 1.0, "neither"
    least, most = float(values.min()), float(values.max())
    if least == most:
        return least - (abs(least) * 0.05 or 0.5), most + (abs(most) * 0.05 or 0.5), "neither"
    low, high = (float(end) for end in np.quantile(values, [0.01, 0.99])) if len(values) >= 100 else (least, most)
    if low == high:
        low, high = least, most
    beyond = (low > least, high < most)
    return low, high, {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond, "neither")


def colour_bar(figure: Figure, axes: Any, painted: Any, paint: Paint, *, below: bool = False) -> None:
    """The bar that explains the colours, at the right, or below a map of the whole sky."""
    placed = {"orientation": "horizontal", "shrink": 0.6, "aspect": 40, "pad": 0.04} if below else {"aspect": 30}
    bar = figure.colorbar(painted, ax=axes, extend=paint.extend, **placed)
    bar.set_label(paint.label, fontsize=TEXT_POINTS, color=INK, parse_math=False)
    bar.ax.tick_params(labelsize=TICK_POINTS, color=FAINT, labelcolor=INK)
    bar.outline.set_visible(False)
    axis = bar.ax.xaxis if below else bar.ax.yaxis
    if paint.decades < 5:
        plain_numbers(axis)
        axis.set_minor_formatter(FuncFormatter(_two_and_five if 0 < paint.decades < 1.7 else _nothing))
    if paint.inverted:
        axis.set_inverted(True)


def _two_and_five(value: float, _place: object = None) -> str:
    """Between the decades of a short logarithmic scale the 2 and the 5 are named, too."""
    return _plain(value) if f"{value:e}"[0] in "25" else ""


def _nothing(_value: float, _place: object = None) -> str:
    return ""


def band_style(name: str, place: int) -> tuple[str, str]:
    """Colour and marker of a band or category; `place` is its number among those shown."""
    if name == OTHERS:
        return FAINT, "."
    return _BANDS.get(name.lower(), (PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]))
