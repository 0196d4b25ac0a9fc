"""The questions that Qsky and its peers are asked: positions, limits and SQL texts that both databases understand."""

from __future__ import annotations

# Positions along a line from the galactic centre outwards, where the sky is dense.
CONES = tuple((266.4 + 0.37 * step, -28.9 + 0.21 * step) for step in range(20))
ARCMIN_ARCSEC, DEGREE_ARCSEC = 60.0, 3600.0
IDS = 20
PLANS = 5  # cones planned over many chunks
PAIRS_ARCSEC = 2.0
MATCH_ARCSEC = 1.0
BRIGHT_NJY = 1e6
COLUMNS_SHOWN = ("objectId", "coord_ra", "coord_dec", "i_psfFlux")
AVERAGE_COLUMNS = ("i_psfFlux", "r_psfFlux", "g_psfFlux")
SHOWN = ", ".join(COLUMNS_SHOWN)

ONE_COLUMN = "SELECT AVG(i_psfFlux) AS mean, COUNT(i_psfFlux) AS n FROM {object}"
AVERAGE = "SELECT AVG(i_psfFlux) AS mean, COUNT(*) AS n FROM {object} WHERE r_psfFlux > 2 * g_psfFlux"
ONE_ID = "SELECT " + SHOWN + " FROM {object} WHERE objectId = {key}"
LIGHT_CURVE = "SELECT midpointMjdTai, band, psfFlux FROM {source} WHERE objectId = {key} ORDER BY midpointMjdTai"
LIGHT_CURVES = (
    "SELECT o.objectId, s.midpointMjdTai, s.psfFlux FROM {object} o JOIN {source} s ON o.objectId = s.objectId "
    f"WHERE o.i_psfFlux > {BRIGHT_NJY:.0f}"
)

# Sixteen scans. None is decided by the statistics of a row group, so that each is a scan of everything.
FILTERS = (
    "r_psfFlux > 1000",
    "i_psfFlux BETWEEN 500 AND 5000000",
    "r_psfFlux > 2 * i_psfFlux",
    "i_psfFlux - r_psfFlux > 200",
    "ABS(coord_dec - 5) > 0.001",
    "r_psfFlux + i_psfFlux > 3000",
    "coord_ra - coord_dec < 1000",
    "r_psfFlux < 300 OR i_psfFlux > 700",
)
SELECTS = (
    "SELECT COUNT(*), AVG(i_psfFlux), MAX(coord_ra), MIN(coord_dec), SUM(r_psfFlux) FROM {table} WHERE {filter}",
    "SELECT objectId, coord_ra, coord_dec, r_psfFlux, i_psfFlux FROM {table} WHERE {filter} AND i_psfFlux > 1e6",
)


def scans(count: int, table: str) -> list[str]:
    """So many different texts: averages over four columns, and cuts that find a few objects among all, by turns."""
    found = []
    for number in range(count):
        select, where = SELECTS[number % len(SELECTS)], FILTERS[number // len(SELECTS) % len(FILTERS)]
        again = f" AND i_psfFlux <> {number // 16}" if number >= 16 else ""
        found.append(select.format(table=table, filter=where + again))
    return found
