"""Which chunks share a fragment."""

from __future__ import annotations

import numpy as np
import pytest

from .paper_sky import planned

MIB = 1 << 20


@pytest.mark.parametrize("order", [-1, 0, 1])
def test_no_fragment_reaches_beyond_a_cell(order: int) -> None:
    plan = planned(
        "SELECT COUNT(mag) FROM obj WHERE mag > 1", fragment_cell_order=order, fragment_bytes_target=3000 * MIB
    )
    (scan,) = plan.scans
    shift = 2 * (29 - max(order, 0))
    cells = [np.unique(batch.starts >> shift) for batch in (scan.batches[n] for n in range(len(scan.batches)))]
    whole = sum(len(scan.batches[n].starts) for n in range(len(scan.batches)))
    assert whole == 48, "every chunk is in one fragment"
    if order < 0:
        assert max(map(len, cells)) > 1
    else:
        assert set(map(len, cells)) == {1}
