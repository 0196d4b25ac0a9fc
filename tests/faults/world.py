"""The world in which things break: a cluster of real processes over a small sky, whoever asks it, and what is right.

`runner` uses it. Nothing here knows a fault.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from qsky import connect
from qsky.catalog.store import Catalog
from qsky.config import read_settings
from qsky.site.joined import Joined
from qsky.site.make import Wish, make_site
from qsky.site.model import Site
from qsky.site.processes import known
from qsky.site.status import keeper_says
from qsky.site.supervisor import run_folder
from qsky.site.wishes import wanted_parts
from qsky.storage.partname import digest_of
from qsky.storage.store import digest_of_file
from qsky.wire import Sky
from tests.faults.network import HERE, NEEDED, THERE, Network

WISH = Wish(workers=4, redirectors=2, replicas=3)
ELSEWHERE = "w3"
OBJECTS = 20_000
DISK_BYTES = 64 << 20
QUICK = {
    "QSKY_KEEPER_QUIET_SECONDS": "2",
    "QSKY_WORKER_LOST_SECONDS": "4",
    "QSKY_KEEPER_RETRY_SECONDS": "2",
    "QSKY_KEEPER_LOOK_SECONDS": "0.2",
    "QSKY_KEEPER_ORDER_SECONDS_MAX": "20",
    "QSKY_SCRUB_PAUSE_SECONDS": "0.5",
    "QSKY_SCRUB_BYTES_PER_SECOND": str(64 << 20),
    "QSKY_WORKER_SILENCE_SECONDS": "5",
    "QSKY_WORKER_TTL_SECONDS": "10",
    "QSKY_COPY_SECONDS_LEAST": "3",
    "QSKY_CLUSTER_WAIT_SECONDS": "120",
    "QSKY_XROOTD_RESTART_SECONDS_MAX": "4",
    "QSKY_THREADS": "1",
    "QSKY_MEMORY_BYTES_MAX": str(512 << 20),
    "QSKY_CHUNK_ROWS_MAX": "5000",
    "QSKY_CHUNK_BYTES_MAX": str(8 << 20),
    "QSKY_PLACEMENT_ORDER": "2",
}
QUERIES = {
    "full-sky scan": "SELECT band, COUNT(*) AS n, AVG(psfFlux) AS flux FROM sky.source GROUP BY band",
    "cone": "SELECT objectId, coord_ra FROM sky.object WHERE qserv_areaspec_circle(266.405, -28.936, 4)",
    "id lookup": "SELECT midpointMjdTai, psfFlux FROM sky.source WHERE objectId = {star}",
    "near neighbours": "SELECT COUNT(*) FROM sky.object a, sky.object b WHERE a.objectId < b.objectId"
    " AND scisql_angSep(a.coord_ra, a.coord_dec, b.coord_ra, b.coord_dec) < 30 / 3600.0",
    "aggregate": "SELECT COUNT(*), MIN(objectId), MAX(objectId), SUM(refExtendedness) FROM sky.object"
    " WHERE i_psfFlux > 100",
}


def run_qsky(root: Path, *words: str, seconds_max: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qsky", "--root", str(root), *words]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=seconds_max)


def environment() -> dict[str, str]:
    return {**os.environ, **QUICK}


def rows_of(sky: Sky, sql: str) -> list[tuple[Any, ...]]:
    """The rows of an answer as a sorted list; floating numbers to ten digits, for sums may differ in the last ones."""
    table = sky.sql(sql).arrow()
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return sorted((tuple(map(_rounded, row)) for row in rows), key=repr)


def _rounded(value: Any) -> Any:
    return float(f"{value:.9e}") if isinstance(value, float) else value


class World:
    """A cluster that is up, the answers of one machine, and a client."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.files = folder / "files"
        self.random = random.Random(seed)
        self.queries: dict[str, str] = {}
        self.right: dict[str, list[tuple[Any, ...]]] = {}
        self.parts: frozenset[str] = frozenset()
        self.mounted: list[Path] = []
        self.network: Network | None = None
        self.no_network = f"{NEEDED} is not set"

    def make(self) -> None:
        """A sky, its answers on one machine, and the cluster."""
        self._ask_one_machine()
        wish = self._wish()
        self.site: Site = make_site(self.root, wish, read_settings(), environment())
        self._give_disks()
        if self.network is not None:
            log = self.root / "cluster" / "logs" / f"{ELSEWHERE}.log"
            self.network.start(self.root, ELSEWHERE, log, environment())
        done = run_qsky(self.root, "cluster", "up")
        assert done.returncode == 0, done.stderr
        self.settings = read_settings({**environment()})
        self.joined = Joined(self.site, self.settings)
        self.sky = Sky(self.root, self.settings)
        catalog = Catalog(self.root)
        wanted = wanted_parts(catalog, "sky", catalog.numbers("sky"), self.settings.placement_order)
        self.parts = frozenset(part.name for part in wanted)

    def _ask_one_machine(self) -> None:
        files = self.files
        for words in (
            f"synth --objects {OBJECTS} --sources-per-object 4 --into {files}",
            f"load {files}/object-00000.parquet --into sky.object --director --key objectId --ra coord_ra --dec coord_dec",
            f"load {files}/source-00000.parquet --into sky.source --child-of sky.object --key objectId --ra ra --dec dec",
        ):
            done = run_qsky(self.root, *words.split())
            assert done.returncode == 0, done.stderr
        with connect(self.root) as alone:
            star = alone.sql("SELECT MAX(objectId) FROM sky.source").scalar()
            self.queries = {name: sql.format(star=star) for name, sql in QUERIES.items()}
            self.right = {name: rows_of(alone, sql) for name, sql in self.queries.items()}

    def _wish(self) -> Wish:
        """With one worker at a machine of its own, where that is permitted."""
        if NEEDED in os.environ:
            try:
                self.network = Network(self.folder)
            except (OSError, subprocess.CalledProcessError) as error:
                self.no_network = f"no network of its own: {error}"
            else:
                return replace(WISH, host=HERE, hosts={ELSEWHERE: THERE})
        return WISH

    def _give_disks(self) -> None:
        """A small disk of its own for the first worker, where mounting is permitted."""
        path = self.site.data(self.site.workers[0].name)
        path.mkdir(parents=True, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "qsky-test", str(path)]
        if os.geteuid() == 0 and subprocess.run(words, capture_output=True).returncode == 0:
            self.mounted.append(path)

    def end(self) -> None:
        for name in ("sky", "joined"):
            if hasattr(self, name):
                getattr(self, name).close()
        run_qsky(self.root, "cluster", "down")
        if self.network is not None:
            self.network.end()
        for path in self.mounted:
            subprocess.run(["umount", "-l", str(path)], check=False, capture_output=True)

    # -- processes

    def pid(self, name: str) -> int:
        """Of a process of the cluster; waits for one that is being started."""
        until(lambda: known(run_folder(self.site), name) is not None, 60, f"{name} runs")
        one = known(run_folder(self.site), name)
        assert one is not None
        return one.pid

    def daemon(self, worker: str, program: str) -> int:
        """The xrootd or cmsd of a worker."""
        found: list[int] = []

        def look() -> bool:
            with suppress(psutil.Error):
                children = psutil.Process(self.pid(worker)).children()
                found[:] = [child.pid for child in children if child.name() == program]
            return bool(found)

        until(look, 60, f"{program} of {worker} runs")
        return found[0]

    def a_worker(self) -> str:
        return self.random.choice(self.workers_here())

    def workers_here(self) -> list[str]:
        return [node.name for node in self.site.workers if node.host == self.site.scheduler_host]

    # -- health

    def why_ill(self) -> str:
        """What is not as it should be; empty when every part has its copies at workers that answer."""
        asked = self.joined.asked()
        missing = sorted({node.name for node in self.site.workers} - set(asked))
        if missing:
            return f"{missing} do not answer"
        return self._too_few(asked) or self._keeper_worries()

    def too_few(self) -> str:
        """As `why_ill`, but workers may be missing."""
        return self._too_few(self.joined.asked())

    def _too_few(self, asked: dict[str, Any]) -> str:
        held: Counter[str] = Counter()
        for name, future in asked.items():
            try:
                held.update(self.parts & set(future.result(timeout=10).parts))
            except Exception as error:
                return f"{name} does not say what it holds: {error!r}"
        few = {part for part in self.parts if held[part] < self.site.replicas}
        return f"{len(few)} of {len(self.parts)} parts have too few copies" if few else ""

    def _keeper_worries(self) -> str:
        said = keeper_says(self.site)
        if time.time() - float(said.get("at", 0)) > 10:
            return "the keeper is silent"
        return f"the keeper says {said.get('lost')}" if said.get("lost") else ""

    def bad_copies(self) -> list[str]:
        """Copies whose bytes are not those of their names."""
        return [str(path) for node in self.site.workers for path in self.copies_at(node.name) if is_bad(path)]

    def copies_at(self, worker: str) -> Iterator[Path]:
        folder = self.site.data(worker) / "parts" / "qsky"
        return (folder / part for part in sorted(self.parts) if (folder / part).exists())


def is_bad(path: Path) -> bool:
    try:
        return digest_of_file(path) != digest_of(path.name)
    except FileNotFoundError:
        return False


def until(done: Callable[[], bool], seconds_max: float, what: str) -> float:
    """Wait until something is so; how long it took. Fails if it does not become so."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < seconds_max, f"not within {seconds_max:g} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began
