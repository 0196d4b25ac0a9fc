"""Each rule of the planner, and each line of the closed list of what runs under the line, has a golden in which it fires
and one in which it must not. The goldens themselves are compared by `test_golden`.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from .test_golden import FILES

# what -> (the start of what fires, a query in which it does, a query in which it must not)
LINES: dict[str, tuple[str, str, str]] = {
    "statistics": ("statistics:", "SELECT COUNT(*) FROM obj", "SELECT COUNT(*) FROM obj WHERE mag > 3"),
    "prune by region": (
        "prune: obj: inside",
        "SELECT id FROM obj WHERE qserv_areaspec_circle(45, 30, 0.1)",
        "SELECT id FROM obj WHERE scisql_s2PtInCircle(ra, dec, 45, 30, 0.1) = 1 OR mag < 3",
    ),
    "prune by key": ("prune: obj:", "SELECT id FROM obj WHERE id = 7", "SELECT id FROM obj WHERE id > 7"),
    "inner join on the key": (
        "join: o, s inside",
        "SELECT o.id, s.sid FROM obj o JOIN src s ON o.id = s.oid",
        "SELECT o.id FROM obj o JOIN src s ON o.id = s.sid",
    ),
    "inner join of neighbours": (
        "join: a inside",
        "SELECT a.id, b.id FROM obj a, obj b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < 0.1",
        "SELECT a.id, b.id FROM obj a, obj b WHERE scisql_angSep(a.ra, a.dec, b.ra, b.dec) < a.mag",
    ),
    "inner join by a match table": (
        "join: m",
        "SELECT m.n, o.mag FROM links m JOIN obj o ON m.objid = o.id",
        "SELECT m.n, s.sid FROM links m JOIN src s ON m.objid = s.oid",
    ),
    "inner join with a replicated table": (
        "join: s inside the chunk; b whole",
        "SELECT s.sid, b.letter FROM src s JOIN bands b ON s.band = b.band",
        "SELECT letter FROM bands",
    ),
    "LEFT on the key": (
        "join: o, s inside",
        "SELECT o.id, s.sid FROM obj o LEFT JOIN src s ON o.id = s.oid",
        "SELECT o.id FROM obj o LEFT JOIN src s ON s.sid = o.id",
    ),
    "LEFT with a replicated table": (
        "join: o inside the chunk; b whole",
        "SELECT o.id, b.letter FROM obj o LEFT JOIN bands b ON b.band = o.mag",
        "SELECT o.id, b.letter FROM obj o RIGHT JOIN bands b ON b.band = o.mag",
    ),
    "RIGHT and FULL": (
        "gather:",
        "SELECT o.id FROM obj o FULL JOIN src s ON s.oid = o.id",
        "SELECT o.id, s.sid FROM obj o LEFT JOIN src s ON o.id = s.oid",
    ),
    "SEMI": (
        "join: o, s inside",
        "SELECT o.id FROM obj o SEMI JOIN src s ON s.oid = o.id",
        "SELECT o.id FROM obj o SEMI JOIN src s ON s.sid = o.id",
    ),
    "ANTI": (
        "join: o, s inside",
        "SELECT o.id FROM obj o ANTI JOIN src s ON s.oid = o.id AND s.f > o.mag",
        "SELECT o.id FROM obj o ANTI JOIN far x ON x.id = o.id",
    ),
    "ANTI with a replicated table": (
        "join: o inside",
        "SELECT o.id FROM obj o ANTI JOIN bands b ON b.band = o.mag",
        "SELECT b.letter FROM bands b ANTI JOIN obj o ON b.band = o.mag",
    ),
    "NOT EXISTS": (
        "join: o, s inside",
        "SELECT o.id FROM obj o WHERE NOT EXISTS (SELECT 1 FROM src s WHERE s.oid = o.id)",
        "SELECT o.id FROM obj o WHERE EXISTS (SELECT 1 FROM src s WHERE s.f = o.mag)",
    ),
    "NOT IN": (
        "join: o, s inside",
        "SELECT o.id FROM obj o WHERE o.mag NOT IN (SELECT s.f FROM src s WHERE s.oid = o.id)",
        "SELECT o.id FROM obj o WHERE o.mag NOT IN (SELECT s.f FROM src s WHERE s.sid = o.id)",
    ),
    "ALL": (
        "join: o, s inside",
        "SELECT o.id FROM obj o WHERE o.mag > ALL (SELECT s.f FROM src s WHERE s.oid = o.id)",
        "SELECT o.id FROM obj o WHERE o.mag <= ALL (SELECT s.f FROM src s WHERE s.band = o.id)",
    ),
    "a correlated value": (
        "join: o, s inside",
        "SELECT o.id, (SELECT MAX(s.f) FROM src s WHERE s.oid = o.id) AS top FROM obj o",
        "SELECT o.name, MAX((SELECT COUNT(*) FROM src s WHERE s.oid = o.id)) AS m FROM obj o GROUP BY o.name",
    ),
    "windows": (
        "split: each window lies whole",
        "SELECT sid, ROW_NUMBER() OVER (PARTITION BY oid ORDER BY f) AS n FROM src",
        "SELECT id, ROW_NUMBER() OVER (PARTITION BY id ORDER BY ra) AS n FROM dup",
    ),
    "aggregates": (
        "split: partial aggregates",
        "SELECT STDDEV_POP(mag) AS s, MIN_BY(id, mag) AS b, COUNT(DISTINCT name) AS n FROM obj",
        "SELECT MEDIAN(mag) AS m FROM obj",
    ),
    "aggregates over no chunk": (
        "split: partial aggregates",
        "SELECT COUNT(*), MIN(mag) FROM obj WHERE id = 99999",
        "SELECT COUNT(*) FROM obj",
    ),
    "groups of the key": (
        "split: each group lies whole",
        "SELECT id, QUANTILE_CONT(mag, 0.3) AS q FROM obj WHERE mag > 3 GROUP BY id",
        "SELECT name, QUANTILE_CONT(mag, 0.3) AS q FROM obj WHERE mag > 3 GROUP BY name",
    ),
    "DISTINCT": (
        "split: projections and filters run in the fragments; DISTINCT there",
        "SELECT DISTINCT name FROM obj",
        "SELECT id FROM obj ORDER BY id",
    ),
    "ORDER BY and LIMIT": (
        "split: projections and filters run in the fragments; the first 7 rows in order there",
        "SELECT id FROM obj ORDER BY mag + 1 DESC LIMIT 5 OFFSET 2",
        "SELECT id, LAG(mag) OVER (ORDER BY mag) AS l FROM obj ORDER BY 1 LIMIT 3",
    ),
    "batch": ("batch:", "SELECT id FROM obj", "SELECT letter FROM bands"),
    "nest": (
        "nest:",
        "SELECT MAX(t.n) FROM (SELECT oid, COUNT(*) AS n FROM src GROUP BY oid) t",
        "SELECT MAX(t.n) FROM (SELECT band, COUNT(*) AS n FROM src GROUP BY band) t",
    ),
    "listed": (
        "prune: o: near 2 rows of a list",
        "SELECT o.id FROM obj o JOIN (SELECT 45.0 AS ra, 30.0 AS de UNION ALL SELECT 46.0, 30.0) t"
        " ON scisql_angSep(o.ra, o.dec, t.ra, t.de) < 0.01",
        "SELECT o.id FROM obj o LEFT JOIN (SELECT 45.0 AS ra, 30.0 AS de UNION ALL SELECT 46.0, 30.0) t"
        " ON scisql_angSep(o.ra, o.dec, t.ra, t.de) < 0.01",
    ),
}


@pytest.fixture(scope="module")
def goldens() -> dict[str, list[dict[str, Any]]]:
    """The goldens by query; some stand in two files."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in FILES:
        for case in yaml.safe_load(file.read_text()):
            found.setdefault(case["query"], []).append(case)
    return found


@pytest.mark.parametrize("what", LINES)
def test_a_golden_fires_and_another_does_not(what: str, goldens: dict[str, list[dict[str, Any]]]) -> None:
    said, fires, must_not = LINES[what]
    assert any(note.startswith(said) for case in goldens[fires] for note in case["fired"])
    assert not any(note.startswith(said) for case in goldens[must_not] for note in case["fired"])
