"""What goes wrong in a simulated cluster, and what must be true once nothing does any more."""

from __future__ import annotations

from tests.cluster.simulated import STEP, Worker, World

FAULT_STEPS = 150
SETTLE_STEPS = 260


def maybe_fault(world: World) -> None:
    """One thing that happens to clusters, or none."""
    rng = world.rng
    dice = rng.random()
    name = rng.choice(sorted(world.workers))
    worker = world.workers[name]
    if dice < 0.03:
        lose_disk(world, name, worker)
    elif dice < 0.06:
        worker.up = False
    elif dice < 0.075:
        for other in rng.sample(sorted(world.workers), len(world.workers) // 2):
            world.workers[other].up = False
    elif dice < 0.20:
        worker.up = True
    elif dice < 0.32:
        corrupt(world, name, worker)
    elif dice < 0.36:
        rng.choice(world.desks).paused_until = world.now + rng.randint(2, 30) * STEP
    elif dice < 0.375 and len(world.draining) < len(world.workers) - world.settings.replicas:
        world.draining.add(name)
    elif dice < 0.41:
        world.undrain(name)
    elif dice < 0.43 and len(world.wanted) < 20:
        world.load()
    elif dice < 0.48 and world.loading:
        world.publish()
    elif dice < 0.49:
        world.vacuum()
    elif dice < 0.51:
        worker.slow = not worker.slow
    elif dice < 0.53:
        worker.capacity = rng.choice((80, 1 << 40))


def lose_disk(world: World, name: str, worker: Worker) -> None:
    """A machine is gone with its disk; it may come back with an empty one."""
    parts = [part for part in world.wanted if worker.good(part)]
    loading = {part.name for _, parts in world.loading.values() for part in parts}
    if world.may_harm(name, parts) and not loading & worker.disk.keys():
        worker.disk.clear()
        worker.serial += 1
        worker.up = world.rng.random() < 0.3


def corrupt(world: World, name: str, worker: Worker) -> None:
    """A bit flips, and nobody knows."""
    parts = [part for part in sorted(worker.disk) if part in world.wanted and worker.good(part)]
    if parts:
        part = world.rng.choice(parts)
        if world.may_harm(name, [part]):
            size = worker.disk[part][0]
            worker.disk[part] = world.rng.choice((size, size, size - 1)), False
            worker.serial += worker.disk[part][0] != size


def unsettled(world: World) -> list[str]:
    """What is not as it should be."""
    found = []
    able = [name for name, worker in world.workers.items() if worker.up and name not in world.draining]
    for name, part in world.wanted.items():
        most = len(able) if part.unit.endswith("*") else min(world.settings.replicas, len(able))
        there = [host for host in able if world.workers[host].good(name)]
        if len(there) != most:
            found.append(f"{name} lies on {there} instead of {most} of {able}")
    for host, worker in world.workers.items():
        bad = [part for part, (_, good) in worker.disk.items() if not good and part in world.wanted]
        strays = [part for part in worker.disk if part in world.vacuumed]
        found.extend(f"{host} has bad {bad}" for _ in range(bool(bad and worker.up)))
        found.extend(f"{host} has stray {strays}" for _ in range(bool(strays and worker.up)))
    return found


def simulate(seed: int) -> tuple[World, int]:
    """A cluster with faults, then one without; the world and the steps it took to settle.

    Raises AssertionError on the first thing that must never happen.
    """
    world = World(seed)
    for _ in range(FAULT_STEPS):
        maybe_fault(world)
        world.step()
    if world.loading:
        world.publish()
    dead = [name for name, worker in world.workers.items() if not worker.up and not worker.disk]
    for name, worker in world.workers.items():
        worker.up = name not in dead[: len(world.workers) - world.settings.replicas]
        worker.slow, worker.capacity = False, 1 << 40
    for desk in world.desks:  # whoever is told to look will find what is bad
        desk.keeper.settings = world.settings.with_changes(scrub_bytes_per_second=2)
    survive = {part for part in world.wanted if world.copies(part)}
    for steps in range(SETTLE_STEPS):
        world.step()
        if steps % 10 == 9 and not unsettled(world):
            check_end(world, survive)
            return world, steps
    raise AssertionError("\n".join(unsettled(world)))


def check_end(world: World, survive: set[str]) -> None:
    assert survive == set(world.wanted), "something is lost that faults had left a copy of"
