"""Workers with small parts for tests: parts with names that fit their bytes, a fetch from a plain folder that counts."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.fragment import ReplicaKind, ReplicaOrder
from qsky.worker.replica import Replica

LEASE = "keeper"


def named(content: bytes, number: int = 0) -> str:
    """The name of a part of these bytes."""
    digest = hashlib.sha256(content).hexdigest()[:16]
    leaf = f"Norder=5/Dir=0/Npix={number}"
    return f"public/sky/star.hats/star/g0001/dataset/{leaf}/20260101T000000xabc-{number:06d}-{digest}.parquet"


class Elsewhere:
    """The other machines: a folder with parts; counts fetches, and gives other bytes or fails when told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fetched: list[str] = []
        self.instead: dict[str, bytes] = {}
        self.gate = threading.Event()
        self.gate.set()

    def add(self, content: bytes, number: int = 0) -> str:
        name = named(content, number)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return name

    def fetch(self, name: str, size: int, digest: str, into: Path) -> None:
        self.fetched.append(name)
        assert self.gate.wait(60)
        try:
            content = (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise QskyError("damaged", f"Nobody has {name}.") from None
        assert len(content) == size and digest in name
        into.write_bytes(self.instead.get(name, content))


class One:
    """One worker and what it told the world."""

    def __init__(self, folder: Path, settings: Settings | None = None, elsewhere: Elsewhere | None = None) -> None:
        self.elsewhere = elsewhere or Elsewhere(folder / "elsewhere")
        self.told: list[tuple[str, str]] = []
        self.bad: list[tuple[str, str]] = []
        self.replica = Replica(
            "w0",
            folder / "data",
            self.elsewhere.fetch,
            settings or Settings(),
            publish=lambda name: self.told.append(("publish", name)),
            retract=lambda name: self.told.append(("retract", name)),
            on_bad=lambda name, why: self.bad.append((name, why)),
        )

    def path(self, name: str) -> Path:
        return self.replica.folder.part(name)

    def quarantined(self) -> list[Path]:
        return sorted(self.replica.folder.quarantine.glob("*.parquet"))


def order(
    kind: ReplicaKind, name: str, size: int, epoch: int = 1, verified: tuple[tuple[str, int], ...] = ()
) -> ReplicaOrder:
    return ReplicaOrder(kind, name, size, LEASE, epoch, verified)
