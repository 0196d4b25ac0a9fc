"""One random table, the same in MariaDB and in DuckDB, and expressions over it as each of them answers.

Values are those where dialects part: NULL, 0, negative, huge and tiny numbers, halves, trailing spaces, letters beyond
ASCII, ends of months. From one seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pymysql

from qsky.catalog.model import Column, Kind, Table
from qsky.catalog.types import arrow_type
from qsky.config import Settings
from qsky.duck import Duck
from qsky.sky.functions import ARROW_FUNCTIONS, MACROS
from qsky.sql.bind import bind_text
from qsky.sql.moments import Session, in_session
from qsky.sql.operators import as_value
from qsky.sql.print import print_expression
from tests.mariadb import MariaDB

ROWS: Final = 150
NOW: Final = datetime(2026, 11, 22, 20, 15, 30)
# name, type here, type in MariaDB
COLUMNS: Final = (
    ("id", "INTEGER", "INT"),
    ("i", "INTEGER", "INT"),
    ("j", "BIGINT", "BIGINT"),
    ("k", "SMALLINT", "SMALLINT"),
    ("x", "DOUBLE", "DOUBLE"),
    ("y", "DOUBLE", "DOUBLE"),
    ("f", "FLOAT", "FLOAT"),
    ("p", "DECIMAL(12,3)", "DECIMAL(12,3)"),
    ("s", "VARCHAR", "VARCHAR(60) COLLATE utf8mb4_nopad_bin"),
    ("u", "VARCHAR", "VARCHAR(60) COLLATE utf8mb4_nopad_bin"),
    ("c", "VARCHAR", "VARCHAR(60) COLLATE utf8mb4_general_nopad_ci"),
    ("d", "DATE", "DATE"),
    ("w", "TIMESTAMP", "DATETIME(6)"),
)
_TEXTS: Final = ("", " ", "a", "A", "b ", " b", "ab", "Ab", "abcabc", "äöü", "Ä", "straße", "x,y,,z", "a_b", "a%b",
                 "100%", "it's", "12", "3.5", "  two  words ", "é", "日本語", "zzz", "a\\b", "aXbXc", "NGC 4151")  # fmt: skip
_INTEGERS: Final = (0, 1, -1, 2, 3, 7, -7, 10, 12, 65, 100, 255, 256, -1000, 1000, 99999, 2**31 - 1, -(2**31))
_REALS: Final = (0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -0.5, -2.5, 0.25, 3.14159, -3.7, 1e-7, 1e15, -1e15, 123456.789, 1e100,
                 5e-300, 0.1, 90.0, 359.99, 2.675)  # fmt: skip
_DAYS: Final = (date(2020, 2, 29), date(2021, 12, 31), date(2021, 1, 1), date(2000, 1, 31), date(1970, 1, 1),
                date(1999, 3, 7), date(2024, 6, 30), date(2016, 1, 3))  # fmt: skip


def rows(seed: int = 1) -> list[tuple[Any, ...]]:
    """The rows of the table, in the order of its columns."""
    rng = np.random.default_rng(seed)
    return [(at, *_row(rng)) for at in range(ROWS)]


def _row(rng: np.random.Generator) -> Iterable[Any]:
    def pick(values: Sequence[Any]) -> Any:
        return values[int(rng.integers(0, len(values)))]

    def real() -> float:
        return float(pick(_REALS)) if rng.random() < 0.7 else float(rng.normal(0, 100))

    wide = pick(_INTEGERS) if rng.random() < 0.7 else int(rng.integers(-(2**62), 2**62))
    day = pick(_DAYS) if rng.random() < 0.7 else date(1980, 1, 1) + timedelta(days=int(rng.integers(0, 20000)))
    moment = datetime(day.year, day.month, day.day) + timedelta(microseconds=int(rng.integers(0, 86_400_000_000)))
    values = (
        pick(_INTEGERS), wide, int(rng.integers(-9, 10)), real(), real(), float(np.float32(rng.normal(0, 10))),
        Decimal(int(rng.integers(-(10**7), 10**7))).scaleb(-3), pick(_TEXTS), pick(_TEXTS), pick(_TEXTS), day, moment,
    )  # fmt: skip
    return (None if rng.random() < 0.08 else value for value in values)


@dataclass(frozen=True)
class Server:
    """MariaDB with the table `t`; text compares by its bytes, spaces included, as columns that are not `ci` do here."""

    mariadb: MariaDB

    @classmethod
    def filled(cls, mariadb: MariaDB) -> Server:
        mariadb.create("semantics", {"t": ", ".join(f"`{name}` {kind}" for name, _, kind in COLUMNS)})
        mariadb.insert("semantics", "t", rows())
        return cls(mariadb)

    def select(self, expressions: Sequence[str]) -> list[list[Any]]:
        """The values of expressions over all rows, a list for each."""
        found = self.query(f"SELECT {', '.join(expressions)} FROM t ORDER BY id")
        return [list(column) for column in zip(*found, strict=True)]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        socket = str(self.mariadb.socket)
        link = pymysql.connect(unix_socket=socket, user="root", database="semantics", charset="utf8mb4")
        with closing(link), link.cursor() as cursor:
            cursor.execute("SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin")
            cursor.execute(f"SET timestamp = UNIX_TIMESTAMP('{NOW}')")
            cursor.execute(sql)
            return list(cursor.fetchall())


class OneTable:
    """A CatalogView with the table alone."""

    TABLE: Final = Table(
        "t",
        Kind.REPLICATED,
        tuple(Column(name, kind, collation="ci" if name == "c" else "") for name, kind, _ in COLUMNS),
        rows=ROWS,
    )

    def databases(self) -> Iterable[str]:
        return ["semantics"]

    def tables(self, database: str) -> Iterable[str]:
        return ["t"]

    def table(self, database: str, name: str, revision: int | None) -> tuple[Table, int]:
        return self.TABLE, 1


class Ours:
    """Qsky's SQL layer over DuckDB with the same table."""

    def __init__(self) -> None:
        self.duck = Duck(macros=MACROS)
        for each in ARROW_FUNCTIONS:
            self.duck.register_function(each.name, each.function, each.arguments, each.result)
        columns = zip(*rows(), strict=True)
        self.table = pa.table(
            {name: pa.array(values, arrow_type(kind)) for (name, kind, _), values in zip(COLUMNS, columns, strict=True)}
        )
        self.duck.execute("CREATE TABLE t AS SELECT * FROM given", {"given": self.table})

    def printed(self, text: str, lang: str = "mysql") -> str:
        """The SQL that an expression becomes. Raises what bind raises."""
        query = bind_text(f"SELECT {text} FROM t", lang, OneTable(), Settings(), "semantics").query
        shown = in_session(as_value(query.items[0].expression), Session(NOW, "semantics", "qsky"))
        return print_expression(shown, lambda ref: f'"{ref.column}"')

    def select(self, text: str, lang: str = "mysql") -> list[Any]:
        return self.raw(self.printed(text, lang))

    def raw(self, sql: str) -> list[Any]:
        """What DuckDB itself answers."""
        return self.duck.answer(f"SELECT {sql} AS v FROM t ORDER BY id").table.column(0).to_pylist()


def alike(ours: Any, theirs: Any) -> bool:
    """Whether two values are the same, numbers whatever their types and to 12 digits, times as their texts."""
    if ours is None or theirs is None:
        return ours is None and theirs is None
    numbers = int | float | Decimal
    if isinstance(ours, numbers) and isinstance(theirs, numbers):
        exact = not isinstance(ours, float) and not isinstance(theirs, float)
        close = math.isclose(float(ours), float(theirs), rel_tol=1e-12, abs_tol=1e-290)
        return bool(ours == theirs) if exact else close
    if isinstance(ours, datetime):
        return _moment(theirs) == ours
    if isinstance(theirs, bytes) and isinstance(ours, str):
        theirs = theirs.decode(errors="replace")
    if isinstance(ours, date) or isinstance(theirs, timedelta):
        return str(ours) == str(theirs).rjust(len(str(ours)), "0")
    return bool(ours == theirs)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    try:
        return datetime.fromisoformat(value if isinstance(value, str) else value.decode())
    except ValueError:
        return None
