"""Many queries at once: every answer is the one given alone, to the last bit, and parts are decoded for all."""

from __future__ import annotations

import threading
from typing import cast

import pyarrow as pa
import pytest

from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.engine import Engine
from qsky.errors import QskyError
from tests.transports import local_of

from .conftest import make_sky
from .made_sky import MadeSky

SCANS = (
    "SELECT COUNT(*), SUM(mag), AVG(ra) FROM db.obj WHERE `dec` < 60",
    "SELECT COUNT(*), MAX(mag) FROM db.obj WHERE mag > 10",
    "SELECT id, mag FROM db.obj WHERE mag > 12 ORDER BY id",
    "SELECT FLOOR(mag) AS m, COUNT(*) AS n, SUM(ra) AS s FROM db.obj GROUP BY m ORDER BY m",
    "SELECT SUM(f), AVG(f) FROM db.src",
    "SELECT MIN(f), MAX(ra), COUNT(sid) FROM db.src WHERE f > 0",
    "SELECT COUNT(*), SUM(o.mag * s.f) FROM db.obj o JOIN db.src s ON o.id = s.oid",
)


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> MadeSky:
    return make_sky(tmp_path_factory.mktemp("sky"), 3)


def engine_over(sky: MadeSky) -> Engine:
    """An engine for which everything is a scan of several fragments."""
    settings = Settings(interactive_chunks_max=0, fragment_chunks_max=16, threads=2)
    return Engine(cast(Catalog, sky), settings)


def answered(engine: Engine, texts: list[str]) -> list[pa.Table | QskyError]:
    found: list[pa.Table | QskyError | None] = [None] * len(texts)

    def ask(place: int) -> None:
        try:
            found[place] = engine.query(texts[place]).arrow()
        except QskyError as error:
            found[place] = error

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert None not in found
    return [each for each in found if each is not None]


def test_queries_at_once_answer_as_they_do_alone(sky: MadeSky) -> None:
    with engine_over(sky) as engine:
        alone = {text: engine.query(text).arrow() for text in SCANS}
        texts = list(SCANS) * 3
        for text, found in zip(texts, answered(engine, texts), strict=True):
            assert isinstance(found, pa.Table), found
            assert found.equals(alone[text]), text
        assert local_of(engine).worker.counts.shared > 0
        assert local_of(engine).worker.decoded_bytes == 0


def test_an_error_of_one_query_does_not_touch_the_others(sky: MadeSky) -> None:
    broken = "SELECT SUM(1000000000 * (id + 1000000) * 1000000) FROM db.obj WHERE CAST(CAST(id * 100000 AS CHAR) AS SIGNED) > 0"
    with engine_over(sky) as engine:
        alone = {text: engine.query(text).arrow() for text in SCANS}
        found = answered(engine, [broken, *SCANS])
        assert isinstance(found[0], QskyError)
        assert found[0].code.name == "query-failed"
        for text, table in zip(SCANS, found[1:], strict=True):
            assert isinstance(table, pa.Table), table
            assert table.equals(alone[text])
