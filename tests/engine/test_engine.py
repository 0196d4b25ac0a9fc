"""What the engine promises beside right rows: streams, limits, cancel, plans kept, walls."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qsky.asking import Asking
from qsky.catalog.snapshot import Tiling
from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.engine import Engine
from qsky.errors import QskyError
from qsky.worker.loop import Loop, Work
from tests.transports import local_of

from .conftest import make_sky
from .made_sky import MadeSky


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> MadeSky:
    return make_sky(tmp_path_factory.mktemp("sky"), 3)


@pytest.fixture
def engine(sky: MadeSky) -> Iterator[Engine]:
    with engine_over(sky) as made:
        yield made


def engine_over(sky: MadeSky, **settings: float) -> Engine:
    """An engine for which even these few rows are many fragments."""
    small = {"threads": 2, "fragment_chunks_max": 4, **settings}
    return Engine(cast(Catalog, sky), Settings().with_changes(**small))


def refused(engine: Engine, text: str) -> QskyError:
    with pytest.raises(QskyError) as caught:
        engine.query(text).arrow()
    return caught.value


def test_names_types_and_descriptions(engine: Engine) -> None:
    result = engine.query("SELECT ra, ra, id AS `the id`, mag * 2 AS m, NULL AS n, name FROM db.obj LIMIT 1")
    assert result.schema.names == ["ra", "ra", "the id", "m", "n", "name"]
    types = [pa.float64(), pa.float64(), pa.int64(), pa.float64(), pa.int32(), pa.string()]
    assert result.schema.types == types
    assert result.schema.field(0).metadata == {b"unit": b"deg"}
    assert result.arrow().schema == result.schema
    assert result.facts.chunks_total > 3
    assert "chunks" in result.explain()


def test_an_empty_answer_has_its_columns(engine: Engine) -> None:
    result = engine.query("SELECT id, mag FROM db.obj WHERE id = 99999")
    assert result.facts.chunks_read == 0
    assert result.arrow().num_rows == 0
    assert result.schema.names == ["id", "mag"]


def test_the_same_bits_every_time(sky: MadeSky) -> None:
    text = "SELECT class, sum(mag), avg(flux), sum(mag * flux) FROM db.obj GROUP BY class ORDER BY class"
    with engine_over(sky) as one, engine_over(sky, threads=1) as other:
        first = one.query(text).arrow()
        assert all(one.query(text).arrow().equals(first) for _ in range(5))
        assert other.query(text).arrow().equals(first), "the number of cores is no part of a plan"


def test_limit_without_order_stops_early(sky: MadeSky) -> None:
    with engine_over(sky, fragment_chunks_max=1) as engine:
        check_limits(engine)


def check_limits(engine: Engine) -> None:
    result = engine.query("SELECT id FROM db.obj LIMIT 5 OFFSET 2")
    assert len(result) == 5
    assert "stops after 7 rows" in result.explain()
    assert len(engine.query("SELECT id FROM db.obj LIMIT 0")) == 0
    assert len(engine.query("SELECT id FROM db.obj LIMIT 1000000 OFFSET 490")) == 10


def test_an_abandoned_stream_leaves_the_pool_usable(engine: Engine) -> None:
    for _ in range(20):
        next(engine.query("SELECT sid FROM db.src").batches())
    assert engine.query("SELECT count(id) FROM db.obj").scalar() == 500


def test_a_stream_may_be_found_abandoned_at_any_moment(sky: MadeSky, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by a thread that holds the locks of the worker, which stopping the stream's fragments needs."""
    with engine_over(sky, fragment_chunks_max=1) as engine:
        submit = Loop.submit

        def collecting(self: Loop, work: Work) -> None:
            gc.collect()
            submit(self, work)

        monkeypatch.setattr(Loop, "submit", collecting)
        for _ in range(3):
            stream = engine.query("SELECT sid FROM db.src").batches()
            next(stream)
            ring: list[object] = [stream]
            ring.append(ring)  # found by the collector alone
            del stream, ring
            asked = threading.Thread(target=lambda: engine.query("SELECT count(f) FROM db.src").scalar(), daemon=True)
            asked.start()
            asked.join(60)
            assert not asked.is_alive(), "it waits for itself"


def test_plans_are_kept_until_a_revision_is_published(sky: MadeSky, engine: Engine) -> None:
    text = "SELECT count(mag) FROM db.obj"
    one = engine._prepare(Asking(engine.settings), text, "mysql", None)
    assert engine._prepare(Asking(engine.settings), text, "mysql", None) is one
    sky.number += 1
    try:
        assert engine._prepare(Asking(engine.settings), text, "mysql", None) is not one
    finally:
        sky.number -= 1


def test_plans_kept_are_bounded(sky: MadeSky) -> None:
    with engine_over(sky, plans_cached=2) as engine:
        for number in range(5):
            engine.query(f"SELECT {number} AS n")
        assert len(engine._prepared) == 2


def test_gathering_too_much_is_refused_before_reading(sky: MadeSky) -> None:
    with engine_over(sky, gather_bytes_max=1024) as engine:
        error = refused(engine, "SELECT count(*) FROM db.obj a JOIN other.cat b ON a.class = b.class")
        assert error.code.name == "limit-gather"
        assert "director" in error.hint


def test_gathering_too_much_is_refused_while_reading(sky: MadeSky) -> None:
    with engine_over(sky, gather_bytes_max=1024) as engine:
        text = "SELECT count(*) FROM db.obj a JOIN other.cat b ON a.class = b.class WHERE a.mag > 0 AND b.mag > 0"
        assert refused(engine, text).code.name == "limit-gather"
        few = "SELECT count(*) FROM db.obj a JOIN other.cat b ON a.class = b.class WHERE a.mag > 30 AND b.mag > 30"
        assert engine.query(few).scalar() == 0


def test_merging_more_than_memory_holds_spills(sky: MadeSky) -> None:
    text = "SELECT s.sid, s.ra, o.mag FROM db.src s JOIN db.obj o ON s.oid = o.id ORDER BY s.sid"
    with engine_over(sky) as plain:
        expected = plain.query(text).arrow()
    with engine_over(sky) as engine:
        engine._above._memory_bytes = 200
        engine._above._open_duck = lambda memory_bytes: local_of(plain)._ducks.under(False)
        assert engine.query(text).arrow().equals(expected)


def test_a_time_limit_above_the_line(sky: MadeSky) -> None:
    slow = (
        "SELECT count(*) FROM db.src a, db.src b, db.src c, other.cat d"
        " WHERE a.f + b.f + c.f + d.mag > 1e9 AND a.f > -1e9 AND b.f > -1e9 AND c.f > -1e9 AND d.mag > -1e9"
    )
    with engine_over(sky, query_seconds_max=3.0) as engine:
        engine.query("SELECT count(mag) FROM db.obj").arrow()
        began = time.monotonic()
        assert refused(engine, slow).code.name == "limit-time"
        assert 3.0 <= time.monotonic() - began < 60.0, "a machine may do other things"
        assert engine.query("SELECT count(mag) FROM db.obj").scalar() > 0


SLOW = "SELECT count(*) FROM db.src s, db.bands a, db.bands b, db.bands c, db.bands d, db.bands e, db.bands f, db.bands g WHERE s.f + a.ra + b.ra + c.ra + d.ra + e.ra + f.ra + g.ra > 1e9"  # noqa: E501


@pytest.mark.own_process
@pytest.mark.parametrize(
    "text",
    (
        SLOW,
        "SELECT count(*) FROM db.src a, db.src b, db.src c, other.cat d WHERE a.f + b.f + c.f + d.mag > 1e9",
    ),
)
def test_ctrl_c_is_heard_at_once(engine: Engine, text: str) -> None:
    engine.query("SELECT count(mag) FROM db.obj").arrow()
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        engine.query(text).arrow()
    assert time.monotonic() - pressed[0] < 5.0, "half a second on a machine at rest; this one may do other things"
    began = time.monotonic()
    assert engine.query("SELECT count(mag) FROM db.src s JOIN db.obj o ON s.oid = o.id").scalar() > 0
    assert time.monotonic() - began < 30, "the pool is free again"


def test_many_threads_ask_at_once(engine: Engine) -> None:
    found: list[object] = []

    def ask(number: int) -> None:
        text = f"SELECT count(*) FROM db.obj WHERE id > {number * 10 - 60}"
        found.append((number, engine.query(text).scalar()))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = np.arange(500) * 3 - 50
    assert sorted(found) == [(n, int((ids > n * 10 - 60).sum())) for n in range(12)]  # type: ignore[type-var]


def test_paths_with_quotes_and_braces(tmp_path: Path) -> None:
    sky = MadeSky(tmp_path / 'it\'s {t0} "here"', np.random.default_rng(1))
    rows = pa.table({"id": [1, 2], "ra": [0.0, 180.0], "dec": [0.0, 5.0], 'odd "name" {t0}': ["{t0}", "b"]})
    sky.director("db.t", rows, Tiling(np.zeros(12, np.uint8), np.arange(12)))
    with engine_over(sky) as engine:
        answer = engine.query("SELECT t.*, '{t0}' AS x FROM db.t ORDER BY id").arrow()
        assert answer.column(3).to_pylist() == ["{t0}", "b"]
        assert answer.column(4).to_pylist() == ["{t0}", "{t0}"]


def test_a_missing_part_is_an_error_never_a_shorter_answer(tmp_path: Path) -> None:
    sky = make_sky(tmp_path, 2)
    victim = next((tmp_path / "public" / "db.obj").glob("*.parquet"))
    with engine_over(sky) as engine:
        engine.query("SELECT count(mag) FROM db.obj")
        victim.unlink()
        error = refused(engine, "SELECT count(mag), 1 FROM db.obj")
        assert error.code.name == "damaged"


def test_heavy_chunks_are_cut(sky: MadeSky) -> None:
    with engine_over(sky, fragment_bytes_target=2000) as engine, engine_over(sky) as plain:
        for text in (
            "SELECT class, count(*), max(id) FROM db.obj GROUP BY class ORDER BY class",
            "SELECT o.class, count(*), max(s.sid) FROM db.obj o LEFT JOIN db.src s ON o.id = s.oid"
            " GROUP BY o.class ORDER BY o.class",
            "SELECT a.class, count(*) FROM db.obj a, db.obj b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.2"
            " GROUP BY a.class ORDER BY a.class",
            "SELECT a.class, count(*) FROM db.obj a, db.obj b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 1.2"
            " GROUP BY a.class ORDER BY a.class",
        ):
            cut, whole = engine.query(text), plain.query(text)
            assert cut.arrow().equals(whole.arrow())
            fragments = engine.explained(text)["fragments"]
            assert fragments > engine.explained(text)["chunks"]["chosen"] > 0


def test_a_scan_holds_a_lease_while_it_reads(sky: MadeSky, engine: Engine) -> None:
    leases = sky.root / "public" / "db" / "leases"
    stream = engine.query("SELECT sid FROM db.src").batches()
    next(stream)
    assert len(list(leases.glob("*.json"))) == 1
    assert sum(batch.num_rows for batch in stream) > 0
    assert not list(leases.glob("*.json"))
    engine.query("SELECT id FROM db.obj WHERE id = -50").arrow()
    assert not list(leases.glob("*.json")), "an interactive query needs none"


def test_a_failure_after_spilling_leaves_nothing_behind(sky: MadeSky) -> None:
    heavy = "SELECT count(*) FROM db.src a JOIN db.det b ON a.sid = b.sid WHERE a.f > -100 AND b.f > -100"
    with engine_over(sky, gather_bytes_max=9000, fragment_chunks_max=1) as engine:
        engine._above._memory_bytes = 200
        whole = engine_over(sky)
        engine._above._open_duck = lambda memory_bytes: local_of(whole)._ducks.under(False)
        for _ in range(2):
            assert refused(engine, heavy).code.name == "limit-gather"
        assert not any(engine._above._free.values())


@pytest.mark.parametrize(
    ("condition", "keep"),
    (
        ("_healpix_29 >= {c}", lambda cells, c: cells >= c),
        ("_healpix_29 > {c}", lambda cells, c: cells > c),
        ("{c} > _healpix_29", lambda cells, c: cells < c),
        ("_healpix_29 <= {c}", lambda cells, c: cells <= c),
        ("_healpix_29 = {c}", lambda cells, c: cells == c),
        ("_healpix_29 < -5", lambda cells, c: cells < -5),
        ("_healpix_29 IN ({c}, 7, -3)", lambda cells, c: cells == c),
        ("_healpix_29 BETWEEN {c} AND {c} + 288230376151711744", lambda cells, c: (cells >= c) & (cells <= c + 2**58)),
        ("_healpix_29 BETWEEN {c} AND 2305843009213693952", lambda cells, c: (cells >= c) & (cells <= 2**61)),
    ),
)
def test_cells_can_be_asked_for(sky: MadeSky, engine: Engine, condition: str, keep: Callable[..., np.ndarray]) -> None:
    for name in ("obj", "src"):
        snapshot = sky.snapshots["db"][name]
        files = [f"{snapshot.folder}/{path}" for path in snapshot.parts.paths.to_pylist()]
        cells = np.concatenate([pq.read_table(file, columns=["_healpix_29"])[0].to_numpy() for file in files])
        middle = int(np.sort(cells)[len(cells) // 2])
        text = f"SELECT count(ra) FROM db.{name} WHERE {condition.format(c=middle)}"
        assert engine.query(text).scalar() == int(keep(cells, middle).sum()), text


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("SELECT o._healpix_29, o.Norder, o.Dir, o.npix FROM db.obj o", "db.obj"),
        ("SELECT s._healpix_29, s.Norder, s.Dir, s.Npix FROM db.src s WHERE s.Norder >= 0", "db.src"),
        ("SELECT b._healpix_29, b.Norder, b.Dir, b.Npix FROM db.obj a, db.obj b"
         " WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.5", "db.obj"),
        ("SELECT b._healpix_29, b.Norder, b.Dir, b.Npix FROM db.obj a, other.cat b"
         " WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 20", "other.cat"),
        ("SELECT c._healpix_29, c.Norder, c.Dir, c.Npix FROM db.obj a JOIN other.cat c ON a.mag < c.id", "other.cat"),
    ],
)  # fmt: skip
def test_the_chunk_of_a_row_can_be_asked_for(sky: MadeSky, engine: Engine, text: str, table: str) -> None:
    database, name = table.split(".")
    tiling = cast(Tiling, sky.snapshots[database][name].tiling)
    answer = engine.query(text).arrow()
    cells, order, folder, pixel = (column.to_numpy() for column in answer.columns)
    leaves = tiling.leaf_of(cells)
    assert len(leaves) and len(set(order.tolist())) > 1
    np.testing.assert_array_equal(order, tiling.orders[leaves])
    np.testing.assert_array_equal(pixel, tiling.npix[leaves])
    np.testing.assert_array_equal(folder, pixel // 10_000 * 10_000)
    assert "Norder" not in engine.query(f"SELECT * FROM {table} LIMIT 1").schema.names
    assert refused(engine, "SELECT Norder FROM db.bands").code.name == "unknown-name"


def test_a_text_that_grows_is_refused_in_one_sentence(engine: Engine) -> None:
    long = "SELECT REPEAT(COALESCE(name, 'x'), 100000) AS a FROM db.obj"
    error = refused(engine, f"SELECT MAX(LENGTH(CONCAT(t.a, t.a))) FROM ({long}) t")
    assert error.code.name == "query-failed"
    assert str(error).startswith("A text would be longer than 262144 bytes")
