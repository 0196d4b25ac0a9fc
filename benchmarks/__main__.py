"""`make bench`: what Qsky does on one machine, beside its peers, in one run.

Every measurement is a process of its own. Prints a table and writes it with a chart to benchmarks/results/ as .md, .json
and .png. Fails if anybody's counts differ from Qsky's. Peers that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.cases import CASES, POSTGRES
from benchmarks.chart import draw
from benchmarks.measure import Failed
from benchmarks.place import Place
from benchmarks.report import markdown, report_of
from benchmarks.session import PEERS, Session, check_room, folder_of

_OBJECTS = 2_000_000
_SECONDS_MAX = 3600.0


def _arguments(words: list[str] | None) -> argparse.Namespace:
    names = ",".join(case.name for case in CASES)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "objects", nargs="?", type=float, default=_OBJECTS, help=f"rows of the largest table (default {_OBJECTS:,})"
    )
    parser.add_argument("--only", help=f"cases to measure, of {names}")
    parser.add_argument("--peers", help=f"peers to measure, of {','.join(PEERS)}")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder for what is written"
    )
    parser.add_argument("--folder", help="folder in which the run makes one of its own, for its files")
    parser.add_argument("--seconds-max", type=float, default=_SECONDS_MAX, help="longest time of one measurement")
    parser.add_argument("--keep", action="store_true", help="keep the files that were made")
    return parser.parse_args(words)


def _chosen(text: str | None, known: dict[str, str]) -> frozenset[str]:
    """The names a list of words means, whatever their case; all of them without a list. Raises SystemExit."""
    words = list(known) if text is None else [word for word in text.lower().split(",") if word]
    unknown = [word for word in words if word not in known]
    if unknown:
        raise SystemExit(f"there is no {unknown[0]}; known are {', '.join(known)}")
    return frozenset(known[word] for word in words)


def main(words: list[str] | None = None) -> int:
    """Measure and report; the exit status."""
    given = _arguments(words)
    chosen = _chosen(given.only, {case.name: case.name for case in CASES})
    peers = _chosen(given.peers, {peer.lower(): peer for peer in PEERS})
    cases = [case for case in CASES if case.name in chosen]
    objects = int(given.objects)
    check_room(given.folder, objects, POSTGRES in peers)
    folder = folder_of(given.folder)
    session = Session(Place(str(folder), objects), cases, peers, given.seconds_max, _tell)
    began = time.monotonic()
    try:
        session.measure()
    except (Failed, RuntimeError) as error:
        session.defects.append(f"The run was not finished: {error}")
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    _write(session, given.out)
    _tell(f"{time.monotonic() - began:.0f} s")
    return 1 if session.defects else 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _write(session: Session, folder: Path) -> None:
    report = report_of(session)
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    stem.with_suffix(".json").write_text(json.dumps(report, indent=1))
    text = markdown(report)
    stem.with_suffix(".md").write_text(text)
    draw(report, stem.with_suffix(".png"))
    print(text)
    _tell(f"written to {os.path.relpath(stem)}.md, .json and .png")


if __name__ == "__main__":
    raise SystemExit(main())
