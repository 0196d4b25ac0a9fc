"""A small world for the SQL tests: a director with a child, a match table, replicated tables, in two databases."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from qsky.catalog.model import Column, Kind, MatchEnd, Table
from qsky.errors import QskyError

_STAR = (
    Column("hip", "BIGINT", ucd="meta.id"),
    Column("ra", "DOUBLE", "deg", "pos.eq.ra", "right ascension"),
    Column("dec", "DOUBLE", "deg"),
    Column("hpmag", "FLOAT", "mag"),
    Column("n", "INTEGER"),
    Column("tiny", "TINYINT"),
    Column("price", "DECIMAL(10,2)"),
    Column("big", "DECIMAL(38,0)"),
    Column("name", "VARCHAR"),
    Column("flag", "BOOLEAN"),
    Column("day", "DATE"),
    Column("at", "TIMESTAMP"),
    Column("raw", "BLOB"),
    Column("V-Mag", "DOUBLE"),
    Column("order", "INTEGER"),
)
_OBS = (Column("hip", "BIGINT"), Column("mjd", "DOUBLE"), Column("mag", "FLOAT"), Column("filter", "INTEGER"))
_DETECTION = (Column("hip", "BIGINT"), Column("ra", "DOUBLE"), Column("dec", "DOUBLE"), Column("flux", "DOUBLE"))
_GALAXY = (Column("id", "BIGINT"), Column("ra", "DOUBLE"), Column("dec", "DOUBLE"), Column("z", "FLOAT"))
_MATCH = (Column("hip", "BIGINT"), Column("id", "BIGINT"), Column("ang_sep", "DOUBLE"))
_FILTER = (Column("id", "INTEGER"), Column("label", "VARCHAR", collation="ci"), Column("width", "DOUBLE"))

WORLD: dict[str, dict[str, Table]] = {
    "sky": {
        "star": Table("star", Kind.DIRECTOR, _STAR, key="hip", ra="ra", dec="dec", rows=10),
        "obs": Table("obs", Kind.CHILD, _OBS, key="hip", director="star"),
        "detection": Table("detection", Kind.CHILD, _DETECTION, key="hip", director="star", ra="ra", dec="dec"),
        "galaxy": Table("galaxy", Kind.DIRECTOR, _GALAXY, key="id", ra="ra", dec="dec"),
        "star_galaxy": Table(
            "star_galaxy", Kind.MATCH, _MATCH, match=(MatchEnd("star", "hip"), MatchEnd("galaxy", "id"))
        ),
        "filter": Table("filter", Kind.REPLICATED, _FILTER),
    },
    "dr1": {"star": Table("star", Kind.DIRECTOR, _GALAXY, key="id", ra="ra", dec="dec")},
}


class World:
    """A CatalogView over WORLD; revision 7 is the current one and 4 to 6 can still be asked for."""

    def databases(self) -> Iterable[str]:
        return list(WORLD)

    def tables(self, database: str) -> Iterable[str]:
        return list(WORLD.get(database, ()))

    def table(self, database: str, name: str, revision: int | None) -> tuple[Table, int]:
        if revision is not None and not 4 <= revision <= 7:
            raise QskyError("no-such-revision", f"{database} has no revision {revision}.")
        if name not in WORLD[database]:
            raise QskyError("no-such-table", f"There was no table {name} in {database} at revision {revision}.")
        return WORLD[database][name], revision or 7


@pytest.fixture(scope="session")
def world() -> World:
    return World()
