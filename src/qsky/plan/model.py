"""The values of planning: what is asked beforehand (`Probe`), what is decided (`Plan`), and why (`Note`).

Made by `plan.planner`, read by `engine` and `plan.explain`. Values only: nothing here opens a file or runs SQL.
A `Scan` holds its batches as arrays and spells a `Fragment` when it is asked for one, so that a plan over 150,000
chunks stays small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, overload

import numpy as np

from qsky.catalog.model import Table
from qsky.catalog.snapshot import TableSnapshot
from qsky.sky.healpix import CELLS_29, Ints
from qsky.sql.query import Expression

Cells = tuple[Ints, Ints]  # sorted, disjoint, half-open ranges of order-29 cells; shapes (n,)
PIECES: Final = "pieces"  # the name of the collected pieces in merge SQL
Given = Mapping[str, Any]  # the rows of stages, Arrow tables, by the name SQL has for them


@dataclass(frozen=True)
class Probe:
    """Keys of a director to look up in its index before planning."""

    database: str
    director: str
    keys: tuple[int | str, ...]


@dataclass(frozen=True, eq=False)
class Found:
    """The answer to a probe: every cell in which a key was found, and whether each key was found somewhere."""

    cells: Ints
    all: bool


Answers = Mapping[Probe, Found]


@dataclass(frozen=True)
class Note:
    """What a rule did, or why it did nothing."""

    rule: str
    fired: bool
    why: str


@dataclass(frozen=True)
class Ref:
    """A table reference ready to plan on: its alias, the snapshot, and the columns of it the query reads."""

    alias: str
    snapshot: TableSnapshot
    columns: tuple[tuple[str, str], ...]
    given: str = ""  # the relation of the rows of stages; their snapshot has no files

    @property
    def table(self) -> Table:
        return self.snapshot.table

    @property
    def family(self) -> tuple[str, str]:
        """What two references must share to lie in the same chunks: database and director."""
        return self.snapshot.database, self.table.family

    @property
    def cell_column(self) -> str:
        """The column that holds the row's order-29 cell, "" if the files have none of that order."""
        return self.table.cell_column


@dataclass(frozen=True)
class Near:
    """Pairs of rows within an angle. `left` and `right` are aliases in the order of FROM, with their (ra, dec) in degrees.

    `placed` says that both positions are those of directors, so that the rows of a pair lie in near chunks; `outer`
    that a LEFT JOIN keeps the rows of the left that have no neighbour.
    """

    left: str
    right: str
    radius_deg: float
    left_position: tuple[Expression, Expression]
    right_position: tuple[Expression, Expression]
    placed: bool
    outer: bool = False


@dataclass(frozen=True)
class Team:
    """References that join inside a chunk of one tiling. `reach_deg` is how far their rows may lie from the anchor's."""

    aliases: tuple[str, ...]
    reach_deg: float = 0.0
    overlap: bool = False  # the stored overlap holds all rows within reach


Role = Literal["own", "overlap", "around", "whole"]


@dataclass(frozen=True, eq=False)
class Reading:
    """How one reference is read by the fragments of a scan.

    own: the parts of the fragment's chunks; overlap: those and the chunks' stored overlap; around: the own parts of
    every chunk within `reach_deg`; whole: all files. `cells` and `dec_deg` are what the query's own predicates leave.
    """

    ref: Ref
    name: str  # the input's name in the fragment's SQL
    role: Role
    reach_deg: float = 0.0
    cells: Cells | None = None
    dec_deg: tuple[float, float] | None = None
    grids: tuple[Grid, ...] = ()


@dataclass(frozen=True)
class Grid:
    """Columns a reference carries for one near-neighbour join: its cell of a square grid, and its unit vector.

    `position` is its (ra, dec) in degrees, made of its columns alone; `reach_rad` is how far neighbours may lie on each
    axis; `spread` says that each row stands in every cell within reach.
    """

    prefix: str
    position: tuple[Expression, Expression]
    reach_rad: float
    spread: bool


@dataclass(frozen=True, eq=False)
class Batch:
    """The chunks of one fragment, as cells. `orphans` stands for the parts whose rows have no director."""

    starts: Ints
    ends: Ints
    bytes: int
    orphans: bool = False
    cut: tuple[int, int] = (0, CELLS_29)  # only rows in this range of cells, where a heavy chunk was cut

    @property
    def chunks(self) -> int:
        return len(self.starts)


_NONE: Final = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Batches(Sequence[Batch]):
    """The batches of a scan, as arrays: 200,000 of them are made in no time, and one becomes a Batch when asked for.

    `starts` and `ends` are the chunks, shapes (c,). Batch i holds the chunks `firsts[i]` to `lasts[i]`, of them the
    cells `lows[i]` to `highs[i]`, and `sizes[i]` bytes; shapes (n,). `orphans` says that the last one is for rows
    without a director.
    """

    starts: Ints
    ends: Ints
    firsts: Ints
    lasts: Ints
    sizes: Ints
    lows: Ints
    highs: Ints
    orphans: bool = False

    def __len__(self) -> int:
        return len(self.firsts)

    @overload
    def __getitem__(self, place: int) -> Batch: ...
    @overload
    def __getitem__(self, place: slice) -> list[Batch]: ...
    def __getitem__(self, place: int | slice) -> Batch | list[Batch]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        here = slice(int(self.firsts[place]), int(self.lasts[place]))
        lost = self.orphans and place in (-1, len(self) - 1)
        cut = int(self.lows[place]), int(self.highs[place])
        return Batch(self.starts[here], self.ends[here], int(self.sizes[place]), lost, cut)

    @property
    def chunks(self) -> int:
        return len(self.starts)

    @property
    def bytes(self) -> int:
        return int(self.sizes.sum())

    def with_one_more(self, size: int, *, orphans: bool) -> Batches:
        """The same, and at the end a batch without chunks."""
        zero, end = np.zeros(1, dtype=np.int64), np.full(1, CELLS_29, dtype=np.int64)
        more = {"firsts": zero, "lasts": zero, "sizes": np.array([size]), "lows": zero, "highs": end}
        return replace(
            self, orphans=orphans, **{name: np.append(getattr(self, name), one) for name, one in more.items()}
        )


NO_BATCHES: Final = Batches(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE)

# SQL with holes: a str is text, a Reading is the relation to be spelled for each fragment.
Template = tuple["str | Reading", ...]


@dataclass(frozen=True, eq=False)
class Scan:
    """One statement run over batches of chunks. `name` is what merge SQL calls the pieces.

    `alone` says that its fragments read for themselves: the first rows in order need little of a file, and which of
    equal ones they are must not depend on who else reads it.
    """

    name: str
    template: Template
    readings: tuple[Reading, ...]
    batches: Batches
    schema: tuple[tuple[str, str], ...]  # (name, type) of a piece's columns
    interactive: bool = False
    alone: bool = False


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything decided about a query at given revisions.

    Fragments are numbered through the scans in order. With `merge` None the pieces in order are the answer (after
    `offset` rows, up to `limit`); otherwise `merge` is the SQL that makes it of the scans' pieces by name.
    """

    scans: tuple[Scan, ...]
    merge: str | None
    columns: tuple[tuple[str, str], ...]  # (name, type) of the answer
    notes: tuple[Note, ...]
    limit: int | None = None
    offset: int = 0
    chunks_chosen: int = 0
    chunks_total: int = 0
    bytes: int = 0
    gathers: bool = False
    given: Given = field(default_factory=dict)

    @property
    def fragments(self) -> int:
        return sum(len(scan.batches) for scan in self.scans)

    @property
    def rows_wanted(self) -> int | None:
        """Rows after which nothing more need be read, None where every fragment counts."""
        if self.merge is not None or self.limit is None:
            return None
        return self.limit + self.offset

    def scan_of(self, number: int) -> tuple[Scan, int]:
        """The scan a fragment belongs to, and its place in it."""
        for scan in self.scans:
            if number < len(scan.batches):
                return scan, number
            number -= len(scan.batches)
        raise IndexError(number)
