"""What is measured: each case with the jobs of Qsky and its peers, and the aims that Qsky has set itself there.

An aim is a number worked out of what the jobs said; it is left open where a peer it compares with is missing.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks import postgres

Said = Mapping[str, Mapping[str, Any]]  # what each side said, by its name

QSKY, LSDB, HATS_IMPORT, POSTGRES, PYARROW, STILTS = "Qsky", "LSDB", "hats-import", "PostgreSQL", "PyArrow", "STILTS"
STILTS_OBJECTS_MAX = 5_000_000  # it holds the catalogues in memory


@dataclass(frozen=True)
class Aim:
    """A number that is to be at least, or at most, a bound. `value` gives None where it cannot be known."""

    text: str
    bound: float
    at_least: bool
    value: Callable[[Said], float | None]

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True)
class Case:
    """One line of the table. `sides` are names of jobs, by who does them."""

    name: str
    title: str
    sides: Mapping[str, str]
    aims: tuple[Aim, ...] = ()
    small: bool = field(default=False)  # answered in milliseconds: figures are those of one question


def of_qsky(name: str, factor: float = 1.0) -> Callable[[Said], float | None]:
    """A figure of Qsky's own."""
    return lambda said: said[QSKY][name] * factor if name in said.get(QSKY, {}) else None


def cpu_over(above: str, below: str) -> Callable[[Said], float | None]:
    """CPU seconds of one side over those of another."""

    def ratio(said: Said) -> float | None:
        if above not in said or below not in said:
            return None
        return float(said[above]["cpu_s"]) / max(float(said[below]["cpu_s"]), 1e-9)

    return ratio


def _sharing(said: Said) -> float | None:
    return said[QSKY]["cpu_s"] / said[QSKY]["alone_cpu_s"] if QSKY in said else None


def _times(peer: str, least: float) -> Aim:
    return Aim(f"CPU of {peer} over Qsky's", least, True, cpu_over(peer, QSKY))


def _quick() -> tuple[Aim, ...]:
    return (
        Aim("ms, plan cached", 5.0, False, of_qsky("wall_s", 1000)),
        Aim("ms, first time", 15.0, False, of_qsky("first_s", 1000)),
    )


def _writing(rows_per_cpu_second: float) -> tuple[Aim, ...]:
    return (
        Aim("s to the first byte", 0.3, False, of_qsky("first_byte_s")),
        Aim("million rows per CPU second", rows_per_cpu_second, True, of_qsky("rows_per_cpu_s", 1e-6)),
    )


def _both(job: str, *peers: str) -> dict[str, str]:
    """The job of that name of Qsky and of some peers."""
    modules = {LSDB: "lsdb_jobs", POSTGRES: "postgres_jobs", PYARROW: "arrow_jobs", STILTS: "stilts_jobs"}
    return {QSKY: f"qsky_jobs:{job}", **{peer: f"{modules[peer]}:{job}" for peer in peers}}


CASES: tuple[Case, ...] = (
    Case(
        "load",
        "load with overlap and index",
        {QSKY: "qsky_jobs:load", HATS_IMPORT: "lsdb_jobs:load"},
        (_times(HATS_IMPORT, 10), Aim("MB at the peak", 2048, False, of_qsky("peak_mb"))),
    ),
    Case("cone", "cone of 1 arcmin", _both("cones_arcmin", POSTGRES, LSDB), _quick(), small=True),
    Case("cone-degree", "cone of 1 degree", _both("cones_degree", POSTGRES, LSDB), small=True),
    Case("id", "one object by its id", _both("ids", POSTGRES, LSDB), _quick(), small=True),
    Case("column", "mean of one column, all rows", _both("one_column", PYARROW, POSTGRES, LSDB)),
    Case(
        "average",
        "filtered average, three columns",
        _both("average", PYARROW, POSTGRES, LSDB),
        (Aim("CPU over PyArrow's decoding", 0.6, False, cpu_over(QSKY, PYARROW)), _times(POSTGRES, 6)),
    ),
    Case(
        "scans",
        "16 different scans at once",
        {QSKY: "scans:sixteen", POSTGRES: "postgres_jobs:sixteen"},
        (Aim("CPU over that of one alone", 3, False, _sharing),),
    ),
    Case(
        "pairs",
        "all pairs within 2 arcsec",
        _both("pairs", POSTGRES, LSDB),
        (_times(POSTGRES, 25), _times(LSDB, 4)),
    ),
    Case(
        "match",
        "cross-match with a user's catalogue, 1 arcsec",
        _both("match", LSDB, STILTS),
        (_times(LSDB, 3),),
    ),
    Case("light-curve", "light curve of one object", _both("light_curve", POSTGRES, LSDB), small=True),
    Case("light-curves", "light curves of all bright objects", _both("light_curves", POSTGRES, LSDB)),
    Case(
        "chunks",
        "150,000 chunks opened",
        _both("chunks", LSDB),
        (
            Aim("s to open", 3.0, False, of_qsky("wall_s")),
            Aim("ms to plan a new cone", 50.0, False, of_qsky("plan_s", 1000)),
        ),
    ),
    Case("votable", "1M rows as VOTable", _both("write_votable"), _writing(5)),
    Case("csv", "1M rows as CSV", _both("write_csv", PYARROW), _writing(2)),
    Case("arrow", "1M rows as Arrow", _both("write_arrow"), _writing(20)),
)


def missing(peer: str, objects: int) -> str | None:
    """Why a peer cannot be measured here; None if it can."""
    modules = {LSDB: "lsdb", HATS_IMPORT: "hats_import", PYARROW: "pyarrow"}
    if peer in modules and importlib.util.find_spec(modules[peer]) is None:
        return "is not installed"
    if peer == POSTGRES and postgres.binaries() is None:
        return "is not installed with q3c"
    if peer == STILTS and shutil.which("stilts") is None:
        return "is not installed"
    if peer == STILTS and objects > STILTS_OBJECTS_MAX:
        return f"holds catalogues in memory, and is asked up to {STILTS_OBJECTS_MAX:,} objects only"
    return None
