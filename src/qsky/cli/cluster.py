"""`qsky cluster ...`, and the commands of the processes a cluster consists of, which containers run as well."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qsky.cli.terminal import Terminal, counted
from qsky.config import read_settings
from qsky.errors import QskyError
from qsky.events import size_text

if TYPE_CHECKING:
    from qsky.site.model import Site
    from qsky.site.status import SiteState

cluster = typer.Typer(help="A cluster of processes on this machine that works for the root.", rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help="A process, as `qsky cluster status` names it.")]


def cluster_needed() -> None:
    """Raises not-installed without what the extra `cluster` brings."""
    from importlib.util import find_spec

    for package in ("distributed", "XRootD", "cryptography", "prometheus_client", "psutil"):
        if find_spec(package) is None:
            raise QskyError(
                "not-installed",
                f"A cluster needs {package}, which is not installed.",
                hint="pip install 'qsky[cluster]'",
            )


def site_of(terminal: Terminal) -> Site:
    """The cluster of the root. Raises no-cluster, not-installed."""
    cluster_needed()
    from qsky.site.model import read_site

    site = read_site(terminal.root)
    if site is None:
        raise QskyError(
            "no-cluster", f"{terminal.root} has no cluster.", hint="`qsky cluster up` makes one and starts it."
        )
    return site


@cluster.command()
def up(
    context: typer.Context,
    workers: Annotated[int, typer.Option(help="Workers.")] = 3,
    redirectors: Annotated[int, typer.Option(help="Redirectors of XRootD.")] = 1,
    replicas: Annotated[int, typer.Option(help="Copies of each part, on as many workers.")] = 2,
    storage: Annotated[
        str, typer.Option(help="replicated: parts lie on the workers' own disks; shared: in the root.")
    ] = "replicated",
) -> None:
    """Make the root's cluster, if it has none, and start it."""
    terminal: Terminal = context.obj
    cluster_needed()
    from qsky.catalog.store import Catalog
    from qsky.site.joined import Joined
    from qsky.site.lifecycle import start_up
    from qsky.site.make import Wish, make_site
    from qsky.site.model import Storage, read_site

    settings = read_settings()
    if storage not in list(Storage):
        raise QskyError("usage", f"There is no storage {storage!r}.", hint="It is replicated or shared.")
    site = read_site(terminal.root)
    if site is None:
        Catalog(terminal.root, create=True)
        wish = Wish(workers, redirectors, replicas, Storage(storage))
        site = make_site(terminal.root, wish, settings, dict(os.environ))
    joined = Joined(site, settings)
    try:
        start_up(site, settings, lambda: len(joined.reached()) == len(site.workers))
        brought = joined.bring(Catalog(terminal.root)) if site.storage == "replicated" else 0
    finally:
        joined.close()
    count = f"{counted(len(site.workers), 'worker')}, {counted(len(site.redirectors), 'redirector')}"
    copies = f", {_copies(site.replicas)} of each part" if site.storage == "replicated" else ""
    if brought:
        terminal.say(f"{counted(brought, 'part')} of the root have been copied to workers.")
    terminal.say(f"The cluster is up: {count}{copies}.")


@cluster.command()
def status(context: typer.Context) -> None:
    """What runs, what each worker holds and does, and what the keeper says."""
    terminal: Terminal = context.obj
    from qsky.site.joined import Joined
    from qsky.site.status import is_up, state_of

    site = site_of(terminal)
    joined = Joined(site, read_settings()) if is_up(site) else None
    try:
        _show(site, state_of(site, joined))
    finally:
        if joined is not None:
            joined.close()


def _show(site: Site, state: SiteState) -> None:
    workers = {worker.name: worker for worker in state.workers}
    for process in state.processes:
        line = f"{process.name:12} "
        absent = f"at {process.host}" if process.host else ("off" if process.off else "not running")
        line += f"pid {process.pid}" if process.pid else absent
        if process.restarts:
            line += f", started again {counted(process.restarts, 'time')}"
        worker = workers.get(process.name)
        if worker is not None:
            if site.storage == "replicated":
                line += f", {counted(worker.parts, 'part')}, {size_text(worker.bytes)}"
            line += f", {worker.running} running, {worker.waiting} waiting"
        print(line)
    if state.copies:
        print("copies       " + ", ".join(f"{counted(n, 'part')} x {copies}" for copies, n in state.copies.items()))
    if state.keeper:
        print(f"keeper says  {_said(state.keeper)}")


def _copies(number: int) -> str:
    return "1 copy" if number == 1 else f"{number} copies"


def _said(keeper: Any) -> str:
    words = [str(keeper.get("state", ""))]
    detail = keeper.get("detail", {})
    if keeper.get("state") == "degraded":
        words.append(f"{counted(int(detail['parts']), 'part')} with too few copies, the worst with {detail['fewest']}")
    if keeper.get("quiet"):
        words.append("only watching for now")
    if keeper.get("lost"):
        lost = keeper["lost"]
        words.append(f"LOST: {counted(len(lost['parts']), 'part')}, last held by {', '.join(lost['last']) or 'nobody'}")
    if keeper.get("drained"):
        words.append(f"drained: {', '.join(keeper['drained'])}")
    return "; ".join(word for word in words if word)


@cluster.command()
def down(context: typer.Context) -> None:
    """End every process that `up` started, and no other. What they hold stays."""
    terminal: Terminal = context.obj
    from qsky.site.lifecycle import shut_down

    there = shut_down(site_of(terminal), read_settings())
    terminal.say("The cluster is down." if there else "The cluster was down.")


@cluster.command()
def stop(
    context: typer.Context,
    name: Name,
    kill: Annotated[bool, typer.Option("--kill", help="With -9, as if its machine had failed.")] = False,
) -> None:
    """End one process and leave it off."""
    terminal: Terminal = context.obj
    from qsky.site.lifecycle import stop as stop_one

    ran = stop_one(site_of(terminal), name, read_settings(), at_once=kill)
    terminal.say(f"{name} is off." if ran else f"{name} did not run; it stays off.")


@cluster.command()
def start(context: typer.Context, name: Name) -> None:
    """Let a process that was stopped run again."""
    terminal: Terminal = context.obj
    from qsky.site.lifecycle import start as start_one

    start_one(site_of(terminal), name)
    terminal.say(f"{name} runs again.")


@cluster.command()
def drain(
    context: typer.Context,
    name: Name,
    undo: Annotated[bool, typer.Option("--undo", help="It stays.")] = False,
) -> None:
    """Have everything a worker holds copied elsewhere, so that it may leave; `status` says when that is done."""
    terminal: Terminal = context.obj
    from qsky.site.lifecycle import drain as drain_one

    drain_one(site_of(terminal), name, not undo)
    terminal.say(f"{name} stays." if undo else f"{name} is being drained.")


# -- the processes themselves


def supervisor(context: typer.Context) -> None:
    """Run the processes of the root's cluster, in the foreground; `qsky cluster up` does it in the background."""
    from qsky.site.supervisor import Supervisor

    raise typer.Exit(Supervisor(site_of(context.obj), read_settings()).run())


def scheduler(context: typer.Context) -> None:
    """Be the scheduler of the root's cluster, in the foreground."""
    from qsky.site import roles

    raise typer.Exit(roles.scheduler(site_of(context.obj), read_settings()))


def redirector(context: typer.Context, name: Name) -> None:
    """Be a redirector of the root's cluster, in the foreground."""
    from qsky.site import roles

    raise typer.Exit(roles.redirector(site_of(context.obj), name, read_settings(), _told_to_end()))


def worker(context: typer.Context, name: Name) -> None:
    """Be a worker of the root's cluster, in the foreground."""
    from qsky.site import roles

    raise typer.Exit(roles.worker(site_of(context.obj), name, read_settings()))


def keeper(context: typer.Context) -> None:
    """Be the keeper of the root's cluster, in the foreground: it heals, drains and rebalances."""
    from qsky.site.keeping import keep

    raise typer.Exit(keep(site_of(context.obj), read_settings(), _told_to_end()))


def _told_to_end() -> threading.Event:
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    return told


COMMANDS: Final = {
    "supervisor": supervisor,
    "scheduler": scheduler,
    "redirector": redirector,
    "worker": worker,
    "keeper": keeper,
}
