"""Runs faults over one cluster: `python -m tests.faults.one RUNS SEED OUT [part of a fault's name ...]`.

Writes one JSON line to OUT for each run, with the seed if it failed, and for each fault that cannot be had here with the
reason. Goes best with `network.APART`, which lets it have a second machine and a small disk.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.matrix import FAULTS, Fault
from tests.faults.runner import run
from tests.faults.world import World


def main(runs: int, seed: int, out: Path, wanted: list[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="qsky-f-"))
    folder.chmod(0o755)
    world = World(folder, seed)
    try:
        world.make()
        with out.open("a") as file:
            for fault in FAULTS:
                if not wanted or any(word in fault.name for word in wanted):
                    for line in _runs(world, fault, runs, seed):
                        file.write(json.dumps({"fault": fault.name, **line}) + "\n")
                        file.flush()
    finally:
        world.end()
        shutil.rmtree(folder, ignore_errors=True)


def _runs(world: World, fault: Fault, runs: int, seed: int) -> Iterator[dict[str, Any]]:
    if why := fault.needs(world):
        yield {"skipped": why}
        return
    for number in range(runs):
        began = time.monotonic()
        try:
            yield {**asdict(run(world, fault, f"{seed}.{number}")), "seconds": round(time.monotonic() - began, 1)}
        except Exception as error:
            logs = [f"{path.stem}: {path.read_text()[-600:]}" for path in _logs(world)]
            yield {"seed": f"{seed}.{number}", "failed": f"{error}\n{traceback.format_exc()}"[:4000], "logs": logs}


def _logs(world: World) -> list[Path]:
    return sorted((world.root / "cluster" / "logs").glob("*.log"))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
