"""A scheduler or a worker as a process of its own: `python -m tests.cluster_process scheduler|worker <JSON>`."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from qsky.config import Settings
from qsky.worker.station import Certificates, Place, serve_worker


class SharedParts:
    """Parts of a root that every machine reaches under the same path."""

    def __init__(self, root: str | Path) -> None:
        self._root = str(root).rstrip("/")

    def held(self, wanted: Mapping[str, int]) -> AbstractContextManager[Mapping[str, Path]]:
        return nullcontext({name: Path(f"{self._root}/{name}") for name in wanted})


def main() -> int:
    role, text = sys.argv[1:]
    said = json.loads(text)
    certificates = Certificates(*map(Path, said["certificates"]))
    settings = Settings(**said["settings"])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if role == "scheduler":
        from qsky.dispatch.dask import SchedulerPlace, serve_scheduler

        return serve_scheduler(SchedulerPlace(port=said["port"], http=said["http"]), certificates, settings, _ready)

    if said["any_words"]:
        import qsky.worker.execute

        qsky.worker.execute.only_known_words = str  # type: ignore[assignment]
    place = Place(said["name"], Path(said["data"]), tuple(said["folders"]))
    orders = {"Echo": _echo}
    return serve_worker(said["scheduler"], place, certificates, settings, SharedParts("/"), orders, _ready)


@dataclass(frozen=True)
class Echo:
    """A work that says what it was told."""

    text: str


def _echo(work: Echo) -> Echo:
    return work


def _ready(address: str) -> None:
    print(address, flush=True)


def _end_with_parent() -> None:
    """Whoever started this process holds the other end of stdin, and has gone when it closes."""
    import os

    sys.stdin.read()
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
