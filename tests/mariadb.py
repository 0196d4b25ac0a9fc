"""A real MariaDB server of the test session's own, the reference for what MySQL's SQL means.

Used by tests that compare Qsky with MariaDB, through the fixture `mariadb`: one server for all of them.
The server listens on a socket in its own temporary folder only, without a network port, without rights to anything
else (as root it runs as `nobody`), without InnoDB, and is stopped by its process when the session ends.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pymysql
import pytest
from pymysql.constants import FIELD_TYPE

_START_SECONDS_MAX: Final = 60.0
_UNPRIVILEGED: Final = "nobody"
_OPTIONS: Final = (
    "--skip-networking",
    "--skip-grant-tables",
    "--skip-innodb",
    "--skip-log-bin",
    "--local-infile=ON",
    "--default-storage-engine=Aria",
    "--default-time-zone=+00:00",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_general_ci",
    "--lower-case-table-names=1",  # Qserv's own setting, and ours: names of tables are not case-sensitive
    "--key-buffer-size=8M",
    "--aria-pagecache-buffer-size=16M",
)


@dataclass(frozen=True)
class Rows:
    """An answer: the names of its columns, MariaDB's type code of each (`pymysql.constants.FIELD_TYPE`), its rows."""

    names: tuple[str, ...]
    types: tuple[int, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True)
class MariaDB:
    """A running server, asked through its socket. Every call has a connection of its own, so no call sees another's session."""

    socket: Path

    def run(self, *statements: str, database: str | None = None) -> None:
        """Run statements that answer nothing: CREATE, INSERT, LOAD DATA LOCAL."""
        with closing(self._connection(database)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    def query(self, sql: str, database: str | None = None, sql_mode: str | None = None) -> Rows:
        """The answer of one SELECT or SHOW; raises what PyMySQL raises for an invalid one.

        Values are int, float, Decimal, str, bytes, datetime or None. A FLOAT is refused, because MariaDB sends only six of
        its digits: declare the column DOUBLE after loading it (`widen_floats`), or cast it.
        """
        with closing(self._connection(database)) as connection, connection.cursor() as cursor:
            if sql_mode is not None:
                cursor.execute("SET sql_mode = %s", (sql_mode,))
            cursor.execute(sql)
            description: Any = cursor.description or ()  # its stubs say str of the numbers too
            narrow = [column[0] for column in description if column[1] == FIELD_TYPE.FLOAT]
            assert not narrow, f"MariaDB sends six digits of the FLOAT columns {narrow}: cast them to DOUBLE"
            return Rows(
                tuple(column[0] for column in description),
                tuple(column[1] for column in description),
                list(cursor.fetchall()),
            )

    def widen_floats(self, database: str, table: str) -> None:
        """Declare a table's FLOAT columns DOUBLE: their values stay, and MariaDB computes with FLOAT as DOUBLE anyway."""
        columns = self.query(
            "SELECT column_name FROM information_schema.columns WHERE data_type = 'float'"
            f" AND table_schema = '{database}' AND table_name = '{table}'"
        )
        changes = ", ".join(f"MODIFY `{name}` DOUBLE" for (name,) in columns.rows)
        if changes:
            self.run(f"ALTER TABLE `{table}` {changes}", database=database)

    def create(self, database: str, tables: Mapping[str, str]) -> None:
        """Make a database anew with tables from their column lists: {"t": "a INT, b VARCHAR(9)"}."""
        creations = [f"CREATE TABLE `{name}` ({columns})" for name, columns in tables.items()]
        self.run(f"DROP DATABASE IF EXISTS `{database}`", f"CREATE DATABASE `{database}`")
        self.run(*creations, database=database)

    def insert(self, database: str, table: str, rows: list[tuple[Any, ...]]) -> None:
        """Append rows given as Python values in the order of the table's columns."""
        with closing(self._connection(database)) as connection, connection.cursor() as cursor:
            marks = ", ".join(["%s"] * len(rows[0]))
            cursor.executemany(f"INSERT INTO `{table}` VALUES ({marks})", rows)
            connection.commit()

    def _connection(self, database: str | None) -> pymysql.Connection[pymysql.cursors.Cursor]:
        return pymysql.connect(
            unix_socket=str(self.socket), user="root", database=database, charset="utf8mb4", local_infile=True
        )


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB server for the session; skips where none is installed (`scripts/debian-packages` installs it)."""
    program = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("MariaDB is not installed on this machine: scripts/debian-packages does it")
    # Not in pytest's folders: they are closed to other users, and a socket's path may have no more than 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="qsky-mariadb-"))
    try:
        process = _started(program, folder)
        try:
            server = MariaDB(folder / "socket")
            _wait(server, process, folder / "log")
            yield server
        finally:
            process.terminate()
            process.wait(timeout=_START_SECONDS_MAX)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(program: str, folder: Path) -> subprocess.Popen[bytes]:
    (folder / "data" / "mysql").mkdir(parents=True)  # empty: nothing the tests ask needs a system table
    user = []
    if os.geteuid() == 0:
        owner = pwd.getpwnam(_UNPRIVILEGED)
        for path in (folder, folder / "data", folder / "data" / "mysql"):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        user = [f"--user={_UNPRIVILEGED}"]
    own = [f"--datadir={folder}/data", f"--socket={folder}/socket", f"--tmpdir={folder}", f"--pid-file={folder}/pid"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [program, "--no-defaults", *user, *own, *_OPTIONS], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def _wait(server: MariaDB, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers. Fails with its log if it ends before, or answers nothing in time."""
    give_up = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < give_up and process.poll() is None:
        try:
            server.query("SELECT 1")
        except pymysql.err.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"MariaDB did not start:\n{log.read_text(errors='replace')}")
