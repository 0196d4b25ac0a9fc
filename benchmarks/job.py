"""`python -m benchmarks.job module:function PLACE FILE`: one job in a process of its own; its answer goes to FILE as JSON."""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path

from benchmarks.place import Place

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    job, place, file = sys.argv[1:]
    module, function = job.split(":")
    said = getattr(importlib.import_module(f"benchmarks.{module}"), function)(Place(**json.loads(place)))
    Path(file).write_text(json.dumps(said))
