"""What a person asking sees beside the rows: what it took, how far it is, what is refused beforehand, when it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from qsky.duck import Duck
from qsky.engine import Engine
from qsky.errors import QskyError
from qsky.events import Asked, Event
from qsky.plan.planner import RULES
from tests.transports import local_of

from .conftest import make_sky
from .made_sky import MadeSky
from .test_engine import engine_over, refused


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> MadeSky:
    return make_sky(tmp_path_factory.mktemp("asking"), 3)


@pytest.fixture
def engine(sky: MadeSky) -> Iterator[Engine]:
    with engine_over(sky, fragment_chunks_max=1) as made:
        yield made


SCAN = "SELECT class, count(*) AS n, avg(mag) AS m FROM db.obj WHERE mag > 0 GROUP BY class"
SORTED = "SELECT id, mag FROM db.obj ORDER BY mag, id"
STAGED = (
    "WITH t AS (SELECT id FROM db.obj ORDER BY mag, id LIMIT 3) SELECT count(*) FROM t JOIN db.src s ON s.oid = t.id"
)
GATHERED = "SELECT count(*) FROM db.obj a JOIN other.cat b ON a.class = b.class"

# -- explain


@pytest.mark.parametrize("text", [SCAN, SORTED, STAGED, GATHERED, "SELECT count(*) FROM db.obj", "SELECT 1"])
def test_every_rule_has_its_say(engine: Engine, text: str) -> None:
    facts = engine.explained(text)
    for plan in (facts, *facts.get("stages", ())):
        said = {rule["rule"] for rule in plan["rules"]}
        assert said >= {rule.__name__ for rule in RULES}
        assert all(rule["why"] for rule in plan["rules"])
    assert "run" not in facts
    words = engine.explain(text)
    assert all(
        f"\n{rule['rule']:<10} {'' if rule['fired'] else 'no: '}{rule['why']}" in words for rule in facts["rules"]
    )
    assert json.loads(json.dumps(facts)) == facts


def test_analyze_counts_what_ran(engine: Engine) -> None:
    rows = len(engine.query(SORTED))
    facts = engine.explained(SORTED, analyze=True)
    run = facts["run"]
    (scan,) = run["scans"]
    assert scan["chunks"] == facts["chunks"]["chosen"] and scan["fragments"] == facts["fragments"] > 3
    assert scan["rows"] == run["rows"] == rows
    assert scan["bytes_read"] == facts["bytes"] > facts["bytes_estimated"] > 0
    assert scan["bytes"] > 16 * rows and scan["retries"] == 0 and not scan["spilled"]
    assert scan["cpu_seconds"] > 0 and scan["seconds"] > 0 and 0 < run["merge_seconds"] < run["seconds"]
    assert json.loads(json.dumps(facts)) == facts
    words = engine.explain(SORTED, analyze=True)
    assert (
        f"for {rows:,} rows" in words
        and f"{scan['fragments']:,} fragments, files of {scan['bytes_read']:,} bytes" in words
    )
    took = words[words.index("-- it took") : words.index("-- under")]
    assert words.replace(took, "") == engine.explain(SORTED)


def test_analyze_shows_where_reading_stopped(engine: Engine) -> None:
    facts = engine.explained("SELECT id FROM db.obj LIMIT 1", analyze=True)
    (scan,) = facts["run"]["scans"]
    assert 0 < scan["chunks"] < facts["chunks"]["chosen"] and facts["run"]["rows"] == 1


def test_analyze_shows_stages_and_every_scan(engine: Engine) -> None:
    facts = engine.explained(STAGED, analyze=True)
    assert [stage["run"]["rows"] for stage in facts["stages"]] == [3] and facts["run"]["rows"] == 1
    scans = engine.explained(GATHERED, analyze=True)["run"]["scans"]
    assert [scan["name"] for scan in scans] == ["gathered_0", "gathered_1"]
    assert all(scan["rows"] and scan["fragments"] for scan in scans)


def test_a_heavy_chunk_that_is_cut_is_one_chunk(sky: MadeSky) -> None:
    with engine_over(sky, fragment_bytes_target=2000, fragment_chunks_max=1) as engine:
        facts = engine.explained(SORTED, analyze=True)
        (scan,) = facts["run"]["scans"]
        assert scan["fragments"] > scan["chunks"] == facts["chunks"]["chosen"]
        heard = heard_of(engine, SORTED)
        assert heard[-1].done == heard[-1].total == scan["chunks"]


def test_analyze_counts_retries(engine: Engine) -> None:
    failed: list[int] = []
    open_duck = local_of(engine).worker._open_duck

    def failing(interactive: bool) -> Duck:
        duck = open_duck(interactive)
        answer = duck.answer

        def first_fails(*arguments: object) -> object:
            if not failed:
                failed.append(1)
                raise QskyError("damaged", "A disk was slow.")
            return answer(*arguments)  # type: ignore[arg-type]

        duck.answer = first_fails  # type: ignore[method-assign,assignment]
        return duck

    local_of(engine).worker._open_duck = failing
    (scan,) = engine.explained(SORTED, analyze=True)["run"]["scans"]
    assert failed and scan["retries"] == 1


def test_analyze_says_what_spilled(sky: MadeSky) -> None:
    with engine_over(sky) as engine:
        engine._above._memory_bytes = 200
        engine._above._open_duck = lambda memory_bytes: local_of(engine)._ducks.under(False)
        assert [scan["spilled"] for scan in engine.explained(SORTED, analyze=True)["run"]["scans"]] == [True]
        assert ", spilled" in engine.explain(SORTED, analyze=True)


# -- progress


def heard_of(engine: Engine, text: str) -> list[Asked]:
    heard: list[Event] = []
    engine.query(text, listener=heard.append).arrow()
    asked = [event for event in heard if isinstance(event, Asked)]
    assert len(asked) == len(heard)
    return asked


def test_progress_goes_from_nothing_to_all(engine: Engine) -> None:
    heard = heard_of(engine, SORTED)
    facts = engine.explained(SORTED)
    assert [event.done for event in heard] == sorted(event.done for event in heard)
    assert (heard[0].done, heard[0].rows, heard[0].bytes_estimated) == (0, 0, facts["bytes_estimated"])
    last = heard[-1]
    assert last.done == last.total == facts["chunks"]["chosen"] and len(heard) == facts["fragments"] + 1
    assert last.rows == len(engine.query(SORTED)) and last.bytes_read == last.bytes_estimated
    assert last.seconds > 0 and (last.seconds_left is None or last.seconds_left == 0)


def test_progress_names_the_stages(engine: Engine) -> None:
    assert list(dict.fromkeys(event.stage for event in heard_of(engine, STAGED))) == ["query", "query, step 2"]


def test_a_listener_that_fails_ends_the_query(engine: Engine) -> None:
    def tired(event: Event) -> None:
        if isinstance(event, Asked) and event.done:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        engine.query(SORTED, listener=tired).arrow()
    assert len(engine.query(SORTED)) > 0


# -- the limit of bytes


def test_a_query_that_reads_too_much_does_not_start(sky: MadeSky) -> None:
    with engine_over(sky, query_bytes_max=1000) as engine:
        error = refused(engine, SORTED)
        assert error.code.name == "limit-bytes" and "chunks" in error.message and "QSKY_QUERY_BYTES_MAX" in error.hint
        assert local_of(engine).worker.counts.alone == 0
        assert engine.query("SELECT count(*) FROM db.obj").scalar() == 500
        estimated = engine.explained(SORTED)["bytes_estimated"]
    with engine_over(sky, query_bytes_max=estimated) as engine:
        assert len(engine.query(SORTED)) == 500
    with engine_over(sky, query_bytes_max=estimated - 1) as engine:
        assert refused(engine, SORTED).code.name == "limit-bytes"


def test_stages_count_together(sky: MadeSky) -> None:
    with engine_over(sky) as engine:
        facts = engine.explained(STAGED, analyze=True)
    parts = [plan["bytes_estimated"] for plan in (*facts["stages"], facts)]
    with engine_over(sky, query_bytes_max=sum(parts) - 1) as engine:
        assert max(parts) < sum(parts) - 1
        assert refused(engine, STAGED).code.name == "limit-bytes"


# -- time


def long_list(count: int) -> str:
    return f"SELECT count(*) FROM db.obj WHERE mag IN ({','.join(f'{n}.5' for n in range(count))})"


@pytest.mark.parametrize("ask", [Engine.query, Engine.explain], ids=["query", "explain"])
def test_the_time_limit_counts_planning(sky: MadeSky, ask: Callable[[Engine, str], object]) -> None:
    with engine_over(sky, query_seconds_max=0.05) as engine:
        with pytest.raises(QskyError) as caught:
            ask(engine, long_list(4_000))
        assert caught.value.code.name == "limit-time" and "0.05 seconds" in caught.value.message
        assert local_of(engine).worker.counts.alone == 0, "nothing was begun"


def test_the_time_limit_is_one_for_all_stages(sky: MadeSky) -> None:
    with engine_over(sky, query_seconds_max=1000) as engine:
        engine.query(STAGED).arrow()
        real, limits = engine._rows_of, []

        def slow(asking, plan):  # type: ignore[no-untyped-def]
            limits.append(asking.ends)
            asking.began -= 2000
            return real(asking, plan)

        engine._rows_of = slow  # type: ignore[method-assign]
        assert refused(engine, STAGED).code.name == "limit-time"
        assert len(limits) == 1


# -- LIMIT beyond counting


@pytest.mark.parametrize("lang", ["mysql", "adql", "duckdb"])
def test_a_limit_beyond_counting(engine: Engine, lang: str) -> None:
    many = "9" * 20
    texts = {
        "adql": [f"SELECT TOP {many} id FROM db.obj", f"SELECT TOP 5 id FROM db.obj OFFSET {many}"],
    }.get(lang, [f"SELECT id FROM db.obj LIMIT {many}", f"SELECT id FROM db.obj LIMIT 5 OFFSET {many}"])
    for text in texts:
        with pytest.raises(QskyError, match="more rows than can be counted") as caught:
            engine.query(text, lang=lang)
        assert caught.value.code.name == "bad-argument" and caught.value.column is not None


@pytest.mark.parametrize("count", [2**62, 2**63 - 1, 2**64 - 1])
@pytest.mark.parametrize("clause", ["LIMIT {}", "ORDER BY mag LIMIT {} OFFSET 5", "LIMIT 5, {}"])
def test_a_limit_of_all_rows(engine: Engine, count: int, clause: str) -> None:
    rows = 500 if "5" not in clause else 495
    assert len(engine.query(f"SELECT id FROM db.obj {clause.format(count)}")) == rows
    assert len(engine.query(f"SELECT count(*) FROM db.obj LIMIT 1 OFFSET {count}")) == 0


@pytest.mark.parametrize("words", ["EXPLAIN", " explain", "DESCRIBE", "EXPLAIN FORMAT=TREE", "desc\n"])
@pytest.mark.parametrize("lang", ["mysql", "duckdb"])
def test_explain_is_a_statement(engine: Engine, words: str, lang: str) -> None:
    text = "SELECT COUNT(mag) FROM db.obj"
    answer = engine.query(f"{words} {text}", lang).arrow()
    assert answer.column_names == ["EXPLAIN"]
    assert answer.column(0).to_pylist() == engine.explain(text, lang).splitlines()


@pytest.mark.parametrize("words", ["EXPLAIN ANALYZE FORMAT=JSON", "EXPLAIN (ANALYZE, FORMAT JSON)"])
def test_explain_of_what_it_took(engine: Engine, words: str) -> None:
    (said,) = engine.query(f"{words} (SELECT COUNT(mag) FROM db.obj)").arrow().column(0).to_pylist()
    assert json.loads(said)["run"]["rows"] == 1
    lines = engine.query("EXPLAIN ANALYZE SELECT COUNT(mag) FROM db.obj").arrow().column(0).to_pylist()
    assert any(line.startswith("took") or "fragments" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("EXPLAIN SELECT nothing FROM db.obj", "(line 1, column 16)"),
        ("EXPLAIN\n SELECT nothing FROM db.obj", "(line 2, column 9)"),
        ("EXPLAIN DELETE FROM db.obj", "EXPLAIN is not supported"),
        ("DESCRIBE db.obj", "DESCRIBE is not supported"),
    ],
)
def test_what_cannot_be_explained(engine: Engine, text: str, said: str) -> None:
    with pytest.raises(QskyError) as caught:
        engine.query(text)
    assert said in str(caught.value)


def test_adql_has_no_explain(engine: Engine) -> None:
    with pytest.raises(QskyError, match="EXPLAIN is not supported"):
        engine.query("EXPLAIN SELECT id FROM db.obj", "adql")
