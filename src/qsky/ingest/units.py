"""The units of a load: steps that run on any worker, each from a value that names files to a value that names files.

*read*: some sources -> rows placed and sorted in runs, the cells counted, rejects noted. *build*: some leaves -> their
parts, and the copies other leaves need, in runs by leaf. *copies*: some leaves -> the overlap parts around them.
A unit knows no other unit, only the files they left; run twice, it does the same twice under other names. `run_unit`
is called on a worker, everything else by `ingest.spread`.
"""

from __future__ import annotations

import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qsky.catalog.model import HEALPIX_COLUMN, Kind, Table
from qsky.catalog.snapshot import Tiling
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import silent
from qsky.fragment import LoadUnit, UnitOutcome
from qsky.ingest.build import LEAF_COLUMN, Spill, write_copies, write_leaves
from qsky.ingest.exchange import Exchange, ExchangeFile, ExchangeRun, RunFile, left, run_left
from qsky.ingest.partition import Ends, Sources, batches_of, sort_into
from qsky.ingest.parts import PartRow, PartWriter
from qsky.ingest.place import Placer
from qsky.ingest.rejects import RejectsWriter
from qsky.ingest.runs import Ranges, Runs
from qsky.storage.store import Store

_PARTS_OF_ATTEMPT: Final = 1 << 24  # the first attempt is 1: numbers below are for parts the coordinator writes


@dataclass(frozen=True)
class Ground:
    """Where a unit runs: the host, its threads, its view of the exchange, and folders by the name of a database.

    Parts are staged in `staging(database)`, side files (segments of the director index) are read in `sides(database)`.
    """

    host: str
    threads: int
    exchange: Exchange
    staging: Callable[[str], Store]
    sides: Callable[[str], Store]


@dataclass(frozen=True)
class Given:
    """What every unit of a load is given."""

    database: str
    table: Table
    settings: Settings


@dataclass(frozen=True)
class ReadGiven(Given):
    """The sources of one unit, the directors its keys point to, and how many rows may be refused."""

    sources: Sources
    ends: Ends
    rejects_max: int


@dataclass(frozen=True)
class ReadDone:
    """What reading left: `runs` by cell, of a director `keys` (its keys and cells, run by run), and the
    cells counted.

    `cells`, `counts` are bytes of int64 and float64. `rejects` is a file of `rejects.RejectsWriter`, None without any.
    """

    rows: int
    size_bytes: int
    runs: tuple[RunFile, ...]
    keys: tuple[RunFile, ...]
    cells: bytes
    counts: bytes
    own_angle_deg: float
    rejects: ExchangeFile | None
    rows_refused: int
    examples: tuple[str, ...]
    nan_nulled: dict[str, int]
    told: tuple[dict[str, object], ...]

    @property
    def files(self) -> tuple[ExchangeFile, ...]:
        return (*(run.file for run in self.runs + self.keys), *((self.rejects,) if self.rejects else ()))


@dataclass(frozen=True)
class BuildGiven(Given):
    """Some leaves of a tiling to be built of `runs`, for *copies* of those that building left; `rows` of the whole load."""

    tiling: bytes
    leaves: tuple[int, ...]
    runs: tuple[RunFile, ...]
    rows: int
    size_bytes: int


@dataclass(frozen=True)
class BuildDone:
    """The parts of some leaves, and the copies that other leaves need: runs by leaf, for `copied_to`."""

    parts: tuple[PartRow, ...]
    copies: tuple[RunFile, ...] = ()
    copied_to: tuple[int, ...] = ()
    copied_bytes: int = 0

    @property
    def files(self) -> tuple[ExchangeFile, ...]:
        return tuple(run.file for run in self.copies)


def run_unit(unit: LoadUnit, ground: Ground) -> UnitOutcome:
    """Do one attempt at a unit. Raises ExchangeLostError, and what reading and writing raise."""
    began = time.monotonic()
    given = pickle.loads(unit.content)
    with _scratch(unit, ground) as scratch:
        done = _STAGES[unit.stage](unit, given, ground, scratch)
    return UnitOutcome(unit.key, unit.attempt, ground.host, pickle.dumps(done), time.monotonic() - began)


@contextmanager
def _scratch(unit: LoadUnit, ground: Ground) -> Iterator[Path]:
    """A folder of this attempt alone, on the disk of the files it leaves."""
    folder = ground.exchange.folder(unit.load) / f"attempt-{unit.attempt}"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read(unit: LoadUnit, given: ReadGiven, ground: Ground, scratch: Path) -> ReadDone:
    settings = given.settings.with_changes(threads=ground.threads)
    placer = Placer(ground.sides(given.database), given.table, given.ends)
    runs = Runs(scratch / "rows")
    with RejectsWriter(scratch / "rejects.csv", given.rejects_max, settings.rejects_shown) as rejects:
        try:
            counts = sort_into(
                runs, batches_of(given.sources, given.table, settings, rejects, silent), placer, settings, counted=True
            )
        except QskyError as error:
            if error.code.name != "too-many-rejects":
                raise
            return _given_up(rejects, unit, ground)
    cells, weights = counts.cells()
    keys = _keys(runs, given.table, scratch)
    return ReadDone(
        rows=runs.rows,
        size_bytes=runs.bytes,
        runs=_left(runs, unit, ground),
        keys=_left(keys, unit, ground),
        cells=cells.tobytes(),
        counts=weights.tobytes(),
        own_angle_deg=placer.own_angle_deg,
        rejects=_rejects_left(rejects, unit, ground),
        rows_refused=rejects.count,
        examples=tuple(rejects.examples),
        nan_nulled=rejects.nan_nulled,
        told=tuple(source.told() for source in given.sources.files),
    )


def _given_up(rejects: RejectsWriter, unit: LoadUnit, ground: Ground) -> ReadDone:
    """More is refused here alone than the load may refuse: the coordinator says so, with the rejects of all units."""
    file = _rejects_left(rejects, unit, ground)
    examples = tuple(rejects.examples)
    return ReadDone(0, 0, (), (), b"", b"", 0.0, file, rejects.count, examples, rejects.nan_nulled, ())


def _rejects_left(rejects: RejectsWriter, unit: LoadUnit, ground: Ground) -> ExchangeFile | None:
    rejects.close()
    return left(rejects.path, ground.host, unit.load, ground.exchange) if rejects.count else None


def _keys(runs: Runs, table: Table, scratch: Path) -> Runs:
    """The keys and cells of a director's runs: the index is made of them alone."""
    keys = Runs(scratch / "keys")
    if table.kind is Kind.DIRECTOR and table.key:
        for number, run in enumerate(runs.runs()):
            rows = run.columns([table.key, HEALPIX_COLUMN]).combine_chunks()
            keys.add(number, rows.to_batches()[0])
    return keys


def _left(runs: Runs, unit: LoadUnit, ground: Ground) -> tuple[RunFile, ...]:
    return tuple(run_left(run, ground.host, unit.load, ground.exchange) for run in runs.written())


def _ranges(given: BuildGiven, by: str, ground: Ground) -> Ranges:
    return Ranges([ExchangeRun(run, ground.exchange) for run in given.runs], by, given.rows, given.size_bytes)


def _build(unit: LoadUnit, given: BuildGiven, ground: Ground, scratch: Path) -> BuildDone:
    settings, tiling = given.settings.with_changes(threads=ground.threads), Tiling.from_bytes(given.tiling)
    spill = Spill(scratch / "copies")
    source, writer = _ranges(given, HEALPIX_COLUMN, ground), _writer(unit, given, ground, settings)
    parts = write_leaves(source, given.table, tiling, given.leaves, writer, spill, settings, silent)
    copies = _left(spill.runs, unit, ground)
    return BuildDone(tuple(parts), copies, tuple(spill.leaves()), spill.runs.bytes)


def _copies(unit: LoadUnit, given: BuildGiven, ground: Ground, scratch: Path) -> BuildDone:
    settings, tiling = given.settings.with_changes(threads=ground.threads), Tiling.from_bytes(given.tiling)
    copies, writer = _ranges(given, LEAF_COLUMN, ground), _writer(unit, given, ground, settings)
    return BuildDone(tuple(write_copies(copies, given.table, tiling, given.leaves, writer, settings, silent)))


def _writer(unit: LoadUnit, given: Given, ground: Ground, settings: Settings) -> PartWriter:
    return PartWriter(ground.staging(given.database), unit.load, settings, unit.attempt * _PARTS_OF_ATTEMPT)


_STAGES: Final[dict[str, Callable[..., ReadDone | BuildDone]]] = {"read": _read, "build": _build, "copies": _copies}
