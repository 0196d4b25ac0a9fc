"""Where a run of the benchmarks has its files, and how large its sky is. A value that every job is given."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

OVERLAP_ARCSEC = 10.0
SOURCES_PER_OBJECT = 2.0
USER_SHARE = 4  # the user's catalogue has one row for so many objects


@dataclass(frozen=True)
class Place:
    """One run's folder. `server_pid` is PostgreSQL's, 0 if it does not run."""

    folder: str
    objects: int
    server_pid: int = 0

    def inside(self, name: str) -> Path:
        return Path(self.folder) / name

    @property
    def root(self) -> Path:
        return self.inside("root")

    @property
    def hats(self) -> Path:
        """Qsky's objects, sources and overlap as LSDB opens them."""
        return self.root / "public/sky/object.hats"

    @property
    def socket(self) -> Path:
        """The folder of PostgreSQL's socket."""
        return self.inside("postgres")

    def files(self, kind: str) -> list[str]:
        """The Parquet files of `object`, `source` or `user`, sorted."""
        return sorted(str(path) for path in self.inside("files").glob(f"{kind}-*.parquet"))

    def facts(self) -> dict[str, Any]:
        """What the jobs `sky.make` and `qsky_jobs.facts` found out about the sky: ids to look up, neighbours at most."""
        return {
            name: value
            for path in sorted(self.inside("facts").glob("*.json"))
            for name, value in json.loads(path.read_text()).items()
        }

    def tell(self, name: str, facts: dict[str, Any]) -> None:
        """Keep facts for the jobs that follow."""
        self.inside("facts").mkdir(exist_ok=True)
        (self.inside("facts") / f"{name}.json").write_text(json.dumps(facts))

    def text(self) -> str:
        return json.dumps(asdict(self))
