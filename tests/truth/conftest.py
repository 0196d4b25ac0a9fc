"""The known answers, and the skies they are asked of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.truth.catalogues import Cut, TruthSky

Skies = Callable[[Cut], TruthSky]


@pytest.fixture(scope="session")
def truth(shared_data: Path) -> dict[str, Any]:
    """The answers by id."""
    entries = json.loads((shared_data / "truth.json").read_text())
    return {entry["id"]: entry["answer"] for entry in entries}


@pytest.fixture(scope="session")
def skies(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Skies:
    """The sky of a cut, one for the whole session."""
    made: dict[str, TruthSky] = {}

    def sky_of(cut: Cut) -> TruthSky:
        if cut.name not in made:
            made[cut.name] = TruthSky(shared_data, tmp_path_factory.mktemp("truth") / cut.name, cut)
        return made[cut.name]

    return sky_of
