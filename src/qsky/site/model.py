"""What a cluster consists of, as one value that every process of it reads: names, addresses, ports, folders, keys.

Written once, by `make`; `qsky cluster up` and the containers of a cluster give it to the processes they start. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, NoReturn

from qsky.errors import QskyError

FOLDER: Final = "cluster"  # in a root, unless somebody chooses another
FILE: Final = "site.json"
_FORMAT: Final = 1


class Storage(StrEnum):
    """Where parts lie: in a root that all machines reach, or on the workers' own disks, several copies of each."""

    SHARED = "shared"
    REPLICATED = "replicated"


@dataclass(frozen=True)
class RedirectorNode:
    """A redirector of XRootD: clients come to `port`, the cmsd of servers to `cms_port`."""

    name: str
    host: str
    port: int
    cms_port: int


@dataclass(frozen=True)
class WorkerNode:
    """A worker: a process that runs fragments, and a server of its parts at `data_port`. `zone` is its rack, if known."""

    name: str
    host: str
    port: int
    http_port: int
    data_port: int
    zone: str = ""


@dataclass(frozen=True)
class Site:
    """A cluster. Paths are absolute; `folder` holds keys, logs, pid files and, on one machine, the workers' disks."""

    root: str
    folder: str
    storage: Storage
    replicas: int
    scheduler_host: str
    scheduler_port: int
    scheduler_http_port: int
    redirectors: tuple[RedirectorNode, ...]
    workers: tuple[WorkerNode, ...]
    report_port: int  # where XRootD's daemons send their summaries
    metrics_port: int  # where the keeper shows them to Prometheus
    settings: dict[str, str] = field(default_factory=dict)  # QSKY_... of every process

    @property
    def scheduler(self) -> str:
        """The address of the scheduler."""
        return f"tls://{self.scheduler_host}:{self.scheduler_port}"

    @property
    def keys(self) -> Path:
        return Path(self.folder) / "keys"

    def data(self, worker: str) -> Path:
        """The data folder of a worker."""
        return Path(self.folder) / worker

    def daemons(self, name: str) -> Path:
        """The folder of the XRootD daemons of a worker or redirector: configuration, logs, sockets."""
        return self.data(name) / "xrootd" if any(node.name == name for node in self.workers) else self.data(name)

    def worker(self, name: str) -> WorkerNode:
        """Raises usage."""
        return next((node for node in self.workers if node.name == name), None) or _unknown(self.workers, name)

    def redirector(self, name: str) -> RedirectorNode:
        """Raises usage."""
        return next((node for node in self.redirectors if node.name == name), None) or _unknown(self.redirectors, name)

    def hosts(self) -> tuple[str, ...]:
        """The machines of the cluster by name, that of the scheduler and the keeper first."""
        return tuple(dict.fromkeys(map(self.host, self.names())))

    def host(self, name: str) -> str:
        """The machine of a process."""
        nodes: tuple[RedirectorNode | WorkerNode, ...] = (*self.redirectors, *self.workers)
        return next((node.host for node in nodes if node.name == name), self.scheduler_host)

    def names_at(self, host: str) -> tuple[str, ...]:
        """The processes of one machine, in the order in which they are started."""
        return tuple(name for name in self.names() if self.host(name) == host)

    def names(self) -> tuple[str, ...]:
        """The processes of the cluster, in the order in which they are started."""
        redirectors = [node.name for node in self.redirectors]
        return ("scheduler", *redirectors, *(node.name for node in self.workers), "keeper")


def _unknown(nodes: Sequence[RedirectorNode | WorkerNode], name: str) -> NoReturn:
    known = ", ".join(node.name for node in nodes) or "none"
    raise QskyError("usage", f"There is no {name} in this cluster.", hint=f"There are: {known}.")


def site_text(site: Site) -> str:
    return json.dumps({"format": _FORMAT, **asdict(site)}, indent=1)


def site_of(text: str, where: str) -> Site:
    """Raises damaged."""
    try:
        values = json.loads(text)
        if values.pop("format") != _FORMAT:
            raise ValueError("another format")
        values["redirectors"] = tuple(RedirectorNode(**node) for node in values["redirectors"])
        values["workers"] = tuple(WorkerNode(**node) for node in values["workers"])
        values["storage"] = Storage(values["storage"])
        return Site(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise QskyError("damaged", f"{where} does not describe a cluster: {error}.") from error


def site_path(root: Path) -> Path:
    """Where the cluster of a root is described, if it has one."""
    return root / FOLDER / FILE


def read_site(root: Path) -> Site | None:
    """The cluster of a root, or None. Raises damaged."""
    path = site_path(root)
    try:
        return site_of(path.read_text(), str(path))
    except FileNotFoundError:
        return None
