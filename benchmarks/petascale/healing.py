"""The real keeper over many hosts: what it moves after some are lost, and how long it takes."""

from __future__ import annotations

import heapq
import resource
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from qsky.cluster.keeper import Keeper
from qsky.cluster.orders import (
    AskInventory,
    Event,
    HostSeen,
    HostSilent,
    Inventory,
    LeaseHeld,
    OrderDone,
    OrderFailed,
    Pull,
    Tick,
    Wanted,
    WantedPart,
    WorkerOrder,
)
from qsky.cluster.rebalance import wanted
from qsky.cluster.topology import Host, units_of
from qsky.config import Settings

_STEP_S_MAX = 30.0
_STEPS_MAX = 10_000


class Machines:
    """Hosts whose network gives each fetch an equal share; disks that hold what they were told."""

    def __init__(self, hosts: list[Host], rate: float, moves_max: int) -> None:
        self.disks: dict[str, dict[str, int]] = {host.name: {} for host in hosts}
        self.seconds_each_byte = moves_max / rate
        self.now = 0.0
        self.moved = 0
        self.dead: set[str] = set()
        self._under_way: list[tuple[float, int, Pull]] = []

    @property
    def busy(self) -> bool:
        """Whether bytes are on their way."""
        return bool(self._under_way)

    def take(self, order: WorkerOrder) -> Event | None:
        """What a host answers at once; a fetch is answered when its bytes are there."""
        if isinstance(order, Pull):
            done_at = self.now + order.bytes * self.seconds_each_byte
            heapq.heappush(self._under_way, (done_at, order.number, order))
            return None
        return None if order.on in self.dead else OrderDone(order.epoch, order.number, 0)

    def arrived(self) -> list[Event]:
        """The fetches that are over."""
        events: list[Event] = []
        while self._under_way and self._under_way[0][0] <= self.now:
            _, number, order = heapq.heappop(self._under_way)
            if order.on in self.dead:
                continue
            if order.sources[0] in self.dead and len(order.sources) == 1:
                events.append(OrderFailed(order.epoch, number, 0, "source"))
                continue
            self.disks[order.on][order.part] = order.bytes
            self.moved += order.bytes
            events.append(OrderDone(order.epoch, number, 0))
        return events


def _sky(chunks: int, petabytes: float, order: int) -> list[WantedPart]:
    """One part stands for all parts of a chunk."""
    units = units_of("dr", [], order)
    each = int(petabytes * 1e15 / chunks)
    step = len(units) / chunks
    path = "public/dr/object.hats/source/g0001/dataset/Norder=9/Dir=0/Npix={0}/load-{0:07d}-0123456789abcdef.parquet"
    names = units.names()
    return [WantedPart(path.format(i), each, names[int(i * step)]) for i in range(chunks)]


def _settings(replicas: int, part_bytes: int) -> Settings:
    return Settings(
        replicas=replicas, keeper_bytes_in_flight_max=max(1 << 50, part_bytes), keeper_inventory_seconds=1e6,
        scrub_bytes_per_second=0, keeper_order_seconds_max=1e6, keeper_retry_seconds=60,
    )  # fmt: skip


def measure_healing(
    chunks: int, petabytes: float, hosts: list[Host], replicas: int, lost: int, rate: float
) -> dict[str, Any]:
    """Loses `lost` hosts at once; `rate` is bytes a second of one host's network and disk."""
    parts = _sky(chunks, petabytes, Settings().placement_order)
    settings = _settings(replicas, parts[0].bytes)
    keeper, machines = Keeper(settings), Machines(hosts, rate, settings.keeper_moves_max)
    _fill(machines.disks, parts, hosts, settings)
    began = time.process_time()
    for event in (*map(HostSeen, hosts), Wanted("public/dr", parts), LeaseHeld(1)):
        keeper.handle(event)
    step_s = min(_STEP_S_MAX, parts[0].bytes * machines.seconds_each_byte / 2)  # who is done must not wait for a tick
    while machines.now <= settings.keeper_quiet_seconds + 2 * _STEP_S_MAX:
        _step(keeper, machines, _STEP_S_MAX)
    started_s = time.process_time() - began
    gone = [host.name for host in hosts[:: max(len(hosts) // lost, 1)]][:lost]
    gone_bytes = sum(sum(machines.disks[name].values()) for name in gone)
    machines.dead.update(gone)
    machines.moved, at, began, slowest = 0, machines.now, time.process_time(), 0.0
    for name in gone:
        keeper.handle(HostSilent(name))
    steps, noticed_s = 0, settings.worker_lost_seconds + 90
    while steps < _STEPS_MAX and (machines.now - at < noticed_s or machines.busy or not _healthy(keeper)):
        slowest = max(slowest, _step(keeper, machines, step_s))
        steps += 1
    return {
        "chunks": chunks, "lost": lost, "lost_bytes": gone_bytes, "moved_bytes": machines.moved,
        "heal_s": machines.now - at, "started_cpu_s": started_s, "cpu_s": time.process_time() - began,
        "slowest_tick_s": slowest, "healthy": _healthy(keeper),
        "missing": sum(not part.holders for part in keeper.holdings.parts.values()),
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def _fill(disks: Mapping[str, dict[str, int]], parts: list[WantedPart], hosts: list[Host], settings: Settings) -> None:
    units = sorted({part.unit for part in parts})
    sizes = dict.fromkeys(units, 0)
    for part in parts:
        sizes[part.unit] += part.bytes
    lists = wanted(units, np.array(list(sizes.values())), hosts, settings.replicas, settings.placement_slack).lists()
    holders = dict(zip(units, lists, strict=True))
    for part in parts:
        for host in holders[part.unit]:
            disks[host][part.name] = part.bytes


def _healthy(keeper: Keeper) -> bool:
    short = (part for part in keeper.holdings.parts.values() if part.holders)
    return all(len(part.holders) >= keeper.settings.replicas for part in short) and not keeper.holdings.changed


def _step(keeper: Keeper, machines: Machines, seconds: float) -> float:
    machines.now += seconds
    for event in machines.arrived():
        keeper.handle(event)
    began = time.process_time()
    orders = keeper.handle(Tick(machines.now))
    spent = time.process_time() - began
    for order in orders:
        if isinstance(order, AskInventory) and order.on not in machines.dead:
            keeper.handle(Inventory(order.on, 0, machines.disks[order.on], order.number))
        elif isinstance(order, WorkerOrder):
            answer = machines.take(order)
            if answer is not None:
                keeper.handle(answer)
    return spent
