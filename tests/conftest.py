"""What tests share: the real catalogues that lie beside the repository, one MariaDB server, statements written by hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import transports
from tests.mariadb import mariadb
from tests.transports import _transport

__all__ = [
    "_transport",
    "any_words",
    "mariadb",
    "pytest_addoption",
    "pytest_configure",
    "pytest_pyfunc_call",
    "shared_data",
]

_OWN_PROCESS = "TESTS_OWN_PROCESS"
_OWN_PROCESS_SECONDS = 240
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


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test marked `own_process` runs in one, without coverage: a Ctrl-C inside coverage's lock leaves it locked for ever."""
    if pyfuncitem.get_closest_marker("own_process") is None or _OWN_PROCESS in os.environ:
        return None
    command = [sys.executable, "-m", "pytest", "-p", "no:cov", "-p", "no:xdist", "-p", "no:cacheprovider", "-o"]
    command += ["addopts=--import-mode=importlib", "-q", pyfuncitem.nodeid]
    done = subprocess.run(
        command,
        cwd=pyfuncitem.config.rootpath,
        env={**os.environ, _OWN_PROCESS: "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_OWN_PROCESS_SECONDS,
    )
    if done.returncode != 0:
        pytest.fail(f"in a process of its own:\n{done.stdout[-8000:]}{done.stderr[-2000:]}", pytrace=False)
    return True
