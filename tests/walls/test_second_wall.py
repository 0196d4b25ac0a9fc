"""The second wall without the first: the same texts where finished SQL stands, in instances as the engine opens them.

`open_duck` is the door of the test build: nothing of sql or plan is asked here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import duckdb
import pytest

from qsky.duck import Duck
from qsky.engine import Engine
from qsky.errors import QskyError
from qsky.fragment import Fragment, Input, PartFile
from qsky.merge import Lent
from qsky.sql.functions import FUNCTIONS, call_text
from qsky.words import only_known_words
from qsky.worker.execute import execute
from tests.transports import local_of

from .attacks import ATTACKS, BOMBS, RAW, Attack
from .conftest import SECRET, House
from .test_first_wall import label

TEXTS = [attack.text for attack in ATTACKS if attack.raw] + list(RAW)
# DuckDB writes where it may read; only the words of the second wall and the rights of the folder stand before that.
FILES_AND_STATEMENTS = [
    attack.text
    for attack in ATTACKS
    if any(
        name in attack.text for name in ("{secret}", "{private}", "{out}", "{csv}", "://", "INSTALL", "LOAD", "SET ")
    )
    and not any(name in attack.text for name in ("/*", "VARIABLE"))  # both are nothing to DuckDB
]


@pytest.fixture(scope="module")
def duck(house: House) -> Iterator[Duck]:
    engine = Engine(house.sky._catalog, house.sky.settings)
    with local_of(engine)._ducks.under(True) as opened:
        yield opened
    engine.close()


def fragment(house: House, text: str) -> Fragment:
    part = PartFile(house.names["part"], 1)
    return Fragment(0, house.filled(text), (Input("t0", (part,), (("id", "BIGINT"),)),), 1, 1)


def test_there_are_enough_of_them() -> None:
    assert len(set(TEXTS)) >= 200 and len(FILES_AND_STATEMENTS) >= 50


def test_a_fragment_reads_its_own_files(house: House, duck: Duck) -> None:
    assert execute(duck, fragment(house, 'SELECT count(*) AS "n" FROM {t0} AS "t"')).table["n"].to_pylist()[0] > 0


@pytest.mark.parametrize("text", TEXTS, ids=label)
def test_a_worker_refuses_it(house: House, duck: Duck, text: str) -> None:
    with pytest.raises(QskyError) as caught:
        execute(duck, fragment(house, text))
    # by its words, or by DuckDB where the words are those of a query and the table is a file or none
    assert caught.value.code.name in ("internal", "query-failed")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("attack", [attack for attack in BOMBS if attack.raw], ids=label)
def test_a_bomb_is_refused_by_duckdb_as_well(house: House, duck: Duck, attack: Attack) -> None:
    """Texts that only nest or only go on: they name no words that could be refused, and do no harm."""
    began = time.monotonic()
    with pytest.raises(QskyError):
        execute(duck, fragment(house, attack.text))
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("text", TEXTS[::5], ids=label)
def test_a_merge_refuses_it(house: House, duck: Duck, text: str) -> None:
    with pytest.raises(QskyError):
        list(Lent(duck, 1 << 20).stream(house.filled(text), 1000, None))


@pytest.mark.parametrize("text", FILES_AND_STATEMENTS, ids=label)
def test_duckdb_alone_gives_nothing_away(house: House, duck: Duck, text: str) -> None:
    """With the words let through as well, the lock of the instance still stands before files, network and code."""
    if "COPY" in text and "{part}" in text:
        pytest.skip("inside the public folder only the words stand before a write")
    with pytest.raises(QskyError) as caught:
        duck.answer(house.filled(text))
    assert SECRET not in str(caught.value)


def test_the_settings_of_an_instance_are_bounded_and_locked(house: House, duck: Duck) -> None:
    names = ("memory_limit", "threads", "max_temp_directory_size", "lock_configuration", "enable_external_access")
    said = {name: duck.answer(f"SELECT current_setting('{name}')::VARCHAR").table[0][0].as_py() for name in names}
    assert said["threads"] == "1" and said["lock_configuration"] == "true" and said["enable_external_access"] == "false"
    assert "GiB" in said["max_temp_directory_size"] and "MiB" in said["memory_limit"]
    for name in names:
        with pytest.raises(QskyError, match="locked|allowed|Cannot"):
            duck.answer(f"SET {name} = '1'")


def test_a_large_answer_is_stopped(duck: Duck) -> None:
    with pytest.raises(QskyError) as caught:
        duck.answer("SELECT range, range, range, range FROM range(100000000)")
    assert caught.value.code.name == "limit-memory"


def test_a_large_spill_is_stopped(house: House, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("spill")
    with Duck(memory_bytes=64 << 20, spill_bytes_max=64 << 20, temp_dir=folder, folders=[]) as small:
        with pytest.raises(QskyError) as caught:
            small.answer("SELECT count(*) FROM (SELECT hash(range) AS h, range AS n FROM range(20000000) ORDER BY h)")
        assert caught.value.code.name == "limit-memory"
        assert sum(file.stat().st_size for file in folder.rglob("*")) <= 65 << 20


def test_every_function_is_made_of_known_words() -> None:
    for function in FUNCTIONS.values():
        for first in ("DOUBLE", "BIGINT"):
            only_known_words("SELECT " + call_text(function, tuple('"t"."c"' for _ in range(9)), first))


def test_no_function_that_makes_rows_is_a_known_word() -> None:
    """Asked of the DuckDB that is installed, so that a new version's readers are met here first."""
    asked = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ('table', 'table_macro', 'pragma')"
    for (name,) in duckdb.sql(asked).fetchall():
        if name == "unnest":  # of a list, which is already there
            continue
        with pytest.raises(QskyError):
            only_known_words(f"SELECT * FROM {name}('x')")


HARMLESS = (
    "SELECT 'read_text(''x''); -- $$ /* */ FROM \"duckdb_tables\"' AS \"c\"",
    'SELECT "t"."pg_type" AS "c0", "t"."duckdb_x" AS "c1" FROM {t0} AS "t"',
    'SELECT "pg_type", "pg_type" FROM {t0} AS "pg_type" WHERE "pg_type"."x" = 1',
    'SELECT "main"."pg_type" AS "c" FROM {t0} AS "main" ORDER BY "main"."pg_type"',
    'WITH "x" AS (SELECT 1 AS "a") SELECT "x"."a" FROM "x"',
    'SELECT sum("a") OVER (PARTITION BY "b" ORDER BY "c" ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM "pieces"',
    "SELECT 1e-05, 2.5e0, (-3)",
)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_a_printer_may_say_is_let_through(text: str) -> None:
    assert only_known_words(text) == text
