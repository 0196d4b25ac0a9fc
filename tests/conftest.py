"""What tests share: the real catalogues that lie beside the repository, one MariaDB server, statements written by hand."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests import transports
from tests.mariadb import mariadb
from tests.transports import _transport

__all__ = ["_transport", "any_words", "mariadb", "pytest_addoption", "pytest_configure", "shared_data"]

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real catalogues. Absent on a user's machine: skip; present but wrong: fail."""
    if not SHARED.is_dir():
        pytest.skip("the real catalogues (../shared/data) are not on this machine")
    missing = [name for name in ("truth.json", "hip2", "asas_acvs", "openngc") if not (SHARED / name).exists()]
    assert not missing, f"../shared/data is there but lacks {missing}"
    return SHARED


@pytest.fixture
def any_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """For statements written by hand, of whatever takes long or fails: the words of the second wall are not asked."""
    for module in ("qsky.worker.execute", "qsky.merge"):
        monkeypatch.setattr(f"{module}.only_known_words", str)


def pytest_configure() -> None:
    """A shell starts what runs in the background with Ctrl-C ignored, and the tests of Ctrl-C would wait for ever."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-goldens", action="store_true", help="write what comes out into the golden files")
    transports.pytest_addoption(parser)
