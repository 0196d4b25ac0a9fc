"""Printed expressions run in DuckDB against values worked out by hand: what NULL, zero, signs and borders give."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from qsky.catalog.types import arrow_type
from qsky.config import Settings
from qsky.duck import Duck
from qsky.errors import QskyError
from qsky.sky.functions import ARROW_FUNCTIONS, MACROS
from qsky.sql.bind import bind_text
from qsky.sql.print import print_expression
from qsky.sql.query import ColumnRef

ROW = {
    "hip": 123456789012,
    "ra": 10.0,
    "dec": -20.0,
    "hpmag": 0.1,
    "n": 7,
    "tiny": -3,
    "price": Decimal("12.50"),
    "big": Decimal(2**70),
    "name": "Vega ä",
    "flag": True,
    "day": date(2020, 2, 29),
    "at": datetime(2020, 2, 29, 13, 14, 15, 600000),
    "raw": b"\x00\x01",
    "V-Mag": 0.5,
    "order": None,
}


@pytest.fixture(scope="module")
def duck() -> Iterator[Duck]:
    with Duck(macros=MACROS) as opened:
        for each in ARROW_FUNCTIONS:
            opened.register_function(each.name, each.function, each.arguments, each.result)
        yield opened


def star_rows(world: Any) -> pa.Table:
    """ROW in the types of the table."""
    table, _ = world.table("sky", "star", None)
    schema = pa.schema([(column.name, arrow_type(column.type)) for column in table.columns])
    return pa.Table.from_pylist([ROW], schema=schema)


def column(ref: ColumnRef) -> str:
    return f'"{ref.column}"'


def value(duck: Duck, world: Any, text: str, lang: str = "mysql") -> Any:
    """The value of a select item over the one row above."""
    query = bind_text(f"SELECT {text} FROM star", lang, world, Settings(), "sky").query
    printed = print_expression(query.items[0].expression, column)
    table = duck.answer(f"SELECT {printed} AS v FROM star", {"star": star_rows(world)}).table
    return table.column(0)[0].as_py()


F32 = 0.10000000149011612

CASES: list[tuple[str, Any]] = [
    # arithmetic
    ("n + tiny", 4),
    ("n * 2000000000", 14_000_000_000),
    ("tiny * 100", -300),
    ("-tiny", 3),
    ("n / 2", 3.5),
    ("n / 0", None),
    ("ra / (n - 7)", None),
    ("0 / 0", None),
    ("n DIV 2", 3),
    ("-7 DIV 2", -3),
    ("n DIV 0", None),
    ("n DIV (n - 7)", None),
    ("7.5 DIV 2", 3),
    ("-ra DIV 4", -2),
    ("-7 % 3", -1),
    ("7 % -3", 1),
    ("n % 0", None),
    ("n MOD tiny", 1),
    ("MOD(-7.5, 2)", -1.5),
    ("ra % 0", None),
    ("hpmag + 0", F32),
    ("price * 2", 25.0),
    ("big + 1", Decimal(2**70 + 1)),
    ("big DIV 2", Decimal(2**69)),
    ("n + NULL", None),
    ("flag + flag", 2),
    ("(n > 3) + (n > 9)", 1),
    ("10 / 3600.", 10 / 3600),
    ("1 | 2 & 3", 3),
    ("5 ^ 3", 6),
    ("1 << 40", 1 << 40),
    ("hip >> 3", 123456789012 >> 3),
    ("~0", Decimal((1 << 64) - 1)),
    ("n & `order`", None),
    # comparison and logic
    ("n = 7.0", 1),
    ("n <> 7", 0),
    ("hpmag = 0.1", 0),
    ("hpmag < 0.2", 1),
    ("hpmag IN (0.1, 3)", 0),
    ("hpmag BETWEEN 0 AND 1", 1),
    ("price = 12.5", 1),
    ("hip = 123456789012", 1),
    ("`order` = 1", None),
    ("`order` <=> NULL", 1),
    ("n <=> NULL", 0),
    ("NULL <=> NULL", 1),
    ("`order` IS NULL", 1),
    ("NOT `order`", None),
    ("`order` IS NOT TRUE", 1),
    ("n IS TRUE", 1),
    ("flag = 0", 0),
    ("1 XOR 1", 0),
    ("1 XOR NULL", None),
    ("n OR NULL", 1),
    ("0 AND NULL", 0),
    ("0 OR NULL", None),
    ("n IN (1, NULL)", None),
    ("n NOT IN (7, NULL)", 0),
    ("n NOT BETWEEN 1 AND 6", 1),
    ("name = 'vega ä'", 0),
    ("name = 'Vega ä '", 0),
    ("name LIKE 'Vega%'", 1),
    ("name LIKE 'vega%'", 0),
    ("'a_b' LIKE 'a\\\\_b'", 1),
    ("'axb' LIKE 'a\\\\_b'", 0),
    ("'a_b' LIKE 'a!_b' ESCAPE '!'", 1),
    ("name LIKE NULL", None),
    ("day = '2020-02-29'", 1),
    ("at > '2020-02-29 13:14:15'", 1),
    ("day < at", 1),
    # choice
    ("CASE WHEN n > 9 THEN 1 END", None),
    ("CASE n WHEN 7 THEN 'seven' ELSE 'other' END", "seven"),
    ("IF(NULL, 1, 2)", 2),
    ("IF(n, 'yes', 'no')", "yes"),
    ("IFNULL(`order`, 5)", 5),
    ("COALESCE(`order`, NULL, n)", 7),
    ("NULLIF(n, 7)", None),
    ("NULLIF(n, 8)", 7),
    ("NULLIF(n, NULL)", 7),
    ("GREATEST(n, 2.5)", 7.0),
    ("GREATEST(n, `order`)", None),
    ("LEAST(n, tiny, 0)", -3),
    ("ISNULL(`order`)", 1),
    # numbers
    ("ABS(tiny)", 3),
    ("ABS(-2.5)", 2.5),
    ("SIGN(tiny)", -1),
    ("SIGN(0.0)", 0),
    ("FLOOR(-2.5)", -3.0),
    ("FLOOR(n)", 7),
    ("CEIL(-2.5)", -2.0),
    ("ROUND(2.5)", 3.0),
    ("ROUND(-2.5)", -3.0),
    ("ROUND(12.345, 1)", 12.3),
    ("ROUND(1250, -2)", 1300),
    ("TRUNCATE(-2.567, 2)", -2.56),
    ("TRUNCATE(hip, -3)", 123456789000),
    ("SQRT(16)", 4.0),
    ("SQRT(-1)", None),
    ("SQRT(NULL)", None),
    ("SQRT(SQRT(SQRT(SQRT(SQRT(SQRT(SQRT(1)))))))", 1.0),
    ("EXP(0)", 1.0),
    ("LN(0)", None),
    ("LN(-1)", None),
    ("LOG(1)", 0.0),
    ("LOG(2, 8)", 3.0),
    ("LOG(1, 8)", None),
    ("LOG(0, 8)", None),
    ("LOG(2, 0)", None),
    ("LOG10(1000)", 3.0),
    ("LOG10(0)", None),
    ("LOG2(8)", 3.0),
    ("LOG2(-8)", None),
    ("POW(2, 10)", 1024.0),
    ("POW(-8, 0.5)", None),
    ("POW(0, -1)", None),
    ("ASIN(1)", math.pi / 2),
    ("ASIN(1.1)", None),
    ("ACOS(-1)", math.pi),
    ("ACOS(-1.1)", None),
    ("ATAN(1, 1)", math.pi / 4),
    ("ATAN2(0, -1)", math.pi),
    ("COT(0)", None),
    ("RADIANS(180)", math.pi),
    ("DEGREES(PI())", 180.0),
    # text
    ("LENGTH(name)", 7),
    ("CHAR_LENGTH(name)", 6),
    ("UPPER(name)", "VEGA Ä"),
    ("CONCAT(name, n)", "Vega ä7"),
    ("CONCAT(name, NULL)", None),
    ("SUBSTR(name, 2)", "ega ä"),
    ("SUBSTR(name, 2, 3)", "ega"),
    ("SUBSTR(name, -1)", "ä"),
    ("SUBSTR(name, -6, 2)", "Ve"),
    ("SUBSTR(name, -7)", ""),
    ("SUBSTR(name, 0)", ""),
    ("SUBSTR(name, 2, 0)", ""),
    ("SUBSTR(name, 2, -1)", ""),
    ("SUBSTR(name, 99)", ""),
    ("SUBSTR(name, NULL)", None),
    ("SUBSTR(name, 1, NULL)", None),
    ("LEFT(name, 2)", "Ve"),
    ("LEFT(name, -1)", ""),
    ("RIGHT(name, 2)", " ä"),
    ("RIGHT(name, 0)", ""),
    ("RIGHT(NULL, -1)", None),
    ("TRIM('  a \t ')", "a \t"),
    ("LTRIM(' a ')", "a "),
    ("RTRIM(' a ')", " a"),
    ("REPLACE('aXbX', 'X', '')", "ab"),
    ("REPLACE('ab', '', 'x')", "ab"),
    ("'it''s' 'x'", "it'sx"),
    ("'a\\0b'", "a\0b"),
    # times
    ("YEAR(day)", 2020),
    ("MONTH(at)", 2),
    ("DAY(day)", 29),
    ("HOUR(at)", 13),
    ("SECOND(at)", 15),
    # casts
    ("CAST(2.5 AS SIGNED)", 2),
    ("CAST('12' AS SIGNED)", 12),
    ("CAST(n AS CHAR)", "7"),
    ("CAST(price AS DOUBLE)", 12.5),
    ("CAST(1.005 AS DECIMAL(5,2))", Decimal("1.00")),
    ("CAST(day AS DATETIME)", datetime(2020, 2, 29)),
    ("CAST('2020-02-29' AS DATE)", date(2020, 2, 29)),
    # magnitudes
    ("fluxToAbMag(1)", -48.6),
    ("fluxToAbMag(0)", None),
    ("scisql_fluxToAbMag(NULL)", None),
    ("fluxToAbMagSigma(2, 0.1)", 2.5 / math.log(10) * 0.05),
    ("fluxToAbMagSigma(2, -0.1)", None),
    ("abMagToFlux(-48.6)", 1.0),
    ("abMagToFluxSigma(-48.6, 0.1)", 0.04 * math.log(10)),
    ("scisql_nanojanskyToAbMag(1)", 31.4),
    ("scisql_nanojanskyToAbMag(3631e9)", -2.5 * math.log10(3631e9) + 31.4),
    ("scisql_nanojanskyToAbMag(-1)", None),
    ("scisql_nanojanskyToAbMagSigma(10, 1)", 0.25 / math.log(10)),
    ("dnToAbMag(10, 1000)", 5.0),
    ("dnToAbMag(10, 0)", None),
    ("dnToAbMagSigma(10, 1, 1000, 0)", 0.25 / math.log(10)),
    ("abMagToDn(5, 1000)", 10.0),
    ("abMagToDnSigma(5, 0, 1000, 10)", 0.1),
    ("dnToFlux(1000, 1000)", 10 ** (-48.6 / 2.5)),
    ("dnToFluxSigma(0, 10, 1000, 3)", 0.01 * 10 ** (-48.6 / 2.5)),
    ("fluxToDn(1, 1)", 10 ** (48.6 / 2.5)),
    ("fluxToDnSigma(0, 2, 1, 3)", 2 * 10 ** (48.6 / 2.5)),
    ("abMagToDn(5, -1)", None),
    # positions
    ("scisql_angSep(ra, dec, 10, -19)", 1.0),
    ("scisql_angSep(1, 0, 0, 0, 1, 0)", 90.0),
    ("scisql_s2PtInCircle(ra, dec, 10, -19, 1)", 1),
    ("scisql_s2PtInBox(ra, dec, 350, -21, 20, -19)", 1),
    ("scisql_s2PtInEllipse(ra, dec, 10, -20.01, 60, 30, 90)", 0),
    ("scisql_s2PtInCPoly(ra, dec, 9, -21, 11, -21, 10, -19)", 1),
    ("scisql_s2PtInCPoly(`order`, dec, 9, -21, 11, -21, 10, -19)", 0),
    ("scisql_s2PtInCPoly(ra, dec, 9, -91, 11, -21, 10, -19)", None),
    ("healpix(0, ra + 0, dec)", 4),
    ("healpix(0, `order`, dec)", None),
    ("qserv_chunk(ra, dec, 85, 12)", 5614),
]


@pytest.mark.parametrize(("text", "wanted"), CASES, ids=[text for text, _ in CASES])
def test_values(duck: Duck, world: Any, text: str, wanted: Any) -> None:
    found = value(duck, world, text)
    assert type(found) is type(wanted)
    assert found == (pytest.approx(wanted, rel=1e-12) if isinstance(wanted, float) else wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("LOG(100)", 2.0),
        ("LENGTH(name)", 6),
        ("GREATEST(n, NULL)", 7),
        ("CONCAT(name, NULL)", "Vega ä"),
        ("name || NULL", None),
        ("7 // -2", -3),
        ("2 ** 3", 8.0),
        ("'a\\nb'", "a\\nb"),
        ("n IS DISTINCT FROM NULL", 1),
    ],
)
def test_values_in_duckdbs_words(duck: Duck, world: Any, text: str, wanted: Any) -> None:
    assert value(duck, world, text, "duckdb") == wanted


@pytest.mark.parametrize("text", ["9223372036854775807 + n", "CAST(name AS SIGNED)", "hip * hip"])
def test_what_cannot_be_held_is_an_error(duck: Duck, world: Any, text: str) -> None:
    with pytest.raises(QskyError) as caught:
        value(duck, world, text)
    assert caught.value.code.name == "query-failed"


def test_deep_nesting_stays_small(duck: Duck, world: Any) -> None:
    """Functions that need their argument twice, nested as deep as the settings allow."""
    assert value(duck, world, "SQRT(" * 150 + "1" + ")" * 150) == 1.0
    nested = "scisql_angSep(" * 12 + "1" + ", 0, 0, 0)" * 12
    assert value(duck, world, nested) == pytest.approx(1.0)
