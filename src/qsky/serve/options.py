"""How to serve, as a value, and whether the packages that serve are there. Imports nothing heavy: the command line needs it.

Called by `wire`, `cli` and whoever makes a server of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from qsky.errors import QskyError

LogFormat = Literal["text", "json", "none"]

# Asked for each part: the address at which a client finds it, or None if it lies in the root. The part's name is its
# path relative to the root. It may block (it runs in a thread of its own) and may raise QskyError, which is 503.
Where = Callable[[str], str | None]

_PACKAGES: Final = ("starlette", "uvicorn", "prometheus_client")


@dataclass(frozen=True)
class ServeOptions:
    """Where to listen, and how to talk. Port 0 is any free one; a certificate makes it https."""

    host: str = "127.0.0.1"
    port: int = 8080
    certificate: Path | None = None
    key: Path | None = None  # None: it is in the certificate's file
    log: LogFormat = "text"


def assert_installed() -> None:
    """Raise not-installed unless everything that serving imports is there."""
    missing = [name.replace("_", "-") for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise QskyError(
            "not-installed",
            f"Serving needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            hint="pip install 'qsky[serve]'",
        )
