"""Limits and robustness: whatever the text, the outcome is a Query or a QskyError with a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.sql.aggregates import AGGREGATE_NAMES
from qsky.sql.bind import bind, bind_text
from qsky.sql.dialect import LANGS
from qsky.sql.functions import FUNCTIONS, call_text, find_function, function_names
from qsky.sql.parse import parse, place_at
from qsky.sql.print import literal_text, print_expression
from qsky.sql.query import Binary, Call, Expression, Place, conjuncts, walk

SETTINGS = Settings()
_CLAUSES = (
    "SELECT FROM WHERE GROUP BY HAVING ORDER LIMIT JOIN ON USING LEFT NATURAL DISTINCT TOP UNION WITH VALUES LATERAL"
)
_LOGIC = "AND OR NOT IN IS NULL BETWEEN LIKE CASE WHEN THEN ELSE END AS OF REVISION EXISTS INTERVAL CAST OVER"
_NAMES = "star obs hip ra n name s.hip `order` \"x\" 'a' 1 2.5 COUNT SUM SQRT CONTAINS POINT CIRCLE scisql_s2PtInCPoly"
_MARKS = "( ) , . * + - / % = < > <= <> <=> || && ! ~ ^ | & << ; -- /* */ # @x ? : :: [ ] { } $1 \\ ' \" ` é \0"
WORDS = st.sampled_from([*_CLAUSES.split(), *_LOGIC.split(), *_NAMES.split(), *_MARKS.split(), "qserv_areaspec_circle"])


def refused(text: str, lang: str, world: Any, settings: Settings = SETTINGS) -> QskyError:
    with pytest.raises(QskyError) as caught:
        bind_text(text, lang, world, settings, "sky")
    return caught.value


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=14), st.sampled_from(LANGS))
def test_words_in_any_order(world: Any, words: list[str], lang: str) -> None:
    _query_or_error("SELECT " + " ".join(words), lang, world)
    _query_or_error(f"SET @x = {' '.join(words)}; SELECT @x FROM star", lang, world)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.sampled_from(LANGS))
def test_any_text(world: Any, text: str, lang: str) -> None:
    _query_or_error(text, lang, world)
    _query_or_error("SELECT " + text, lang, world)


def _query_or_error(text: str, lang: str, world: Any) -> None:
    try:
        query = bind_text(text, lang, world, SETTINGS, "sky").query
    except QskyError as error:
        assert error.code.family == "query" or error.code.name in ("limit-text", "no-such-revision", "no-such-table")
        assert error.message.endswith(".") and "sqlglot" not in error.message
        return
    for item in query.items:
        print_expression(item.expression, lambda ref: ref.column)


def test_variables_cannot_grow_without_bound(world: Any) -> None:
    doubled = "".join(f"SET @a{n} = @a{n - 1} + @a{n - 1}; " for n in range(1, 40))
    error = refused(f"SET @a0 = 1; {doubled} SELECT @a39", "mysql", world, Settings(sql_bytes_max=20_000))
    assert (error.code.name, error.message[:35]) == ("limit-text", "The query with its variables in pla")


DEEP = {
    "parentheses": lambda n: "SELECT " + "(" * n + "1" + ")" * n,
    "functions": lambda n: "SELECT " + "ABS(" * n + "1" + ")" * n,
    "not": lambda n: "SELECT " + "NOT " * n + "1",
    "minus": lambda n: "SELECT " + "- " * n + "1",
    "tilde": lambda n: "SELECT " + "~" * n + "1",
    "case": lambda n: "SELECT " + "CASE WHEN 1 THEN " * n + "1" + " END" * n,
    "plus": lambda n: "SELECT n" + " + n" * n + " FROM star",
    "power": lambda n: "SELECT n" + " ^ n" * n + " FROM star",
    "is": lambda n: "SELECT n" + " IS NULL" * n + " FROM star",
    "assignment": lambda n: "SELECT " + "n := " * n + "1 FROM star",
    "brackets": lambda n: "SELECT " + "[" * n + "1" + "]" * n,
    "joins": lambda n: "SELECT 1 FROM star s" + "".join(f" JOIN obs o{i}" for i in range(n)) + " ON 1" * n,
    "selects": lambda n: "SELECT (" * n + "1" + ")" * n,
    "intervals": lambda n: "SELECT " + "INTERVAL " * n + "1 DAY",
    "casts": lambda n: "SELECT " + "CAST(" * n + "1" + " AS SIGNED)" * n,
}


@pytest.mark.parametrize("shape", DEEP)
@pytest.mark.parametrize("lang", LANGS)
def test_nothing_nests_without_end(world: Any, shape: str, lang: str) -> None:
    error = refused(DEEP[shape](20_000), lang, world)
    assert error.code.name in ("limit-text", "syntax", "not-supported")


@pytest.mark.parametrize("shape", ["parentheses", "functions", "not", "minus", "case", "plus", "casts"])
def test_what_the_limit_allows_works(world: Any, shape: str) -> None:
    query = bind_text(DEEP[shape](190), "mysql", world, SETTINGS, "sky").query
    assert print_expression(query.items[0].expression, lambda ref: ref.column)


def test_long_chains_of_and_and_or_are_no_nesting(world: Any) -> None:
    for word in ("AND", "OR"):
        text = "SELECT 1 FROM star WHERE " + f" {word} ".join(f"n <> {i}" for i in range(5000))
        query = bind_text(text, "mysql", world, SETTINGS, "sky").query
        assert query.where is not None
        assert query.where.operator == word  # type: ignore[attr-defined]
        assert _depth(query.where) < 20
    flat = bind_text(
        "SELECT 1 FROM star WHERE n = 1 AND (n = 2 AND n = 3) AND n = 4", "mysql", world, SETTINGS, "sky"
    ).query
    assert [part.right.value for part in conjuncts(flat.where)] == [1, 2, 3, 4]  # type: ignore[attr-defined]


def _depth(expression: Expression) -> int:
    return 1 + max((_depth(child) for child in expression.children()), default=0)


def test_a_long_list_is_no_nesting(world: Any) -> None:
    text = "SELECT 1 FROM star WHERE hip IN (" + ", ".join(map(str, range(20_000))) + ")"
    assert bind_text(text, "mysql", world, SETTINGS, "sky").query.where is not None


def test_texts_have_a_longest_length(world: Any) -> None:
    error = refused("SELECT '" + "ä" * 100 + "'", "mysql", world, Settings(sql_bytes_max=150))
    assert error.code.name == "limit-text"
    assert "QSKY_SQL_BYTES_MAX" in error.hint


def test_the_depth_is_a_setting(world: Any) -> None:
    assert refused("SELECT ((((((1))))))", "mysql", world, Settings(sql_depth_max=5)).code.name == "limit-text"


def test_languages_are_known_by_name(world: Any) -> None:
    assert refused("SELECT 1", "sql", world).code.name == "usage"
    assert parse("SELECT 1", "MySQL", SETTINGS).lang == "mysql"


def test_revisions_are_known_before_binding() -> None:
    parsed = parse("SELECT 1 FROM sky.star AS OF REVISION 4 s, obs JOIN dr1.`odd name` x", "mysql", SETTINGS)
    assert list(parsed.revisions.values()) == [4]


def test_places_count_from_one() -> None:
    assert place_at("ab\ncd", 0) == Place(1, 1)
    assert place_at("ab\ncd", 4) == Place(2, 2)
    error = QskyError("syntax", "No.", line=2, column=2)
    assert "(line 2, column 2)" in str(error)


def test_errors_point_into_the_text(world: Any) -> None:
    error = refused("SELECT hip,\n  foo\nFROM star", "mysql", world)
    assert (error.line, error.column) == (2, 3)
    error = refused("SELECT hip\nFROM star WHERE 'abc", "mysql", world)
    assert (error.line, error.column) == (2, 17)


def test_without_a_default_database_tables_name_theirs(world: Any) -> None:
    parsed = parse("SELECT hip FROM star", "mysql", SETTINGS)
    with pytest.raises(QskyError, match="names no database"):
        bind(parsed, world)
    assert bind(parse("SELECT hip FROM sky.star", "mysql", SETTINGS), world).revisions == (("sky", 7),)


def test_equal_texts_make_equal_queries(world: Any) -> None:
    text = "SELECT COUNT(*) FROM star WHERE qserv_areaspec_circle(1, 2, 3) GROUP BY n"
    first, second = (bind_text(text, "mysql", world, SETTINGS, "sky") for _ in range(2))
    assert first == second and hash(first) == hash(second)


def test_bare_columns_bring_their_description(world: Any) -> None:
    item = bind_text("SELECT ra AS x FROM star", "mysql", world, SETTINGS, "sky").query.items[0]
    assert (item.name, item.unit, item.ucd, item.description) == ("x", "deg", "pos.eq.ra", "right ascension")


def test_every_function_has_a_text_and_a_name_to_call_it_by() -> None:
    for function in FUNCTIONS.values():
        low, high = function.arity
        assert low <= high
        if function.text:
            slots = tuple(f"<{at}>" for at in range(max(low, min(high, 3))))
            assert "{" not in call_text(function, slots, "BIGINT") + call_text(function, slots, "DOUBLE")
    for name in function_names():
        known = find_function(name, "mysql", 1)
        assert known is not None or name in ("MOD", "IF", "ISNULL", *AGGREGATE_NAMES)


def test_what_cannot_be_printed_is_a_defect() -> None:
    class Odd(Expression):
        pass

    operand = Call(type="DOUBLE", function="PI", arguments=())
    wrong = [
        Odd(type="DOUBLE"),
        Call(type="DOUBLE", function="no such", arguments=()),
        Binary(type="DOUBLE", operator="@", left=operand, right=operand),
    ]
    for expression in wrong:
        with pytest.raises(QskyError) as caught:
            print_expression(expression, lambda ref: ref.column)
        assert caught.value.code.name == "internal"
    with pytest.raises(QskyError):
        literal_text(object(), "VARCHAR")
    assert len(list(walk(wrong[2]))) == 3


@pytest.mark.parametrize(
    ("value", "kind", "wanted"),
    [
        ("O'Neil", "VARCHAR", "'O''Neil'"),
        ("a\0b", "VARCHAR", "('a' || chr(0) || 'b')"),
        (b"\x01\xff", "BLOB", "from_hex('01ff')"),
        (-1.5, "DOUBLE", "(-1.5e0)"),
        (1e-7, "DOUBLE", "1e-07"),
        (1.5, "FLOAT", "CAST(1.5e0 AS FLOAT)"),
        (float("inf"), "DOUBLE", "CAST('inf' AS DOUBLE)"),
        (5, "BIGINT", "CAST(5 AS BIGINT)"),
        (1 << 40, "BIGINT", "1099511627776"),
        (None, "DATE", "CAST(NULL AS DATE)"),
        (True, "BOOLEAN", "TRUE"),
    ],
)
def test_constants(value: Any, kind: str, wanted: str) -> None:
    assert literal_text(value, kind) == wanted
