"""Plain limits of ra and dec as boxes: whatever passes the predicate lies in the cover, however ra is counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qsky.catalog.model import Attached
from qsky.plan.axes import OnAxis, boxes
from qsky.plan.model import Ref
from qsky.sky.healpix import cells_of

from .paper_sky import SNAPSHOTS

OBJ = Ref("obj", SNAPSHOTS["obj"], ())
ATTACHED = Ref("obj", replace(SNAPSHOTS["obj"], table=replace(OBJ.table, attached=Attached("x"))), ())


def passing(facts: list[OnAxis], ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    keep = np.ones(len(ra), bool)
    for fact in facts:
        values = ra if fact.axis == "ra" else dec
        keep &= np.any([(values >= low) & (values <= high) for low, high in fact.spans], axis=0)
    return keep


@pytest.mark.parametrize("ref", [OBJ, ATTACHED], ids=["own", "attached"])
def test_nothing_that_passes_is_left_out(ref: Ref) -> None:
    rng = np.random.default_rng(3)
    low_ra = -180.0 if ref.table.attached else 0.0
    for _ in range(60):
        ra, dec = rng.uniform(low_ra, low_ra + 360, 400), np.degrees(np.arcsin(rng.uniform(-1, 1, 400)))
        ends = np.sort(rng.choice([*ra, -np.inf, np.inf, 0.0, 360.0], 4)).tolist()
        decs = np.sort(rng.choice([*dec, -90.0, 90.0, np.inf], 2)).tolist()
        spans = ((ends[0], ends[1]), (ends[2], ends[3])) if rng.random() < 0.5 else ((ends[1], ends[2]),)
        facts = [OnAxis("obj", "ra", spans), OnAxis("obj", "dec", ((decs[0], decs[1]),))]
        keep, found = passing(facts, ra, dec), boxes(facts, ref)
        if found is None:
            continue
        cells, inside = cells_of(ra % 360.0, dec), np.zeros(400, bool)
        for starts, stops in (box.cover() for box in found):
            at = np.searchsorted(starts, cells, side="right") - 1
            inside |= (at >= 0) & (cells < stops[np.maximum(at, 0)]) if len(starts) else False
        assert not (keep & ~inside).any(), facts


def test_one_end_says_nothing_of_an_attached_catalogue() -> None:
    """There ra may run from -180, so that rows at ra -1 lie beside those at ra 359."""
    facts = [OnAxis("obj", "ra", ((-np.inf, 10.0),))]
    assert boxes(facts, ATTACHED) is None and boxes(facts, OBJ) is not None
