"""Which clusters can be consistent: how parts are kept, how many coordinators there are, and what they share.

*shared*: one root that all machines reach. *replicated*: parts lie on the workers' own disks, and one metadata root
holds revisions and side files. Whoever starts a cluster asks `check_arrangement` first. Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal, get_args

from qsky.catalog.model import FORMAT
from qsky.errors import QskyError

Storage = Literal["shared", "replicated"]
Ledger = Literal["", "sqlite", "postgresql"]

_HINT: Final = "See the storage modes in the description of the disk format."


@dataclass(frozen=True)
class Arrangement:
    """What a cluster is made of. `private` says that the (metadata) root is a folder of one machine.

    `machines` is on how many machines its processes run; several processes of one machine share its folders.
    `creates_once` is what the probe of the root has shown: that creating a name twice fails.
    """

    storage: Storage
    workers: int
    replicas: int = 1
    coordinators: int = 1
    machines: int = 1
    private: bool = True
    ledger: Ledger = "sqlite"
    creates_once: bool = True


def check_arrangement(arrangement: Arrangement) -> None:
    """Refuse what could lose or contradict data. Raises bad-arrangement with the first reason."""
    for refused, why in _reasons(arrangement):
        if refused:
            raise QskyError("bad-arrangement", why, hint=_HINT)


def _reasons(a: Arrangement) -> tuple[tuple[bool, str], ...]:
    shared, several, spread = a.storage == "shared", a.coordinators > 1, a.machines > 1
    return (
        (a.storage not in get_args(Storage), f"{a.storage!r} is no storage mode; there are shared and replicated."),
        (a.workers < 1 or a.coordinators < 1, "A cluster has at least one worker and one coordinator."),
        (
            not a.creates_once,
            "The root lets a file be created twice, so two loads could both believe that they have published.",
        ),
        (shared and a.replicas != 1, f"A shared root stores each part once; it cannot have {a.replicas} replicas."),
        (
            shared and spread and a.private,
            "The root is a folder of one machine; workers of others could not read its parts.",
        ),
        (a.replicas < 1, "Each part needs at least one replica."),
        (
            a.replicas > a.workers,
            f"{a.replicas} replicas need as many workers; there are {a.workers}.",
        ),
        (a.storage == "replicated" and not a.ledger, "Replicas need a ledger that knows where they are."),
        (
            several and spread and a.private,
            "Several coordinators need a metadata root that each of them reaches; this is a folder of one machine.",
        ),
        (several and a.ledger != "postgresql", "Several coordinators need PostgreSQL for what they share."),
    )


def root_file(storage: Storage) -> bytes:
    """What the file says that makes a folder a root."""
    known: dict[str, object] = {"format": FORMAT}
    if storage != "shared":
        known["storage"] = storage
    return json.dumps(known).encode()


def checked_storage(recorded: object, asked: Storage | None, *, fetches: bool) -> Storage:
    """The mode a root was made with. Raises bad-arrangement if it is not the one asked for, or cannot be used so."""
    mode = next((known for known in get_args(Storage) if known == recorded), None)
    if mode is None:
        raise QskyError(
            "bad-arrangement", f"The root says that its storage is {recorded!r}, which this Qsky does not know."
        )
    if asked is not None and asked != mode:
        raise QskyError(
            "bad-arrangement",
            f"The root was made with storage {mode}; it cannot be used as {asked}.",
            hint="Load into a new root, or ask for the mode it has.",
        )
    if mode == "replicated" and not fetches:
        raise QskyError(
            "bad-arrangement",
            "The parts of this root lie on the disks of a cluster's workers; alone it cannot be read.",
            hint="Use it through the cluster.",
        )
    assert mode in ("shared", "replicated")
    return "shared" if mode == "shared" else "replicated"
