"""One cluster of three workers for the tests that leave it as it was; those that break things make their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest

from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.dispatch.dask import DaskTransport
from qsky.engine import Engine
from tests.dask_cluster import QUICK, Cluster
from tests.engine.conftest import make_sky
from tests.engine.made_sky import MadeSky

MakeCluster = Callable[..., Cluster]


@pytest.fixture(scope="session")
def make_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeCluster]:
    """Clusters with settings of their own."""
    with ExitStack() as stack:

        def make(workers: int = 3, **settings: Any) -> Cluster:
            made = Cluster(tmp_path_factory.mktemp("cluster"), Settings(**{**QUICK, **settings}), any_words=True)
            stack.callback(made.down)
            return made.up(workers)

        yield make


@pytest.fixture(scope="session")
def cluster(make_cluster: MakeCluster) -> Cluster:
    made = make_cluster()
    made.link().wait_for_workers(3, 30)
    return made


@pytest.fixture
def transport(cluster: Cluster) -> Iterator[DaskTransport]:
    made = DaskTransport(cluster.links[0], "/")
    yield made
    made.close()


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> MadeSky:
    return make_sky(tmp_path_factory.mktemp("sky"), 3)


SCANS = {"interactive_chunks_max": 0, "fragment_chunks_max": 32, "threads": 2}


@pytest.fixture
def engines(sky: MadeSky, transport: DaskTransport) -> Iterator[tuple[Engine, Engine]]:
    """The same sky in this process and on the cluster; every query is a scan of many fragments."""
    settings = Settings().with_changes(**SCANS)
    with (
        Engine(cast(Catalog, sky), settings) as local,
        Engine(cast(Catalog, sky), settings, transport) as remote,
    ):
        yield local, remote
