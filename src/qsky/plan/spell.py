"""From typed statements to SQL text, and from a scan's template to the fragment of one batch.

`Select` is one level of a query, under or above the line; expressions are printed by `sql.print` alone, only the words
between them are written here. Called by plan.split, plan.gather and, for each fragment sent, by the engine. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qsky.fragment import Fragment, Input, PartFile
from qsky.plan.cells import common, within
from qsky.plan.leaves import meeting, places_in
from qsky.plan.model import Batch, Cells, Plan, Reading, Ref, Scan, Template
from qsky.plan.near import tangent_axes, with_grid
from qsky.plan.words import number_text, quoted
from qsky.sky.cover import ranges_within
from qsky.sky.healpix import CELLS_29, Ints
from qsky.sql.print import print_expression, print_order
from qsky.sql.query import ColumnRef, Expression, From, Literal_, Order, TableRef


@dataclass(frozen=True)
class Select:
    """One SELECT over a FROM that is spelled elsewhere. `items` are (name of the column, expression)."""

    items: tuple[tuple[str, Expression], ...]
    where: Expression | None = None
    group_by: tuple[Expression, ...] = ()
    having: Expression | None = None
    order_by: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    distinct: bool = False


def column_text(column: ColumnRef) -> str:
    return f"{quoted(column.table)}.{quoted(column.column)}"


def text_of(expression: Expression) -> str:
    return print_expression(expression, column_text)


def item_text(name: str, expression: Expression) -> str:
    """An item under its name, of exactly the type it is bound to."""
    text = text_of(expression)
    if not isinstance(expression, ColumnRef) and expression.type != "NULL":
        text = f"CAST({text} AS {expression.type})"
    return f"{text} AS {quoted(name)}"


def select_text(select: Select, source: Template, also: Sequence[str] = ()) -> Template:
    """The statement over a source, () for no FROM at all. `also` are conditions printed already."""
    head = "SELECT DISTINCT " if select.distinct else "SELECT "
    head += ", ".join(item_text(name, expression) for name, expression in select.items)
    conditions = [f"({text_of(select.where)})"] if select.where is not None else []
    tail = ""
    if conditions or also:
        tail += " WHERE " + " AND ".join((*also, *conditions))
    if select.group_by:
        tail += " GROUP BY " + ", ".join(_group_text(group) for group in select.group_by)
    if select.having is not None:
        tail += f" HAVING {text_of(select.having)}"
    # a constant orders nothing, and DuckDB would take it for a column's place
    orders = [
        print_order(order, column_text) for order in select.order_by if not isinstance(order.expression, Literal_)
    ]
    if orders:
        tail += " ORDER BY " + ", ".join(orders)
    if select.limit is not None:
        tail += f" LIMIT {select.limit}"
    if select.offset:
        tail += f" OFFSET {select.offset}"
    return (head, " FROM ", *source, tail) if source else (head + tail,)


def _group_text(expression: Expression) -> str:
    """A constant in GROUP BY would be a column's place."""
    text = text_of(expression)
    return f"CAST({text} AS {expression.type})" if isinstance(expression, Literal_) else text


def from_text(source: From | None, relation: Callable[[str], Template]) -> Template:
    """A FROM, each table reference as `relation` of its alias says."""
    if source is None:
        return ()
    if isinstance(source, TableRef):
        return (*relation(source.alias), f" AS {quoted(source.alias)}")
    left, right = from_text(source.left, relation), from_text(source.right, relation)
    if not isinstance(source.right, TableRef):
        right = ("(", *right, ")")
    if source.on is None and source.kind != "left":
        return (*left, " CROSS JOIN ", *right)
    word = " LEFT JOIN " if source.kind == "left" else " JOIN "
    condition = text_of(source.on) if source.on is not None else "TRUE"
    return (*left, word, *right, f" ON ({condition})")


# -- fragments


def fragment_of(plan: Plan, number: int) -> Fragment:
    """The fragment of that number, spelled."""
    scan, place = plan.scan_of(number)
    batch = scan.batches[place]
    names = _names(scan)
    axes = tangent_axes(batch.starts, batch.ends) if any(reading.grids for reading in scan.readings) else None
    inputs, relations = [], {}
    for reading in scan.readings:
        cells = _cells_read(reading, batch)
        source = _input(reading, batch, cells, names[reading.name])
        inputs.append(source)
        relations[reading.name] = _relation(reading, "{" + source.name + "}", cells, axes)
    sql = "".join(part if isinstance(part, str) else relations[part.name] for part in scan.template)
    return Fragment(number, sql, tuple(inputs), batch.chunks, batch.bytes, scan.interactive)


def _names(scan: Scan) -> dict[str, str]:
    """Names for the inputs that no text of the user contains in braces."""
    text = "".join(part for part in scan.template if isinstance(part, str))
    names = {}
    for reading in scan.readings:
        name = reading.name
        while "{" + name + "}" in text:
            name += "_"
        names[reading.name] = name
    return names


def _cells_read(reading: Reading, batch: Batch) -> Cells | None:
    """The cells whose rows this fragment reads of a reference; None for all rows of the files."""
    if reading.role in ("whole", "overlap") or batch.orphans or batch.chunks == 0:
        return reading.cells if reading.role == "overlap" else None
    here = (batch.starts, batch.ends)
    if reading.role == "around":
        own = common(here, within(*batch.cut))
        assert own is not None
        return common(ranges_within(*own, reading.reach_deg), reading.cells)
    if reading.cells is None and batch.cut == (0, CELLS_29):
        return None
    limits = common(reading.cells, within(*batch.cut))
    return common(here, limits)


def _input(reading: Reading, batch: Batch, cells: Cells | None, name: str) -> Input:
    ref = reading.ref
    if batch.orphans and reading.role == "own":
        files = _files(ref, np.flatnonzero(ref.snapshot.parts.orphans))
    elif reading.role == "whole":
        files = _files(ref, np.arange(len(ref.snapshot.parts)))
    else:
        files = _files(ref, _places(reading, batch, cells))
        if reading.role == "overlap":
            overlap = ref.snapshot.overlap
            places = overlap.of_leaves(batch.starts)
            files += _files(ref, meeting(overlap, places, cells), overlap=True)
    floats = tuple(column for column, kind in columns_read(ref) if kind in ("FLOAT", "DOUBLE"))
    return Input(name, files, columns_read(ref), floats if ref.table.attached else ())


def _places(reading: Reading, batch: Batch, cells: Cells | None) -> Ints:
    """Places of the own parts a fragment reads of a reference."""
    parts = reading.ref.snapshot.parts
    if reading.role == "around":
        return places_in(parts, cells) if batch.chunks else batch.starts
    return meeting(parts, parts.of_leaves(batch.starts), cells)


def _files(ref: Ref, places: Ints, *, overlap: bool = False) -> tuple[PartFile, ...]:
    parts = ref.snapshot.overlap if overlap else ref.snapshot.parts
    wanted = {name for name, _ in columns_read(ref)}
    lacks = [tuple(name for name in names if name in wanted) for names in parts.lacks]
    addresses = ref.snapshot.addresses(places, overlap=overlap)
    sizes, schemas = parts.bytes[places].tolist(), parts.schema_ids[places].tolist()
    return tuple(
        PartFile(address, size, lacks[schema]) for address, size, schema in zip(addresses, sizes, schemas, strict=True)
    )


def columns_read(ref: Ref) -> tuple[tuple[str, str], ...]:
    """The columns of a reference's relation: those of the query, its cell, its position; never none."""
    found = dict(ref.columns)
    if ref.cell_column:
        found.setdefault(ref.cell_column, "BIGINT")
    for name in (ref.table.ra, ref.table.dec):
        column = ref.table.column(name)
        if column is not None:
            found.setdefault(name, column.type)
    if not found:
        first = ref.table.columns[0]
        found[first.name] = first.type
    return tuple(found.items())


def _relation(reading: Reading, name: str, cells: Cells | None, axes: tuple[np.ndarray, np.ndarray] | None) -> str:
    """The rows of a reference, filtered by what costs little, with its grids."""
    ref = reading.ref
    conditions = []
    if cells is not None and ref.cell_column:
        low, high = (int(cells[0][0]), int(cells[1][-1])) if len(cells[0]) else (0, 0)
        conditions.append(f"{quoted(ref.cell_column)} >= {low} AND {quoted(ref.cell_column)} < {high}")
    if reading.dec_deg is not None and ref.table.dec:
        low_dec, high_dec = (number_text(value) for value in reading.dec_deg)
        conditions.append(f"{quoted(ref.table.dec)} >= {low_dec} AND {quoted(ref.table.dec)} <= {high_dec}")
    if conditions:
        name = f"(SELECT * FROM {name} WHERE {' AND '.join(conditions)})"
    for grid in reading.grids:
        assert axes is not None
        name = with_grid(name, grid, axes)
    return name


def scan_width(schema: tuple[tuple[str, str], ...]) -> int:
    """Bytes a row of these columns takes in Arrow, text guessed at 32."""
    fixed = {"BOOLEAN": 1, "TINYINT": 1, "SMALLINT": 2, "INTEGER": 4, "FLOAT": 4, "DATE": 4, "VARCHAR": 36}
    return sum(16 if kind.startswith("DECIMAL") else fixed.get(kind, 8) for _, kind in schema)
