"""What all tests share: the real catalogues that lie beside the repository, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real catalogues. Absent on a user's machine: skip; present but wrong: fail."""
    if not SHARED.is_dir():
        pytest.skip("the real catalogues (../shared/data) are not on this machine")
    missing = [name for name in ("truth.json", "hip2", "asas_acvs", "openngc") if not (SHARED / name).exists()]
    assert not missing, f"../shared/data is there but lacks {missing}"
    return SHARED


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-goldens", action="store_true", help="write what comes out into the golden files")
