"""Queries of every shape, and what they must equal: the same text in plain DuckDB, or the hand-written second text."""

from __future__ import annotations

from .cases import Case, same

STAGES: tuple[Case, ...] = (
    same("SELECT o.id, o.mag FROM db.obj o JOIN (SELECT DISTINCT oid FROM db.src WHERE f > 7) t ON o.id = t.oid"),
    same("SELECT s.sid, t.n FROM (SELECT oid, count(*) AS n FROM db.det GROUP BY oid) t, db.src s WHERE s.oid = t.oid"),
    same(
        "SELECT t.k, o.mag FROM (SELECT 1 AS k UNION ALL SELECT -50 UNION ALL SELECT NULL) t JOIN db.obj o ON o.id = t.k"
    ),
    same(
        "SELECT t.k, o.mag FROM (SELECT 1 AS k UNION ALL SELECT -50) t LEFT JOIN db.obj o ON o.id = t.k AND o.mag > 1"
    ),
    same("SELECT t.k, s.sid FROM (SELECT 10001 AS k UNION SELECT -47) t LEFT JOIN db.src s ON t.k = s.oid"),
    same("SELECT n.id, n.mag FROM db.named n JOIN (SELECT DISTINCT id FROM db.named WHERE mag > 20) t ON n.id = t.id"),
    same(
        "SELECT o.id, s.sid FROM db.obj o LEFT JOIN db.src s ON s.oid = o.id JOIN"
        " (SELECT DISTINCT id FROM db.dup WHERE mag > 20) t ON t.id = s.oid"
    ),
    same("SELECT id FROM db.obj WHERE mag > (SELECT avg(mag) FROM db.obj)"),
    same("SELECT id FROM db.obj WHERE id IN (SELECT oid FROM db.src WHERE f > 7)"),
    same("SELECT id FROM db.obj WHERE id NOT IN (SELECT oid FROM db.src WHERE f > 7)"),
    same("SELECT id FROM db.obj WHERE mag NOT IN (SELECT mag FROM db.dup)"),
    same("SELECT id FROM db.obj WHERE id NOT IN (SELECT dec FROM db.bands)"),
    same("SELECT id FROM db.obj WHERE id IN (SELECT band + 0.5 FROM db.bands) OR class IN (SELECT ra FROM db.bands)"),
    same(
        "SELECT t.k, count(*) AS n FROM (SELECT class + 1 AS k, id FROM db.obj) t GROUP BY t.k"
        " HAVING count(*) > (SELECT count(*) / 20 FROM db.bands b WHERE b.band = t.k)"
    ),
    same(
        "SELECT t.k, (SELECT max(b.band) FROM db.bands b WHERE b.band < t.k) AS m FROM"
        " (SELECT class + 1 AS k, id FROM db.obj) t GROUP BY t.k"
    ),
    same("SELECT id FROM db.obj WHERE mag IN (SELECT mag FROM db.dup WHERE id > 1000)"),
    same("SELECT id FROM db.obj WHERE mag NOT IN (SELECT mag FROM db.dup WHERE id > 1000)"),
    same("SELECT id, (SELECT max(f) FROM db.src) AS top FROM db.obj WHERE class = 1"),
    same("SELECT id FROM db.obj WHERE EXISTS (SELECT 1 FROM db.bands WHERE band = 3) AND class = 2"),
    same("SELECT id FROM db.obj WHERE NOT EXISTS (SELECT 1 FROM db.bands WHERE band = 33) AND class = 2"),
    same("SELECT id FROM db.obj WHERE mag > ALL (SELECT f + 12 FROM db.src WHERE f IS NOT NULL)"),
    same("SELECT id FROM db.obj WHERE mag < ANY (SELECT f + 12 FROM db.src WHERE f IS NOT NULL)"),
    same("SELECT id FROM db.obj WHERE (id, class) IN (SELECT id * 1, class FROM db.obj WHERE mag > 21)"),
    same("SELECT t.class, t.n FROM (SELECT class, count(*) AS n FROM db.obj GROUP BY class) AS t WHERE t.n > 3"),
    same("SELECT max(t.n) AS m FROM (SELECT oid, count(*) AS n FROM db.src GROUP BY oid) t"),
    same("SELECT avg(t.top) FROM (SELECT oid, max(f) AS top FROM db.src GROUP BY oid HAVING count(*) > 1) t"),
    same("SELECT o.id, t.n FROM db.obj o JOIN (SELECT oid, count(*) AS n FROM db.src GROUP BY oid) t ON t.oid = o.id"),
    same(
        "SELECT o.id, t.n FROM db.obj o LEFT JOIN (SELECT oid, count(*) AS n FROM db.src GROUP BY oid) t ON t.oid = o.id"
    ),
    same("SELECT t.oid, o.mag FROM (SELECT DISTINCT oid FROM db.src) t LEFT JOIN db.obj o ON t.oid = o.id"),
    same(
        "SELECT o.id, t.m FROM db.obj o LEFT JOIN (SELECT id AS k, mag AS m FROM db.dup WHERE mag > 20) t ON t.k = o.id"
    ),
    same("SELECT o.id, t.m FROM db.obj o LEFT JOIN (SELECT id AS k, mag + 1 AS m FROM db.dup) t ON t.k = o.id"),
    same("SELECT x.a + 1 AS b FROM (SELECT id AS a, mag FROM db.obj WHERE mag > 20) x WHERE x.mag < 22"),
    same("SELECT x.a, s.f FROM (SELECT id AS a FROM db.obj WHERE mag > 20) x JOIN db.src s ON s.oid = x.a"),
    same("SELECT count(*) FROM (SELECT id FROM db.obj ORDER BY mag, id LIMIT 7) t"),
    same("SELECT t.id FROM (SELECT id, mag FROM db.obj WHERE mag IS NOT NULL ORDER BY mag DESC, id LIMIT 5) t"),
    same("WITH bright AS (SELECT id, mag FROM db.obj WHERE mag < 20) SELECT count(*), min(mag) FROM bright"),
    same(
        "WITH n AS (SELECT oid, count(*) AS k FROM db.src GROUP BY oid)"
        " SELECT a.oid, b.oid AS other FROM n a JOIN n b ON a.k = b.k AND a.oid < b.oid"
    ),
    same("WITH a AS (SELECT id FROM db.obj WHERE class = 1), b(k) AS (SELECT id FROM a) SELECT k FROM b WHERE k > 0"),
    same("WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT x, y FROM a, b"),
    same("SELECT id FROM db.obj WHERE mag > 21 UNION SELECT oid FROM db.src WHERE f > 6"),
    same("SELECT id FROM db.obj WHERE mag > 21 UNION ALL SELECT oid FROM db.src WHERE f > 6"),
    same("SELECT id FROM db.obj INTERSECT SELECT oid FROM db.src"),
    same("SELECT id FROM db.obj EXCEPT SELECT oid FROM db.src"),
    same(
        "(SELECT id FROM db.obj WHERE class = 1) UNION (SELECT id FROM db.obj WHERE class = 2) EXCEPT SELECT id FROM db.dup"
    ),
    same("SELECT id, mag FROM db.obj UNION ALL SELECT sid, f FROM db.src UNION ALL SELECT band, ra FROM db.bands"),
    same("SELECT t.k, count(*) FROM (SELECT id AS k FROM db.obj UNION ALL SELECT oid FROM db.src) t GROUP BY t.k"),
    same(
        "SELECT s.sid, t.k FROM (SELECT id AS k FROM db.dup UNION ALL SELECT class FROM db.obj) t JOIN db.src s ON t.k = s.sid"
    ),
    same(
        "SELECT o.id FROM db.obj o LEFT JOIN (SELECT oid AS k FROM db.src EXCEPT SELECT id FROM db.dup) t"
        " ON o.id = t.k AND t.k > 0"
    ),
    same("SELECT id FROM db.obj WHERE id IN (SELECT id FROM db.dup UNION SELECT band FROM db.bands)"),
    same("SELECT count(*) FROM db.obj WHERE mag > (SELECT min(mag) FROM db.obj WHERE id IN (SELECT oid FROM db.src))"),
    same("SELECT id FROM db.obj WHERE id = (SELECT max(oid) FROM db.src WHERE oid < 10000)"),
    same("SELECT class, count(*) AS n FROM db.obj GROUP BY class HAVING count(*) > (SELECT count(*) / 9 FROM db.dup)"),
)

NESTED: tuple[Case, ...] = (
    same("SELECT o.id FROM db.obj o WHERE EXISTS (SELECT 1 FROM db.src s WHERE s.oid = o.id AND s.f > 6)"),
    same("SELECT o.id FROM db.obj o WHERE NOT EXISTS (SELECT 1 FROM db.src s WHERE s.oid = o.id AND s.f > 6)"),
    same("SELECT o.id, (SELECT count(*) FROM db.src s WHERE s.oid = o.id) AS n FROM db.obj o"),
    same(
        "SELECT o.id, (SELECT max(s.f) FROM db.src s WHERE s.oid = o.id AND s.band < 3) AS n FROM db.obj o WHERE o.mag > 20"
    ),
    same("SELECT o.id FROM db.obj o WHERE 6 IN (SELECT s.band + 1 FROM db.src s WHERE s.oid = o.id)"),
    same("SELECT o.id FROM db.obj o WHERE o.mag > ALL (SELECT s.f * 4 FROM db.src s WHERE s.oid = o.id)"),
    same("SELECT s.sid FROM db.src s WHERE s.f > (SELECT avg(x.f) FROM db.src x WHERE x.oid = s.oid)"),
    same("SELECT s.sid FROM db.src s WHERE s.f >= (SELECT max(x.f) FROM db.src x WHERE x.band = s.band)"),
    same("SELECT o.id FROM db.obj o WHERE EXISTS (SELECT 1 FROM db.bands b WHERE b.band = o.class)"),
    same("SELECT b.letter FROM db.bands b WHERE EXISTS (SELECT 1 FROM db.obj o WHERE o.class = b.band)"),
    same("SELECT b.letter, (SELECT count(*) FROM db.obj o WHERE o.class = b.band) AS n FROM db.bands b"),
    same(
        "SELECT o.id FROM db.obj o WHERE EXISTS (SELECT 1 FROM db.src s WHERE s.oid = o.id AND EXISTS"
        " (SELECT 1 FROM db.det d WHERE d.oid = s.oid AND d.f > s.f))"
    ),
    same(
        "SELECT o.id, s.sid FROM db.obj o JOIN db.src s ON s.oid = o.id WHERE NOT EXISTS"
        " (SELECT 1 FROM db.src x WHERE x.oid = o.id AND x.f > s.f)"
    ),
    same(
        "SELECT o.class, count(*) FROM db.obj o WHERE EXISTS (SELECT 1 FROM db.src s WHERE s.oid = o.id) GROUP BY o.class"
    ),
    same("SELECT o.class, (SELECT count(*) FROM db.src s WHERE s.band = o.class) AS n FROM db.obj o GROUP BY o.class"),
    same(
        "SELECT (SELECT count(*) FROM db.src s WHERE s.oid = o.id) AS n, count(*) FROM db.obj o"
        " GROUP BY (SELECT count(*) FROM db.src s WHERE s.oid = o.id)"
    ),
    same("SELECT count(*) FROM db.obj o WHERE o.id IN (SELECT s.oid FROM db.src s WHERE s.f > o.mag - 14)"),
    same("SELECT o.id FROM db.obj o WHERE o.mag = (SELECT max(p.mag) FROM db.obj p WHERE p.class = o.class)"),
    same("SELECT o.id FROM db.obj o WHERE o.id = -50 AND EXISTS (SELECT 1 FROM db.src s WHERE s.oid = o.id)"),
    same("SELECT s.sid FROM db.src s WHERE NOT EXISTS (SELECT 1 FROM db.obj o WHERE o.id = s.oid)"),
)

OUTER: tuple[Case, ...] = (
    same("SELECT o.id, c.id AS other FROM db.obj o FULL JOIN other.cat c ON o.id = c.id"),
    same("SELECT s.sid, o.id FROM db.src s RIGHT JOIN db.obj o ON s.oid = o.id"),
    same("SELECT o.id, s.sid FROM db.obj o LEFT JOIN db.src s ON s.oid = o.id AND s.f > 5"),
    same("SELECT o.id, b.letter FROM db.obj o RIGHT JOIN db.bands b ON o.class = b.band"),
    same("SELECT o.id, b.letter FROM db.obj o FULL JOIN db.bands b ON o.class = b.band"),
)

_ALONE = "(SELECT 1 FROM {t} b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < {r}"
NESTED_NEAR: tuple[Case, ...] = (
    *(
        same(f"SELECT a.id FROM db.obj a WHERE {word} EXISTS {_ALONE.format(t=table, r=radius)} {also})")
        for word, table, radius, also in (
            ("NOT", "db.obj", 0.4, "AND b.id <> a.id"),
            ("", "db.obj", 3.0, "AND b.id <> a.id AND b.mag > a.mag"),
            ("NOT", "other.cat", 0.5, ""),
            ("", "db.src", 0.1, ""),
        )
    ),
    same(
        "SELECT a.id, (SELECT count(*) FROM db.obj b WHERE scisql_angSep(b.ra, b.dec, a.ra, a.dec) < 0.5) AS n FROM db.obj a"
    ),
    same(
        "SELECT a.class, count(*) FROM db.obj a WHERE NOT EXISTS (SELECT 1 FROM db.obj b WHERE b.id <> a.id AND"
        " scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.3) GROUP BY a.class"
    ),
    same(
        "SELECT a.id FROM db.obj a WHERE a.mag > (SELECT avg(b.mag) FROM db.obj b WHERE"
        " scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 1.0)"
    ),
    same(
        "SELECT s.sid, a.id FROM db.src s LEFT JOIN db.obj a ON s.oid = a.id WHERE NOT EXISTS"
        " (SELECT 1 FROM db.obj b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.4 AND b.id <> a.id)"
    ),
    same(
        "SELECT a.id, c.id FROM db.obj a, db.obj c WHERE scisql_angSep(a.ra, a.dec, c.ra, c.dec) < 0.5 AND a.id < c.id"
        " AND NOT EXISTS (SELECT 1 FROM db.obj b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.5 AND b.id < a.id)"
    ),
    same(
        "SELECT a.id, c.id FROM db.obj a, db.obj c WHERE scisql_angSep(a.ra, a.dec, c.ra, c.dec) < 0.5 AND a.id < c.id"
        " AND NOT EXISTS (SELECT 1 FROM db.obj b WHERE scisql_angSep(c.ra, c.dec, b.ra, b.dec) < 0.5 AND b.id < a.id)"
    ),
    same(
        "SELECT a.id FROM db.obj a WHERE EXISTS (SELECT 1 FROM db.obj b JOIN db.src s ON s.oid = b.id WHERE"
        " scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.5 AND s.f > 5 AND b.id <> a.id)"
    ),
    # DuckDB 2.0 loses a column of this one unless it keeps all of them (qsky.duck, `whole_rows`)
    same(
        "SELECT DISTINCT b.class FROM db.obj a JOIN other.cat b ON scisql_angSep(a.ra, a.dec, b.ra, b.dec) <= 2.0"
        " LEFT JOIN db.src s ON s.oid = a.id AND s.sid < (SELECT count(*) FROM db.obj c WHERE c.id = a.id)"
    ),
)

DUCKDB: tuple[Case, ...] = (
    same(
        "SELECT a.id FROM db.obj a ANTI JOIN db.obj b ON scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.5 AND b.id <> a.id"
    ),
    same("SELECT a.id FROM db.obj a SEMI JOIN other.cat b ON scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.5"),
    same("SELECT o.id, s.sid, b.letter FROM db.obj o, db.bands b JOIN db.src s ON s.oid = o.id AND s.band = b.band"),
    same("SELECT o.id, s.sid, b.letter FROM db.obj o, db.bands b LEFT JOIN db.src s ON s.oid = o.id AND s.f > 7"),
    same(
        "SELECT o.id, s.sid, e.letter FROM db.obj o, db.bands b JOIN db.bands e ON b.band = e.band"
        " JOIN db.src s ON s.oid = o.id AND s.band = e.band, db.bands f WHERE f.band = 1"
    ),
    same("SELECT o.id FROM db.obj o SEMI JOIN db.src s ON s.oid = o.id AND s.f > 6"),
    same("SELECT o.id FROM db.obj o ANTI JOIN db.src s ON s.oid = o.id AND s.f > 6"),
    same("SELECT o.id FROM db.obj o ANTI JOIN other.cat c ON o.id = c.id"),
    same("SELECT count(*) FILTER (WHERE mag > 20) AS n, sum(id) FILTER (WHERE class = 1) AS s FROM db.obj"),
    same("SELECT id, lag(mag) OVER w AS before FROM db.obj WINDOW w AS (ORDER BY id)"),
    same("SELECT id, mag FROM db.obj ORDER BY mag DESC NULLS LAST, id LIMIT 9 OFFSET 4"),
    same("SELECT class, string_agg(name, ';' ORDER BY id DESC) AS n FROM db.obj GROUP BY class"),
    same("SELECT string_agg(name, ';' ORDER BY id) FILTER (WHERE class = 1) AS n FROM db.obj"),
    (
        "SELECT string_agg(name, ';' ORDER BY 'x', id) AS n FROM db.obj",
        "SELECT string_agg(name, ';' ORDER BY id) AS n FROM db.obj",
    ),
    same("SELECT percentile_cont(0.3) WITHIN GROUP (ORDER BY mag) AS q FROM db.obj"),
)

FOLDED: tuple[Case, ...] = (
    same("SELECT stddev_pop(mag), stddev_samp(mag), var_pop(flux), var_samp(mag + 1e6) FROM db.obj"),
    same("SELECT class, stddev_pop(mag), var_samp(mag) FROM db.obj GROUP BY class"),
    same("SELECT class, min_by(id, mag), max_by(id, mag) FROM db.obj WHERE mag IS NOT NULL GROUP BY class"),
    same("SELECT count(DISTINCT class), sum(DISTINCT class), avg(DISTINCT class), count(*) FROM db.obj"),
    same("SELECT band, count(DISTINCT oid), avg(f), max(f) FROM db.src GROUP BY band"),
    same("SELECT median(mag), quantile_cont(mag, 0.9), quantile_disc(mag, 0.25) FROM db.obj"),
    same("SELECT band, median(f) FROM db.src GROUP BY band ORDER BY band"),
    same("SELECT corr(mag, flux), covar_pop(mag, flux), covar_samp(mag, flux), regr_slope(mag, flux) FROM db.obj"),
    ("SELECT bit_or(id + 60), bit_xor(id + 60) FROM db.obj WHERE id > 99999", "SELECT 0, 0"),
    same("SELECT class, bit_or(id + 60), bit_and(id + 60), bit_xor(id + 60) FROM db.obj GROUP BY class"),
    (
        "SELECT class, GROUP_CONCAT(name ORDER BY id SEPARATOR ';') AS n FROM db.obj GROUP BY class",
        "SELECT class, string_agg(name, ';' ORDER BY id) FROM db.obj GROUP BY class",
    ),
    (
        "SELECT STD(mag), VARIANCE(mag), STDDEV(flux) FROM db.obj",
        "SELECT stddev_pop(mag), var_pop(mag), stddev_pop(flux) FROM db.obj",
    ),
    (
        "SELECT class, name IS NULL AS x FROM db.obj WHERE id = -50 GROUP BY class",
        "SELECT class, (name IS NULL)::INT FROM db.obj WHERE id = -50",
    ),
    (
        "SELECT APPROX_COUNT_DISTINCT(class) > 0 AS c FROM db.obj WHERE class = 1",
        "SELECT (count(*) > 0)::INT FROM db.obj WHERE class = 1",
    ),
    same("SELECT max(class) - min(class) AS spread, count(*) * 2 AS twice FROM db.obj WHERE mag > 19"),
)

WINDOWS: tuple[Case, ...] = (
    same("SELECT id, row_number() OVER (ORDER BY mag, id) AS n FROM db.obj WHERE mag IS NOT NULL"),
    same("SELECT id, rank() OVER (PARTITION BY class ORDER BY mag NULLS FIRST) AS n FROM db.obj WHERE mag IS NOT NULL"),
    same("SELECT sid, row_number() OVER (PARTITION BY oid ORDER BY sid) AS n FROM db.src"),
    same("SELECT sid, f - avg(f) OVER (PARTITION BY oid) AS d FROM db.src"),
    same("SELECT o.id, s.sid, max(s.f) OVER (PARTITION BY o.id) AS top FROM db.obj o JOIN db.src s ON s.oid = o.id"),
    same(
        "SELECT sid, sum(f) OVER (ORDER BY sid ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS s FROM db.src WHERE sid < 50"
    ),
    same("SELECT sid, lag(f, 1) OVER (ORDER BY sid) AS p, lead(f, 2, -1.0) OVER (ORDER BY sid) AS q FROM db.src"),
    same(
        "SELECT sid, ntile(4) OVER (ORDER BY sid) AS q, first_value(sid) OVER (PARTITION BY band ORDER BY sid) AS v FROM db.src"
    ),
    same("SELECT class, count(*) AS n, rank() OVER (ORDER BY count(*) DESC) AS place FROM db.obj GROUP BY class"),
    same("SELECT class, sum(count(*)) OVER () AS total FROM db.obj GROUP BY class"),
    same(
        "SELECT t.id FROM (SELECT id, row_number() OVER (PARTITION BY class ORDER BY mag DESC, id) AS k"
        " FROM db.obj WHERE mag > 0) t WHERE t.k = 1"
    ),
    same("SELECT oid, sid FROM db.src ORDER BY count(*) OVER (PARTITION BY oid) DESC, sid LIMIT 5"),
)

MYSQL_ONLY: tuple[Case, ...] = (
    *(
        (
            f"SELECT sid FROM db.src s WHERE {test} (SELECT CONCAT(c.name, c.name) FROM other.cat c WHERE c.class = s.band)",
            f"SELECT sid FROM db.src s WHERE {test} (SELECT c.name || c.name FROM other.cat c WHERE c.class = s.band)",
        )
        for test in ("'x' NOT IN", "'x' <> ALL", "'o''1o''1' IN", "'o''1o''1' = ANY")
    ),
    same(
        "SELECT class, median(mag) AS m, (SELECT count(*) FROM db.bands b WHERE b.band = o.class) AS k FROM db.obj o"
        " GROUP BY class"
    ),
    same(
        "SELECT (SELECT letter FROM db.bands b WHERE b.band = o.class) AS k, median(mag) AS m FROM db.obj o GROUP BY k"
    ),
    same("SELECT median((SELECT b.ra + 1 FROM db.bands b WHERE b.band = o.class)) AS m FROM db.obj o"),
    same(
        "SELECT id, row_number() OVER (ORDER BY id) IN (SELECT band FROM db.bands b WHERE b.band = o.class) AS k,"
        " (SELECT letter FROM db.bands b WHERE b.band = o.class) AS l FROM db.obj o"
    ),
    (
        "SELECT COUNT(*) AS n, MAX(mag) AS m FROM db.obj GROUP BY NULL",
        "SELECT count(*) AS n, max(mag) AS m FROM db.obj HAVING count(*) > 0",
    ),
    ("SELECT id, mag AS m FROM db.obj HAVING m > 21", "SELECT id, mag AS m FROM db.obj WHERE mag > 21"),
    (
        "SELECT id FROM db.obj WHERE class = 1 OR EXISTS (SELECT * FROM db.dup)",
        "SELECT id FROM db.obj WHERE class = 1 OR EXISTS (SELECT * FROM db.dup)",
    ),
)

SHAPES = {
    "stages": (STAGES, "mysql"),
    "nested": (NESTED, "mysql"),
    "outer": (OUTER, "mysql"),
    "folded": (FOLDED, "mysql"),
    "windows": (WINDOWS, "mysql"),
    "mysql_only": (MYSQL_ONLY, "mysql"),
    "nested near": (NESTED_NEAR, "mysql"),
    "duckdb": (DUCKDB, "duckdb"),
}
