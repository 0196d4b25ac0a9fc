"""A real cluster, as `make cluster-demo` makes it, over a small sky; and what may not be reached from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from qsky.site.model import read_site
from qsky.site.status import processes

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("xrootd") is None, reason="xrootd is not installed (scripts/debian-packages installs it)"
    ),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, for sockets, and open to the daemons' user; pytest's own folders are neither."""
    made = Path(tempfile.mkdtemp(prefix="qsky-s-"))
    made.chmod(0o755)
    yield made
    subprocess.run([sys.executable, "-m", "qsky", "--root", str(made / "root"), "cluster", "down"], capture_output=True)
    shutil.rmtree(made, ignore_errors=True)


def test_the_cluster_demo(folder: Path) -> None:
    """The answers of one machine, also while a worker is killed; then every part has its copies again."""
    environment = {
        **os.environ,
        "QSKY_DEMO_OBJECTS": "2e4",
        "QSKY_DEMO_FOLDER": str(folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    subprocess.run(["sh", "examples/demo.sh"], cwd=REPOSITORY, env=environment, check=True, capture_output=True)
    folder.chmod(0o755)  # the demonstration makes it anew
    root = folder / "root"
    command = [sys.executable, "examples/cluster_demo.py", str(root)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=560)
    logs = "".join(path.read_text()[-1500:] for path in sorted((root / "cluster" / "logs").glob("*.log")))
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}\n{logs}"
    assert "the same answer as one machine" in done.stdout and "healed after" in done.stdout
    shown = done.stdout.rsplit("copies  ", 1)[1].splitlines()[0]
    assert "part" in shown and " x 1" not in shown, "it is shown to be healed"
    site = read_site(root)
    assert site is not None
    assert [process.pid for process in processes(site)] == [None] * 8, "everything is down"
