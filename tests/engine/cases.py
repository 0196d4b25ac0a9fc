"""Queries and what they must equal: the same text in plain DuckDB over whole tables, or the hand-written second text."""

from __future__ import annotations

Case = tuple[str, str]


def same(text: str) -> Case:
    return text, text


ROWS: tuple[Case, ...] = (
    same("SELECT id, ra, mag FROM db.obj"),
    same("SELECT id, mag + 1 AS m, name FROM db.obj WHERE mag > 20 AND class IN (1, 2)"),
    same("SELECT count(*) FROM db.obj"),
    same("SELECT count(*) FROM db.src"),
    same("SELECT count(*) + 1 AS n, 7 AS s FROM db.bands"),
    same("SELECT sid, late FROM db.src WHERE late IS NULL"),
    same("SELECT DISTINCT class FROM db.obj"),
    same("SELECT DISTINCT class, name FROM db.obj ORDER BY class, name"),
    same("SELECT DISTINCT name FROM db.src s JOIN db.obj o ON s.oid = o.id"),
    same("SELECT id FROM db.obj WHERE id = -50"),
    same("SELECT id, name FROM db.obj WHERE id IN (-50, -47, 1, 100, 99999)"),
    same("SELECT id FROM db.obj WHERE id IN (99999, 99998)"),
    same("SELECT sid FROM db.src WHERE oid = -50"),
    same("SELECT sid FROM db.src WHERE oid = 10000"),
    same("SELECT sid FROM db.src WHERE oid IN (10001, -47, 10002)"),
    same("SELECT id, mag FROM db.named WHERE id = 'k''3'"),
    same("SELECT count(*) FROM db.dup WHERE id = 5"),
    same("SELECT id, mag FROM db.obj WHERE id = -47 OR mag > 23"),
    same("SELECT id FROM db.obj WHERE NOT id = -47"),
    same("SELECT '{t0} {t1}' AS x, id FROM db.obj WHERE name <> '{t0}'"),
    same("SELECT 1 + 1 AS two"),
    same("SELECT letter FROM db.bands WHERE band < 3"),
)

_SHAPES = tuple(
    (
        f"SELECT id FROM db.obj WHERE qserv_areaspec_{shape}({numbers})",
        f"SELECT id FROM db.obj WHERE scisql_s2PtIn{shape.capitalize()}(ra, dec, {numbers}) = 1",
    )
    for shape, numbers in (
        ("circle", "0, 0, 1"),
        ("circle", "0, 90, 0.5"),
        ("circle", "180, -90, 2"),
        ("circle", "45, 41.81, 0.3"),
        ("circle", "12, 34, 180"),
        ("circle", "45, 41.81, 0"),
        ("box", "350, -1, 10, 1"),
        ("box", "0, 85, 360, 90"),
        ("box", "355, 60, 5, 70"),
        ("ellipse", "0, 0, 3000, 600, 30"),
    )
)
REGIONS: tuple[Case, ...] = (
    *_SHAPES,
    (
        "SELECT sid FROM db.src WHERE qserv_areaspec_circle(0, 0, 0.3)",
        "SELECT sid FROM db.src WHERE scisql_s2PtInCircle(ra, dec, 0, 0, 0.3) = 1",
    ),
    (
        "SELECT s.sid, o.id FROM db.src s JOIN db.obj o ON s.oid = o.id WHERE qserv_areaspec_circle(0, 0, 0.5)",
        "SELECT s.sid, o.id FROM db.src s JOIN db.obj o ON s.oid = o.id"
        " WHERE scisql_s2PtInCircle(s.ra, s.dec, 0, 0, 0.5) = 1 AND scisql_s2PtInCircle(o.ra, o.dec, 0, 0, 0.5) = 1",
    ),
    same("SELECT id FROM db.obj WHERE scisql_angSep(ra, dec, 0, 66) < 0.5"),
    same("SELECT id FROM db.obj WHERE scisql_angSep(10, 90, ra, dec) <= 0.5"),
    same("SELECT id FROM db.obj WHERE 0.5 > scisql_angSep(ra, dec, 123.4, -20.0)"),
    same(
        "SELECT id FROM db.obj WHERE scisql_s2PtInCircle(ra, dec, 0, 0, 1) = 1"
        " AND scisql_s2PtInBox(ra, dec, 359, -1, 0.2, 1) = 1"
    ),
    same("SELECT id FROM db.obj WHERE scisql_s2PtInCircle(ra, dec, 0, 0, 1) = 1 OR mag > 22"),
    same("SELECT id FROM db.obj WHERE scisql_s2PtInCircle(ra, dec, 0, 0, 1) = 0"),
    same("SELECT id FROM db.obj WHERE scisql_s2PtInCircle(ra, dec, 0, 0, 1) = 1 AND id IN (-50, -47, -44, -41, 100)"),
    same("SELECT sid FROM db.src WHERE scisql_s2PtInCircle(ra, dec, 0, 66, 1) = 1 AND f > 4"),
    same("SELECT count(*) FROM db.obj WHERE scisql_s2PtInCircle(ra, dec, 300, 12, 0.0001) = 1"),
    same("SELECT id FROM db.obj WHERE scisql_angSep(ra, dec, 45, 41.81) < 1800/3600.0"),
)

AXES: tuple[Case, ...] = (
    same("SELECT id FROM db.obj WHERE ra BETWEEN 359 AND 360 AND dec BETWEEN -1 AND 1"),
    same("SELECT id FROM db.obj WHERE (ra > 359.5 OR ra < 0.5) AND dec > -2.5 AND 3 >= dec"),
    same("SELECT id FROM db.obj WHERE (ra > 359.5 OR ra < 0.5 OR ra BETWEEN 44 AND 46) AND (dec < 0 OR dec > 41)"),
    same("SELECT id FROM db.obj WHERE ra NOT BETWEEN 10 AND 350"),
    same("SELECT id FROM db.obj WHERE dec >= 89.5"),
    same("SELECT id FROM db.obj WHERE dec < -89.5 AND ra >= 90"),
    same("SELECT id FROM db.obj WHERE ra = 0 OR ra >= 359.99999"),
    same("SELECT id FROM db.obj WHERE ra > 400 OR ra < -10"),
    same("SELECT id FROM db.obj WHERE ra BETWEEN 20 AND 10"),
    same("SELECT id FROM db.obj WHERE ra > 180 OR mag > 21"),
    same("SELECT sid FROM db.src WHERE (ra > 359.99 OR ra < 0.01) AND dec BETWEEN -0.5 AND 0.5"),
    same("SELECT sid FROM db.src WHERE dec > 89"),
    same("SELECT o.id, s.sid FROM db.obj o LEFT JOIN db.src s ON s.oid = o.id AND s.dec > 0 WHERE o.ra < 1"),
    same("SELECT o.id, s.sid FROM db.obj o LEFT JOIN db.src s ON s.oid = o.id WHERE s.ra < 1"),
)

AGGREGATES: tuple[Case, ...] = (
    same("SELECT count(*), count(mag), sum(mag), min(mag), max(mag), avg(mag) FROM db.obj WHERE id > -1000"),
    same("SELECT count(*), count(mag), sum(mag), min(mag), max(mag), avg(mag) FROM db.obj WHERE id > 1000000"),
    same("SELECT count(*), sum(id), avg(id), sum(class), avg(class), min(name), max(name) FROM db.obj WHERE mag > 18"),
    same("SELECT class, count(*), avg(mag) FROM db.obj GROUP BY class"),
    same("SELECT class, name, sum(flux), max(id) FROM db.obj GROUP BY class, name"),
    same("SELECT class + 1 AS c, count(*) AS n FROM db.obj GROUP BY class + 1 HAVING count(*) > 5"),
    same("SELECT class AS c, max(mag) - min(mag) AS spread FROM db.obj GROUP BY class HAVING avg(mag) > 20"),
    same("SELECT class, count(*) AS n FROM db.obj GROUP BY class ORDER BY n DESC, class LIMIT 2"),
    same("SELECT class, count(*) AS n FROM db.obj GROUP BY class ORDER BY n DESC, class LIMIT 2 OFFSET 1"),
    same("SELECT count(DISTINCT class) FROM db.obj"),
    same("SELECT count(DISTINCT class), count(*), avg(mag) FROM db.obj WHERE mag > 15"),
    same("SELECT count(DISTINCT name), count(*), sum(id) FROM db.obj WHERE mag > 1000"),
    same("SELECT class, count(DISTINCT name) AS n, sum(mag) FROM db.obj GROUP BY class"),
    same("SELECT DISTINCT count(*) FROM db.obj GROUP BY class"),
    same("SELECT oid, count(*), avg(f) FROM db.src GROUP BY oid"),
    same("SELECT oid, count(*) AS n FROM db.src GROUP BY oid HAVING count(*) > 2 ORDER BY n DESC, oid LIMIT 5"),
    same("SELECT id, count(*) FROM db.dup GROUP BY id"),
    same("SELECT sum(class * 2) + count(*) AS x FROM db.obj WHERE flux > 0"),
    same("SELECT band, avg(f), count(late) FROM db.src WHERE sid > 3 GROUP BY band"),
    same("SELECT sum(id) FROM db.obj WHERE id = -50"),
    same("SELECT min(id), max(id), count(*), max(id) - min(id) + 1 AS width FROM db.obj"),
    same("SELECT min(oid), max(oid) FROM db.src"),
    same("SELECT min(id), max(id) FROM db.named"),
    same("SELECT min(band), max(band), count(*) FROM db.bands"),
    same("SELECT min(id), max(id), count(mag) FROM db.obj"),
)

ORDERS: tuple[Case, ...] = (
    same("SELECT id FROM db.obj ORDER BY id"),
    same("SELECT id, mag FROM db.obj ORDER BY id DESC LIMIT 7"),
    same("SELECT mag FROM db.obj WHERE mag IS NOT NULL ORDER BY mag + id, id LIMIT 5 OFFSET 3"),
    same("SELECT id FROM db.obj ORDER BY ra, dec, id LIMIT 10"),
    same("SELECT sid FROM db.src ORDER BY sid LIMIT 3 OFFSET 1000000"),
    same("SELECT id FROM db.obj ORDER BY id LIMIT 0"),
    same("SELECT id FROM db.obj WHERE mag > 1000 ORDER BY id LIMIT 5"),
)

JOINS: tuple[Case, ...] = (
    same("SELECT o.id, s.sid FROM db.obj o JOIN db.src s ON s.oid = o.id"),
    same("SELECT o.id, s.sid FROM db.obj o, db.src s WHERE s.oid = o.id AND s.f > o.mag - 16"),
    same("SELECT o.id, s.sid FROM db.obj o LEFT JOIN db.src s ON s.oid = o.id AND s.f > 5"),
    same("SELECT o.id, s.sid FROM db.obj o LEFT JOIN db.src s ON s.oid = o.id WHERE s.sid IS NULL"),
    same("SELECT s.sid, o.id, o.mag FROM db.src s LEFT JOIN db.obj o ON s.oid = o.id"),
    same("SELECT s.sid, d.sid FROM db.src s JOIN db.det d ON s.oid = d.oid"),
    same("SELECT s.sid, d.sid FROM db.src s LEFT JOIN db.det d ON s.oid = d.oid"),
    same("SELECT count(*) FROM db.src s JOIN db.src t ON s.oid = t.oid"),
    same("SELECT o.id, count(*), avg(s.f) FROM db.obj o JOIN db.src s ON o.id = s.oid GROUP BY o.id"),
    same("SELECT o.class, count(*), avg(s.f) FROM db.obj o JOIN db.src s ON o.id = s.oid GROUP BY o.class"),
    same("SELECT o.id, s.sid, d.sid FROM db.obj o JOIN db.src s ON s.oid = o.id LEFT JOIN db.det d ON d.oid = s.oid"),
    same("SELECT s.sid, b.letter FROM db.src s JOIN db.bands b ON s.band = b.band"),
    same("SELECT s.sid, b.letter FROM db.src s LEFT JOIN db.bands b ON s.band = b.band"),
    same("SELECT count(*) FROM db.src s, db.bands b"),
    same("SELECT b.letter, count(*) FROM db.src s JOIN db.bands b USING (band) GROUP BY b.letter"),
    same("SELECT s.sid, o.id FROM db.src s JOIN db.obj o ON s.oid = o.id WHERE o.id = -47"),
    same("SELECT s.sid, o.id FROM db.src s JOIN db.obj o ON s.oid = o.id WHERE s.oid IN (-47, -50, 10000)"),
    same("SELECT s.sid, o.id FROM db.src s LEFT JOIN db.obj o ON s.oid = o.id AND o.id = -47 WHERE s.oid IN (-47, 10000)"),
    same("SELECT a.letter, b.letter FROM db.bands a JOIN db.bands b ON a.band < b.band"),
    same("SELECT s.sid FROM db.src s JOIN db.obj o ON s.oid = o.id WHERE scisql_angSep(s.ra, s.dec, o.ra, o.dec) < 0.001"),
    same("SELECT a.id, b.id FROM db.obj a JOIN db.obj b ON a.id = b.id"),
)  # fmt: skip

GATHERS: tuple[Case, ...] = (
    same("SELECT a.id, b.id FROM db.obj a JOIN other.cat b ON a.class = b.class AND a.id = b.id"),
    same("SELECT a.id, b.id FROM db.dup a JOIN db.dup b ON a.id = b.id WHERE a.mag < b.mag"),
    same("SELECT b.letter, s.sid FROM db.bands b LEFT JOIN db.src s ON s.band = b.band AND s.f > 8"),
    same("SELECT a.class, count(*) FROM db.obj a JOIN other.cat b ON a.class = b.class GROUP BY a.class"),
    same("SELECT s.sid, o.id FROM db.src s LEFT JOIN db.obj o ON s.sid = o.id"),
    same("SELECT s.sid, t.sid FROM db.src s JOIN db.det t ON s.sid = t.sid WHERE t.f > 4 AND s.oid = -47"),
    same("SELECT s.sid, o.id FROM db.src s LEFT JOIN db.obj o ON s.sid = o.id WHERE o.id IN (1, 4, 7, 10)"),
    same("SELECT count(*) FROM db.src s, db.det t WHERE s.sid = t.sid"),
    same("SELECT s.sid, t.sid FROM db.src s, db.src t WHERE scisql_angSep(s.ra, s.dec, t.ra, t.dec) < 0.01"),
    same("SELECT o.id, b.band FROM db.bands b, db.obj o WHERE scisql_angSep(b.ra, b.dec, o.ra, o.dec) < 1"),
    same("SELECT a.band, b.band FROM db.bands a, db.bands b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 50"),
)

NEAR: tuple[Case, ...] = (
    *(
        same(
            "SELECT a.id, b.id FROM db.obj a, db.obj b"
            f" WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) {operator} {radius} AND {also}"
        )
        for operator, radius in (("<", 0.1), ("<=", 0.0), ("<", 0.5), ("<=", 0.6), ("<", 3.0), ("<", 40.0))
        for also in ("a.id <> b.id", "a.id < b.id AND a.mag > b.mag")
    ),
    same("SELECT a.id, b.id FROM db.obj a JOIN db.obj b ON 0.2 >= scisql_angSep(b.ra, b.dec, a.ra, a.dec)"),
    same("SELECT a.id, b.id FROM db.obj a, other.cat b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.3"),
    same("SELECT a.id, b.id FROM other.cat b, db.obj a WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.002"),
    same("SELECT a.id, count(*) FROM db.obj a, db.obj b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.2 GROUP BY a.id"),
    same("SELECT b.id, count(*) FROM db.obj a, db.obj b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.2 GROUP BY b.id"),
    same(
        "SELECT count(*) FROM db.obj a, db.obj b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.4"
        " AND scisql_s2PtInCircle(a.ra, a.dec, 0, 0, 1) = 1"
    ),
    same(
        "SELECT count(*) FROM db.obj a, db.obj b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.4"
        " AND scisql_s2PtInCircle(b.ra, b.dec, 0, 66, 1) = 1"
    ),
    same("SELECT a.id, b.id FROM db.obj a, db.obj b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.3 AND b.id = -47"),
    same("SELECT a.id, b.id FROM db.obj a, db.obj b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.3 AND a.id = -47"),
    same(
        "SELECT a.id, b.id, s.sid FROM db.obj a JOIN db.src s ON s.oid = a.id, db.obj b"
        " WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.3"
    ),
    same(
        "SELECT a.id, b.id, s.sid FROM db.obj a, db.obj b LEFT JOIN db.src s ON s.oid = b.id"
        " WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.3"
    ),
    same(
        "SELECT a.id, b.id, c.id FROM db.obj a, other.cat b, db.obj c WHERE a.mag > 20"
        " AND scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.3 AND scisql_angSep(b.ra, b.dec, c.ra, c.dec) < 0.2"
    ),
    same(
        "SELECT a.id, b.id, x.letter FROM db.obj a, db.obj b, db.bands x"
        " WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.3 AND a.class = x.band"
    ),
    same("SELECT a.id, b.id FROM db.dup a, db.dup b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.3"),
    same("SELECT a.id, b.id FROM db.obj a, other.cat b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 60 AND a.id = b.id"),
    same("SELECT a.id, b.id FROM db.obj a LEFT JOIN other.cat b ON scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.3"),
)  # fmt: skip

CASES = {
    "rows": ROWS,
    "regions": REGIONS,
    "axes": AXES,
    "aggregates": AGGREGATES,
    "orders": ORDERS,
    "joins": JOINS,
    "gathers": GATHERS,
    "near": NEAR,
}
