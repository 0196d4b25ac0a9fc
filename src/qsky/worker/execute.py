"""One fragment on one DuckDB: its inputs become relations, its SQL runs, an Arrow table comes back.

Called by `worker.serve`. It knows no parser, planner or catalogue: the SQL is finished, the files are named. It never
writes, and reads nothing but the files of the fragment. A relation is made of files, or of columns that were decoded
for several fragments (`decode`); its rows and their order are the same either way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import groupby

import pyarrow as pa

from qsky.duck import Duck, quoted, text_literal
from qsky.errors import QskyError
from qsky.fragment import Fragment, Input, PartFile, Piece
from qsky.worker.loop import Decode

# Few batches cost little per query, and DuckDB fills one without growing it often.
_DECODED_ROWS = 262_144


def execute(duck: Duck, fragment: Fragment) -> Piece:
    """The piece a fragment gives, read from its files. Raises cancelled, damaged, limit-memory, query-failed."""
    return _piece(duck, fragment, relation)


def execute_shared(duck: Duck, fragment: Fragment, held: str) -> Piece:
    """The same piece, of columns that are registered as the table `held` under the names of `column_text`."""
    return _piece(duck, fragment, lambda source: held_relation(source, used_columns(fragment, source), held))


def decode(duck: Duck, order: Decode) -> dict[str, pa.ChunkedArray]:
    """The columns of a unit, each under its text. Raises as `execute`."""
    sql = f"SELECT {', '.join(order.columns)} FROM {_files([order.unit.address])}"
    if order.unit.within is not None:
        name, low, high = order.unit.within
        sql += f" WHERE {quoted(name)} >= {low} AND {quoted(name)} < {high}"
    table = duck.arrow_in_batches(sql, _DECODED_ROWS)
    return dict(zip(order.columns, table.columns, strict=True))


def _piece(duck: Duck, fragment: Fragment, spell: Callable[[Input], str]) -> Piece:
    return Piece(fragment.number, _flat(duck.arrow(finished_sql(fragment, spell), dict(fragment.given))))


def _flat(table: pa.Table) -> pa.Table:
    """At most a few chunks, so that many small pieces cost little to read."""
    return table.combine_chunks() if table.num_rows < 100_000 else table


def finished_sql(fragment: Fragment, spell: Callable[[Input], str]) -> str:
    """The fragment's SQL with a relation in the place of each `{name}`, all replaced in one pass."""
    if not fragment.inputs:
        return fragment.sql
    relations = {"{" + source.name + "}": spell(source) for source in fragment.inputs}
    pattern = "|".join(re.escape(name) for name in relations)
    return re.sub(pattern, lambda found: relations[found.group()], fragment.sql)


def relation(source: Input) -> str:
    """An input as SQL: a parenthesised SELECT of exactly its columns, with their types."""
    if not source.columns:
        raise QskyError("internal", f"The input {source.name} of a fragment names no column.")
    if not source.files:
        columns = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in source.columns)
        return f"(SELECT {columns} WHERE false)"
    groups = groupby(files_in_order(source), key=_lacking)
    return "(" + " UNION ALL ".join(_select(source, list(files)) for _, files in groups) + ")"


def held_relation(source: Input, columns: tuple[tuple[str, str], ...], held: str) -> str:
    """An input as SQL over decoded columns, of those columns alone; they have the texts of the first file."""
    first = next(files_in_order(source))
    items = (f"{quoted(column_text(name, kind, source, first))} AS {quoted(name)}" for name, kind in columns)
    return f"(SELECT {', '.join(items)} FROM {quoted(held)})"


def used_columns(fragment: Fragment, source: Input) -> tuple[tuple[str, str], ...]:
    """The columns of an input that the fragment's SQL names, never none."""
    used = tuple((name, kind) for name, kind in source.columns if quoted(name) in fragment.sql)
    return used or source.columns[:1]


def files_in_order(source: Input) -> Iterator[PartFile]:
    """The files in the order in which the relation has their rows."""
    return iter(sorted(source.files, key=_lacking))


def _lacking(file: PartFile) -> tuple[str, ...]:
    return tuple(sorted(file.lacks))


def _select(source: Input, files: list[PartFile]) -> str:
    columns = ", ".join(column_text(name, kind, source, files[0]) for name, kind in source.columns)
    return f"SELECT {columns} FROM {_files([file.address for file in files])}"


def _files(addresses: list[str]) -> str:
    return f"read_parquet([{', '.join(text_literal(address) for address in addresses)}], hive_partitioning=false)"


def column_text(name: str, kind: str, source: Input, file: PartFile) -> str:
    """A column of a file as an item of SELECT: of its type, NULL where the file lacks it or NaN stands for NULL."""
    column = quoted(name)
    if name in file.lacks:
        return f"CAST(NULL AS {kind}) AS {column}"
    if name in source.nan_columns:
        return f"CAST(CASE WHEN isnan({column}) THEN NULL ELSE {column} END AS {kind}) AS {column}"
    return f"CAST({column} AS {kind}) AS {column}"
