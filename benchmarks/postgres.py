"""A PostgreSQL with q3c of the benchmark's own: a socket in its own folder, no network, no rights, stopped by its process.

As root it runs as `nobody`. Settings are those of a machine that is here to answer, not to be safe.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_START_SECONDS_MAX = 60.0
_UNPRIVILEGED = "nobody"
_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "1GB",
    "work_mem": "256MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "4GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "40",
}


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL that has q3c; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    for server in reversed(found):
        if Path("/usr/share/postgresql", server.parts[-3], "extension/q3c.control").exists():
            return server.parent
    return None


@contextmanager
def running(folder: Path) -> Iterator[int]:
    """A server whose data and socket lie in `folder`, which is made; its process id. Raises RuntimeError."""
    programs = binaries()
    assert programs is not None
    folder.mkdir()
    user = _user(folder)
    options = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    data, log = folder / "data", folder / "log.txt"
    with log.open("wb") as sink:
        made: Any = {"stdout": sink, "stderr": sink, "cwd": folder, **user}
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True,
            **made,
        )
        server = subprocess.Popen([programs / "postgres", "-D", data, "-k", folder, *options], **made)
    try:
        _wait(server, folder, log)
        run(folder, "CREATE EXTENSION q3c")
        yield server.pid
    finally:
        _stop(server)
        shutil.rmtree(folder, ignore_errors=True)


def _user(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to be root; then the folder is made `nobody`'s."""
    if os.getuid() != 0:
        return {}
    entry = pwd.getpwnam(_UNPRIVILEGED)
    folder.parent.chmod(0o711)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _wait(server: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS_MAX
    while server.poll() is None and time.monotonic() < deadline:
        if subprocess.run(_psql(folder, "-c", "SELECT 1"), capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-500:]}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(_START_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _psql(folder: Path, *options: str) -> list[str]:
    programs = binaries()
    assert programs is not None
    common = ["-h", str(folder), "-U", "postgres", "-d", "postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    return [str(programs / "psql"), *common, *options]


def run(folder: Path, script: str) -> str:
    """What psql prints for a script. Raises RuntimeError with what PostgreSQL said."""
    ran = subprocess.run(_psql(folder), input=script, text=True, capture_output=True, check=False)
    if ran.returncode:
        raise RuntimeError(ran.stderr.strip()[-500:])
    return ran.stdout


@contextmanager
def copying(folder: Path, table: str) -> Iterator[Any]:
    """A sink of bytes for rows of CSV that become rows of a table. Raises RuntimeError."""
    command = _psql(folder, "-c", f"COPY {table} FROM STDIN WITH (FORMAT csv)")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stderr is not None
        yield process.stdin
        process.stdin.close()
        said = process.stderr.read().decode()
    if process.returncode:
        raise RuntimeError(said.strip()[-500:])
