"""Queries from seeds: lost workers, failures, late and double pieces, copies, cancels, deadlines."""

from __future__ import annotations

import pytest

from tests.dispatch.simulated import simulate


@pytest.mark.parametrize("block", range(10))
def test_queries_from_seeds(block: int) -> None:
    clusters = [simulate(seed) for seed in range(block * 100, block * 100 + 100)]
    assert {type(cluster.end).__name__ for cluster in clusters} == {"Done", "Fail"}
    assert sum(cluster.copies for cluster in clusters) > 5, "second attempts were made"
