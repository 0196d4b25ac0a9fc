"""Where the engines of tests run their fragments: in this process, or with `--transport dask` on a cluster of processes."""

from __future__ import annotations

import pytest

from qsky.dispatch.local import LocalTransport
from qsky.engine import Engine


def local_of(engine: Engine) -> LocalTransport:
    """The worker in this process that a test looks into; skips where there is none."""
    if not isinstance(engine._transport, LocalTransport):
        pytest.skip("looks into a worker of this process")
    return engine._transport
