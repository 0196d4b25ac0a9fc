"""Rows that wait: the same whether they are held or lie in a file, which goes with their last use."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from qsky.duck import Duck
from qsky.errors import QskyError
from qsky.spool import spooled

TABLE = pa.table({"n": pa.array(range(1000)), "t": pa.array([None, "é"] * 500)})


@pytest.mark.parametrize(("held_bytes_max", "filed"), [(None, False), (1 << 20, False), (5000, True), (-1, True)])
def test_the_same_rows(held_bytes_max: int | None, filed: bool) -> None:
    found = spooled(TABLE.schema, TABLE.to_batches(100), held_bytes_max)
    assert found.table.equals(TABLE)
    assert found.filed == filed


def test_of_a_file_nothing_is_left_but_the_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    allocated, open_files = pa.total_allocated_bytes(), len(os.listdir("/proc/self/fd"))
    large = pa.table({"n": pa.array(range(300_000))})
    batches = large.to_batches(10_000)
    found = spooled(large.schema, batches, 10_000)
    assert list(tmp_path.iterdir()) == []
    assert pa.total_allocated_bytes() - allocated < large.nbytes * 1.5, "the rows are not in memory a second time"
    assert found.table.column(0).to_pylist() == list(range(300_000))
    del found
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_a_large_answer_of_duckdb_lies_in_a_file() -> None:
    sql = "SELECT range AS n FROM range(300000)"
    with Duck(held_bytes_max=1 << 20, answer_bytes_max=8 << 20) as duck:
        found = duck.answer(sql)
        assert found.filed and found.table.column(0).to_pylist() == list(range(300_000))
        assert not duck.answer("SELECT 1 AS n").filed
        with pytest.raises(QskyError, match="A piece of the answer is larger than 8 MiB"):
            duck.answer(sql.replace("300000", "3000000"))
