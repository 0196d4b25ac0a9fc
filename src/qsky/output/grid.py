"""A few rows of an answer to look at: a grid of text for terminals, HTML for notebooks. Never the whole of a large one.

Callers hand in an Arrow table and how many rows to show; both ends say how many there are in all.
"""

from __future__ import annotations

import html

import pyarrow as pa

from qsky.output.cells import as_text

CELL_LETTERS_MAX = 60


def text_grid(
    table: pa.Table, rows_max: int, width_max: int | None = None, cell_letters_max: int = CELL_LETTERS_MAX
) -> str:
    """Names, units and the first rows. Columns that do not fit in `width_max` letters are left out, and counted."""
    shown = table.slice(0, rows_max)
    units = any(_unit(field) for field in table.schema)
    columns = [_lines(field, shown.column(i), cell_letters_max, units=units) for i, field in enumerate(table.schema)]
    widths = [max(map(len, lines)) for lines in columns]
    fitting = _fitting(widths, width_max)
    right = [_is_number(field.type) for field in table.schema]
    lines = [
        "  ".join(columns[i][row].rjust(widths[i]) if right[i] else columns[i][row].ljust(widths[i]) for i in fitting)
        for row in range(len(columns[0]) if columns else 0)
    ]
    if lines:
        lines.insert(len(lines) - shown.num_rows, "  ".join("-" * widths[i] for i in fitting))
    return "\n".join([*(line.rstrip() for line in lines), *_left_out(table, shown.num_rows, len(fitting))])


def html_grid(table: pa.Table, rows_max: int) -> str:
    """The same as an HTML table."""
    shown = table.slice(0, rows_max)
    columns = [as_text(shown.column(i)).to_pylist() for i in range(shown.num_columns)]
    heads = "".join(
        f"<th>{html.escape(field.name)}<br><small>{html.escape(_unit(field))}</small></th>" for field in table.schema
    )
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(value, CELL_LETTERS_MAX))}</td>" for value in row) + "</tr>"
        for row in zip(*columns, strict=True)
    )
    count = f"{table.num_rows:,} rows" + (f", the first {shown.num_rows:,} shown" if _hides(table, shown) else "")
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table><p>{count}</p>"


def _lines(field: pa.Field, values: pa.ChunkedArray, letters_max: int, *, units: bool) -> list[str]:
    """A column top to bottom: name, unit if any column has one, cells."""
    cells = [_cell(text, letters_max) for text in as_text(values).to_pylist()]
    return [field.name, *([_unit(field)] if units else []), *cells]


def _cell(text: str | None, letters_max: int) -> str:
    if text is None:
        return "NULL"
    flat = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
    return flat if len(flat) <= letters_max else flat[: letters_max - 1] + "…"


def _unit(field: pa.Field) -> str:
    unit: bytes = (field.metadata or {}).get(b"unit", b"")
    return unit.decode()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _fitting(widths: list[int], width_max: int | None) -> list[int]:
    """The first columns that fit, at least one."""
    fitting: list[int] = []
    used = -2
    for place, width in enumerate(widths):
        used += width + 2
        if width_max is not None and used > width_max and fitting:
            break
        fitting.append(place)
    return fitting


def _hides(table: pa.Table, shown: pa.Table) -> bool:
    return bool(shown.num_rows < table.num_rows)


def _left_out(table: pa.Table, rows: int, columns: int) -> list[str]:
    notes = []
    if rows < table.num_rows:
        notes.append(f"{rows:,} of {table.num_rows:,} rows")
    if columns < table.num_columns:
        notes.append(f"{columns} of {table.num_columns} columns")
    return [f"... {' and '.join(notes)} shown; -o FILE or another --format gives all"] if notes else []
