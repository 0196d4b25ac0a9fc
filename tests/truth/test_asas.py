"""The largest real family: 13,909 variable stars and 7,945,952 detections as director and child.

Loaded by the command in a process of its own, whose peak memory is measured; then everything is held against plain
DuckDB over the files as they came.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import qsky
from qsky.wire import Sky

pytestmark = pytest.mark.slow

DETECTIONS = 7_945_952
PEAK_BYTES_MAX = 2 << 30


@pytest.fixture(scope="module")
def asas(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Sky, int]:
    """The loaded sky, and the peak memory of loading the detections."""
    root, files = tmp_path_factory.mktemp("asas") / "root", shared_data / "asas_acvs"
    director = ("--director", "--key", "objectId", "--ra", "ra", "--dec", "dec")
    child = ("--child-of", "asas.object", "--key", "objectId")
    load(root, files / "object.parquet", "asas.object", *director)
    return qsky.connect(root), load(root, files / "source.parquet", "asas.source", *child)


def load(root: Path, file: Path, into: str, *options: str) -> int:
    """Run `qsky load`; its peak memory in bytes."""
    command = [str(Path(sys.executable).with_name("qsky")), "--root", str(root)]
    running = subprocess.Popen([*command, "load", str(file), "--into", into, *options])
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)  # nobody else can wait for it now
    assert running.returncode == 0
    return usage.ru_maxrss * 1024


@pytest.fixture(scope="module")
def plain(shared_data: Path) -> Any:
    """DuckDB over the files, not sharded, with SQL written for it."""
    connection = duckdb.connect()
    for name in ("object", "source"):
        file = shared_data / "asas_acvs" / f"{name}.parquet"
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{file}')")
    return connection


def test_every_detection_is_there_in_bounded_memory(asas: tuple[Sky, int]) -> None:
    print(f"peak {asas[1] >> 20} MiB")
    assert asas[1] < PEAK_BYTES_MAX
    table = asas[0].table("asas.source")
    assert (table.rows, table.orphan_rows) == (DETECTIONS, 0)


def test_the_join_over_all_detections_is_that_of_plain_duckdb(asas: tuple[Sky, int], plain: Any) -> None:
    columns = "COUNT(*) AS n, COUNT(DISTINCT o.objectId) AS objects, SUM(s.mag) AS total, AVG(s.mag_err) AS err"
    both = "COUNT(s.mag) AS known, MIN(s.hjd) AS first, MAX(s.hjd) AS last"
    ours = asas[0].sql(
        f"SELECT o.var_class, {columns}, {both} FROM asas.object o JOIN asas.source s ON o.objectId = s.objectId"
        " GROUP BY o.var_class ORDER BY o.var_class"
    )
    # NaN becomes NULL on load
    err = "AVG(CASE WHEN isnan(s.mag_err) THEN NULL ELSE s.mag_err END)::DOUBLE AS err"
    wanted = plain.sql(
        f"SELECT o.var_class, {columns.replace('AVG(s.mag_err) AS err', err)}, {both} FROM object o"
        " JOIN source s USING (objectId) GROUP BY o.var_class ORDER BY o.var_class"
    ).to_arrow_table()
    assert sum(ours.arrow()["n"].to_pylist()) == DETECTIONS
    assert_same(ours.arrow(), wanted)


def test_light_curves_are_those_of_plain_duckdb(asas: tuple[Sky, int], plain: Any) -> None:
    ids = [row[0] for row in plain.sql("SELECT objectId FROM object ORDER BY hash(objectId) LIMIT 3").fetchall()]
    for number in ids:
        where = f"WHERE objectId = {number} ORDER BY hjd, seq"
        ours = asas[0].sql(f"SELECT seq, hjd, mag, band, is_dup FROM asas.source {where}")
        assert ours.facts.chunks_read == 1
        assert_same(ours.arrow(), plain.sql(f"SELECT seq, hjd, mag, band, is_dup FROM source {where}").to_arrow_table())


def test_verify_is_clean(asas: tuple[Sky, int]) -> None:
    report = asas[0].verify("asas")
    assert report.clean, report.problems
    assert report.rows >= DETECTIONS


def assert_same(ours: pa.Table, wanted: pa.Table) -> None:
    """Equal rows in the same order; floating values to 1e-9."""
    assert ours.column_names == wanted.column_names
    assert ours.num_rows == wanted.num_rows
    for name in ours.column_names:
        got, known = ours[name].to_pylist(), wanted[name].to_pylist()
        assert got == (pytest.approx(known, rel=1e-9) if isinstance(known[0], float) else known), name
