"""A coordinator that a test kills: `python -m tests.ingest.coordinator FOLDER SOURCE...` loads sky.star on two processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from qsky.catalog.model import Kind
from qsky.events import Event, Progress
from qsky.ingest.request import LoadRequest
from tests.ingest.spreading import SpreadRoot
from tests.ingest.test_spread import SMALL


def tell(event: Event) -> None:
    if isinstance(event, Progress):
        print(f"{event.stage}|{event.done}|{event.total}", flush=True)


def main(folder: str, *sources: str) -> None:
    os.fsync = lambda handle: None  # nothing here is about power cuts
    root = SpreadRoot(Path(folder), SMALL)
    request = LoadRequest("sky", "star", Kind.DIRECTOR, sources, key="id", ra="ra", dec="dec")
    with root.workers(2):
        root.loaded(request, listener=tell)


if __name__ == "__main__":
    main(*sys.argv[1:])
