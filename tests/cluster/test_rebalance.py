"""Units cover the sphere and hold leaves whole; placement is even, spread, stable, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from qsky.catalog.snapshot import Tiling
from qsky.cluster.rebalance import Placement, wanted
from qsky.cluster.topology import Host, Units, everywhere, hashes_of, is_everywhere, units_of
from qsky.sky.healpix import CELLS_29, Ints


def random_tiling(rng: np.random.Generator, deepest: int) -> Tiling:
    leaves = [(0, npix) for npix in range(12)]
    for _ in range(60):
        order, npix = leaves.pop(int(rng.integers(len(leaves))))
        deeper = [(order + 1, 4 * npix + i) for i in range(4)] if order < deepest else [(order, npix)]
        leaves.extend(deeper)
    leaves.sort(key=lambda leaf: leaf[1] << (2 * (29 - leaf[0])))
    orders, npix_of = zip(*leaves, strict=True)
    return Tiling(np.array(orders, dtype=np.uint8), np.array(npix_of, dtype=np.int64))


@pytest.mark.parametrize("seed", range(20))
def test_units_hold_every_leaf_of_every_tiling_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tilings = [random_tiling(rng, 5) for _ in range(int(rng.integers(0, 4)))]
    units = units_of("sky", tilings, int(rng.integers(0, 6)))
    for tiling in tilings:
        of = units.of_leaves(tiling.orders, tiling.npix)
        last = units.cells.leaf_of(tiling.ends - 1)
        assert np.array_equal(of, last), "a leaf lies in one unit"
        assert units.of_leaf(int(tiling.orders[0]), int(tiling.npix[0])) == of[0]
    assert units.names()[3] == units.name(3)


def test_units_are_the_fixed_cells_but_for_coarser_leaves() -> None:
    flat = Tiling(np.full(48, 1, dtype=np.uint8), np.arange(48))
    assert len(units_of("sky", [], 2)) == 192
    assert len(units_of("sky", [flat], 0)) == 12
    coarse = Tiling(np.array([0] * 12, dtype=np.uint8), np.arange(12))
    assert units_of("sky", [flat, coarse], 2).names() == [f"sky/0/{i}" for i in range(12)]
    assert units_of("sky", [flat], 2).cells.ends[-1] == CELLS_29


def test_everywhere_is_no_unit_of_sky() -> None:
    assert is_everywhere(everywhere("sky"))
    assert not any(map(is_everywhere, units_of("sky", [], 0).names()))


def hosts(count: int, zones: int = 0) -> list[Host]:
    return [Host(f"w{i}", f"z{i % zones}" if zones else "") for i in range(count)]


def heavy(units: Units | int, seed: int = 1) -> Ints:
    count = units if isinstance(units, int) else len(units)
    return (np.random.default_rng(seed).lognormal(0, 0.7, count) * 1e6).astype(np.int64)


NAMES = hashes_of([f"sky/6/{i}" for i in range(6000)])
SIZES = heavy(6000)


def moved(before: Placement, after: Placement) -> float:
    """Bytes that hosts must fetch, over those of the least possible."""
    names = np.array([*before.hosts, ""])[before.chosen], np.array([*after.hosts, ""])[after.chosen]
    new = ~(names[1][:, :, None] == names[0][:, None, :]).any(axis=2)
    return float((new.sum(axis=1) * SIZES).sum())


@pytest.mark.parametrize("zones", [0, 2, 5])
def test_placement_is_even_spread_and_the_same_every_time(zones: int) -> None:
    there = hosts(20, zones)
    placement = wanted(NAMES, SIZES, there, 3, 0.05)
    assert placement.chosen.min() >= 0
    rows = np.sort(placement.chosen, axis=1)
    assert (rows[:, 1:] != rows[:, :-1]).all(), "copies lie on different hosts"
    assert (placement.loads <= placement.bounds + SIZES.max()).all()
    assert placement.loads.min() > 0.8 * placement.loads.mean()
    zone = np.array([host.zone for host in sorted(there, key=lambda h: (h.zone, h.name))])
    different = np.array([len(set(zone[row])) for row in placement.chosen])
    assert zones == 0 or (different == min(zones, 3)).mean() > 0.999
    again = wanted(NAMES, SIZES, there[::-1], 3, 0.05)
    assert again.hosts == placement.hosts and np.array_equal(again.chosen, placement.chosen)


@pytest.mark.parametrize("zones", [0, 5])
def test_few_bytes_move_when_a_host_comes_or_goes(zones: int) -> None:
    many, fewer = wanted(NAMES, SIZES, hosts(50, zones), 3), wanted(NAMES, SIZES, hosts(49, zones), 3)
    least = many.loads[many.hosts.index("w49")]
    assert moved(many, fewer) < 1.5 * least
    assert moved(fewer, many) < 1.5 * least


def test_draining_and_dead_hosts_get_nothing() -> None:
    there = [*hosts(4), Host("leaving", draining=True), Host("dead", alive=False)]
    assert wanted(NAMES, SIZES, there, 2).hosts == ("w0", "w1", "w2", "w3")


def test_bytes_follow_capacity() -> None:
    there = [Host("small", capacity_bytes=10), *(Host(f"w{i}", capacity_bytes=30) for i in range(6))]
    loads = dict(zip(*((p := wanted(NAMES, SIZES, there, 2)).hosts, p.loads), strict=True))
    assert 0.2 < loads["small"] / loads["w0"] < 0.45


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_hosts_than_copies(count: int) -> None:
    placement = wanted(["a", "b"], np.array([5, 5]), hosts(count), 3)
    assert [len(placement.of_unit(i)) for i in range(2)] == [count, count]
    assert placement.lists()[0] == placement.of_unit(0)


def test_few_heavy_units_are_shared_out() -> None:
    placement = wanted([f"u{i}" for i in range(12)], np.full(12, 100), hosts(4), 2, 0.05)
    assert placement.loads.max() <= 700 and placement.chosen.min() >= 0


def test_nothing_to_place() -> None:
    assert wanted([], np.array([]), hosts(3), 2).chosen.shape == (0, 2)
