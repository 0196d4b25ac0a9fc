"""Many units on their way: at most so many at once, the heaviest first, each tried again elsewhere when it is lost.

A `Carrier` takes one attempt to some worker; a cluster has its own, and tests one of processes. Which attempt
at a unit counts is decided by the record alone. Called by `ingest.spread`; does not know what units do.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Listener, Notice, Progress
from qsky.fragment import LoadUnit, UnitOutcome
from qsky.ingest.exchange import ExchangeLostError
from qsky.ingest.record import LoadRecord

# Errors of these families may be the worker's; all others are as wrong everywhere.
_OF_THE_PLACE: Final = frozenset({"storage", "internal"})
_LOOK_SECONDS: Final = 1.0


class WorkerLostError(Exception):
    """The worker of an attempt is gone, or says that it cannot go on."""

    def __init__(self, host: str, why: str = "it is gone") -> None:
        super().__init__(host, why)  # so that it can be pickled
        self.host = host
        self.why = why


class Carrier(Protocol):
    """Takes attempts at units to workers."""

    @property
    def slots(self) -> int:
        """How many attempts run at once."""
        ...

    def submit(self, unit: LoadUnit, avoid: frozenset[str]) -> Future[UnitOutcome]:
        """Run an attempt on some worker, if there is one not on a host of `avoid`.

        The future raises WorkerLostError, ExchangeLostError, or what the unit raised.
        """
        ...


@dataclass
class Carrying:
    """One stage of a load under way; `run` is called once."""

    units: Sequence[LoadUnit]
    carrier: Carrier
    record: LoadRecord
    settings: Settings
    listener: Listener
    stage: str
    attempts: int  # the highest attempt number used so far
    done_before: int = 0  # units of this stage that are on record
    outcomes: dict[str, UnitOutcome] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)
    _flying: dict[Future[UnitOutcome], tuple[LoadUnit, float]] = field(default_factory=dict)
    _tries: Counter[str] = field(default_factory=Counter)
    _avoid: dict[str, set[str]] = field(default_factory=dict)

    def run(self) -> dict[str, UnitOutcome]:
        """The listed outcomes by key.

        What fails does not keep others from being done. Raises the error of the first failed unit; ExchangeLostError.
        """
        self._waiting = sorted(self.units, key=lambda unit: -unit.size_bytes)
        try:
            while self._waiting or self._open():
                while self._waiting and len(self._flying) < self.carrier.slots:
                    self._send(self._waiting.pop(0))
                done, _ = wait(self._flying, self._look_seconds(), FIRST_COMPLETED)
                for future in done:
                    self._ended(*self._flying.pop(future), future)
                self._send_overdue()
        finally:
            for future in self._flying:
                future.cancel()
        self._raise_failed()
        return self.outcomes

    def _open(self) -> bool:
        """Whether a unit that is neither done nor failed is under way; a needless second attempt is not waited for."""
        return any(unit.key not in self.outcomes and unit.key not in self.errors for unit, _ in self._flying.values())

    def _send(self, unit: LoadUnit) -> None:
        self.attempts += 1
        self._tries[unit.key] += 1
        attempt = replace(unit, attempt=self.attempts)
        self.record.started(attempt)
        future = self.carrier.submit(attempt, frozenset(self._avoid.get(unit.key, ())))
        self._flying[future] = attempt, time.monotonic()

    def _look_seconds(self) -> float | None:
        return _LOOK_SECONDS if self.settings.load_unit_seconds_max else None

    def _send_overdue(self) -> None:
        """A second attempt at units that take too long, beside the first: whoever is done first counts."""
        limit, now = self.settings.load_unit_seconds_max, time.monotonic()
        if not limit:
            return
        newest: dict[str, tuple[LoadUnit, float]] = {}
        for unit, since in self._flying.values():
            if unit.key not in newest or since > newest[unit.key][1]:
                newest[unit.key] = unit, since
        for unit, since in newest.values():
            late = now - since > limit and unit.key not in self.outcomes
            if late and self._tries[unit.key] < self.settings.load_unit_attempts_max:
                self.listener(Notice(f"A unit of {self.stage} takes long; it is tried on another worker, too."))
                self._send(unit)

    def _ended(self, unit: LoadUnit, since: float, future: Future[UnitOutcome]) -> None:
        error = future.exception()
        if unit.key in self.outcomes or unit.key in self.errors:
            return
        if error is not None:
            self._failed(unit, error)
            return
        outcome = future.result()
        self.outcomes[unit.key] = (
            outcome if self.record.done(unit.load, outcome) else self.record.listed(unit.load)[unit.key]
        )
        self._tell()

    def _failed(self, unit: LoadUnit, error: BaseException) -> None:
        self.record.failed(unit, str(error))
        if isinstance(error, ExchangeLostError):
            raise error
        if isinstance(error, WorkerLostError):
            self._avoid.setdefault(unit.key, set()).add(error.host)
        others = any(flying.key == unit.key for flying, _ in self._flying.values())
        if _may_pass_elsewhere(error) and self._tries[unit.key] < self.settings.load_unit_attempts_max:
            self.listener(Notice(f"A unit of {self.stage} failed and is tried again: {error}"))
            self._waiting.insert(0, unit)
        elif not (others and _may_pass_elsewhere(error)):
            self.errors[unit.key] = error
            self._tell()

    def _tell(self) -> None:
        failed = f", {len(self.errors)} failed" if self.errors else ""
        self.listener(Progress(f"{self.stage}{failed}", self._done, self._all, "units"))

    @property
    def _done(self) -> int:
        return self.done_before + len(self.outcomes)

    @property
    def _all(self) -> int:
        return self.done_before + len(self.units)

    def _raise_failed(self) -> None:
        error = next((self.errors[unit.key] for unit in self.units if unit.key in self.errors), None)
        if error is None:
            return
        counts = f"Of {self._all} units of {self.stage} {self._done} are done and {len(self.errors)} failed"
        if isinstance(error, QskyError):
            hint = f"{error.hint} {counts}; what is done is kept for a load that resumes this one.".strip()
            raise QskyError(error.code.name, error.message, hint=hint) from error
        if isinstance(error, WorkerLostError):
            raise QskyError(
                "limit-attempts",
                f"A unit of {self.stage} was lost on {self.settings.load_unit_attempts_max} workers; "
                f"the last was {error.host}: {error.why}.",
                hint=f"{counts}; what is done is kept for a load that resumes this one.",
            ) from error
        raise error


def _may_pass_elsewhere(error: BaseException) -> bool:
    return not isinstance(error, QskyError) or error.code.family in _OF_THE_PLACE
