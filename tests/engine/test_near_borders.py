"""Near neighbours and cross-matches at every border equal a k-d tree over the whole sky."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import pytest

from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.engine import Engine

from .border_skies import BORDERS, RADII_DEG, border_sky, pairs_within
from .made_sky import MadeSky

Pairs = list[tuple[int, int]]
Filter = Callable[[int, int], bool]
_ANY: Filter = lambda one, other: True  # noqa: E731

# what is joined: FROM, the two names of keys, the two tables of the oracle, WHERE beyond the angle, the same in Python
JOINS: dict[str, tuple[str, tuple[str, str], tuple[str, str], str, Filter]] = {
    "self": ("sky.a x, sky.a y", ("id", "id"), ("sky.a", "sky.a"), "x.id <> y.id", lambda i, j: i != j),
    "self, each pair once": ("sky.a x, sky.a y", ("id", "id"), ("sky.a", "sky.a"), "x.id < y.id", lambda i, j: i < j),
    "self with itself": ("sky.a x JOIN sky.a y", ("id", "id"), ("sky.a", "sky.a"), "", _ANY),
    "two directors": ("sky.a x, sky.b y", ("id", "id"), ("sky.a", "sky.b"), "", _ANY),
    "equal ids": ("sky.a x, sky.b y", ("id", "id"), ("sky.a", "sky.b"), "x.id = y.id", lambda i, j: i == j),
    "unlike ids": ("sky.b x, sky.a y", ("id", "id"), ("sky.b", "sky.a"), "x.id <> y.id", lambda i, j: i != j),
    "two tilings": ("sky.a x, far.c y", ("id", "id"), ("sky.a", "far.c"), "", _ANY),
    "two tilings, turned": ("far.c x, sky.a y", ("id", "id"), ("far.c", "sky.a"), "", _ANY),
    "without margin": ("sky.b x, bare.d y", ("id", "id"), ("sky.b", "bare.d"), "", _ANY),
    "without margin, turned": ("bare.d x, sky.b y", ("id", "id"), ("bare.d", "sky.b"), "", _ANY),
    "without margin, itself": ("bare.d x, bare.d y", ("id", "id"), ("bare.d", "bare.d"), "", _ANY),
    "children's own positions": ("sky.kid x, sky.kid y", ("sid", "sid"), ("sky.kid", "sky.kid"), "", _ANY),
    "child and director": ("sky.kid x, sky.b y", ("sid", "id"), ("sky.kid", "sky.b"), "", _ANY),
    "director and child": ("far.c x, sky.kid y", ("id", "sid"), ("far.c", "sky.kid"), "", _ANY),
    "replicated list": ("sky.list x, sky.a y", ("id", "id"), ("sky.list", "sky.a"), "", _ANY),
    "director and list": ("far.c x, sky.list y", ("id", "id"), ("far.c", "sky.list"), "", _ANY),
    "a list by a stage": (
        "(SELECT id, ra, dec FROM sky.b ORDER BY id LIMIT 1000) x, sky.a y",
        ("id", "id"),
        ("sky.b", "sky.a"),
        "",
        _ANY,
    ),
    "half of a derived table": (
        "(SELECT id, ra, dec FROM sky.b WHERE id > 60) x JOIN far.c y",
        ("id", "id"),
        ("sky.b", "far.c"),
        "",
        lambda i, j: i > 60,
    ),
}


@pytest.fixture(scope="module", params=BORDERS)
def border(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[MadeSky, Engine, int]]:
    sky = border_sky(tmp_path_factory.mktemp("border"), BORDERS[request.param])
    with Engine(cast(Catalog, sky), Settings(threads=2)) as engine:
        yield sky, engine, list(BORDERS).index(request.param)


def _differences(sky: MadeSky, engine: Engine, names: list[str], radius_deg: float) -> list[str]:
    wrong = []
    for name in names:
        source, keys, tables, also, kept = JOINS[name]
        condition = f"scisql_angSep(x.ra, x.dec, y.ra, y.dec) <= {radius_deg!r}" + (f" AND {also}" if also else "")
        text = f"SELECT x.{keys[0]} AS i, y.{keys[1]} AS j FROM {source} WHERE {condition}"
        expected = [p for p in pairs_within(sky.rows[tables[0]], sky.rows[tables[1]], radius_deg, keys) if kept(*p)]
        answer = engine.query(text).arrow()
        got = sorted(zip(answer["i"].to_pylist(), answer["j"].to_pylist(), strict=True))
        if got != expected:
            extra, missing = set(got) - set(expected), set(expected) - set(got)
            wrong.append(f"{name}, {radius_deg}: {len(got)} of {len(expected)}, extra {extra}, missing {missing}")
    return wrong


def test_joins_at_the_border(border: tuple[MadeSky, Engine, int]) -> None:
    """A third of the joins at one radius; the next test has them all."""
    sky, engine, place = border
    wrong = _differences(sky, engine, list(JOINS)[place % 3 :: 3], RADII_DEG[place % len(RADII_DEG)])
    assert not wrong, "\n".join(wrong)


@pytest.mark.long
@pytest.mark.parametrize("radius_deg", RADII_DEG)
def test_every_join_at_every_radius(border: tuple[MadeSky, Engine, int], radius_deg: float) -> None:
    wrong = _differences(border[0], border[1], list(JOINS), radius_deg)
    assert not wrong, "\n".join(wrong)


def test_values_beside_a_director(border: tuple[MadeSky, Engine, int]) -> None:
    """A list written into the query: rows of UNION ALL."""
    sky, engine, _ = border
    spots = [tuple(row.values()) for row in sky.rows["sky.b"].slice(0, 5).to_pylist()]
    if not spots:
        return
    first, *others = spots
    listed = f"SELECT {first[0]} AS id, {first[1]!r} AS ra, {first[2]!r} AS dec" + "".join(
        f" UNION ALL SELECT {key}, {ra!r}, {dec!r}" for key, ra, dec in others
    )
    text = (
        f"SELECT x.id AS i, y.id AS j FROM ({listed}) x, sky.a y WHERE scisql_angSep(x.ra, x.dec, y.ra, y.dec) <= 0.3"
    )
    answer = engine.query(text).arrow()
    got = sorted(zip(answer["i"].to_pylist(), answer["j"].to_pylist(), strict=True))
    assert got == pairs_within(sky.rows["sky.b"].slice(0, 5), sky.rows["sky.a"], 0.3, ("id", "id"))
