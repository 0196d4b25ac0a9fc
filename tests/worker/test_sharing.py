"""A worker with real files: answers bit-equal to those read alone, columns decoded once, and each failure its owner's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from time import monotonic, sleep
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qsky.config import Settings
from qsky.duck import Duck
from qsky.errors import QskyError
from qsky.fragment import Fragment, Input, PartFile, Piece
from qsky.worker.execute import execute
from qsky.worker.loop import Decode
from qsky.worker.serve import Worker

pytestmark = pytest.mark.usefixtures("any_words")

ROWS = 40_000
ENDLESS = "SELECT sum(sqrt(a.range * b.range)) AS s FROM range(1000000) a, range(1000000) b"
COLUMNS = (
    ("cell", "BIGINT"),
    ("x", "DOUBLE"),
    ("y", "FLOAT"),
    ("g", "INTEGER"),
    ("name", "VARCHAR"),
    ("price", "DECIMAL(22,3)"),
    ("seen", "TIMESTAMP"),
    ("good", "BOOLEAN"),
    ("late", "DOUBLE"),
)


def part_table(seed: int, rows: int = ROWS) -> pa.Table:
    """Rows with NULL, NaN and every kind of value, the cell ascending."""
    rng = np.random.default_rng(seed)
    holes = rng.random(rows) < 0.1
    y = rng.normal(size=rows).astype(np.float32)
    y[rng.random(rows) < 0.05] = np.nan
    return pa.table(
        {
            "cell": pa.array(np.arange(rows) + seed * rows),
            "x": pa.array(rng.normal(size=rows) * 10.0 ** rng.integers(-8, 8, rows), mask=holes),
            "y": y,
            "g": pa.array(rng.integers(0, 40, rows).astype(np.int32), mask=rng.random(rows) < 0.01),
            "name": pa.array([None if hole else f"star {value}" for hole, value in zip(holes, y, strict=True)]),
            "price": pa.array(rng.integers(0, 10**6, rows)).cast(pa.decimal128(22, 3)),
            "seen": pa.array(rng.integers(0, 10**15, rows)).cast(pa.timestamp("us")),
            "good": pa.array(rng.random(rows) < 0.5, mask=holes),
            "late": rng.normal(size=rows),
        }
    )


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[PartFile, ...]:
    """Six parts; two were written before the column `late`."""
    folder = tmp_path_factory.mktemp("parts")
    made = []
    for seed in range(6):
        path, table, lacks = folder / f"{seed}.parquet", part_table(seed), ()
        if seed in (1, 4):
            table, lacks = table.drop_columns(["late"]), ("late",)
        pq.write_table(table, path, row_group_size=8192)
        made.append(PartFile(str(path), path.stat().st_size, lacks, ROWS))
    return tuple(made)


STATEMENTS = (
    'SELECT sum("x") AS a, avg("y") AS b, count(*) AS n FROM {t} WHERE "g" < 20',
    'SELECT "g", sum("x") AS s, stddev_samp("y") AS d FROM {t} GROUP BY "g"',
    'SELECT max("name") AS a, min("seen") AS b, sum("price") AS c, sum("late") AS d FROM {t} WHERE "good"',
    'SELECT "cell", "name", "late" FROM (SELECT * FROM {t} WHERE "cell" % 7 = 3) AS t WHERE "x" > 0',
    'SELECT DISTINCT "name" FROM {t} WHERE "y" > 2.5 OR "y" IS NULL',
    "SELECT count(*) AS n FROM {t}",
    'SELECT "cell", "x" FROM {t} ORDER BY "x" DESC NULLS LAST LIMIT 20',
    'SELECT "name" AS k, sum("x") AS s, avg("y") AS m FROM {t} GROUP BY 1',
    'SELECT sum("late" * "x") AS a, corr("late", "y") AS b, regr_slope("x", "y") AS c FROM {t}',
)


def fragment(number: int, sql: str, files: tuple[PartFile, ...], **about: Any) -> Fragment:
    source = Input("t", files, COLUMNS, ("y",), **about)
    return Fragment(number, sql, (source,), len(files), sum(file.bytes for file in files))


@contextmanager
def worker_of(**settings: Any) -> Iterator[Worker]:
    made = Settings(threads=1).with_changes(**settings)
    worker = Worker(made, lambda interactive: Duck(memory_bytes=made.permit_bytes_max, same_plan=True))
    yield worker
    worker.close()


@contextmanager
def gathered(worker: Worker) -> Iterator[None]:
    """What is submitted in the block waits together: its one permit is taken until the end of it."""
    number = worker.submit("blocker", Fragment(0, ENDLESS, (), 1, 1), lambda result: None)
    wait_until(lambda: any(doing.bench for doing in worker._doing.values()))
    yield
    worker.cancel(number)


def wait_until(reached: Callable[[], bool], seconds: float = 10.0) -> None:
    ends = monotonic() + seconds
    while not reached():
        assert monotonic() < ends
        sleep(0.001)


class Answers:
    """What came for each key."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Any, Piece | QskyError]] = SimpleQueue()
        self.found: dict[Any, Piece | QskyError] = {}

    def place(self, key: Any) -> Callable[[Piece | QskyError], None]:
        return lambda result: self._queue.put((key, result))

    def wait(self, count: int, seconds: float = 30.0) -> dict[Any, Piece | QskyError]:
        while len(self.found) < count:
            key, result = self._queue.get(timeout=seconds)
            assert key not in self.found
            self.found[key] = result
        return self.found


def same(result: Piece | QskyError, made: Fragment) -> bool:
    """Bit for bit what the fragment gives alone; groups and distinct values are in no order."""
    with Duck(same_plan=True) as duck:
        expected = execute(duck, made)
    assert isinstance(result, Piece), result
    assert result.number == expected.number
    return in_order(result.table).equals(in_order(expected.table))


def in_order(table: pa.Table) -> pa.Table:
    return table.sort_by([(name, "ascending") for name in table.column_names])


def test_shared_answers_are_those_of_reading_alone_to_the_last_bit(parts: tuple[PartFile, ...]) -> None:
    answers = Answers()
    sent: dict[tuple[int, int], Fragment] = {}
    for query, sql in enumerate(STATEMENTS):
        width = 2 if query % 2 else 3  # queries cut the table at other places
        for first in range(0, 6, width):
            sent[query, first] = fragment(first, sql, parts[first : first + width])
    with worker_of() as worker:
        with gathered(worker):
            for key, made in sent.items():
                worker.submit(key[0], made, answers.place(key))
        found = answers.wait(len(sent))
        assert worker.counts.shared == len(sent)
        assert worker.counts.alone == 0
        assert worker.counts.decoded_columns == 6 * len(COLUMNS), "each column of each part once"
        assert worker.decoded_bytes == 0
    for key, made in sent.items():
        assert same(found[key], made), made.sql


def test_one_query_gives_the_same_bits_every_time(parts: tuple[PartFile, ...]) -> None:
    made = [fragment(number, sql, parts) for number, sql in enumerate(STATEMENTS)]
    with Duck(same_plan=True) as duck:
        first = [execute(duck, each) for each in made]
    for _ in range(3):
        assert all(same(piece, each) for piece, each in zip(first, made, strict=True))


def test_nan_stands_for_null_whatever_the_statistics_say(parts: tuple[PartFile, ...]) -> None:
    made = fragment(0, 'SELECT count("y") AS n, avg("y") AS m FROM {t}', parts[:1])
    with Duck(same_plan=True) as duck:
        found = execute(duck, made).table.to_pylist()[0]
    y = part_table(0).column("y").to_numpy()
    assert found["n"] == np.isfinite(y).sum()
    assert found["m"] == pytest.approx(np.nanmean(y.astype(np.float64)))


def test_few_queries_read_for_themselves(parts: tuple[PartFile, ...]) -> None:
    answers = Answers()
    with worker_of() as worker:
        with gathered(worker):
            for query in range(2):
                worker.submit(query, fragment(0, STATEMENTS[query], parts), answers.place(query))
        answers.wait(2)
        assert worker.counts.shared == worker.counts.decoded_columns == 0


def test_fragments_cut_out_of_a_part_share_their_rows_alone(parts: tuple[PartFile, ...]) -> None:
    answers, sent = Answers(), {}
    with worker_of() as worker:
        with gathered(worker):
            for query in range(4):
                for cut in range(4):
                    low, high = cut * 10_000, cut * 10_000 + 10_000
                    limits = f'(SELECT * FROM {{t}} WHERE "cell" >= {low} AND "cell" < {high})'
                    sql = f'SELECT sum("x" + {query}) AS s, count(*) AS n FROM {limits} AS t'
                    sent[query, cut] = fragment(cut, sql, parts[:1], within=("cell", low, high))
                    worker.submit(query, sent[query, cut], answers.place((query, cut)))
        found = answers.wait(len(sent))
        assert worker.counts.shared == 16
        assert worker.counts.decoded_columns == 8
    assert all(same(found[key], made) for key, made in sent.items())


def test_joins_and_interactive_fragments_do_not_share(parts: tuple[PartFile, ...]) -> None:
    answers = Answers()
    one, other = Input("a", parts[:1], COLUMNS), Input("b", parts[:1], COLUMNS)
    join = Fragment(0, 'SELECT count(*) AS n FROM {a} AS a JOIN {b} AS b ON a."cell" = b."cell"', (one, other), 1, 1)
    with worker_of() as worker:
        with gathered(worker):
            for query in range(4):
                worker.submit(query, join, answers.place(query))
                cone = replace(fragment(0, STATEMENTS[0], parts[:1]), interactive=True)
                worker.submit(query + 10, cone, answers.place(query + 10))
        answers.wait(8)
        assert worker.counts.shared == 0


def test_an_error_of_one_sharer_is_his_alone(parts: tuple[PartFile, ...]) -> None:
    broken = """SELECT CAST("name" AS INTEGER) AS n FROM {t}"""
    answers, sent = Answers(), [*STATEMENTS[:3], broken]
    with worker_of() as worker:
        with gathered(worker):
            for query, sql in enumerate(sent):
                worker.submit(query, fragment(0, sql, parts), answers.place(query))
        found = answers.wait(4)
        assert worker.counts.shared == 3
    failed = found[3]
    assert isinstance(failed, QskyError)
    assert failed.code.name == "query-failed"
    assert all(same(found[query], fragment(0, STATEMENTS[query], parts)) for query in range(3))


def test_a_part_that_cannot_be_read_fails_those_who_read_it(parts: tuple[PartFile, ...], tmp_path: Path) -> None:
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"PAR1 this is none")
    damaged = PartFile(str(bad), 10, (), 10)
    answers = Answers()
    with worker_of() as worker:
        with gathered(worker):
            for query in range(4):
                worker.submit(query, fragment(0, STATEMENTS[0], (damaged,)), answers.place((query, "bad")))
                worker.submit(query, fragment(1, STATEMENTS[0], parts), answers.place((query, "good")))
        found = answers.wait(8)
        assert worker.decoded_bytes == 0
    for query in range(4):
        failed = found[query, "bad"]
        assert isinstance(failed, QskyError)
        assert failed.code.name in ("damaged", "query-failed")
        assert same(found[query, "good"], fragment(1, STATEMENTS[0], parts))


def test_memory_for_decoded_columns_is_never_exceeded_by_guesses(parts: tuple[PartFile, ...]) -> None:
    answers, sent = Answers(), {}
    with worker_of() as worker:
        worker._loop._held_bytes_max = 3_000_000  # a third of what the table takes
        with gathered(worker):
            for query, sql in enumerate(STATEMENTS):
                for first in range(6):
                    sent[query, first] = fragment(first, sql, parts[first : first + 1])
                    worker.submit(query, sent[query, first], answers.place((query, first)))
        found = answers.wait(len(sent))
        assert worker.counts.shared > 0
        assert worker.decoded_bytes == 0
        assert not worker._held
    assert all(same(found[key], made) for key, made in sent.items())


def test_a_query_that_needs_too_much_memory_fails_alone(parts: tuple[PartFile, ...], tmp_path: Path) -> None:
    hungry = 'SELECT list("name") AS a, list("x") AS b FROM (SELECT * FROM {t}) AS t, range(400) AS r(i)'
    answers = Answers()
    with worker_of(memory_bytes_max=128 << 20) as worker:
        with gathered(worker):
            for query in range(4):
                worker.submit(query, fragment(0, STATEMENTS[query], parts), answers.place(query))
            worker.submit(4, fragment(0, hungry, parts), answers.place(4))
        found = answers.wait(5, seconds=60)
    failed = found.pop(4)
    assert isinstance(failed, QskyError)
    assert failed.code.name == "limit-memory"
    assert all(same(result, fragment(0, STATEMENTS[query], parts)) for query, result in found.items())


# -- cancel


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> PartFile:
    """A part that takes a while to decode: long texts."""
    path = tmp_path_factory.mktemp("large") / "large.parquet"
    with Duck() as duck:
        texts = "md5(range::VARCHAR) || md5((range * 7)::VARCHAR) AS name"
        duck.execute(f"COPY (SELECT range AS cell, {texts} FROM range(1500000)) TO '{path}' (FORMAT parquet)")
    return PartFile(str(path), path.stat().st_size, (), 1_500_000)


def test_cancel_while_waiting_and_while_decoding(large: PartFile, parts: tuple[PartFile, ...]) -> None:
    columns = (("cell", "BIGINT"), ("name", "VARCHAR"))
    source = Input("t", (large,), columns)
    made = Fragment(0, 'SELECT max("name") AS m, max("cell") AS c FROM {t}', (source,), 1, large.bytes)
    answers = Answers()
    with worker_of(memory_bytes_max=4 << 30) as worker:
        with gathered(worker):
            numbers = [worker.submit(query, made, answers.place(query)) for query in range(3)]
            worker.cancel(worker.submit("waiting", made, answers.place("waiting")))
        wait_until(lambda: any(isinstance(order, Decode) and doing.bench for order, doing in worker._doing.items()))
        began = monotonic()
        for number in numbers:
            worker.cancel(number)
        worker.submit("next", fragment(0, STATEMENTS[0], parts[:1]), answers.place("next"))
        found = answers.wait(1)
        assert monotonic() - began < 5.0, "on a machine at rest a tenth of a second"
        assert list(found) == ["next"]
        assert worker.counts.decoded_columns == 0, "the decoding was stopped"


def test_cancel_of_one_sharer_while_he_runs_leaves_the_others(parts: tuple[PartFile, ...]) -> None:
    slow = 'SELECT sum(t."x" * r.i) AS s FROM (SELECT * FROM {t}) AS t, range(100000) AS r(i)'
    answers = Answers()
    with worker_of() as worker:
        with gathered(worker):
            number = worker.submit("slow", fragment(0, slow, parts), answers.place("slow"))
            for query in range(3):
                worker.submit(query, fragment(0, STATEMENTS[query], parts), answers.place(query))
        wait_until(lambda: worker._tasks[number].work.number in worker._loop._running)
        sleep(0.05)
        began = monotonic()
        worker.cancel(number)
        stopped = answers.wait(1)["slow"]
        assert monotonic() - began < 5.0, "on a machine at rest a tenth of a second"
        assert isinstance(stopped, QskyError)
        assert stopped.code.name == "cancelled"
        found = answers.wait(4)
    assert all(same(found[query], fragment(0, STATEMENTS[query], parts)) for query in range(3))


def test_closing_stops_everything(large: PartFile) -> None:
    with worker_of() as worker, gathered(worker):
        for query in range(5):
            worker.submit(query, Fragment(0, ENDLESS, (), 1, 1), lambda result: None)
        began = monotonic()
        worker.close()
        assert monotonic() - began < 5.0
        assert not any(thread.is_alive() for thread in worker._threads)
