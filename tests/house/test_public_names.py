"""The public face: exactly the names meant, and an import that costs nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import qsky


def test_public_names_are_those_meant() -> None:
    assert sorted(qsky.__all__) == ["QskyError", "__version__", "connect"]
    assert all(getattr(qsky, name) for name in qsky.__all__)
    assert not hasattr(qsky, "nothing_of_that_name")


def test_version_is_the_installed_one() -> None:
    assert qsky.__version__ == version("qsky")


def test_import_loads_nothing_heavy() -> None:
    heavy = "duckdb pyarrow numpy astropy sqlglot deltalake typer"
    code = f"import sys, qsky; sys.exit(' '.join(set('{heavy}'.split()) & set(sys.modules)) or 0)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
