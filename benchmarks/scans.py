"""The job of sixteen different scans at once in Qsky, beside each of them alone, and of cones meanwhile.

Every answer must be the same, bit for bit, alone and among others.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from benchmarks.clock import best, once
from benchmarks.place import Place
from benchmarks.qsky_jobs import opened
from benchmarks.questions import scans
from qsky.wire import Sky

COUNT = 16
_CONES_QUIET = 50
_CONE = "SELECT objectId, coord_ra, coord_dec FROM sky.object WHERE qserv_areaspec_circle(266.4, -28.9, 0.0167)"


def at_once(sky: Sky, texts: list[str], meanwhile: Callable[[], None] | None = None) -> list[pa.Table]:
    """The answers to all texts, each asked by a thread of its own."""
    answers: dict[int, pa.Table] = {}

    def ask(place: int) -> None:
        answers[place] = sky.sql(texts[place]).arrow()

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(texts))]
    for thread in threads:
        thread.start()
    while meanwhile is not None and any(thread.is_alive() for thread in threads):
        meanwhile()
    for thread in threads:
        thread.join()
    if len(answers) < len(texts):
        raise SystemExit("a scan failed among others")
    return [answers[place] for place in range(len(texts))]


def sixteen(place: Place) -> dict[str, Any]:
    """All at once, with the mean of one alone, and medians of cones with and without them."""
    texts = scans(COUNT, "sky.object")
    with opened(place) as sky:
        alone = [best(lambda text=text: sky.sql(text).arrow()) for text in texts]
        together, spent = best(lambda: at_once(sky, texts))
        for (one, _), among in zip(alone, together, strict=True):
            if not one.equals(among):  # also the order: both read every part from its first row to its last
                raise SystemExit(f"alone {one.to_pylist()}, among others {among.to_pylist()}")
        quiet: list[float] = []
        busy: list[float] = []
        for _ in range(_CONES_QUIET):
            _cone(sky, quiet)
        at_once(sky, texts, lambda: _cone(sky, busy))
    return {
        "answer": answer_of(together),
        **spent,
        "alone_cpu_s": statistics.mean(taken["cpu_s"] for _, taken in alone),
        "cone_quiet_s": statistics.median(quiet),
        "cone_busy_s": statistics.median(busy),
    }


def answer_of(answers: list[pa.Table]) -> dict[str, int]:
    """Rows of the scans that list objects, and what those that count have counted."""
    listed = [table for table in answers if "objectId" in table.column_names]
    counted = [table for table in answers if "objectId" not in table.column_names]
    return {"rows": sum(table.num_rows for table in listed), "n": sum(table.column(0)[0].as_py() for table in counted)}


def _cone(sky: Sky, times: list[float]) -> None:
    """A cone of an arcminute, and a pause as a user makes."""
    _, spent = once(lambda: sky.sql(_CONE).arrow())
    times.append(spent["wall_s"])
    time.sleep(0.02)
