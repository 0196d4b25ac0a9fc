"""One real cluster for all tests of this folder: the client library of a process belongs to one cluster."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from qsky.storage.xrootd.reports import Receiver
from tests.xrootd.cluster import QUICK, Cluster


@pytest.fixture(scope="session")
def registry() -> CollectorRegistry:
    """Where the gauges of the cluster's reports are."""
    return CollectorRegistry()


@pytest.fixture(scope="session")
def receiver(registry: CollectorRegistry) -> Iterator[Receiver]:
    receiver = Receiver("127.0.0.1", QUICK, registry)
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def cluster(receiver: Receiver) -> Iterator[Cluster]:
    """Two redirectors and three servers; a test that breaks one leaves it whole."""
    if shutil.which("xrootd") is None:
        pytest.skip("xrootd is not installed (scripts/debian-packages installs it)")
    with Cluster(servers=3, redirectors=2, report=receiver.address) as cluster:
        yield cluster
