"""Four questions to the sky that examples/demo.sh has loaded, with answers and how long each took."""

from __future__ import annotations

import sys
import time

from qsky import connect
from qsky.output.grid import text_grid
from qsky.wire import Sky

CONE = """SELECT objectId, coord_ra, coord_dec, scisql_nanojanskyToAbMag(i_psfFlux) AS i_mag
FROM sky.object WHERE qserv_areaspec_circle(266.405, -28.936, 1) AND i_psfFlux > 0 ORDER BY i_mag LIMIT 5"""

VARIABLE = """SELECT objectId FROM sky.object
WHERE variable_class IS NOT NULL AND i_psfFlux > 50000 ORDER BY objectId LIMIT 1"""

LIGHT_CURVE = """SELECT midpointMjdTai, band, scisql_nanojanskyToAbMag(psfFlux) AS mag, psfFluxErr / psfFlux AS error
FROM sky.source WHERE objectId = {} ORDER BY midpointMjdTai"""

HISTOGRAM = """SELECT FLOOR(scisql_nanojanskyToAbMag(i_psfFlux)) AS i_mag, COUNT(*) AS objects,
       SUM(refExtendedness) AS galaxies
FROM sky.object GROUP BY i_mag ORDER BY i_mag"""

NEIGHBOURS = """SELECT a.objectId, b.objectId AS neighbour,
       3600 * scisql_angSep(a.coord_ra, a.coord_dec, b.coord_ra, b.coord_dec) AS arcsec
FROM sky.object a, sky.object b
WHERE scisql_angSep(a.coord_ra, a.coord_dec, b.coord_ra, b.coord_dec) < 2 / 3600.0
  AND a.objectId < b.objectId
ORDER BY arcsec LIMIT 5"""


def ask(sky: Sky, question: str, sql: str) -> None:
    """Print a question, its SQL, the answer and the time it took."""
    started = time.perf_counter()
    result = sky.sql(sql)
    table = result.arrow()
    seconds = time.perf_counter() - started
    facts = result.facts
    print(f"\n== {question}\n\n{sql}\n\n{text_grid(table, 40)}")
    print(f"{len(result):,} rows in {seconds * 1000:,.0f} ms, {facts.chunks_read} of {facts.chunks_total} chunks")


def main(root: str) -> None:
    with connect(root) as sky:
        star = sky.sql(VARIABLE).scalar()
        ask(sky, "1. A cone: the brightest objects within a degree of the galactic centre", CONE)
        ask(sky, "2. The light curve of one variable star", LIGHT_CURVE.format(star))
        ask(sky, "3. The whole sky: how many objects of each magnitude, and how many are galaxies", HISTOGRAM)
        ask(
            sky, "4. Near neighbours: pairs within 2 arcsec, all over the sky, across the borders of chunks", NEIGHBOURS
        )


if __name__ == "__main__":
    main(sys.argv[1])
