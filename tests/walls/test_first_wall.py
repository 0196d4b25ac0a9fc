"""The first wall: every attack is refused with its code and by name, in every language, soon, and tells no secret."""

from __future__ import annotations

import resource
import time

import pytest

from qsky.errors import QskyError

from .attacks import ATTACKS, BOMBS, DATA, DUCKDB, MYSQL, Attack
from .conftest import SECONDS_MAX, SECRET, House

CASES = [(attack, lang) for attack in ATTACKS for lang in attack.langs]
MEMORY_MORE_MAX = 800  # MiB; the settings of the house allow 512, and Arrow needs some of its own


def label(case: object) -> str:
    return case.text[:50] if isinstance(case, Attack) else str(case)


def refusal(house: House, text: str, lang: str) -> QskyError:
    with pytest.raises(QskyError) as caught:
        house.sky.sql(house.filled(text), lang=lang).arrow()
    return caught.value


def check(house: House, attack: Attack, lang: str, error: QskyError) -> None:
    assert error.code.name in attack.code.split("|"), error
    named = [house.filled(each).lower() for each in attack.says.split("|")]
    assert any(each in str(error).lower() for each in named), error
    assert SECRET not in str(error)


def test_there_are_enough_of_them() -> None:
    assert len({attack.text for attack in ATTACKS}) >= 200
    for lang in (MYSQL, "adql", DUCKDB):
        assert sum(lang in attack.langs for attack in ATTACKS) >= 190


@pytest.mark.parametrize(("attack", "lang"), CASES, ids=label)
def test_it_is_refused_by_name(house: House, attack: Attack, lang: str) -> None:
    python_rows = [SECRET]  # a replacement scan would find it here
    began = time.monotonic()
    check(house, attack, lang, refusal(house, attack.text, lang))
    assert time.monotonic() - began < 5 and python_rows


@pytest.mark.parametrize("attack", BOMBS, ids=label)
def test_a_bomb_goes_off_small(house: House, attack: Attack) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    for lang in attack.langs[:1]:
        began = time.monotonic()
        with pytest.raises(QskyError) as caught:
            for _ in house.sky.sql(house.filled(attack.text), lang=lang).batches():
                pass  # whoever keeps an endless answer fills the memory himself
        check(house, attack, lang, caught.value)
        assert time.monotonic() - began < SECONDS_MAX + 30  # a machine may be busy; the point is that it ends
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10) - before < MEMORY_MORE_MAX
    assert house.sky.sql("SELECT COUNT(*) FROM sky.star").scalar() == 400


@pytest.mark.parametrize(("text", "value", "langs"), DATA, ids=label)
def test_a_text_is_data(house: House, text: str, value: str, langs: tuple[str, ...]) -> None:
    for lang in langs:
        assert house.sky.sql(text, lang=lang).arrow().to_pylist() == [{"c": value}]


def test_stored_names_are_no_sql(house: House) -> None:
    """Columns that are called like SQL, in lists, expressions, groups and sorting."""
    rows = house.sky.sql("SELECT * FROM sky.star WHERE id < 3 ORDER BY id").arrow()
    evil = ['q"; DROP TABLE x --', "b{t0}race", "it's", "pg_settings"]
    assert [rows[name].to_pylist() for name in evil] == [[1.0] * 3, [2.0] * 3, [3.0] * 3, [4.0] * 3]
    for name in evil:
        quoted = '"' + name.replace('"', '""') + '"'
        text = (
            f"SELECT {quoted} AS v, COUNT(*) AS n FROM sky.star WHERE {quoted} > 0 GROUP BY {quoted} ORDER BY {quoted}"
        )
        assert house.sky.sql(text, lang=DUCKDB).arrow().to_pylist()[0]["n"] == 400
        assert house.sky.sql(f"SELECT MAX({quoted}) FROM sky.star", lang=DUCKDB).scalar() in (1.0, 2.0, 3.0, 4.0)
        alias = f"SELECT id AS {quoted} FROM sky.star AS {quoted} WHERE {quoted}.id = 7"
        assert house.sky.sql(alias, lang=DUCKDB).scalar() == 7


@pytest.mark.parametrize("name", ["pg_settings", "duckdb_tables", "system", "main", "temp", "t0", "information_schema"])
def test_an_alias_may_be_called_like_a_part_of_duckdb(house: House, name: str) -> None:
    text = f'SELECT "{name}".id, "{name}".pg_settings AS s FROM sky.star AS "{name}" WHERE "{name}".id = 7'
    assert house.sky.sql(text, lang=DUCKDB).arrow().to_pylist() == [{"id": 7, "s": 4.0}]
