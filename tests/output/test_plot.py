"""Pictures as they come out: read back for what they show, and for what they say they do not show."""

from __future__ import annotations

import importlib.util
import io
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from qsky.errors import QskyError
from qsky.output.draw_axes import bins_of
from qsky.output.draw_maps import chart_of
from qsky.output.draw_style import label_of, unit_text, view_of
from qsky.output.picture import Wish
from qsky.output.plot import Sketch, write_picture
from qsky.output.roles import Column
from qsky.output.sample import Sample
from qsky.result import Result
from qsky.sky.healpix import cells_of

RANDOM = np.random.default_rng(5)


def result(rows_max: int | None = None, /, units: dict[str, str] | None = None, **arrays: Any) -> Any:
    """A Result of these columns in batches of 1000 rows; Any, because matplotlib's types know less than its figures."""
    table = pa.table(arrays)
    fields = [field.with_metadata({"unit": (units or {}).get(field.name, "")}) for field in table.schema]
    table = table.cast(pa.schema(fields))
    return Result(table.schema, iter(table.to_batches(max_chunksize=1000)), plot_rows_max=rows_max)


def notes(figure: Figure) -> str:
    return str(figure.get_supxlabel())


def ink(figure: Figure) -> float:
    """The share of pixels that are not white, of the picture written and read back."""
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=50)
    sink.seek(0)
    return float((imread(sink)[:, :, :3].min(axis=2) < 0.95).mean())


def labels(figure: Figure) -> tuple[str, str]:
    axes = figure.axes[0]
    return axes.get_xlabel(), axes.get_ylabel()


def test_a_scatter_names_units_and_turns_magnitudes() -> None:
    figure = result(units={"bp_rp": "mag"}, gmag=[1.0, 2.0, 3.0], bp_rp=[0.1, 0.2, 0.3]).plot(title="Three stars")
    assert labels(figure) == ("bp_rp [mag]", "gmag")
    bottom, top = figure.axes[0].get_ylim()
    assert bottom > top
    assert figure.get_suptitle() == "Three stars"
    assert 0.005 < ink(figure) < 0.5


def test_many_points_become_hexagons_that_count_them() -> None:
    x, y = RANDOM.normal(size=(2, 25_000))
    figure = result(x=x, y=y).plot()
    (hexagons,) = figure.axes[0].collections
    assert hexagons.get_array().sum() == 25_000
    assert figure.axes[1].get_ylabel() == "rows per hexagon"
    coloured = result(x=x, y=y, z=np.full(25_000, 3.0)).plot()
    assert set(coloured.axes[0].collections[0].get_array()) == {3.0}
    assert coloured.axes[1].get_ylabel() == "mean z"


def test_a_third_number_colours_and_a_missing_one_is_grey() -> None:
    figure = result(units={"plx": "mas"}, x=[1.0, 2.0, 3.0], y=[1.0, 2.0, 3.0], plx=[5.0, None, 7.0]).plot()
    assert figure.axes[1].get_ylabel() == "plx [mas]"
    assert notes(figure) == "Grey: 1 without plx."


def test_categories_have_a_legend_and_what_is_too_much_is_others() -> None:
    kinds = [f"k{i % 12:02}" for i in range(240)]
    figure = result(x=RANDOM.normal(size=240), y=RANDOM.normal(size=240), kind=kinds).plot()
    legend = figure.axes[0].get_legend()
    assert legend is not None and legend.get_title().get_text() == "kind"
    names = [text.get_text() for text in legend.get_texts()]
    assert len(names) == 8 and names[-1] == "others"


def test_a_histogram_counts_every_row_once() -> None:
    figure = result(units={"v": "km s-1"}, v=RANDOM.normal(size=5000)).plot()
    (steps,) = figure.axes[0].patches
    assert steps.get_data().values.sum() == 5000
    assert labels(figure) == ("v [km s⁻¹]", "rows")


def test_whole_numbers_have_bins_of_their_own() -> None:
    (steps,) = result(n_obs=[0, 1, 1, 5]).plot().axes[0].patches
    assert steps.get_data().values.tolist() == [1, 2, 0, 0, 0, 1]


def test_bars_of_an_answer_and_of_rows() -> None:
    counted = result(band=["r", "u", "g"], n=[3, 1, 2]).plot().axes[0]
    assert [text.get_text() for text in counted.get_yticklabels()] == ["u", "g", "r"]
    assert [bar.get_width() for bar in counted.patches] == [1, 2, 3]
    means = result(kind=["b", "a", None, "a"], mag=[1.0, 2.0, 5.0, 4.0]).plot()
    assert means.axes[0].get_xlabel() == "mean mag"
    assert [text.get_text() for text in means.axes[0].get_yticklabels()] == ["NULL", "a", "b"]
    many = result(name=[f"s{i:03}" for i in range(40)], n=np.arange(40)).plot()
    assert len(many.axes[0].patches) == 30 and notes(many) == "The first 30 of 40 categories."


def test_a_histogram_made_in_sql_is_drawn_as_one() -> None:
    figure = result(m=[1.0, 3.0, 2.0], n=[10, 30, 20]).plot()
    bars = figure.axes[0].patches
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx([1, 2, 3])
    assert [bar.get_height() for bar in bars] == [10, 20, 30]
    assert labels(figure) == ("m", "n")


def test_a_light_curve_has_bands_and_errors() -> None:
    curve = result(
        units={"mjd": "d"},
        mjd=[60000.5, 60001.5, 60002.5],
        mag=[18.0, 18.5, 18.2],
        mag_err=[0.1, None, 0.2],
        band=["r", "g", "r"],
    )
    axes = curve.plot().axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("mjd [d]", "mag")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["g", "r"]
    assert len(axes.containers) == 2
    bottom, top = axes.get_ylim()
    assert bottom > 18.5 and top < 17.9


def test_dates_are_written_as_dates() -> None:
    times = [datetime(2025, 1, 1) + timedelta(days=10 * day) for day in range(30)]
    figure = result(seen=times, mag=np.arange(30.0)).plot()
    figure.canvas.draw()
    assert "Mar" in [text.get_text() for text in figure.axes[0].get_xticklabels()]


# -- maps


def test_a_wide_map_is_mollweide_and_a_small_one_local() -> None:
    ra, dec = RANDOM.uniform(0, 360, 500), np.degrees(np.arcsin(RANDOM.uniform(-1, 1, 500)))
    wide = result(ra=ra, dec=dec, ebv=np.arange(500.0)).plot()
    assert list(wide.axes[0].wcs.wcs.ctype) == ["RA---MOL", "DEC--MOL"]
    assert wide.axes[1].get_xlabel() == "ebv"
    assert ink(wide) > 0.3
    local = result(ra=[359.9, 0.1, 0.0], dec=[10.0, 10.1, 10.2]).plot()
    axes = local.axes[0]
    assert list(axes.wcs.wcs.ctype) == ["RA---TAN", "DEC--TAN"]
    assert [coordinate.get_axislabel() for coordinate in axes.coords] == ["ra [deg]", "dec [deg]"]
    (west, east), _ = axes.wcs.wcs_world2pix([359.9, 0.1], [10.0, 10.1], 0)
    assert east < west, "right ascension grows to the left"
    x, y = axes.wcs.wcs_world2pix([359.9, 0.1, 0.0], [10.0, 10.1, 10.2], 0)
    assert (min(x) > 0) and (max(x) < axes.get_xlim()[1]) and (min(y) > 0) and (max(y) < axes.get_ylim()[1])


@pytest.mark.parametrize("centre", [(0.0, 90.0), (10.0, -89.9), (180.0, 0.0), (0.0, 45.0)])
@pytest.mark.parametrize("radius_deg", [1e-5, 0.5, 20.0])
def test_a_chart_holds_its_positions(centre: tuple[float, float], radius_deg: float) -> None:
    angle = np.linspace(0, 2 * np.pi, 40)
    dec = np.clip(centre[1] + radius_deg * np.sin(angle), -90, 90)
    ra = (centre[0] + radius_deg * np.cos(angle)) % 360
    chart = chart_of(ra, dec)
    assert not chart.whole_sky
    x, y = chart.places(ra, dec)
    height, width = chart.shape
    assert x.min() >= -0.5 and x.max() <= width - 0.5 and y.min() >= -0.5 and y.max() <= height - 0.5


def test_many_positions_become_a_density() -> None:
    ra, dec = RANDOM.uniform(100, 110, 30_000), RANDOM.uniform(-5, 5, 30_000)
    figure = result(ra=ra, dec=dec).plot()
    (image,) = figure.axes[0].images
    middle = image.get_array()[400:800, 400:800]
    assert float(middle.mean()) == pytest.approx(300, rel=0.1)
    assert figure.axes[1].get_ylabel() == "rows per square degree"
    means = result(ra=ra, dec=dec, ebv=ra).plot().axes[0].images[0].get_array()
    assert float(np.nanmean(means[:, :100])) > 109 and float(np.nanmean(means[:, -100:])) < 101


def test_positions_off_the_sky_are_left_out() -> None:
    assert "1 row beyond the poles left out." in notes(result(ra=[1.0, 2.0], dec=[95.0, 2.0]).plot())


def test_cells_are_filled_where_they_lie() -> None:
    cells = cells_of(np.array([30.0, 200.0]), np.array([40.0, -30.0]), 4)
    figure = result(healpix_4=cells, n=[7, 9]).plot()
    axes, (image,) = figure.axes[0], figure.axes[0].images
    x, y = axes.wcs.wcs_world2pix([30.0, 200.0], [40.0, -30.0], 0)
    shown = image.get_array()[np.round(y).astype(int), np.round(x).astype(int)]
    assert shown.tolist() == [7, 9]
    assert figure.axes[1].get_xlabel() == "n" and notes(figure) == "HEALPix order 4."


def test_the_order_of_cells_is_inferred_or_given() -> None:
    assert "order 1, the lowest" in notes(result(cell=[12, 47], v=[1.0, 2.0]).plot())
    assert notes(result(cell=[12, 47], v=[1.0, 2.0]).plot(order=3)) == "HEALPix order 3."
    for wrong in (result(cell=[48], v=[1.0]), result(cell=[-3], v=[1.0])):
        with pytest.raises(QskyError, match="no HEALPix cell") as refused:
            wrong.plot(order=1)
        assert refused.value.code.name == "no-picture"


def test_too_many_cells_are_joined() -> None:
    many = 12 << 8
    figure = result(500, healpix_4=np.arange(many), n=np.ones(many, dtype=np.int64)).plot()
    assert "Drawn at order 2: sums of the cells inside." in notes(figure)
    assert float(np.nanmax(figure.axes[0].images[0].get_array())) == 16
    means = result(500, healpix_4=np.arange(many), ebv=np.full(many, 0.3)).plot()
    assert "means" in notes(means) and float(np.nanmax(means.axes[0].images[0].get_array())) == pytest.approx(0.3)


def test_the_order_29_cells_of_rows_are_counted() -> None:
    cells = cells_of(RANDOM.uniform(0, 360, 3000), RANDOM.uniform(-80, 80, 3000))
    figure = result(1000, _healpix_29=cells).plot()
    assert figure.axes[1].get_xlabel() == "rows per cell" and "HEALPix order 29." in notes(figure)


# -- little, nothing, too much


EDGES: dict[str, dict[str, Any]] = {
    "histogram": {"v": pa.array([], pa.float64())},
    "scatter": {"v": pa.array([], pa.float64()), "w": pa.array([], pa.float64())},
    "sky": {"ra": pa.array([], pa.float64()), "dec": pa.array([], pa.float64()), "v": pa.array([], pa.float64())},
    "healpix": {"cell": pa.array([], pa.int64()), "n": pa.array([], pa.int64())},
    "lightcurve": {
        "mjd": pa.array([], pa.float64()),
        "v": pa.array([], pa.float64()),
        "band": pa.array([], pa.string()),
    },
    "bars": {"name": pa.array([], pa.string()), "n": pa.array([], pa.int64())},
}
VALUES: dict[pa.DataType, Any] = {pa.float64(): 1.5, pa.int64(): 3, pa.string(): "x"}


@pytest.mark.parametrize("kind", EDGES)
@pytest.mark.parametrize("rows", ["none", "one", "equal", "NULL"])
def test_every_kind_draws_next_to_nothing(kind: str, rows: str) -> None:
    """No row, one row, 150 equal rows, and rows of NULL: a picture with its axes, and no complaint."""
    fill: dict[str, list[Any]] = {"none": [], "one": [1], "equal": [1] * 150, "NULL": [None, None]}
    arrays = {
        name: pa.array([one and VALUES[empty.type] for one in fill[rows]], empty.type)
        for name, empty in EDGES[kind].items()
    }
    figure = result(**arrays).plot(kind=kind)
    # Maps take a second to render, and what lies under them is the same whatever the rows.
    assert (rows in ("equal", "NULL") and kind in ("sky", "healpix")) or ink(figure) > 0.001
    if rows == "none":
        assert notes(figure) == "The answer has no rows."
    if rows == "NULL" and kind != "bars":
        assert "2 rows without a value left out." in notes(figure)


def test_decimals_and_big_whole_numbers_are_numbers() -> None:
    figure = result(total=pa.array([10**20, 2 * 10**20], pa.decimal128(38, 0)), id_=[2**62, 1]).plot()
    assert ink(figure) > 0.01


def test_a_large_answer_is_sampled_and_says_so() -> None:
    answer = result(2000, v=RANDOM.normal(size=10_000))
    figure = answer.plot()
    (steps,) = figure.axes[0].patches
    assert steps.get_data().values.sum() == pytest.approx(10_000)
    assert notes(figure).startswith("A random 1,") and "of 10,000 rows; counts are scaled up." in notes(figure)
    with pytest.raises(ValueError, match="already read"):
        answer.plot()


def test_a_small_answer_can_be_used_again() -> None:
    answer = result(2000, v=np.arange(2000.0), w=np.arange(2000.0))
    answer.plot()
    assert len(answer) == 2000 and answer.plot(x="w") is not None


def test_the_sample_is_fair_and_always_the_same() -> None:
    schema = pa.schema([("v", pa.int64())])
    batches = [pa.record_batch([pa.array(range(start, start + 1000))], schema) for start in range(0, 50_000, 1000)]

    def drawn() -> list[int]:
        sample = Sample(schema, 4000)
        for batch in batches:
            sample.add(batch)
        assert sample.rows().total == 50_000
        return [int(value) for value in sample.rows().table.column(0).to_pylist()]

    values = drawn()
    assert values == drawn() and 2000 < len(values) <= 4000
    assert np.mean(values) == pytest.approx(25_000, rel=0.05)


def test_a_bad_wish_reads_nothing() -> None:
    rows = iter([pa.record_batch({"v": [1.0]})])
    with pytest.raises(QskyError, match="No column"):
        Result(pa.schema([("v", pa.float64())]), rows).plot(x="w")
    assert next(rows).num_rows == 1


# -- scales and labels


def test_a_few_far_out_do_not_squeeze_the_rest() -> None:
    view = view_of(np.concatenate([RANDOM.normal(size=1000), [1e6]]))
    assert view.high < 10 and 0 < view.outside < 10 and not view.log
    wide = view_of(10 ** RANDOM.uniform(0, 6, 1000))
    assert wide.log and wide.outside == 0
    assert view_of(np.full(5, 3.0)).low < 3 < view_of(np.full(5, 3.0)).high


def test_bins_cover_the_view() -> None:
    for values in (RANDOM.normal(size=1000), 10 ** RANDOM.uniform(0, 6, 1000), np.full(7, 2.5)):
        view = view_of(values)
        edges = bins_of(values, view)
        assert (np.diff(edges) > 0).all() and np.histogram(values, edges)[0].sum() == len(values)


UNITS = [
    ("mas yr-1", "mas yr⁻¹"),
    ("arcsec**2", "arcsec²"),
    ("km/s", "km/s"),
    ("mas.yr**-1", "mas.yr⁻¹"),
    ("deg^2", "deg²"),
    ("10-3 Jy", "10-3 Jy"),
]


@pytest.mark.parametrize(("unit", "text"), UNITS)
def test_units_are_written_as_people_do(unit: str, text: str) -> None:
    assert unit_text(unit) == text
    assert label_of(Column("v", "number", unit=unit)) == f"v [{text}]"


def test_a_name_with_dollars_is_only_a_name() -> None:
    odd: dict[str, Any] = {"a$b_{": [1.0, 2.0], "x$\\bad$": [1.0, 2.0]}
    assert ink(result(**odd).plot(title="$5")) > 0


# -- files, notebooks, and without matplotlib


@pytest.mark.parametrize(
    ("name", "start"), [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml"), ("a.JPG", b"\xff\xd8")]
)
def test_a_file_is_what_its_name_says(tmp_path: Path, name: str, start: bytes) -> None:
    write_picture(result(v=[1.0, 2.0]).plot(), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_notebook_shows_the_figure() -> None:
    assert result(v=[1.0, 2.0]).plot()._repr_png_().startswith(b"\x89PNG")


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(QskyError) as refused:
        result(v=[1.0]).plot()
    assert refused.value.code.name == "not-installed" and "pip install 'qsky[plot]'" in refused.value.hint


def test_pyplot_is_left_alone() -> None:
    result(v=[1.0]).plot()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_a_sketch_keeps_only_its_columns() -> None:
    sketch = Sketch(pa.schema([("a", pa.float64()), ("b", pa.string()), ("c", pa.float64())]), Wish(x="c"))
    assert sketch.picture.columns == ("c",)
