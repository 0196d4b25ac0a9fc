"""What the keeper hears and what it says: the events and orders of `cluster.keeper`, values only.

What a worker must do with orders, and why it is safe to obey them, is in docs/decisions/0015-the-keeper.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from qsky.cluster.topology import Host

# -- events


class WantedPart(NamedTuple):
    """A part that must exist: its name (the path relative to the root), its size, and its placement unit's name."""

    name: str
    bytes: int
    unit: str


@dataclass(frozen=True)
class HostSeen:
    """A worker gives signs of life; `host` says what it is."""

    host: Host


@dataclass(frozen=True)
class HostSilent:
    """A worker's signs of life have stopped."""

    host: str


@dataclass(frozen=True)
class Inventory:
    """All parts a worker holds, name -> bytes. `serial` grows with every change of them, restarts included.

    `answers` is the number of the AskInventory it was made for, -1 if nobody asked.
    """

    host: str
    serial: int
    parts: Mapping[str, int]
    answers: int = -1


@dataclass(frozen=True)
class Wanted:
    """All parts of the kept revisions of a database; none once it is dropped. `database` is the folder of its parts:

    the name of each of its parts begins with it and a slash.
    """

    database: str
    parts: Sequence[WantedPart]


@dataclass(frozen=True)
class LiveLoads:
    """The loads that hold a live lease: their parts are nobody's garbage."""

    loads: frozenset[str]


@dataclass(frozen=True)
class OrderDone:
    """A worker has done what it was told in `epoch` under `number`; its parts are then those of `serial`."""

    epoch: int
    number: int
    serial: int


@dataclass(frozen=True)
class OrderFailed:
    """A worker has not. missing: it does not hold the part; bad: its copy was bad and is in quarantine now;

    source: nobody gave it a good copy; full: its disk is; refused: an older order, or an older epoch; error: anything else.
    """

    epoch: int
    number: int
    serial: int
    why: Literal["missing", "bad", "source", "full", "refused", "error"]


@dataclass(frozen=True)
class LeaseHeld:
    """This keeper holds the lease under this epoch; said again with the same epoch when it is renewed."""

    epoch: int


@dataclass(frozen=True)
class LeaseLost:
    """It does not, or cannot be sure."""


@dataclass(frozen=True)
class Drain:
    """A worker is to leave: everything it holds must lie elsewhere first."""

    host: str


@dataclass(frozen=True)
class Undrain:
    """It stays."""

    host: str


@dataclass(frozen=True)
class Tick:
    """Time has passed; `now` in seconds of a clock that never goes back. All orders come from ticks."""

    now: float


Event = (
    HostSeen
    | HostSilent
    | Inventory
    | Wanted
    | LiveLoads
    | OrderDone
    | OrderFailed
    | LeaseHeld
    | LeaseLost
    | Drain
    | Undrain
    | Tick
)

# -- orders to workers: obeyed only by who has seen no higher epoch, and no higher number for the same part


@dataclass(frozen=True)
class Pull:
    """Fetch a part from any of `sources`, check size and digest, and publish it."""

    epoch: int
    number: int
    part: str
    bytes: int
    on: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Verify:
    """Read a part and check its digest: another copy is about to be deleted, or this one is in doubt."""

    epoch: int
    number: int
    part: str
    on: str


@dataclass(frozen=True)
class Scrub:
    """The same, because its turn has come; there is no hurry."""

    epoch: int
    number: int
    part: str
    on: str


@dataclass(frozen=True)
class Delete:
    """Retract and remove a copy: those that stay were verified in this epoch."""

    epoch: int
    number: int
    part: str
    on: str


@dataclass(frozen=True)
class Quarantine:
    """Retract a part that no kept revision and no live load knows, and put it aside."""

    epoch: int
    number: int
    part: str
    on: str


@dataclass(frozen=True)
class AskInventory:
    """Have a worker say what it holds."""

    on: str
    number: int


WorkerOrder = Pull | Verify | Scrub | Delete | Quarantine

# -- statements for people


@dataclass(frozen=True)
class Lost:
    """No copy of these is left; `last` names who held them last."""

    parts: tuple[str, ...]
    last: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """Copies of these, which were lost, have come back."""

    parts: tuple[str, ...]


@dataclass(frozen=True)
class Degraded:
    """So many parts have fewer copies than they should; the worst of them has `fewest`, of which none can be read if 0."""

    parts: int
    fewest: int
    waiting: bool  # nothing is done about it yet: it is quiet time


@dataclass(frozen=True)
class Healthy:
    """Every part has its copies."""


@dataclass(frozen=True)
class Drained:
    """Everything this worker holds lies elsewhere as often as it should: it may leave."""

    host: str


Statement = Lost | Found | Degraded | Healthy | Drained
Order = WorkerOrder | AskInventory | Statement
