"""What travels to a worker and what comes back: values that name files and finished SQL, and nothing else.

A worker knows no parser, planner or catalogue; whatever it must know is in the `Fragment`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class PartFile:
    """One Parquet file by address (a path of this machine, or a URL for attached catalogues) and its size."""

    address: str
    bytes: int


@dataclass(frozen=True)
class Input:
    """The files that stand for one name in a fragment's SQL.

    `name` appears in the SQL as `{name}` and is replaced by a relation over the files; an empty `files` becomes an
    empty relation of `schema_file`'s columns, which is why that is always given.
    """

    name: str
    files: tuple[PartFile, ...]
    schema_file: str


@dataclass(frozen=True)
class Fragment:
    """Finished SQL for a batch of chunks. `number` orders the pieces: they are folded in this order, whoever is first."""

    number: int
    sql: str
    inputs: tuple[Input, ...]
    chunks: int
    bytes: int
    interactive: bool = False


@dataclass(frozen=True)
class Piece:
    """What one fragment gave, whole."""

    number: int
    table: pa.Table
