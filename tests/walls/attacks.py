"""The attacks, as data: what somebody might send to read, write, load or wear out what is not theirs.

`{secret}` is a file outside the root, `{private}` a part of a private folder, `{part}` a part of a public table, `{out}`
a file that must never come to be. `says` is what the first wall's message must name, in any case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MYSQL, ADQL, DUCKDB = "mysql", "adql", "duckdb"
ALL: Final = (MYSQL, ADQL, DUCKDB)


@dataclass(frozen=True)
class Attack:
    """One text, the languages it is tried in, the code of the first wall's error in each and what it names."""

    text: str
    code: str
    says: str = ""
    langs: tuple[str, ...] = ALL
    raw: bool = True  # whether it means anything to DuckDB, behind the first wall


def _statements() -> tuple[Attack, ...]:
    """What is no SELECT is refused by its first word."""
    texts = (
        "COPY sky.star TO '{out}'",
        "COPY (SELECT 1) TO '{out}'",
        "COPY (SELECT 1) TO '{part}' (FORMAT parquet)",
        "COPY sky.star FROM '{secret}'",
        "EXPORT DATABASE '{out}'",
        "IMPORT DATABASE '{out}'",
        "ATTACH '{out}' AS stolen",
        "ATTACH '{secret}' AS stolen (TYPE sqlite)",
        "ATTACH 'host=localhost dbname=x' AS pg (TYPE postgres)",
        "ATTACH 'host=localhost' AS my (TYPE mysql)",
        "ATTACH 'https://example.org/x.duckdb' AS far",
        "ATTACH ':memory:' AS mine",
        "DETACH memory",
        "USE memory",
        "INSTALL httpfs",
        "INSTALL spatial FROM 'https://example.org'",
        "LOAD httpfs",
        "LOAD '{secret}'",
        "UPDATE EXTENSIONS",
        "PRAGMA database_list",
        "PRAGMA enable_profiling",
        "SET threads = 64",
        "SET GLOBAL general_log_file = '{out}'",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET VARIABLE x = 1",
        "RESET memory_limit",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE TEMP TABLE mine AS SELECT 1",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE MACRO f(x) AS x",
        "CREATE FUNCTION f RETURNS STRING SONAME 'udf.so'",
        "CREATE SECRET s (TYPE s3)",
        "CREATE PERSISTENT SECRET s (TYPE http)",
        "CREATE TYPE t AS ENUM ('a')",
        "INSERT INTO sky.star VALUES (1)",
        "UPDATE sky.star SET ra = 1",
        "DELETE FROM sky.star",
        "DROP TABLE sky.star",
        "ALTER TABLE sky.star ADD COLUMN x INT",
        "TRUNCATE TABLE sky.star",
        "LOAD DATA INFILE '{secret}' INTO TABLE sky.star",
        "LOAD DATA LOCAL INFILE '{secret}' INTO TABLE sky.star",
        "PREPARE p AS SELECT 1",
        "PREPARE p FROM 'SELECT 1'",
        "EXECUTE p",
        "DEALLOCATE p",
        "CALL pragma_version()",
        "CALL enable_logging()",
        "CHECKPOINT",
        "VACUUM",
        "ANALYZE",
        "BEGIN",
        "HANDLER sky.star OPEN",
        "DO SLEEP(100)",
        "SHOW TABLES",
        "SHOW VARIABLES",
        "DESCRIBE sky.star",
        "SUMMARIZE sky.star",
        "EXPLAIN DELETE FROM sky.star",
        "GRANT ALL ON sky.star TO x",
        "KILL 1",
        "SHUTDOWN",
        "VALUES (1)",
    )
    return tuple(Attack(text, "not-supported", text.split()[0]) for text in texts)


_FILE_FUNCTIONS: Final = (
    "read_csv('{secret}')", "read_csv_auto('{secret}')", "read_parquet('{part}')", "read_parquet('{private}')",
    "parquet_scan('{part}')", "read_text('{secret}')", "read_blob('{secret}')", "read_json('{secret}')",
    "read_json_objects('{secret}')", "read_ndjson('{secret}')", "read_duckdb('{secret}')", "sniff_csv('{secret}')",
    "glob('/*')", "parquet_metadata('{part}')", "parquet_schema('{part}')", "parquet_file_metadata('{private}')",
    "read_parquet('https://example.org/x.parquet')", "read_csv('s3://bucket/x.csv')", "read_parquet('hf://datasets/a/b')",
    "read_text('http://169.254.169.254/latest/meta-data/')", "read_text('/proc/self/environ')",
    "sqlite_scan('{secret}', 't')", "postgres_scan('host=localhost', 's', 't')", "mysql_query('db', 'SELECT 1')",
    "iceberg_scan('{part}')", "delta_scan('{part}')", "arrow_scan(1, 2, 3)", "pandas_scan(1)", "python_map_function(1)",
)  # fmt: skip
_MAKING_FUNCTIONS: Final = (
    "range(1000000000000)", "generate_series(1, 1000000000000)", "repeat_row(1, num_rows=1000000000000)",
    "query('SELECT 1')", "query_table('duckdb_settings')", "duckdb_settings()", "duckdb_functions()", "duckdb_secrets()",
    "duckdb_external_file_cache()", "duckdb_temporary_files()", "duckdb_memory()", "pragma_database_list()",
    "pragma_table_info('x')", "json_execute_serialized_sql('x')", "test_all_types()", "checkpoint()", "enable_logging()",
    "unnest(range(1000000000))", "JSON_TABLE('[1]', '$')",
)  # fmt: skip

FROM_FUNCTIONS: Final = tuple(
    Attack(f"SELECT * FROM {call}", "not-supported", "FROM") for call in (*_FILE_FUNCTIONS, *_MAKING_FUNCTIONS)
)

# Names in FROM that are files, views of the engine or other people's tables.
FROM_NAMES: Final = (
    Attack("SELECT * FROM '{secret}'", "unknown-name|syntax", "{secret}|single quotes"),
    Attack('SELECT * FROM "{secret}"', "unknown-name|syntax", "{secret}|single quotes"),
    Attack('SELECT * FROM "{part}"', "unknown-name|syntax", "{part}|single quotes"),
    Attack("SELECT * FROM '{part}'", "unknown-name|syntax", "{part}|single quotes"),
    Attack("SELECT * FROM `{part}`", "unknown-name", "{part}", (MYSQL,), raw=False),
    Attack('SELECT * FROM "{csv}"', "unknown-name|syntax", "{csv}|single quotes"),
    Attack("SELECT * FROM '{csv}'", "unknown-name|syntax", "{csv}|single quotes"),
    Attack('SELECT * FROM "https://example.org/x.parquet"', "unknown-name", "https://example.org/x.parquet"),
    Attack("SELECT * FROM python_rows", "unknown-name", "python_rows"),
    Attack('SELECT * FROM "python_rows"', "unknown-name", "python_rows"),
    Attack("SELECT * FROM duckdb_tables", "unknown-name", "duckdb_tables"),
    Attack('SELECT * FROM "duckdb_tables"', "unknown-name", "duckdb_tables"),
    Attack('SELECT * FROM "pg_settings"', "unknown-name", "pg_settings"),
    Attack('SELECT * FROM ("sqlite_master")', "not-supported|unknown-name", "FROM|sqlite_master|Parentheses"),
    Attack("SELECT * FROM sqlite_master", "unknown-name", "sqlite_master"),
    Attack("SELECT * FROM information_schema.tables", "unknown-name", "information_schema"),
    Attack('SELECT * FROM "information_schema"."tables"', "unknown-name", "information_schema"),
    Attack("SELECT * FROM pg_catalog.pg_class", "unknown-name", "pg_catalog"),
    Attack('SELECT * FROM "system"."main"."duckdb_tables"', "not-supported", "FROM"),
    Attack("SELECT * FROM mysql.user", "unknown-name|syntax", "mysql|user"),
    Attack("SELECT * FROM performance_schema.threads", "unknown-name", "performance_schema"),
    Attack("SELECT * FROM sky.hidden", "unknown-name", "hidden"),
    Attack("SELECT * FROM private.hidden", "unknown-name", "private"),
    Attack('SELECT * FROM "../private/me/mine"."hidden"', "unknown-name", "../private/me/mine"),
    Attack('SELECT * FROM sky."../../private/me/mine/hidden"', "unknown-name", "../../private"),
    Attack("SELECT * FROM TAP_SCHEMA.tables", "unknown-name", "TAP_SCHEMA"),
    Attack("SELECT * FROM TAP_UPLOAD.mine", "unknown-name", "TAP_UPLOAD"),
)

_CALLS: Final = (
    "getenv('HOME')", "current_setting('temp_directory')", "getvariable('x')", "LOAD_FILE('{secret}')",
    "current_query()", "txid_current()", "pg_sleep(100)",
    "sleep_ms(100000)", "SLEEP(100)", "BENCHMARK(1000000000, MD5('x'))", "GET_LOCK('a', 100)", "MASTER_POS_WAIT('x', 1)",
    "EXTRACTVALUE(1, 'x')", "UPDATEXML(1, 1, 1)", "sys_exec('id')", "sys_eval('id')", "nextval('x')", "write_log('x')",
    "json_serialize_sql('SELECT 1')",
    "range(1000000000)", "generate_series(1, 1000000000)", "list_resize([1], 1000000000)",
    "array_to_string(range(1000000000), '')", "printf('%1000000000d', 1)", "format('{:1000000000}', 1)", "bar(1, 0, 1, 1e9)",
    "to_base(1, 2, 1000000000)", "error('x')", "glob('/etc/passwd')", "parse_path('{secret}')", "add_parquet_key('a', 'b')",
    "which_secret('x', 's3')", "gen_random_uuid()", "current_schemas(true)",
    "read_text('{secret}')", "sql_auto_complete('/')",
)  # fmt: skip

# Some words are not function names in every language; then the text is no SQL at all.
CALLS: Final = tuple(
    Attack(
        f"SELECT {call} FROM sky.star",
        "unknown-name|syntax|not-supported|type-mismatch",
        "|".join(re.findall(r"\w+(?=\()|\[", call)),
    )
    for call in _CALLS
)

SHAPES: Final = (
    Attack("SELECT id FROM sky.star INTO OUTFILE '{out}'", "not-supported", "INTO"),
    Attack("SELECT id INTO OUTFILE '{out}' FROM sky.star", "not-supported", "INTO"),
    Attack("SELECT id FROM sky.star INTO DUMPFILE '{out}'", "not-supported", "INTO"),
    Attack("SELECT id INTO stolen FROM sky.star", "not-supported", "INTO"),
    Attack("SELECT id INTO @x FROM sky.star", "not-supported", "INTO"),
    Attack("SELECT 1; DROP TABLE sky.star", "not-supported", "one statement"),
    Attack("SELECT 1; SELECT * FROM read_text('{secret}')", "not-supported", "one statement"),
    Attack("SELECT 1;;SELECT 2", "not-supported", "one statement"),
    Attack("SELECT 1 /* */; /* */ SET threads = 8", "not-supported", "one statement"),
    Attack("SELECT 1 /*! UNION SELECT LOAD_FILE('{secret}') */", "not-supported", "/*!", (MYSQL,)),
    Attack("SELECT /*!50000 LOAD_FILE('{secret}'), */ 1", "not-supported", "/*!", (MYSQL,)),
    Attack("SELECT /*M!50000 1, */ 1", "not-supported", "/*!", (MYSQL,)),
    Attack("SELECT /*+ SET_VAR(x=1) */ 1", "not-supported", "HINT", (MYSQL, ADQL), raw=False),
    Attack("SELECT 1 /* never closed", "syntax", "never closed"),
    Attack("SELECT 'never closed", "syntax", "never closed"),
    Attack("SELECT @@version", "not-supported|syntax", "version|PARAMETER|operator @"),
    Attack("SELECT @@global.datadir", "not-supported|syntax", "datadir|PARAMETER|DOT|operator @"),
    Attack("SELECT @x := 1", "not-supported|syntax|unknown-name", ":=|PROPERTY|@x|operator @"),
    Attack("SELECT $1", "not-supported|syntax|unknown-name", "$1|PARAMETER|PLACEHOLDER"),
    Attack("SELECT ?", "not-supported|syntax", "?|PLACEHOLDER"),
    Attack("SELECT :x", "not-supported|syntax", ":x|PLACEHOLDER"),
    Attack("SELECT $$x$$ FROM sky.star", "not-supported|syntax|unknown-name", "$|RAW|HEREDOC"),
    Attack(r"SELECT E'\'' , read_text('{secret}')", "not-supported|syntax|unknown-name", "E|BYTE|read_text"),
    Attack("WITH x AS (DELETE FROM sky.star RETURNING *) SELECT * FROM x", "not-supported|syntax", ""),
    Attack("SELECT * FROM (DELETE FROM sky.star) x", "syntax|not-supported", ""),
    Attack("FROM read_csv('{secret}')", "not-supported", "FROM"),
    Attack("TABLE sky.star", "not-supported|syntax", ""),
    Attack("PIVOT sky.star ON id", "not-supported", "PIVOT", (DUCKDB,)),
    Attack("SELECT * FROM sky.star USING SAMPLE 10", "not-supported|syntax", "SAMPLE", (DUCKDB,), raw=False),
    Attack("SELECT [x FOR x IN range(1000000000)]", "not-supported|syntax|unknown-name", "", (DUCKDB,)),
    Attack("SELECT COLUMNS('.*') FROM sky.star", "not-supported|unknown-name|syntax", "COLUMNS", (DUCKDB,), raw=False),
    Attack("SELECT id FROM sky.star FOR UPDATE", "not-supported|syntax", "LOCK|FOR UPDATE", raw=False),
    Attack("SELECT id FROM sky.star PROCEDURE ANALYSE()", "syntax", "ANALYSE"),
    Attack("SELECT SQL_CALC_FOUND_ROWS id FROM sky.star", "not-supported|unknown-name", "", raw=False),
    Attack("SELECT id FROM sky.star AS OF REVISION 1; DROP TABLE x", "not-supported", "one statement"),
    Attack("SELECT id FROM sky.star AS OF REVISION -1", "syntax|not-supported|unknown-name", ""),
    Attack("SELECT id FROM sky.star AS OF REVISION 1 OR 1", "syntax", "OR"),
    Attack("SELECT id FROM sky.star AS OF REVISION 999999999999999999999", "no-such-revision", "999999999999999999999"),
    Attack("SELECT id FROM sky.star AS OF REVISION ../../private", "syntax|not-supported|unknown-name", ""),
    Attack("SELECT \u2019x\u2019 FROM sky.star", "unknown-name|syntax", "\u2019"),
    Attack("SELECT id FROM sky.star WHERE name = \u02bc OR 1=1", "unknown-name|syntax", "\u02bc"),
    Attack("SELECT\uff0aFROM sky.star", "syntax|unknown-name|not-supported", ""),
    Attack("SELECT \0", "unknown-name|syntax", ""),
    Attack("SELECT id\0 FROM sky.star", "unknown-name|syntax", ""),
    Attack("SELECT \"read_text\"('{secret}')", "unknown-name|syntax", "read_text", (ADQL, DUCKDB)),
    Attack("SELECT system.main.read_text('{secret}')", "unknown-name|syntax|not-supported", ""),
    Attack("SELECT * FROM \"read_text\"('{secret}')", "not-supported|syntax|unknown-name", ""),
)

ATTACKS: Final = (*_statements(), *FROM_FUNCTIONS, *FROM_NAMES, *CALLS, *SHAPES)

_DOUBLING: Final = (
    "SELECT LENGTH(a) AS n FROM "
    + "(SELECT CONCAT(a, a) AS a FROM " * 5
    + "(SELECT REPEAT('a', 60000) AS a) t"
    + ") t" * 5
)
_CHAIN: Final = ", ".join(f"sky.filter f{n}" for n in range(12))
_PRODUCT: Final = " * ".join(f"f{n}.width" for n in range(12))

# Texts that are long or make much of little: the code they end in, within the time and memory of the test.
BOMBS: Final = (
    Attack("SELECT " + "(" * 5000 + "1" + ")" * 5000, "limit-text", "deep"),
    Attack("SELECT " + "-" + " -" * 5000 + "1", "limit-text", "deep"),
    Attack("SELECT " + "NOT " * 5000 + "1", "limit-text", "deep"),
    Attack("SELECT " + "1+" * 5000 + "1", "limit-text", "deep"),
    Attack("SELECT " + "ABS(" * 3000 + "1" + ")" * 3000, "limit-text", "deep"),
    Attack("SELECT " + "CASE WHEN 1 THEN " * 2000 + "1" + " END" * 2000, "limit-text", "deep"),
    Attack("SELECT id FROM sky.star WHERE id IN (" + ",".join(map(str, range(60_000))) + ")", "limit-text", "words"),
    Attack("SELECT id FROM sky.star WHERE id IN (" + ",".join(map(str, range(200_000))) + ")", "limit-text", "longer"),
    Attack("SELECT " + ",".join(["id"] * 10_001) + " FROM sky.star", "limit-text", "columns"),
    Attack("SELECT COUNT(*) FROM sky.filter f" + ", sky.filter" * 61, "limit-text", "tables", raw=False),
    Attack("SELECT '" + "x" * 70_000 + "' FROM sky.star", "limit-text", "constant", raw=False),
    Attack(
        "SELECT CONCAT(name, '" + "', '".join(["x" * 60_000] * 9) + "') FROM sky.star",
        "query-failed",
        "262144",
        raw=False,
    ),
    Attack(
        "SELECT LENGTH(" + "REPLACE(" * 9 + "'aaaaaaaaaa'" + ", 'a', 'aaaaaaaaaa')" * 9 + ")",
        "query-failed",
        "262144",
        raw=False,
    ),
    Attack(
        "SELECT 'a' || '" + "' || '".join(["x" * 40_000] * 8) + "'", "query-failed", "262144", (ADQL, DUCKDB), raw=False
    ),
    Attack("SELECT REPEAT('x', 10000000000)", "query-failed", "262144", raw=False),
    Attack("SELECT MD5(REPEAT('a', 3000000000))", "query-failed", "262144", raw=False),
    Attack("SELECT SPACE(10000000000) FROM sky.star", "query-failed", "262144", (MYSQL,), raw=False),
    Attack("SELECT RPAD('x', 2000000000, 'y')", "query-failed", "262144", raw=False),
    Attack("SELECT LPAD('x', 2000000000, 'y')", "query-failed", "262144", raw=False),
    Attack("SELECT LENGTH(" + "HEX(" * 30 + "'a'" + ")" * 30 + ")", "query-failed", "262144", (MYSQL,), raw=False),
    Attack("SELECT CONCAT_WS(REPEAT('x', 90000), 1, 2, 3, 4)", "query-failed", "262144", (MYSQL,), raw=False),
    Attack(
        "SELECT REGEXP_REPLACE(REPEAT('a', 9999), 'a', REPEAT('b', 9999))",
        "query-failed",
        "262144",
        (MYSQL,),
        raw=False,
    ),
    Attack(
        "SELECT INSERT(REPEAT('a', 200000), 1, 1, REPEAT('b', 200000))", "query-failed", "262144", (MYSQL,), raw=False
    ),
    Attack(_DOUBLING, "query-failed", "262144", raw=False),
    Attack("SELECT 0x" + "F" * 10_000, "bad-argument", "64 bits", (MYSQL,)),
    Attack("SELECT " + "9" * 10_000, "bad-argument", "large", raw=False),
    Attack("SELECT 1e" + "9" * 1000, "bad-argument", "large", raw=False),
    Attack(f"SELECT COUNT(*) FROM {_CHAIN} WHERE {_PRODUCT} = 7", "limit-time", "longer", raw=False),
    Attack(f"SELECT f1.width, f2.width FROM {_CHAIN}", "limit-time|limit-memory", "", raw=False),
    Attack(
        "SELECT * FROM sky.star a, sky.star b, sky.star c, sky.star d, sky.star e",
        "limit-time|limit-gather",
        "",
        raw=False,
    ),
)

# Texts that look like attacks and are data: they must come back as they are.
DATA: Final = (
    ("SELECT 'a'';DROP TABLE x--' AS c", "a';DROP TABLE x--", ALL),
    ("SELECT '{t0}{t0_}{0}' AS c FROM sky.star WHERE id = 1", "{t0}{t0_}{0}", ALL),
    (r"SELECT '\'' AS c", "'", (MYSQL,)),
    (r"SELECT '\' AS c", "\\", (ADQL, DUCKDB)),
    (r"SELECT 'a\' , (SELECT 1) , ' AS c", "a' , (SELECT 1) , ", (MYSQL,)),
    ('SELECT "x\'" AS c', "x'", (MYSQL,)),
    ("SELECT 'a\0b' AS c", "a\0b", ALL),
    ("SELECT 'read_text(''/etc/passwd''); -- /* $$' AS c", "read_text('/etc/passwd'); -- /* $$", ALL),
    ("SELECT '\u2019 \u02bc \uff07' AS c", "\u2019 \u02bc \uff07", ALL),
    ("SELECT 'FROM \"duckdb_settings\"' AS c FROM sky.star WHERE id = 1", 'FROM "duckdb_settings"', ALL),
    ("SELECT 'x' AS c -- ; DROP TABLE x", "x", ALL),
    ("SELECT 'x' AS c /* ; DROP TABLE x */", "x", ALL),
)

# What only means something to DuckDB: texts no printer of ours makes, each in the place of a fragment's finished SQL.
RAW: Final = (
    "SELECT * FROM {t0}; DROP TABLE x",
    "SELECT 1 -- comment",
    "SELECT 1 /* comment */",
    "SELECT $$text$$",
    r"SELECT e'\'' || read_text('x') || '",
    "SELECT U&'x'",
    "SELECT '1'::INTEGER",
    "SELECT \"repeat\"('x', 1000000000)",
    'SELECT "system"."main"."repeat"(\'x\', 1000000000)',
    "SELECT system.main.repeat('x', 1000000000)",
    'SELECT * FROM "duckdb_tables"',
    'SELECT 1 FROM {t0} AS "a", "duckdb_tables"',
    'SELECT 1 FROM {t0} AS "a" CROSS JOIN "duckdb_tables"',
    'SELECT 1 FROM ("pg_settings" CROSS JOIN {t0} AS "a")',
    'SELECT * FROM "information_schema"."tables"',
    'SELECT 1 FROM {t0} AS "a", "pg_catalog"."pg_settings" AS "b"',
    'SELECT 1 FROM {t0} AS "a" JOIN "system"."information_schema"."tables" ON (TRUE)',
    "SELECT count(*) FROM range(1000000000000)",
    "SELECT count(*) FROM RANGE (1000000000000)",
    "SELECT list(x) FROM generate_series(1, 1000000000) AS s(x)",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
    "SELECT * FROM read_parquet('{part}')",
    "SELECT * FROM '{part}'",
    'SELECT * FROM "{part}"',
    "SELECT * FROM (SELECT * FROM '{csv}')",
    "SELECT pg_sleep(100)",
    "SELECT getvariable('x')",
    "SELECT current_setting('memory_limit')",
    "SELECT * FROM query('SELECT 1')",
    "EXPLAIN ANALYZE SELECT 1",
    "FROM duckdb_settings()",
)
