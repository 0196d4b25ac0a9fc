"""The two sides of every comparison: a MariaDB server with the random table, and Qsky's SQL layer with the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mariadb import MariaDB
from tests.semantics.world import Ours, Server


@pytest.fixture(scope="session")
def server(mariadb: MariaDB) -> Server:
    return Server.filled(mariadb)


@pytest.fixture(scope="session")
def ours() -> Iterator[Ours]:
    made = Ours()
    yield made
    made.duck.close()
