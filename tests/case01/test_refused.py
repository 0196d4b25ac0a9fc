"""The queries of case01 that Qserv refuses: what is valid runs and is right, what is not is refused in words that say why.

Valid is what a real MariaDB answers, or would with Qserv's functions. A query that lacks a value, or calls a procedure
first, has a counterpart that says the same in one statement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import pymysql
import pytest

from qsky.errors import QskyError
from qsky.wire import Sky
from tests.case01.cases import DATABASE, cases
from tests.case01.compare import Row, assert_same_columns, assert_same_multiset, assert_same_rows, rows_of, same
from tests.case01.sky_reference import (
    ab_magnitude,
    by_colour,
    columns_of,
    count_in_polygon,
    inside_polygon,
    pairs_in_area,
    pairs_of_area,
    similar_colours,
)
from tests.mariadb import MariaDB

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mariadb")]

REFUSED: Final = cases("refused_by_qserv")

# Valid, and answered by MariaDB itself -> the columns that decide the order (all rows of equal ones in any order).
VALID: Final[Mapping[str, tuple[int, ...]]] = {
    "0011_sdqaMetric": (),
    "1012_orderByClause": (2,),
    "1013_orderByClauseRounded": (2,),
    "2010_logs": (),
    "3002_sameColumnName": (),
    "3003_SameColumnTwice": (),
    "3007_countGroupBy": (),
    "3009_subquery": (),
}
# Valid, with functions of the sky.
OF_THE_SKY: Final[Mapping[str, Callable[[MariaDB], list[Row]]]] = {
    "1052_nnSimilarColors": similar_colours,
    "3012_similarObject": similar_colours,
    "3001_SelectInPoly": count_in_polygon,
    "3016_selectAllPairsWithinDistance": pairs_in_area,
}
ORDERED_BY_COLOUR: Final = "3015_orderByFunction"
# Not valid over the tables there are -> how the refusal begins.
INVALID: Final[Mapping[str, str]] = {
    "2002_findStarsWithMultiMeasAndMagVariation": "There is no column 'extendedParameter' in Object. (line 1, column 41)",
    "2003_objectWithVariabilityOrPeriodOrMag": ":timescaleMax stands for a value; write the value itself. (line 1,",
    "3004_nonExistingColumn": "The table o has no column 'foobar'. (line 1, column 8)",
    "1070_areaUsingPoly": "Only one statement can be answered at a time. (line 1, column 120)",
    "1081_refMatch2": "There is no table 'RefObjMatch' in qcase01. (line 1, column 44)",
    "2006_randomSample": ":percentage stands for a value; write the value itself. (line 1, column 186)",
    "8001_badLiteral": 'The query is not valid MySQL near "35 .1, 6.0001)": the number ends here.',
    "8002_badLiteral": 'The query is not valid MySQL near "1, 6.0001)": expecting ).',
    "8004_badArea": "The box ends at declination 3.0, south of where it begins, 5.0. (line 1, column 67)",
    "1031_newTransientsForEpoch": ":timeMin stands for a value; write the value itself. (line 1,",
    "1082_refMatch3": "There is no table 'RefObjMatch' in qcase01. (line 1, column 83)",
    "1083_refMatch3": "There is no table 'RefObjMatch' in qcase01. (line 1, column 83)",
    "1085_refMatch3": "There is no table 'RefObjMatch' in qcase01. (line 1, column 83)",
    "2004_objectsSimilarToQuasarsWithRedshift": "There is no table '_Object2Type' in qcase01. (line 1,",
    "2005_varObjectsOfOneType": "There is no table '_ObjectToType' in qcase01. (line 1, column 38)",
    "3013_nonexistantTable": "There is no table 'Sources' in qcase01. (line 1, column 22)",
}
# These name functions that only a MariaDB with Qserv's own has, or are about the restrictor.
NOT_FOR_MARIADB: Final = {"8004_badArea"}


def test_each_is_of_one_kind(shared_data: object) -> None:
    kinds = [*VALID, *OF_THE_SKY, ORDERED_BY_COLOUR, *INVALID]
    assert sorted(kinds) == sorted(REFUSED)
    assert len(REFUSED) == 29


@pytest.mark.parametrize("name", VALID)
def test_valid(name: str, sky: Sky, reference: MariaDB) -> None:
    wanted, order = reference.query(REFUSED[name].plain, database=DATABASE), VALID[name]
    table = sky.sql(REFUSED[name].text, database=DATABASE).arrow()
    assert_same_columns(table, wanted)
    rows = rows_of(table)
    assert_same_multiset(rows, wanted.rows)
    assert_same_rows(*([tuple(row[at] for at in order) for row in each] for each in (rows, wanted.rows)))


@pytest.mark.parametrize("name", OF_THE_SKY)
def test_valid_with_functions_of_the_sky(name: str, sky: Sky, reference: MariaDB) -> None:
    wanted = OF_THE_SKY[name](reference)
    assert len(wanted) > 100 or wanted[0][0] > 10
    assert_same_multiset(rows_of(sky.sql(REFUSED[name].text, database=DATABASE).arrow()), wanted)


def test_pairs_of_an_area_given_by_comparisons(sky: Sky, reference: MariaDB) -> None:
    text = REFUSED["3016_selectAllPairsWithinDistance"].plain
    assert_same_multiset(rows_of(sky.sql(text, database=DATABASE).arrow()), pairs_of_area(reference))


def test_order_by_a_colour(sky: Sky, reference: MariaDB) -> None:
    wanted = by_colour(reference)
    rows = rows_of(sky.sql(REFUSED[ORDERED_BY_COLOUR].text, database=DATABASE).arrow())
    colours = {row[0]: row[1] for row in wanted}
    assert_same_multiset(rows, [(key,) for key in colours])
    assert all(same(colours[key], colour) for (key,), (_, colour) in zip(rows, wanted, strict=True))


@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str, sky: Sky, reference: MariaDB) -> None:
    with pytest.raises(QskyError) as refusal:
        sky.sql(REFUSED[name].text, database=DATABASE)
    assert str(refusal.value).startswith(INVALID[name])
    if name not in NOT_FOR_MARIADB:
        with pytest.raises(pymysql.err.MySQLError):
            reference.query(REFUSED[name].plain, database=DATABASE)


# -- what the invalid ones mean


def test_the_bad_box_as_comparisons_holds_nothing(sky: Sky) -> None:
    assert len(sky.sql(REFUSED["8004_badArea"].plain, database=DATABASE)) == 0


@pytest.mark.parametrize("percentage", [13, 57])
def test_random_sample(percentage: int, sky: Sky, reference: MariaDB) -> None:
    text = REFUSED["2006_randomSample"].text.replace(":percentage", str(percentage))
    fluxes = [f"{band}Flux_PS" for band in "ugrizy"]
    o = columns_of(reference, "Object", "objectId", *fluxes)
    sample = o["objectId"] % 100 == percentage
    magnitudes = zip(*(ab_magnitude(o[flux][sample]).tolist() for flux in fluxes), strict=True)
    wanted = [tuple(None if np.isnan(value) else value for value in row) for row in magnitudes]
    assert_same_multiset(rows_of(sky.sql(text, database=DATABASE).arrow()), wanted)


@pytest.mark.parametrize(
    ("shown", "table", "position", "vertices"),
    [
        ("refObjectId", "SimRefObject", ("ra", "decl"), (300, 2, 0.01, 2, 0.03, 2.6, 359.9, 2.6)),
        ("objectId", "Object", ("ra_PS", "decl_PS"), (359.5, -5.0, 0.05, -5.0, 0.05, 3.5, 359.5, 3.5)),
    ],
)
def test_inside_a_polygon(
    shown: str,
    table: str,
    position: tuple[str, str],
    vertices: tuple[float, ...],
    sky: Sky,
    reference: MariaDB,
) -> None:
    o = columns_of(reference, table, shown, *position)
    wanted = o[shown][inside_polygon(o[position[0]], o[position[1]], vertices)]
    assert 0 < len(wanted) < len(o[shown])
    numbers = ", ".join(map(str, vertices))
    text = f"SELECT {shown} FROM {table} WHERE scisql_s2PtInCPoly({', '.join(position)}, {numbers}) = 1"
    assert_same_multiset(rows_of(sky.sql(text, database=DATABASE).arrow()), [(int(key),) for key in wanted])
