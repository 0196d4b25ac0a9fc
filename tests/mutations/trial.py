"""Whether simulations notice a defect that is put into the code on purpose."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_REPO = Path(__file__).parents[2]
_TRY = """
from {module} import simulate
for seed in range({seeds}):
    try:
        simulate(seed)
    except Exception as error:
        print(seed, type(error).__name__, str(error)[:100])
        break
"""


class Mutation(NamedTuple):
    """`file`, relative to the repository, with `before` once replaced by `after`: what would be wrong then."""

    about: str
    file: str
    before: str
    after: str


def noticed(mutation: Mutation, area: str, module: str, seeds: int, scratch: Path) -> str:
    """The first seed at which a copy of the code with the defect fails, and how; "" if none of `seeds` does."""
    shutil.copytree(_REPO / "src" / "qsky", scratch / "src" / "qsky", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(_REPO / "tests" / area, scratch / "tests" / area, ignore=shutil.ignore_patterns("__pycache__"))
    file = scratch / mutation.file
    text = file.read_text()
    assert text.count(mutation.before) == 1, f"{mutation.about}: the code has changed, and its defect must, too"
    file.write_text(text.replace(mutation.before, mutation.after))
    done = subprocess.run(
        [sys.executable, "-c", _TRY.format(module=module, seeds=seeds)],
        cwd=scratch,
        env={**os.environ, "PYTHONPATH": f"{scratch / 'src'}{os.pathsep}{scratch}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
