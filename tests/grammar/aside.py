"""Many random queries in a process of their own, which starts again after each that ends DuckDB's process.

DuckDB 2.0.0 ends its process on about one query in a thousand of these (a correlated sub-query inside one that has a RIGHT
or FULL JOIN). Where the oracle dies there is nothing to compare with; Qsky must answer or refuse, and live.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .runs import difference, ours_alone, query_of, report, side_of
from .skies import sides

# DuckDB 2.0.0 cannot plan this one of ours, a correlated sub-query in the ON of a join below a RIGHT JOIN, and says so.
DUCKDB_CANNOT: Final = frozenset({135950})
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Outcome:
    """What many queries gave: texts of those that differ, and the seeds at which the oracle ended."""

    differ: list[str] = field(default_factory=list)
    oracle_ended: list[int] = field(default_factory=list)


def ask_aside(first: int, count: int) -> Outcome:
    """The queries of so many seeds, in processes that may end."""
    outcome = Outcome()
    begin, end, alone = first, first + count, False
    while begin < end:
        doing, seed = _child(begin, end - begin, alone, outcome)
        if doing == "all":
            return outcome
        if doing == "ours":
            outcome.differ.append(f"seed {seed}: Qsky's process ended")
        else:
            outcome.oracle_ended.append(seed)
        begin, alone = (seed, True) if doing == "theirs" else (seed + 1, False)
    return outcome


def _child(begin: int, count: int, alone: bool, outcome: Outcome) -> tuple[str, int]:
    """One process; what it did last and with which seed."""
    command = [sys.executable, "-m", "tests.grammar.aside", str(begin), str(count), *(["alone"] if alone else [])]
    doing, seed = "", begin
    with subprocess.Popen(
        command, cwd=_REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "differs":
                outcome.differ.append(rest.replace("\x1f", "\n"))
            elif word in ("theirs", "ours", "all"):
                doing, seed = word, int(rest)
    assert doing, f"no query was asked of seed {begin}"
    return doing, seed


def _ask(begin: int, count: int, alone: bool) -> None:
    """In the child. With `alone` the first query is asked of Qsky only."""
    with tempfile.TemporaryDirectory() as folder, sides(Path(folder)) as every_side:
        for seed in range(begin, begin + count):
            side = side_of(every_side, seed)
            query, lang = query_of(seed)
            if alone and seed == begin:
                print("ours", seed, flush=True)
                ours_alone(side, query, lang)
                continue
            if seed in DUCKDB_CANNOT:
                continue
            found = difference(side, query, lang, lambda who, seed=seed: print(who, seed, flush=True))
            if found:
                print("differs", report(side, seed, found).replace("\n", "\x1f"), flush=True)
        print("all", count, flush=True)


if __name__ == "__main__":
    _ask(int(sys.argv[1]), int(sys.argv[2]), "alone" in sys.argv[3:])
