"""Makes the cluster of a root on this machine: folders, keys, free ports, and the file that says so."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.site.model import FOLDER, RedirectorNode, Site, Storage, WorkerNode, site_path, site_text
from qsky.storage.xrootd.client import address_of
from qsky.storage.xrootd.keys import make_authority, make_host_keys, make_sss_key

HOST: Final = "localhost"
_NODES_MAX: Final = 64  # data servers below one redirector


@dataclass(frozen=True)
class Wish:
    """What somebody wants of a cluster. `hosts` names the machines of workers that are elsewhere, `host` all others'."""

    workers: int = 3
    redirectors: int = 1
    replicas: int = 2
    storage: Storage = Storage.REPLICATED
    host: str = HOST
    hosts: Mapping[str, str] = field(default_factory=dict)


def make_site(root: Path, wish: Wish, settings: Settings, environment: dict[str, str]) -> Site:
    """Raises usage."""
    _check(wish)
    root = root.absolute()
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    _make_keys(folder / "keys", (wish.host, *wish.hosts.values()), settings)
    ports = _free_ports(4 + 2 * wish.redirectors + 3 * wish.workers)
    site = Site(
        root=str(root),
        folder=str(folder),
        storage=wish.storage,
        replicas=wish.replicas,
        scheduler_host=wish.host,
        scheduler_port=next(ports),
        scheduler_http_port=next(ports),
        redirectors=tuple(
            RedirectorNode(f"r{number}", wish.host, next(ports), next(ports)) for number in range(wish.redirectors)
        ),
        workers=tuple(
            WorkerNode(name, wish.hosts.get(name, wish.host), next(ports), next(ports), next(ports))
            for name in (f"w{number}" for number in range(wish.workers))
        ),
        report_port=next(ports),
        metrics_port=next(ports),
        settings={name: value for name, value in environment.items() if name.startswith("QSKY_")},
    )
    aside = site_path(root).with_suffix(".new")
    aside.write_text(site_text(site))
    aside.rename(site_path(root))
    return site


def _check(wish: Wish) -> None:
    if not 1 <= wish.workers <= _NODES_MAX:
        raise QskyError("usage", f"A cluster has 1 to {_NODES_MAX} workers, not {wish.workers}.")
    if not 1 <= wish.redirectors <= 8:
        raise QskyError("usage", f"A cluster has 1 to 8 redirectors, not {wish.redirectors}.")
    if not 1 <= wish.replicas <= wish.workers:
        raise QskyError(
            "usage",
            f"{wish.replicas} copies of each part need as many workers, and there are {wish.workers}.",
            hint="Ask for more --workers or fewer --replicas.",
        )


def _make_keys(keys: Path, hosts: tuple[str, ...], settings: Settings) -> None:
    """Keys that are there already stay."""
    make_authority(keys, settings.certificate_days)
    for host in hosts:
        names = dict.fromkeys((host, address_of(host), *([socket.gethostname()] if host == HOST else [])))
        make_host_keys(keys, host, tuple(names), settings.certificate_days)
    make_sss_key(keys)
    os.chmod(keys, 0o700)


def _free_ports(count: int) -> Iterator[int]:
    """Ports nobody listens at now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [int(one.getsockname()[1]) for one in sockets]
    return iter(ports)
