"""Where the engines of tests run their fragments: in this process, or with `--transport dask` on a cluster of processes.

`pytest --transport dask tests/engine` starts a cluster once and runs unchanged tests on it: every Engine that is made
without a transport gets one of the cluster. The workers read any path, as if all machines shared one root.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qsky.config import Settings
from qsky.dispatch.local import LocalTransport
from qsky.engine import Engine
from qsky.worker.ducks import Ducks


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--transport", choices=("local", "dask"), default="local", help="where engines run their fragments"
    )


@pytest.fixture(scope="session", autouse=True)
def _transport(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if request.config.getoption("--transport") == "local":
        yield
        return
    from qsky.dispatch.dask import DaskTransport
    from tests.dask_cluster import QUICK, Cluster

    cluster = Cluster(tmp_path_factory.mktemp("cluster"), Settings(**{**QUICK, "worker_silence_seconds": 15.0}))
    with pytest.MonkeyPatch.context() as patch:
        try:
            link = cluster.up().link()
            link.wait_for_workers(3, 30)

            def on_cluster(settings: Settings, ducks: Ducks) -> DaskTransport:
                return DaskTransport(link, Path("/"))

            patch.setattr("qsky.engine.LocalTransport", on_cluster)
            yield
        finally:
            cluster.down()


def local_of(engine: Engine) -> LocalTransport:
    """The worker in this process that a test looks into; skips where there is none."""
    if not isinstance(engine._transport, LocalTransport):
        pytest.skip("looks into a worker of this process")
    return engine._transport
