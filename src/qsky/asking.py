"""One query on its way: when it must end, how much it may read, what of it has run, and who wants to hear of it.

`engine` makes an `Asking` for each query and hands it from step to step; `dispatch.run` shows its `Stage` the work that
passes. It decides nothing about how a query is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

import numpy as np

from qsky.config import Settings
from qsky.dispatch.state import over_time
from qsky.errors import QskyError
from qsky.events import Asked, Listener, size_text
from qsky.fragment import Fragment, Piece
from qsky.merge import Lent
from qsky.observed import ScanRun, StageRun
from qsky.plan.estimate import bytes_estimated
from qsky.plan.model import Plan, Scan

T = TypeVar("T")
_RATE_SECONDS_LEAST: Final = 0.2  # before that, what is left cannot be told


class Asking:
    """What belongs to one query from its text to its last row."""

    def __init__(self, settings: Settings, listener: Listener | None = None) -> None:
        self.began = monotonic()
        self.stages: list[Stage] = []
        self._settings = settings
        self._listener = listener
        self._bytes = 0

    @property
    def ends(self) -> float | None:
        """When to give up, on the monotonic clock."""
        return self.began + self._settings.query_seconds_max if self._settings.query_seconds_max else None

    def planned(self, work: Callable[[], T]) -> T:
        """What `work`, which looks at no clock itself, makes; nothing more is begun after the time. Raises limit-time."""
        made = work()
        if self.ends is not None and monotonic() > self.ends:
            raise over_time(self._settings.query_seconds_max)
        return made

    def stage(self, plan: Plan) -> Stage:
        """A plan that is about to run. Raises limit-bytes if that would read more than a query may."""
        estimated = 0
        if self._settings.query_bytes_max or self._listener is not None:
            estimated = bytes_estimated(plan)
            self._bytes += estimated
            self._allow(plan)
        stage = Stage(plan, estimated, self._listener, self.began, len(self.stages))
        self.stages.append(stage)
        return stage

    def _allow(self, plan: Plan) -> None:
        most = self._settings.query_bytes_max
        if most and self._bytes > most:
            raise QskyError(
                "limit-bytes",
                f"The query would read about {size_text(self._bytes)} of {plan.chunks_chosen:,} chunks, and may read "
                f"{size_text(most)}.",
                hint="Limit it to a region or to keys, read fewer columns, or raise QSKY_QUERY_BYTES_MAX.",
            )


class Stage:
    """One plan that runs; `dispatch.run` shows it what is sent and what comes back."""

    def __init__(self, plan: Plan, estimated: int, listener: Listener | None, asked: float, number: int) -> None:
        self.plan = plan
        self._seen = StageRun([ScanRun(scan.name) for scan in plan.scans])
        self._sent: dict[int, int] = {}  # bytes of files by fragment, until it is done
        self._kept: list[int] = []
        self._estimated = estimated
        self._listener = listener
        self._asked = asked
        self._name = f"query, step {number + 1}" if number else "query"
        self._began = monotonic()
        self._progress = _Progress(plan) if listener is not None else None
        self._tell()

    def sent(self, fragment: Fragment) -> None:
        """An attempt begins."""
        if fragment.number in self._sent:
            self._scan(fragment.number).retries += 1
        self._sent[fragment.number] = _bytes_of_files(fragment)

    def kept(self, piece: Piece) -> None:
        """A fragment is done."""
        scan = self._scan(piece.number)
        scan.fragments += 1
        scan.shared += piece.shared
        scan.rows += piece.table.num_rows
        scan.bytes += piece.table.nbytes
        scan.bytes_read += self._sent.pop(piece.number, 0)
        scan.seconds += piece.seconds
        scan.cpu_seconds += piece.cpu_seconds
        self._kept.append(piece.number)
        if self._progress is not None:
            self._progress.add(piece.number)
            self._tell()

    def merged(self, lent: Lent) -> None:
        """The merge is done."""
        self._seen.merge_seconds, self._seen.merge_cpu_seconds = lent.seconds, lent.cpu_seconds
        for scan in self._seen.scans:
            scan.spilled = scan.name in lent.spilled

    def gave(self, rows: int) -> None:
        """Rows of its answer were made."""
        self._seen.rows += rows
        self._seen.seconds = monotonic() - self._began

    @property
    def run(self) -> StageRun:
        """What it took so far."""
        first = 0
        for scan, seen in zip(self.plan.scans, self._seen.scans, strict=True):
            last = first + len(scan.batches)
            seen.chunks = _chunks(scan, [number - first for number in self._kept if first <= number < last])
            first = last
        return self._seen

    def _scan(self, number: int) -> ScanRun:
        if len(self.plan.scans) == 1:
            return self._seen.scans[0]
        scan, _ = self.plan.scan_of(number)
        return self._seen.scans[self.plan.scans.index(scan)]

    def _tell(self) -> None:
        if self._listener is None or self._progress is None:
            return
        seconds, done = monotonic() - self._began, self._progress.share
        left = seconds * (1 - done) / done if done and seconds > _RATE_SECONDS_LEAST else None
        chunks, total = self._progress.chunks, self._progress.chunks_total
        self._listener(
            Asked(
                self._name,
                chunks,
                total,
                "chunks",
                rows=sum(scan.rows for scan in self._seen.scans),
                bytes_read=int(self._estimated * done),
                bytes_estimated=self._estimated,
                seconds=monotonic() - self._asked,
                seconds_left=left,
            )
        )


class _Progress:
    """How much of a plan is done. A chunk that was cut into several fragments is done by parts."""

    def __init__(self, plan: Plan) -> None:
        shares, sizes = [], []
        for scan in plan.scans:
            batches = scan.batches
            _, which, cuts = np.unique(batches.firsts, return_inverse=True, return_counts=True)
            whole = batches.lasts - batches.firsts > 1
            shares.append((batches.lasts - batches.firsts) / np.where(whole, 1, cuts[which]))
            sizes.append(np.maximum(batches.sizes, 1))
        self._chunks = np.concatenate(shares) if shares else np.empty(0)
        self._sizes = np.concatenate(sizes) if sizes else np.empty(0)
        self._size = float(self._sizes.sum())
        self._done = 0.0
        self._sized = 0.0
        self.chunks_total = round(float(self._chunks.sum()))

    def add(self, number: int) -> None:
        self._done += float(self._chunks[number])
        self._sized += float(self._sizes[number])

    @property
    def chunks(self) -> int:
        return int(self._done + 1e-6)

    @property
    def share(self) -> float:
        """Of the bytes."""
        return self._sized / self._size if self._size else 0.0


def _chunks(scan: Scan, places: list[int]) -> int:
    """How many different chunks the batches at these places hold."""
    marks = np.zeros(len(scan.batches.starts) + 1, dtype=np.int64)
    np.add.at(marks, scan.batches.firsts[places], 1)
    np.add.at(marks, scan.batches.lasts[places], -1)
    return int((np.cumsum(marks) > 0).sum())


def _bytes_of_files(fragment: Fragment) -> int:
    """Of the part files it names; of a chunk that was cut, its piece."""
    if any(source.within is not None for source in fragment.inputs):
        return fragment.bytes
    return sum(file.bytes for source in fragment.inputs for file in source.files)
