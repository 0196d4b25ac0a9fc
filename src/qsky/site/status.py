"""What runs of a cluster on this machine, and how it is: values for `qsky cluster status`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qsky.site.model import Site, Storage
from qsky.site.processes import known
from qsky.site.supervisor import NAME, off_file, run_folder
from qsky.site.works import Told

if TYPE_CHECKING:
    from qsky.site.joined import Joined

_TELL_SECONDS: Final = 10.0


@dataclass(frozen=True)
class ProcessState:
    """One process; `pid` is None if it does not run, `off` says that it shall not; `host` is set if it is elsewhere."""

    name: str
    pid: int | None
    restarts: int
    off: bool
    host: str = ""


@dataclass(frozen=True)
class WorkerState:
    """A worker that answers: parts and bytes it holds, fragments it runs and holds waiting."""

    name: str
    parts: int
    bytes: int
    running: int
    waiting: int


@dataclass(frozen=True)
class SiteState:
    """The whole cluster. `copies` counts parts by how many workers hold them; `keeper` is what the keeper said last."""

    processes: tuple[ProcessState, ...]
    workers: tuple[WorkerState, ...]
    copies: Mapping[int, int]
    keeper: Mapping[str, Any] = field(default_factory=dict)


def is_up(site: Site) -> bool:
    """Whether the supervisor of the cluster runs on this machine."""
    return known(run_folder(site), NAME) is not None


def processes(site: Site) -> tuple[ProcessState, ...]:
    found = []
    for name in (NAME, *site.names()):
        one = known(run_folder(site), name)
        off = off_file(site, name).exists()
        host = site.host(name) if site.host(name) != site.scheduler_host else ""
        found.append(ProcessState(name, one.pid if one else None, one.restarts if one else 0, off, host))
    return tuple(found)


def keeper_says(site: Site) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads((Path(site.folder) / "keeper.json").read_text())
        return said
    except (FileNotFoundError, ValueError):
        return {}


def state_of(site: Site, joined: Joined | None) -> SiteState:
    """Everything there is to say. `joined` None asks no worker."""
    workers: list[WorkerState] = []
    holders: dict[str, int] = {}
    if joined is not None:
        asked = joined.asked()
        said = joined.link.status()
        for name, future in sorted(asked.items()):
            parts = _told(future) if site.storage is Storage.REPLICATED else {}
            for part in parts:
                holders[part] = holders.get(part, 0) + 1
            numbers = said.get(name, {})
            running, waiting = int(numbers.get("running", 0)), int(numbers.get("waiting", 0))
            workers.append(WorkerState(name, len(parts), sum(parts.values()), running, waiting))
    return SiteState(
        processes(site), tuple(workers), dict(sorted(Counter(holders.values()).items())), keeper_says(site)
    )


def _told(future: Future[Any]) -> Mapping[str, int]:
    try:
        told: Told = future.result(timeout=_TELL_SECONDS)
    except Exception:  # it is gone, or does not answer: then it is shown with nothing
        return {}
    return told.parts
