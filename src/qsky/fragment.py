"""What travels to a worker and what comes back: values that name files and finished SQL, and nothing else.

A worker knows no parser, planner or catalogue; whatever it must know is in the `Fragment`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa


@dataclass(frozen=True)
class PartFile:
    """One Parquet file by address (a path of this machine, or a URL for attached catalogues) and its size.

    `lacks` names the wanted columns the file was written before; they read as NULL. `rows` 0 means not known.
    """

    address: str
    bytes: int
    lacks: tuple[str, ...] = ()
    rows: int = 0


@dataclass(frozen=True)
class Input:
    """The files that stand for one name in a fragment's SQL.

    `{name}` in the SQL is replaced by a relation of exactly `columns`, which are (name, type of catalog.types); no
    files make an empty relation. `nan_columns` are floating columns in which NaN means NULL (attached catalogues:
    their statistics ignore NaN, ours were cleaned on load). `within`, a column of the files and a half-open range of
    it, says that the SQL uses no other rows.
    """

    name: str
    files: tuple[PartFile, ...]
    columns: tuple[tuple[str, str], ...]
    nan_columns: tuple[str, ...] = ()
    within: tuple[str, int, int] | None = None


@dataclass(frozen=True)
class Fragment:
    """Finished SQL for a batch of chunks. `number` orders the pieces: they are folded in this order, whoever is first.

    `given` are rows of earlier queries by the name the SQL has for them; `alone` forbids that it reads what is decoded for
    several. The SQL writes every column it uses in double
    quotes; `*` stands only in sub-queries, and hands none on that is not named outside.
    """

    number: int
    sql: str
    inputs: tuple[Input, ...]
    chunks: int
    bytes: int
    interactive: bool = False
    given: tuple[tuple[str, pa.Table], ...] = ()
    alone: bool = False


@dataclass(frozen=True)
class Piece:
    """What one fragment gave, whole, and the seconds it took; `shared` if of columns decoded for several queries.

    `filed` says that it lies in a file, so that it may wait at no cost.
    """

    number: int
    table: pa.Table
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    shared: bool = False
    filed: bool = field(default=False, compare=False)


class ReplicaKind(StrEnum):
    """What a keeper may ask of a worker about its copy of a part."""

    PULL = "pull"
    VERIFY = "verify"
    DELETE = "delete"
    QUARANTINE = "quarantine"
    PUBLISH = "publish"
    RETRACT = "retract"


@dataclass(frozen=True)
class ReplicaOrder:
    """One thing a worker shall do with one part, under the `epoch` of the keeper's lease named `lease`.

    `verified` are the other holders and the epoch in which each has hashed its copy: without them nothing is deleted.
    """

    kind: ReplicaKind
    part: str
    bytes: int
    lease: str
    epoch: int
    verified: tuple[tuple[str, int], ...] = ()


class Outcome(StrEnum):
    """How an order ended."""

    DONE = "done"
    ALREADY = "already"  # nothing was left to do
    MISSING = "missing"  # there is no copy
    BAD = "bad"  # the copy was damaged; it is in quarantine now
    REFUSED = "refused"  # the order is of an old epoch, or not safe
    BUSY = "busy"  # a query reads the part
    FAILED = "failed"


@dataclass(frozen=True)
class ReplicaReport:
    """How `order` ended at `worker`, whose highest epoch of that lease is `epoch`; an error's code and sentence."""

    order: ReplicaOrder
    worker: str
    outcome: Outcome
    epoch: int
    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class LoadUnit:
    """One attempt at one step of a load; `content` is for whoever wired the worker, and nobody between reads it.

    `key` says what is to be done, whoever does it and however often; `attempt` is unique in its load. `prefer` names
    hosts on which it would best run.
    """

    load: str
    stage: str
    key: str
    attempt: int
    content: bytes = field(repr=False)
    size_bytes: int = 0
    prefer: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnitOutcome:
    """What one attempt at a unit gave, and on which host; `content` is for the coordinator of the load."""

    key: str
    attempt: int
    host: str
    content: bytes = field(repr=False)
    seconds: float = 0.0
