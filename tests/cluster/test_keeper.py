"""The keeper's rules one by one, with workers that do at once what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field

from qsky.cluster.keeper import Keeper
from qsky.cluster.orders import (
    AskInventory,
    Degraded,
    Delete,
    Drain,
    Drained,
    Found,
    Healthy,
    HostSeen,
    HostSilent,
    Inventory,
    LeaseHeld,
    LeaseLost,
    Lost,
    Order,
    OrderDone,
    OrderFailed,
    Pull,
    Quarantine,
    Scrub,
    Tick,
    Verify,
    Wanted,
    WantedPart,
    WorkerOrder,
)
from qsky.cluster.topology import Host, everywhere
from qsky.config import Settings

FOLDER = "public/sky"
SETTINGS = Settings(replicas=2, scrub_bytes_per_second=0)


def part(number: int, size: int = 100, unit: str = "") -> WantedPart:
    return WantedPart(f"{FOLDER}/o.hats/o/load-{number:06d}-{number:08x}.parquet", size, unit or f"sky/6/{number}")


@dataclass
class Cluster:
    """Workers that obey at once; everything ordered is noted."""

    settings: Settings = SETTINGS
    disks: dict[str, dict[str, int]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    fails: dict[tuple[str, str], str] = field(default_factory=dict)
    orders: list[tuple[float, Order]] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.keeper = Keeper(self.settings)

    def start(self, hosts: int, parts: list[WantedPart]) -> None:
        for i in range(hosts):
            self.disks.setdefault(f"w{i}", {})
            self.keeper.handle(HostSeen(Host(f"w{i}")))
        self.keeper.handle(Wanted(FOLDER, parts))
        self.keeper.handle(LeaseHeld(1))

    def run(self, seconds: float) -> list[Order]:
        first = len(self.orders)
        until = self.now + seconds
        while self.now < until:
            self.now += 10
            for order in self.keeper.handle(Tick(self.now)):
                self.orders.append((self.now, order))
                self.obey(order)
        return [order for _, order in self.orders[first:]]

    def obey(self, order: Order) -> None:
        if not isinstance(order, WorkerOrder | AskInventory) or order.on in self.silent:
            return
        disk = self.disks[order.on]
        if isinstance(order, AskInventory):
            self.keeper.handle(Inventory(order.on, 0, dict(disk), order.number))
            return
        why = self.fails.get((type(order).__name__, order.on))
        if why:
            self.keeper.handle(OrderFailed(order.epoch, order.number, 0, why))  # type: ignore[arg-type]
            return
        if isinstance(order, Pull):
            disk[order.part] = order.bytes
        elif isinstance(order, Delete | Quarantine):
            disk.pop(order.part, None)
        self.keeper.handle(OrderDone(order.epoch, order.number, 0))

    def copies(self, wanted: WantedPart) -> int:
        return sum(wanted.name in disk for host, disk in self.disks.items() if host not in self.silent)

    def lose(self, host: str) -> None:
        self.silent.add(host)
        self.keeper.handle(HostSilent(host))


PARTS = [part(i) for i in range(30)]


def settled(hosts: int = 4) -> Cluster:
    cluster = Cluster()
    cluster.disks["w0"] = {p.name: p.bytes for p in PARTS}
    cluster.start(hosts, PARTS)
    cluster.run(900)
    assert all(cluster.copies(p) == 2 for p in PARTS)
    return cluster


def test_nothing_is_done_in_quiet_time_and_everything_after() -> None:
    cluster = Cluster()
    cluster.disks["w0"] = {p.name: p.bytes for p in PARTS}
    cluster.start(4, PARTS)
    early = cluster.run(300)
    assert not [order for order in early if isinstance(order, WorkerOrder)]
    assert Degraded(30, 1, True) in early
    assert Healthy() in cluster.run(600)


def test_without_a_lease_nothing_is_done() -> None:
    cluster = settled()
    cluster.keeper.handle(LeaseLost())
    cluster.lose("w1")
    assert cluster.run(2000) == []


def test_one_lost_worker_heals_after_its_time() -> None:
    cluster = settled()
    at = cluster.now
    cluster.lose("w1")
    cluster.run(1000)
    assert all(cluster.copies(p) == 2 for p in PARTS)
    pulls = [when for when, order in cluster.orders if isinstance(order, Pull) and when > at]
    assert pulls and min(pulls) - at >= SETTINGS.worker_lost_seconds


def test_many_silent_at_once_are_waited_for_and_then_healed() -> None:
    cluster = settled(6)
    cluster.run(100)
    at = cluster.now
    for host in ("w1", "w2"):
        cluster.lose(host)
    cluster.run(200)
    cluster.lose("w3")  # the third of six: quiet begins anew
    cluster.run(1500)
    pulls = [when for when, order in cluster.orders if isinstance(order, Pull) and when > at]
    assert min(pulls) - at >= 200 + SETTINGS.keeper_quiet_seconds


def test_what_is_lost_is_said_and_what_comes_back_too() -> None:
    cluster = settled(3)
    cluster.lose("w1")
    cluster.lose("w2")
    for name in list(cluster.disks["w0"]):
        del cluster.disks["w0"][name]
    said = cluster.run(2000)
    (lost,) = [order for order in said if isinstance(order, Lost)]
    assert len(lost.parts) == 30
    cluster.silent.clear()
    for host in ("w1", "w2"):
        cluster.keeper.handle(HostSeen(Host(host)))
    back = cluster.run(1000)
    assert any(isinstance(order, Found) for order in back) and Healthy() in back


def test_a_copy_goes_only_after_all_that_stay_were_checked() -> None:
    cluster = settled()
    removed = [order for _, order in cluster.orders if isinstance(order, Delete)]
    assert removed
    for delete in removed:
        before = {
            order.on
            for _, order in cluster.orders
            if isinstance(order, Verify | Pull) and order.part == delete.part and order.number < delete.number
        }
        assert len(before - {delete.on}) >= 2


def test_a_worker_that_drains_may_leave_when_all_lies_elsewhere() -> None:
    cluster = settled()
    cluster.keeper.handle(Drain("w0"))
    held = set(cluster.disks["w0"])
    assert Drained("w0") in cluster.run(1000)
    assert held == set(cluster.disks["w0"]), "a copy more does no harm"
    cluster.lose("w0")
    assert all(cluster.copies(p) == 2 for p in PARTS)


def test_a_bad_copy_is_replaced() -> None:
    cluster = Cluster(SETTINGS.with_changes(scrub_bytes_per_second=50))
    cluster.disks["w0"] = {p.name: p.bytes for p in PARTS}
    cluster.start(3, PARTS)
    cluster.run(900)
    cluster.fails[("Scrub", "w1")] = "bad"
    pulled = [order.on for order in cluster.run(60) if isinstance(order, Pull)]
    assert "w1" in pulled
    assert any(isinstance(order, Scrub) for _, order in cluster.orders)


def test_a_copy_of_the_wrong_size_is_no_copy() -> None:
    cluster = settled(3)
    name = next(iter(cluster.disks["w1"]))
    cluster.disks["w1"][name] = 1
    cluster.keeper.handle(Inventory("w1", 1, dict(cluster.disks["w1"])))
    orders = cluster.run(100)
    assert any(isinstance(order, Pull | Verify) and order.part == name and order.on == "w1" for order in orders)


def test_a_full_disk_gets_less() -> None:
    cluster = settled(3)
    cluster.disks["w3"] = {}
    cluster.fails[("Pull", "w3")] = "full"
    cluster.keeper.handle(HostSeen(Host("w3")))
    cluster.run(3000)
    assert all(cluster.copies(p) == 2 for p in PARTS)
    assert len(cluster.disks["w3"]) == 0


def test_strays_of_a_database_nobody_spoke_of_stay() -> None:
    cluster = settled()
    cluster.disks["w1"]["public/other/o-000000-00.parquet"] = 5
    cluster.disks["w1"][f"{FOLDER}/o-000000-00.parquet"] = 5
    orders = cluster.run(90_000)
    assert [o.part for o in orders if isinstance(o, Quarantine)] == [f"{FOLDER}/o-000000-00.parquet"]


def test_replicated_tables_lie_on_every_worker() -> None:
    whole = part(99, unit=everywhere("sky"))
    cluster = Cluster()
    cluster.disks["w0"] = {whole.name: whole.bytes}
    cluster.start(4, [whole])
    assert Healthy() in cluster.run(900)
    assert cluster.copies(whole) == 4
