"""One run of the benchmarks: makes the sky, starts PostgreSQL if it is asked, measures case after case, cleans up.

A peer that is missing or fails is named in the notes. A Qsky that fails, or counts that differ, are defects.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import postgres
from benchmarks.cases import HATS_IMPORT, LSDB, POSTGRES, PYARROW, QSKY, STILTS, Case, missing
from benchmarks.measure import Failed, run
from benchmarks.place import Place

PEERS = (HATS_IMPORT, LSDB, POSTGRES, PYARROW, STILTS)
_BYTES_PER_OBJECT = 1500
_BYTES_OF_POSTGRES = 5 << 30
_TOLERANCE = 1e-9  # of means, which everybody sums up in another order


@dataclass
class Session:
    """What is measured in which place, and what came of it."""

    place: Place
    cases: Sequence[Case]
    peers: frozenset[str]
    seconds_max: float
    tell: Callable[[str], None]
    said: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    prepared: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)

    def measure(self) -> None:
        """Everything, in the order of the cases. Raises Failed if the sky cannot be made or loaded."""
        self._leave_out()
        self._prepare("synthetic sky", "sky:make")
        self._load()
        with ExitStack() as stack:
            self._prepare_peers(stack)
            for case in self.cases:
                self._measure(case)

    def _leave_out(self) -> None:
        """Name the peers that cannot be measured; the rest of the run does without them."""
        reasons = {peer: missing(peer, self.place.objects) for peer in sorted(self._asked())}
        self.notes += [f"{peer} {reason}." for peer, reason in reasons.items() if reason]
        self.peers = frozenset(peer for peer, reason in reasons.items() if not reason)

    def _asked(self) -> set[str]:
        return {side for case in self.cases for side in case.sides} & self.peers

    def _wants(self, peer: str, *names: str) -> bool:
        """Whether a peer takes part in one of these cases."""
        return peer in self.peers and any(case.name in names and peer in case.sides for case in self.cases)

    def _load(self) -> None:
        """Qsky's tables. Loading objects is a case of its own, but nothing works without it."""
        loaded = self._prepare("Qsky's load of objects", "qsky_jobs:load")
        self.said["load"] = {QSKY: loaded}
        if {"match", "light-curve", "light-curves"} & {case.name for case in self.cases}:
            self._prepare("Qsky's load of sources and of the user's catalogue", "qsky_jobs:load_others")

    def _prepare_peers(self, stack: ExitStack) -> None:
        if self._wants(LSDB, "pairs"):
            self._prepare("largest number of neighbours", "qsky_jobs:facts")
        if self._wants(LSDB, "id", "light-curve"):
            self._prepare("LSDB's index of ids", "lsdb_jobs:index")
        if self._wants(STILTS, "match"):
            self._prepare("STILTS' files", "stilts_jobs:prepare")
        if POSTGRES in self._asked():
            pid = stack.enter_context(postgres.running(self.place.socket))
            self.place = replace(self.place, server_pid=pid)
            self._prepare("PostgreSQL's load of objects and sources", "postgres_jobs:load")

    def _prepare(self, title: str, job: str) -> dict[str, Any]:
        said = run(job, self.place, self.seconds_max)
        self.prepared[title] = said
        self.tell(f"prepared: {title}, {said['process_s']} s")
        return said

    def _measure(self, case: Case) -> None:
        found = self.said.setdefault(case.name, {})
        for side, job in case.sides.items():
            if side in found or (side != QSKY and side not in self.peers):
                continue
            try:
                found[side] = run(job, self.place, self.seconds_max)
            except Failed as error:
                self.notes.append(f"{case.title}: {side} failed: {error}.")
                self.defects += [self.notes[-1]] if side == QSKY else []
            self.tell(f"{case.title}: {side} {json.dumps(found.get(side, 'failed'))}")
        self.defects += [f"{case.title}: {text}" for text in differences(found)]
        shutil.rmtree(self.place.inside("hats"), ignore_errors=True)


def differences(said: dict[str, dict[str, Any]]) -> list[str]:
    """The sides that answered otherwise than the first of them."""
    if not said:
        return []
    first, *others = said
    return [
        f"{first} found {said[first]['answer']}, {other} {said[other]['answer']}."
        for other in others
        if not _same(said[first]["answer"], said[other]["answer"])
    ]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=_TOLERANCE)
    return bool(one == other)


def check_room(parent: str | None, objects: int, with_postgres: bool) -> None:
    """Raises SystemExit if the disk is too small for a sky of that size."""
    needed = objects * _BYTES_PER_OBJECT + (_BYTES_OF_POSTGRES if with_postgres else 0)
    free = shutil.disk_usage(parent or tempfile.gettempdir()).free
    if free < needed:
        raise SystemExit(f"{objects:,} objects need {needed >> 30} GB of disk; {free >> 30} GB are free. See --folder.")


def folder_of(parent: str | None) -> Path:
    """A new folder for the files of a run."""
    return Path(tempfile.mkdtemp(prefix="qsky-bench-", dir=parent))
