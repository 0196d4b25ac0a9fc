"""The Qserv case01 catalogue, loaded into Qsky and, whole, into MariaDB."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsky.wire import Sky
from tests.case01.cases import load_into_mariadb, load_into_qsky
from tests.mariadb import MariaDB


@pytest.fixture(scope="session")
def sky(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Sky:
    return load_into_qsky(tmp_path_factory.mktemp("case01") / "root")


@pytest.fixture(scope="session")
def reference(shared_data: Path, mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> MariaDB:
    load_into_mariadb(mariadb, tmp_path_factory.mktemp("tsv"))
    return mariadb
