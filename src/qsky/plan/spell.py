"""From a printed statement to a scan's template, and from that to the fragment of one batch.

Called by plan.split, plan.gather and, for each fragment sent, by the engine. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from qsky.catalog.model import FOLDER_COLUMNS
from qsky.fragment import Fragment, Input, PartFile
from qsky.plan.cells import common, within
from qsky.plan.folders import asked_for, with_folders
from qsky.plan.leaves import meeting, places_in
from qsky.plan.model import Batch, Cells, Given, Plan, Reading, Ref, Scan, Template
from qsky.plan.near import Axes, side_rad, tangent_axes, with_grid
from qsky.plan.words import number_text
from qsky.sky.cover import at_most, ranges_within
from qsky.sky.healpix import CELLS_29, Ints
from qsky.sql.statement import quoted, split_holes

# Of chunks of another tiling a fragment needs its own piece of sky and a rim, which may lie far apart in the order of cells.
_RANGES_MAX: Final = 16


def template_of(text: str, readings: Mapping[str, Reading]) -> Template:
    """A statement with a reading, by alias, in each hole."""
    return tuple(readings[part] if is_hole else part for part, is_hole in split_holes(text))


def given_in(text: str, given: Given) -> Given:
    """Those of the stages' rows that a statement may name."""
    return {name: rows for name, rows in given.items() if name in text}


# -- fragments


def fragment_of(plan: Plan, number: int) -> Fragment:
    """The fragment of that number, spelled."""
    scan, place = plan.scan_of(number)
    batch = scan.batches[place]
    names = _names(scan)
    gridded = any(reading.grids for reading in scan.readings)
    axes = tangent_axes(batch.starts, batch.ends) if gridded else None
    density = _rows_per_sr(scan, batch) if gridded else 0.0
    inputs, relations = [], {}
    for reading in scan.readings:
        if reading.ref.given:
            relations[reading.name] = _relation(reading, reading.ref.given, None, axes, density)
            continue
        cells = _cells_read(reading, batch)
        source = _input(reading, batch, cells, names[reading.name])
        inputs.append(source)
        relation = "{" + source.name + "}"
        if asked_for(reading.ref):
            relation = with_folders(relation, reading, batch)
        relations[reading.name] = _relation(reading, relation, cells, axes, density)
    sql = "".join(part if isinstance(part, str) else relations[part.name] for part in scan.template)
    given = tuple(given_in(sql, plan.given).items())
    return Fragment(number, sql, tuple(inputs), batch.chunks, batch.bytes, scan.interactive, given, alone=scan.alone)


def _rows_per_sr(scan: Scan, batch: Batch) -> float:
    """Of the densest table in these chunks; 0 where no chunks are."""
    cells = int((batch.ends - batch.starts).sum()) if batch.chunks and not batch.orphans else 0
    if cells == 0:
        return 0.0
    own = [reading.ref.snapshot.parts for reading in scan.readings if reading.role in ("own", "overlap")]
    rows = max((int(parts.rows[parts.of_leaves(batch.starts)].sum()) for parts in own), default=0)
    return rows / (4 * math.pi * cells / CELLS_29)


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
    cut = reading.role == "own" and ref.cell_column and batch.cut != (0, CELLS_29) and not batch.orphans
    within = (ref.cell_column, *batch.cut) if cut else None
    return Input(name, files, columns_read(ref), floats if ref.table.attached else (), within)


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
    sizes, schemas, rows = (array[places].tolist() for array in (parts.bytes, parts.schema_ids, parts.rows))
    return tuple(
        PartFile(address, size, lacks[schema], count)
        for address, size, schema, count in zip(addresses, sizes, schemas, rows, strict=True)
    )


def columns_read(ref: Ref) -> tuple[tuple[str, str], ...]:
    """The columns of a reference's relation: those of the query, its cell, its position; never none."""
    found = {name: kind for name, kind in ref.columns if name not in FOLDER_COLUMNS}
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


def _relation(reading: Reading, name: str, cells: Cells | None, axes: Axes | None, density: float) -> str:
    """The rows of a reference, filtered by what costs little, with its grids."""
    ref = reading.ref
    conditions = []
    if cells is not None and ref.cell_column:
        scattered = (
            reading.role == "around" and 2 * (cells[1] - cells[0]).sum() < cells[1][-1:].sum() - cells[0][:1].sum()
        )
        conditions.append(_inside(quoted(ref.cell_column), at_most(cells, _RANGES_MAX if scattered else 1)))
    if reading.dec_deg is not None and ref.table.dec:
        low_dec, high_dec = (number_text(value) for value in reading.dec_deg)
        conditions.append(f"{quoted(ref.table.dec)} >= {low_dec} AND {quoted(ref.table.dec)} <= {high_dec}")
    if conditions:
        name = f"(SELECT * FROM {name} WHERE {' AND '.join(conditions)})"
    for grid in reading.grids:
        assert axes is not None
        name = with_grid(name, grid, axes, side_rad(grid.reach_rad, density))
    return name


def _inside(column: str, cells: Cells) -> str:
    """A condition on a column of cells. DuckDB skips row groups by each of several ranges as it does by one."""
    ranges = list(zip(cells[0].tolist(), cells[1].tolist(), strict=True)) or [(0, 0)]
    texts = [f"{column} >= {low} AND {column} < {high}" for low, high in ranges]
    return texts[0] if len(texts) == 1 else "(" + " OR ".join(f"({text})" for text in texts) + ")"


def scan_width(schema: tuple[tuple[str, str], ...]) -> int:
    """Bytes a row of these columns takes in Arrow, text guessed at 32."""
    fixed = {"BOOLEAN": 1, "TINYINT": 1, "SMALLINT": 2, "INTEGER": 4, "FLOAT": 4, "DATE": 4, "VARCHAR": 36}
    return sum(16 if kind.startswith("DECIMAL") else fixed.get(kind, 8) for _, kind in schema)
