"""A thousand simulated clusters: nothing is lost by a keeper, nothing judged in quiet time, and everything settles."""

from __future__ import annotations

import pytest

from tests.cluster.faults import simulate

_SHARE = 100  # seeds in every run of the tests; the rest are long


@pytest.mark.parametrize("block", range(4))
def test_clusters_from_seeds(block: int) -> None:
    for seed in range(block * _SHARE // 4, (block + 1) * _SHARE // 4):
        simulate(seed)


@pytest.mark.long
@pytest.mark.parametrize("block", range(18))
def test_more_clusters_from_seeds(block: int) -> None:
    for seed in range(_SHARE + block * 50, _SHARE + (block + 1) * 50):
        simulate(seed)


def test_faults_do_happen() -> None:
    """The cluster is not merely lucky: parts move, and both keepers have held the lease."""
    world, _ = simulate(3)
    assert world.moved > 0 and world.epoch > 1
