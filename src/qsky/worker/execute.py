"""One fragment on one DuckDB: its inputs become relations, its SQL runs, an Arrow table comes back.

Called by the transports (and by whatever a worker process runs). It knows no parser, planner or catalogue: the SQL is
finished, the files are named. It never writes, and reads nothing but the files of the fragment.
"""

from __future__ import annotations

import re
from itertools import groupby

import pyarrow as pa

from qsky.duck import Duck, quoted, text_literal
from qsky.errors import QskyError
from qsky.fragment import Fragment, Input, PartFile, Piece
from qsky.words import only_known_words


def execute(duck: Duck, fragment: Fragment) -> Piece:
    """The piece a fragment gives. Raises cancelled, damaged, limit-memory, query-failed."""
    return Piece(fragment.number, _flat(duck.arrow(finished_sql(fragment), dict(fragment.given))))


def _flat(table: pa.Table) -> pa.Table:
    """At most a few chunks, so that many small pieces cost little to read."""
    return table.combine_chunks() if table.num_rows < 100_000 else table


def finished_sql(fragment: Fragment) -> str:
    """The fragment's SQL with a relation in the place of each `{name}`, all replaced in one pass.

    Only these relations name files: the words of the SQL are looked at before (the second wall).
    """
    sql = only_known_words(fragment.sql)
    if not fragment.inputs:
        return sql
    relations = {"{" + source.name + "}": relation(source) for source in fragment.inputs}
    pattern = "|".join(re.escape(name) for name in relations)
    return re.sub(pattern, lambda found: relations[found.group()], sql)


def relation(source: Input) -> str:
    """An input as SQL: a parenthesised SELECT of exactly its columns, with their types."""
    if not source.columns:
        raise QskyError("internal", f"The input {source.name} of a fragment names no column.")
    if not source.files:
        columns = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in source.columns)
        return f"(SELECT {columns} WHERE false)"
    groups = groupby(sorted(source.files, key=_lacking), key=_lacking)
    return "(" + " UNION ALL ".join(_select(source, lacks, list(files)) for lacks, files in groups) + ")"


def _lacking(file: PartFile) -> tuple[str, ...]:
    return tuple(sorted(file.lacks))


def _select(source: Input, lacks: tuple[str, ...], files: list[PartFile]) -> str:
    columns = ", ".join(_column(name, kind, source, lacks) for name, kind in source.columns)
    names = ", ".join(text_literal(file.address) for file in files)
    return f"SELECT {columns} FROM read_parquet([{names}], hive_partitioning=false)"


def _column(name: str, kind: str, source: Input, lacks: tuple[str, ...]) -> str:
    column = quoted(name)
    if name in lacks:
        return f"CAST(NULL AS {kind}) AS {column}"
    if name in source.nan_columns:
        return f"CAST(CASE WHEN isnan({column}) THEN NULL ELSE {column} END AS {kind}) AS {column}"
    return f"CAST({column} AS {kind}) AS {column}"
