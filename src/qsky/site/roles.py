"""What each process of a cluster is: scheduler, redirector, worker. The keeper is `site.keeping`.

The commands `qsky scheduler|redirector|worker` run these in the foreground, under `qsky cluster up` and in containers
alike. Each ends with 0 when it was told to, and with 1 when it must be started anew.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from qsky.config import Settings
from qsky.dispatch.dask import SchedulerPlace, serve_scheduler
from qsky.errors import QskyError
from qsky.site.loading import run_on_worker
from qsky.site.model import Site, Storage, WorkerNode
from qsky.site.works import Works
from qsky.storage.xrootd.client import address_of
from qsky.storage.xrootd.daemons import Daemons
from qsky.storage.xrootd.files import Files, Wanted
from qsky.storage.xrootd.instance import Access, Instance, KeyFiles, Redirector, Role
from qsky.storage.xrootd.keys import host_keys
from qsky.storage.xrootd.publish import publish, retract
from qsky.worker.folder import DataFolder
from qsky.worker.parts import Fetch, Parts, from_folder
from qsky.worker.replica import Replica
from qsky.worker.scrub import Scrub
from qsky.worker.station import Certificates, Place, container_settings, serve_worker

_TEND_SECONDS: Final = 1.0


def certificates(site: Site, host: str) -> Certificates:
    """The keys of a machine, for Dask. Raises no-access."""
    keys = host_keys(site.keys, host)
    return Certificates(keys.ca, keys.certificate, keys.key)


def access(site: Site) -> Access:
    """How to reach the parts of a cluster."""
    return Access(_redirectors(site), site.keys / "sss.keytab", site.keys / "ca.pem")


def _keys(site: Site, host: str) -> KeyFiles:
    return host_keys(site.keys, host)


def _admitted(site: Site) -> tuple[str, ...]:
    """Who may speak to the daemons at all: the machines of the cluster, by names and addresses."""
    hosts = site.hosts()
    return (*hosts, *dict.fromkeys(map(address_of, hosts)))


def _redirectors(site: Site) -> tuple[Redirector, ...]:
    return tuple(Redirector(node.host, node.port, node.cms_port) for node in site.redirectors)


def scheduler(site: Site, settings: Settings) -> int:
    """Be the scheduler."""
    address = address_of(site.scheduler_host)
    place = SchedulerPlace(address, site.scheduler_port, f"{address}:{site.scheduler_http_port}")
    return serve_scheduler(place, certificates(site, site.scheduler_host), settings, say)


def redirector(site: Site, name: str, settings: Settings, told: threading.Event) -> int:
    """Be a redirector until `told` to end. Raises what daemons raise."""
    node = site.redirector(name)
    own = next(place for place in _redirectors(site) if place.port == node.port)
    folder = site.daemons(name)
    instance = Instance(
        name,
        Role.REDIRECTOR,
        node.host,
        node.port,
        (own,),
        folder,
        _keys(site, node.host),
        report=_report(site),
        admitted=_admitted(site),
    )
    with _tended(Daemons(instance, settings)):
        say(f"{node.host}:{node.port}")
        told.wait()
    return 0


def _report(site: Site) -> str:
    return f"{address_of(site.scheduler_host)}:{site.report_port}"


def server_instance(site: Site, node: WorkerNode) -> Instance:
    """The data server beside a worker."""
    data = site.data(node.name)
    return Instance(
        node.name,
        Role.SERVER,
        node.host,
        node.data_port,
        _redirectors(site),
        site.daemons(node.name),
        _keys(site, node.host),
        parts=data / "parts",
        report=_report(site),
        admitted=_admitted(site),
    )


def worker(site: Site, name: str, settings: Settings) -> int:
    """Be a worker, with the data server beside it where parts lie on workers."""
    node, settings = site.worker(name), container_settings(settings)
    data = site.data(name)
    data.mkdir(parents=True, exist_ok=True)
    units: dict[str, Callable[[Any], Any]] = {"LoadUnit": partial(run_on_worker, site, name)}
    address, keys = address_of(node.host), certificates(site, node.host)
    place = Place(name, data, (str(data),), address, node.port, f"{address}:{node.http_port}")
    if site.storage is Storage.SHARED:
        root = Path(site.root)
        shared = Parts(DataFolder(data), from_folder(root), settings, shared=root)
        place = replace(place, folders=(site.root, str(data)))
        try:
            return serve_worker(site.scheduler, place, keys, settings, shared, units, say)
        finally:
            shared.close()
    instance = server_instance(site, node)
    with _tended(Daemons(instance, settings)), _replica(site, node, instance, settings) as replica:
        orders = {**Works(replica).by_name(), **units}
        return serve_worker(site.scheduler, place, keys, settings, replica.parts, orders, say)


def fetch_by_xrootd(site: Site, settings: Settings) -> Fetch:
    """Parts from whichever worker has them."""
    files = Files(access(site), settings)

    def fetch(name: str, size: int, digest: str, into: Path) -> None:
        files.fetch(Wanted(name, size, digest), into)

    return fetch


@contextmanager
def _replica(site: Site, node: WorkerNode, instance: Instance, settings: Settings) -> Iterator[Replica]:
    replica = Replica(
        node.name,
        site.data(node.name),
        fetch_by_xrootd(site, settings),
        settings,
        publish=partial(_noticed, publish, instance, settings=settings),
        retract=partial(_noticed, retract, instance, settings=settings),
        on_bad=lambda part, why: say(f"bad part {part}: {why}"),
    )
    scrub = Scrub(replica, settings)
    scrub.start()
    try:
        yield replica
    finally:
        scrub.stop()
        replica.close()


def _noticed(
    tell: Callable[[Instance, str, Settings], None], instance: Instance, part: str, settings: Settings
) -> None:
    """Tell the redirectors. A cmsd that is down learns of the part when it starts again, so that is no error."""
    try:
        tell(instance, part, settings)
    except QskyError as error:
        if error.code.name != "xrootd-failed":
            raise
        say(str(error))


@contextmanager
def _tended(daemons: Daemons) -> Iterator[None]:
    """The daemons are started, started again when they end, and ended with the block."""
    over = threading.Event()

    def tend() -> None:
        while not over.wait(_TEND_SECONDS):
            daemons.tend()

    daemons.start()
    thread = threading.Thread(target=tend, name="qsky-daemons", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        daemons.stop()


def say(line: str) -> None:
    """One line to the log of the process."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
