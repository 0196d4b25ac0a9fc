"""What a person sees of an answer."""

from __future__ import annotations

import pyarrow as pa

from qsky.output.grid import html_grid, text_grid


def stars() -> pa.Table:
    ra = pa.field("ra", pa.float64(), metadata={"unit": "deg"})
    schema = pa.schema([pa.field("name", pa.string()), ra])
    return pa.table({"name": ["Vega", None, "<b>"], "ra": [279.25, 0.5, None]}, schema=schema)


def test_text_shows_names_units_and_nulls() -> None:
    assert text_grid(stars(), 10) == (
        "name      ra\n         deg\n----  ------\nVega  279.25\nNULL     0.5\n<b>     NULL"
    )


def test_text_says_what_it_leaves_out() -> None:
    lines = text_grid(stars(), 1, width_max=8).splitlines()
    assert lines[-1] == "... 1 of 3 rows and 1 of 2 columns shown; -o FILE or another --format gives all"
    assert lines[-2] == "Vega"


def test_long_and_many_lined_texts_stay_on_one_line() -> None:
    lines = text_grid(pa.table({"t": ["a\nb", "x" * 100]}), 5).splitlines()
    assert lines[2] == "a b" and lines[3] == "x" * 59 + "…"


def test_no_rows_and_no_columns() -> None:
    assert text_grid(stars().slice(0, 0), 5).splitlines()[0].split() == ["name", "ra"]
    assert text_grid(pa.table({}), 5) == ""


def test_html_is_escaped_and_counts() -> None:
    page = html_grid(stars(), 3)
    assert "&lt;b&gt;" in page and "<td>NULL</td>" in page and "deg" in page
    assert "3 rows<" in page
    assert "3 rows, the first 1 shown" in html_grid(stars(), 1)
