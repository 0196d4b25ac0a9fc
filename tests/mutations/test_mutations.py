"""The simulations have teeth: each defect that is put into the code is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutations import of_dispatch, of_keeper
from tests.mutations.trial import Mutation, noticed


def _about(mutation: Mutation) -> str:
    return mutation.about


@pytest.mark.long
@pytest.mark.parametrize("mutation", of_dispatch.MUTATIONS, ids=_about)
def test_the_dispatch_simulation_notices(mutation: Mutation, tmp_path: Path) -> None:
    assert noticed(mutation, "dispatch", "tests.dispatch.simulated", 1000, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("mutation", of_keeper.MUTATIONS, ids=_about)
def test_the_keeper_simulation_notices(mutation: Mutation, tmp_path: Path) -> None:
    assert noticed(mutation, "cluster", "tests.cluster.faults", 300, tmp_path)
