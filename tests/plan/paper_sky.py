"""Tables that exist on paper only: 48 chunks, parts of a round size, no file anywhere. Planning needs no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from qsky.catalog.model import Column, IndexSegment, Kind, MatchEnd, Table
from qsky.catalog.snapshot import PARTS_SCHEMA, Parts, TableSnapshot, Tiling, parts_of_manifests
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.plan.answers import answered
from qsky.plan.draft import all_tables
from qsky.plan.model import Found, Plan
from qsky.plan.nest import final_in_fragments, lone_stages, over
from qsky.plan.planner import plan, probes_of
from qsky.sky.healpix import range_of
from qsky.sql.bind import bind
from qsky.sql.parse import parse
from qsky.sql.query import Query, Statement
from qsky.sql.statement import given_name

MIB = 1 << 20
ORDER_1 = Tiling(np.ones(48, np.uint8), np.arange(48))
ORDER_0 = Tiling(np.zeros(12, np.uint8), np.arange(12))


def parts(leaves: Iterable[int], order: int, *, size: int = 8 * MIB, lost: Iterable[int] = ()) -> Parts:
    rows: list[dict[str, Any]] = []
    for orphans, chosen in ((False, leaves), (True, lost)):
        for leaf in chosen:
            low, high = range_of(order, leaf)
            rows.append(
                {"path": f"{leaf}{'o' if orphans else ''}.parquet", "norder": order, "npix": leaf, "rows": 1000,
                 "bytes": size, "hp_min": low, "hp_max": high - 1, "key_min": 0, "key_max": 10_000,
                 "orphans": orphans, "columns": ""}
            )  # fmt: skip
    return parts_of_manifests([pa.Table.from_pylist(rows, PARTS_SCHEMA)], ())


def columns(**kinds: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name, kind in kinds.items())


SKY = {"ra": "DOUBLE", "dec": "DOUBLE"}
OBJ = Table(
    "obj", Kind.DIRECTOR, columns(id="BIGINT", **SKY, mag="DOUBLE", flux="FLOAT", name="VARCHAR"), key="id", ra="ra",
    dec="dec", overlap_arcsec=60.0, tiling="one", rows=40_000, index=(IndexSegment("i", 40_000, 0, 10_000),),
)  # fmt: skip
SRC = Table(
    "src", Kind.CHILD, columns(sid="BIGINT", oid="BIGINT", **SKY, f="DOUBLE", band="SMALLINT"), key="oid", ra="ra",
    dec="dec", director="obj", tiling="one", rows=400_000, own_angle_arcsec_max=5.0,
)  # fmt: skip
FAR = Table(
    "far", Kind.DIRECTOR, columns(id="BIGINT", **SKY, z="DOUBLE"), key="id", ra="ra", dec="dec", overlap_arcsec=60.0,
    tiling="two", rows=12_000, index=(IndexSegment("j", 12_000, 0, 10_000),),
)  # fmt: skip
DUP = Table(
    "dup", Kind.DIRECTOR, columns(id="BIGINT", **SKY), key="id", ra="ra", dec="dec", overlap_arcsec=60.0,
    tiling="two", rows=12_000, key_unique=False, index=(IndexSegment("k", 12_000, 0, 10_000),),
)  # fmt: skip
LINKS = Table(
    "links", Kind.MATCH, columns(objid="BIGINT", farid="BIGINT", n="BIGINT"),
    match=(MatchEnd("obj", "objid"), MatchEnd("far", "farid")), tiling="one", rows=40_000, own_angle_arcsec_max=30.0,
)  # fmt: skip
OLD_LINKS = replace(LINKS, name="old_links", own_angle_arcsec_max=0.0)
BANDS = Table("bands", Kind.REPLICATED, columns(band="SMALLINT", letter="VARCHAR"), rows=6)

_NOTHING = parts((), 0)
SNAPSHOTS = {
    "obj": TableSnapshot("db", 1, OBJ, "/r", ORDER_1, parts(range(48), 1), parts(range(48), 1, size=MIB)),
    "src": TableSnapshot("db", 1, SRC, "/r", ORDER_1, parts(range(40), 1, size=40 * MIB, lost=(3, 7)), _NOTHING),
    "far": TableSnapshot("db", 1, FAR, "/r", ORDER_0, parts(range(12), 0), parts(range(12), 0, size=MIB)),
    "dup": TableSnapshot("db", 1, DUP, "/r", ORDER_0, parts(range(12), 0), parts(range(12), 0, size=MIB)),
    "links": TableSnapshot("db", 1, LINKS, "/r", ORDER_1, parts(range(48), 1), parts(range(48), 1, size=MIB)),
    "old_links": TableSnapshot("db", 1, OLD_LINKS, "/r", ORDER_1, parts(range(48), 1), parts(range(48), 1, size=MIB)),
    "bands": TableSnapshot("db", 1, BANDS, "/r", None, parts((0,), 0, size=1000), _NOTHING),
}


class PaperCatalog:
    """What bind asks of a catalogue."""

    def databases(self) -> list[str]:
        return ["db"]

    def tables(self, database: str) -> list[str]:
        return sorted(SNAPSHOTS)

    def table(self, database: str, name: str, revision: int | None) -> tuple[Table, int]:
        if name not in SNAPSHOTS:
            raise QskyError("no-such-table", f"There is no {name}.")
        return SNAPSHOTS[name].table, 1


def found_in(cell: int, keys: list[int]) -> Found:
    known = [key for key in keys if key < 10_000]
    return Found(np.array([cell + key for key in known], dtype=np.int64), len(known) == len(keys))


def bound(text: str, settings: Settings, lang: str = "mysql") -> Statement:
    """The stages and the query of a text."""
    return bind(parse(text, lang, settings), PaperCatalog(), "db")


def planned(text: str, lang: str = "mysql", rows: Sequence[Mapping[str, list[Any]]] = (), **settings: Any) -> Plan:
    """The plan of a query; every key asked for is found at the start of chunk 5. `rows` are those of its stages."""
    chosen = Settings().with_changes(**settings)
    given = {given_name(number): pa.table(dict(columns)) for number, columns in enumerate(rows)}
    return _plan(answered(bound(text, chosen, lang).query, given), chosen, given)


def planned_over(text: str, lang: str = "mysql") -> Plan:
    """The plan of a query over one stage that is worked out inside it."""
    settings = Settings()
    statement = bound(text, settings, lang)
    (stage,) = statement.stages
    inner = _plan(stage, settings, {})
    assert lone_stages(statement) == {0}
    return over(statement.query, inner, {}, settings) if final_in_fragments(inner) else inner


def _plan(query: Query, settings: Settings, given: Mapping[str, pa.Table]) -> Plan:
    snapshots = {ref.alias: SNAPSHOTS[ref.table.name] for ref in all_tables(query)}
    cell = range_of(1, 5)[0]
    answers = {
        probe: found_in(cell, [key for key in probe.keys if isinstance(key, int)])
        for probe in probes_of(query, snapshots)
    }
    return plan(query, snapshots, answers, settings, given)
