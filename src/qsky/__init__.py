"""Qsky: SQL for the whole sky. `connect` opens a database folder; everything else hangs on what it gives.

Names are looked up when first used, so that `import qsky` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qsky.version import VERSION

if TYPE_CHECKING:
    from qsky.errors import QskyError
    from qsky.wire import connect

__all__ = ["QskyError", "__version__", "connect"]

__version__ = VERSION


def __getattr__(name: str) -> object:
    if name == "connect":
        from qsky.wire import connect

        return connect
    if name == "QskyError":
        from qsky.errors import QskyError

        return QskyError
    raise AttributeError(f"module 'qsky' has no attribute {name!r}")
