"""One fragment on one DuckDB: its inputs become relations, its SQL runs, an Arrow table comes back.

Called by `worker.serve`. It knows no parser, planner or catalogue: the SQL is finished, the files are named. It never
writes, and reads nothing but the files of the fragment. A relation is made of files, or of columns that were decoded
for several fragments (`decode`); its rows and their order are the same either way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from time import perf_counter, thread_time

import pyarrow as pa

from qsky.duck import Duck, quoted, text_literal
from qsky.errors import QskyError
from qsky.fragment import Fragment, Input, Piece
from qsky.words import only_known_words
from qsky.worker.loop import Decode

# Few batches cost little per query, and DuckDB fills one without growing it often.
_DECODED_ROWS = 262_144


def execute(duck: Duck, fragment: Fragment) -> Piece:
    """The piece a fragment gives, read from its files. Raises cancelled, damaged, limit-memory, query-failed."""
    return _piece(duck, fragment, relation)


def execute_shared(duck: Duck, fragment: Fragment, held: str) -> Piece:
    """The same piece, of columns that are registered as the table `held` and called by `held_names`."""
    (source,) = fragment.inputs
    used = zip(held_names(fragment), used_columns(fragment, source), strict=True)
    items = ", ".join(f"{quoted(held_name)} AS {quoted(name)}" for held_name, (name, _) in used)
    return _piece(duck, fragment, lambda _: f"(SELECT {items} FROM {quoted(held)})", shared=True)


def held_names(fragment: Fragment) -> list[str]:
    """What the columns that a fragment of one input uses are called in the table it runs on, in their order."""
    (source,) = fragment.inputs
    nowhere = _lacked_by_all(source)
    return [column_text(name, kind, source, nowhere) for name, kind in used_columns(fragment, source)]


def decode(duck: Duck, order: Decode) -> dict[str, pa.ChunkedArray]:
    """The columns of a unit, each under its text. Raises as `execute`."""
    sql = f"SELECT {', '.join(order.columns)} FROM {_files([order.unit.address])}"
    if order.unit.within is not None:
        name, low, high = order.unit.within
        sql += f" WHERE {quoted(name)} >= {low} AND {quoted(name)} < {high}"
    table = duck.arrow_in_batches(sql, _DECODED_ROWS)
    return dict(zip(order.columns, table.columns, strict=True))


def _piece(duck: Duck, fragment: Fragment, spell: Callable[[Input], str], *, shared: bool = False) -> Piece:
    began, cpu_began = perf_counter(), thread_time()
    answer = duck.answer(finished_sql(fragment, spell), dict(fragment.given))
    table = answer.table if answer.filed else _flat(answer.table)
    return Piece(fragment.number, table, perf_counter() - began, thread_time() - cpu_began, shared, answer.filed)


def _flat(table: pa.Table) -> pa.Table:
    """At most a few chunks, so that many small pieces cost little to read."""
    return table.combine_chunks() if table.num_rows < 100_000 else table


def finished_sql(fragment: Fragment, spell: Callable[[Input], str]) -> str:
    """The fragment's SQL with a relation in the place of each `{name}`, all replaced in one pass.

    Only these relations name files: the words of the SQL are looked at before (the second wall).
    """
    sql = only_known_words(fragment.sql)
    if not fragment.inputs:
        return sql
    relations = {"{" + source.name + "}": spell(source) for source in fragment.inputs}
    pattern = "|".join(re.escape(name) for name in relations)
    return re.sub(pattern, lambda found: relations[found.group()], sql)


def relation(source: Input) -> str:
    """An input as SQL: a parenthesised SELECT of exactly its columns, with their types.

    One scan, never a UNION ALL of several: DuckDB runs the branches of a UNION as their bytes come in, so that sums
    would differ in the last bit from one time to the next.
    """
    if not source.columns:
        raise QskyError("internal", f"The input {source.name} of a fragment names no column.")
    nowhere = _lacked_by_all(source)
    columns = ", ".join(column_text(name, kind, source, nowhere) for name, kind in source.columns)
    if not source.files:
        return f"(SELECT {columns} WHERE false)"
    differ = len({frozenset(file.lacks) for file in source.files}) > 1
    return f"(SELECT {columns} FROM {_files([file.address for file in source.files], differ)})"


def _lacked_by_all(source: Input) -> Collection[str]:
    """Columns that no file has; a file that alone lacks one reads it as NULL."""
    if not source.files:
        return [name for name, _ in source.columns]
    return frozenset.intersection(*(frozenset(file.lacks) for file in source.files))


def used_columns(fragment: Fragment, source: Input) -> tuple[tuple[str, str], ...]:
    """The columns of an input that the fragment's SQL names, never none."""
    used = tuple((name, kind) for name, kind in source.columns if quoted(name) in fragment.sql)
    return used or source.columns[:1]


def _files(addresses: list[str], differ: bool = False) -> str:
    names = ", ".join(text_literal(address) for address in addresses)
    return f"read_parquet([{names}], hive_partitioning=false{', union_by_name=true' if differ else ''})"


def column_text(name: str, kind: str, source: Input, lacks: Collection[str]) -> str:
    """A column of files as an item of SELECT: of its type, NULL where they lack it or NaN stands for NULL."""
    column = quoted(name)
    if name in lacks:
        return f"CAST(NULL AS {kind}) AS {column}"
    if name in source.nan_columns:
        return f"CAST(CASE WHEN isnan({column}) THEN NULL ELSE {column} END AS {kind}) AS {column}"
    return f"CAST({column} AS {kind}) AS {column}"
