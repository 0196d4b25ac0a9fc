"""The faults, each a value: its name, what strikes, what mends. Each strike gives the mending of what it broke.

They strike the world at a random moment while it is being asked; `runner` sees to that.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qsky.errors import QskyError
from qsky.site.lifecycle import start, stop
from tests.faults.world import World, environment, is_bad, run_qsky, until

Mend = Callable[[], None]
_BALLOON = "balloon"


@dataclass(frozen=True)
class Fault:
    """`strike` breaks something and gives what makes it whole again.

    `heals` says that copies come back before that; `by_itself` that nobody has to mend anything.
    """

    name: str
    strike: Callable[[World], Mend]
    heals: bool = False
    by_itself: bool = False
    needs: Callable[[World], str] = lambda world: ""


def _nothing() -> None: ...


def _kill_worker(world: World) -> Mend:
    """The process alone, as when memory runs out: its daemons live on without it."""
    os.kill(world.pid(world.a_worker()), signal.SIGKILL)
    return _nothing


def _lose_worker(world: World) -> Mend:
    """Everything on its machine, and it stays away."""
    name = world.a_worker()
    stop(world.site, name, world.settings, at_once=True)
    return lambda: start(world.site, name)


def _lose_two(world: World) -> Mend:
    names = world.random.sample(world.workers_here(), 2)
    for name in names:
        stop(world.site, name, world.settings, at_once=True)

    def mend() -> None:
        for name in names:
            start(world.site, name)

    return mend


def _stop_worker(world: World) -> Mend:
    pid = world.pid(world.a_worker())
    os.kill(pid, signal.SIGSTOP)

    def mend() -> None:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return

    return mend


def _kill_daemon(program: str) -> Callable[[World], Mend]:
    def strike(world: World) -> Mend:
        name = world.a_worker()
        pid = world.daemon(name, program)
        os.kill(pid, signal.SIGKILL)

        def mend() -> None:
            until(lambda: world.daemon(name, program) != pid, 60, f"another {program} of {name}")

        return mend

    return strike


def _kill_redirector(world: World) -> Mend:
    name = world.random.choice(world.site.redirectors).name
    stop(world.site, name, world.settings, at_once=True)
    return lambda: start(world.site, name)


def _kill_scheduler(world: World) -> Mend:
    os.kill(world.pid("scheduler"), signal.SIGKILL)
    return _nothing


def _cut_off(world: World) -> Mend:
    """Nothing reaches a machine any more, and nothing says so."""
    assert world.network is not None
    world.network.cut()
    return world.network.heal


def _fill_disk(world: World) -> Mend:
    """No byte is left for a worker; a load that comes now says so, and nothing of it is seen."""
    path = world.mounted[0] / _BALLOON
    _blow_up(path)
    try:
        done = load(world, "full")
        if done.returncode != 0:
            assert "Traceback" not in done.stderr and "disk-full" in done.stderr, done.stderr
    finally:
        _blow_up(path)

    def mend() -> None:
        path.unlink()
        drop(world, "full")

    return mend


def _blow_up(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        for block in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(block))
            except OSError as error:
                assert error.errno == errno.ENOSPC


def _needs_disk(world: World) -> str:
    return "" if world.mounted else "mounting is not permitted here"


def _corrupt(world: World) -> Mend:
    """Some bytes of one copy become others."""
    path = world.random.choice(list(world.copies_at(world.a_worker())))
    with path.open("r+b") as file:
        at = world.random.randrange(path.stat().st_size)
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0xFF]))
    return lambda: _until_replaced(path)


def _until_replaced(path: Path) -> None:
    until(lambda: not is_bad(path), 90, f"the bad copy {path} is put aside")


def _kill_coordinator(world: World) -> Mend:
    """A load ends in the middle. Another one of the same name then goes through, and all of it is there."""
    command = [sys.executable, "-m", "qsky", "--root", str(world.root), *_load_words(world, "again")]
    loading = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(world.random.uniform(0.5, 8))
    loading.kill()
    loading.wait()

    def mend() -> None:
        _check_whole(world, "again")
        drop(world, "again")
        done = load(world, "again")
        assert done.returncode == 0, done.stderr
        assert _check_whole(world, "again"), "the second load went through, and nothing is there"
        drop(world, "again")

    return mend


def _load_words(world: World, database: str) -> list[str]:
    words = ["load", str(world.files / "object-00000.parquet"), "--into", f"{database}.object", "--director"]
    return [*words, "--key", "objectId", "--ra", "coord_ra", "--dec", "coord_dec"]


def load(world: World, database: str) -> subprocess.CompletedProcess[str]:
    return run_qsky(world.root, *_load_words(world, database))


def drop(world: World, database: str) -> None:
    if database in world.sky.databases():
        world.sky.drop(f"{database}.object")


def _check_whole(world: World, database: str) -> bool:
    """Whether there is such a table; if so, all of it."""
    try:
        found = world.sky.sql(f"SELECT COUNT(*) FROM {database}.object").scalar()
    except QskyError as error:
        assert error.code.name == "unknown-name", error
        return False
    wanted = world.sky.sql("SELECT COUNT(*) FROM sky.object").scalar()
    assert found == wanted, f"{found} of {wanted} rows of a load are seen"
    return True


FAULTS = (
    Fault("kill -9 a worker", _kill_worker, by_itself=True),
    Fault("a worker's machine is lost", _lose_worker, heals=True),
    Fault("SIGSTOP a worker", _stop_worker, heals=True),
    Fault("kill xrootd", _kill_daemon("xrootd"), by_itself=True),
    Fault("kill cmsd", _kill_daemon("cmsd"), by_itself=True),
    Fault("kill one of two redirectors", _kill_redirector),
    Fault("kill the scheduler", _kill_scheduler, by_itself=True),
    Fault("cut a host off", _cut_off, heals=True, needs=lambda world: "" if world.network else world.no_network),
    Fault("fill a disk", _fill_disk, needs=_needs_disk),
    Fault("corrupt a part", _corrupt, by_itself=True),
    Fault("kill the coordinator during a load", _kill_coordinator),
    Fault("lose two of four workers", _lose_two),
)
