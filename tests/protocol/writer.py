"""A process of its own that loads or compacts, for tests that kill it or let two of them race.

Reads one JSON command per line and answers one per line; never used by the product.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qsky.catalog.model import Kind
from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.ingest.compact import compact
from qsky.ingest.load import load
from qsky.ingest.request import LoadRequest

CHUNK_ROWS = 500


def settings(chunk_rows: int = CHUNK_ROWS) -> Settings:
    return Settings(chunk_rows_max=chunk_rows, overlap_arcsec=600.0)


def stars(folder: Path, number: int, rows: int) -> Path:
    """A file of stars whose ids say which file they come from."""
    rng = np.random.default_rng(number)
    path = folder / f"stars-{number}.parquet"
    ids = np.arange(number * 1_000_000, number * 1_000_000 + rows)
    dec = np.degrees(np.arcsin(rng.random(rows) * 2 - 1))
    pq.write_table(pa.table({"id": ids, "ra": rng.random(rows) * 360, "dec": dec, "x": rng.random(rows)}), path)
    return path


def perform(command: dict[str, Any]) -> int:
    """Do what a command says; the number of the revision published."""
    catalog = Catalog(Path(command["root"]), create=True)
    if command["what"] == "compact":
        return compact(catalog, "d", settings(command["chunk_rows"])).number
    request = LoadRequest(
        "d", command["table"], Kind.DIRECTOR, (command["file"],), key="id", ra="ra", dec="dec", mode=command["what"]
    )
    return load(catalog, request, settings()).revision


def start() -> subprocess.Popen[str]:
    """A writer, ready for commands on its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.protocol.writer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def send(process: subprocess.Popen[str], **command: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(command) + "\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            said: dict[str, Any] = {"revision": perform(json.loads(line))}
        except QskyError as error:
            said = {"error": error.code.name}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
