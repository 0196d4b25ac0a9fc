"""What Qsky is measured at: each function is a job, given a place, and answers with what it found and what it took."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

import qsky
from benchmarks.clock import best, each, middle, once
from benchmarks.place import OVERLAP_ARCSEC, Place
from benchmarks.questions import (
    ARCMIN_ARCSEC,
    AVERAGE,
    CONES,
    DEGREE_ARCSEC,
    LIGHT_CURVE,
    LIGHT_CURVES,
    MATCH_ARCSEC,
    ONE_COLUMN,
    ONE_ID,
    PAIRS_ARCSEC,
    PLANS,
    SHOWN,
)
from qsky.catalog.model import Kind
from qsky.events import LoadReport
from qsky.ingest.request import LoadRequest
from qsky.output.formats import write
from qsky.result import Result
from qsky.wire import Sky

TABLES = {"object": "sky.object", "source": "sky.source"}
_SEPARATION = "scisql_angSep({0}, {1}, b.coord_ra, b.coord_dec)"
_WRITTEN_ROWS = 1_000_000


# -- loads


def load(place: Place) -> dict[str, Any]:
    """Objects, with overlap and index."""
    request = LoadRequest(
        "sky",
        "object",
        Kind.DIRECTOR,
        tuple(place.files("object")),
        key="objectId",
        ra="coord_ra",
        dec="coord_dec",
        overlap_arcsec=OVERLAP_ARCSEC,
    )
    report, spent = once(lambda: _load(place, request))
    return {"answer": {"rows": report.rows}, **spent, "overlap_rows": report.overlap_rows, "chunks": report.chunks}


def load_others(place: Place) -> dict[str, Any]:
    """The sources, children of the objects, and the user's catalogue, a director of its own."""
    source = LoadRequest(
        "sky",
        "source",
        Kind.CHILD,
        tuple(place.files("source")),
        key="objectId",
        ra="ra",
        dec="dec",
        director="object",
    )
    user = LoadRequest(
        "mine",
        "user",
        Kind.DIRECTOR,
        tuple(place.files("user")),
        key="id",
        ra="ra",
        dec="dec",
        overlap_arcsec=OVERLAP_ARCSEC,
    )
    reports, spent = once(lambda: [_load(place, source), _load(place, user)])
    return {"answer": {"rows": [report.rows for report in reports]}, **spent}


def _load(place: Place, request: LoadRequest) -> LoadReport:
    with qsky.connect(place.root) as sky:
        return sky.load(request)


def facts(place: Place) -> dict[str, Any]:
    """The largest number of neighbours of one object, which LSDB has to be told."""
    text = f"SELECT MAX(n) FROM (SELECT a.objectId, COUNT(*) AS n {_pairs_of('<>')} GROUP BY a.objectId) t"
    with qsky.connect(place.root) as sky:
        most = sky.sql(text).scalar() or 0
    place.tell("neighbours", {"neighbours_max": most})
    return {"answer": {"neighbours_max": most}}


@contextmanager
def opened(place: Place) -> Iterator[Sky]:
    """The sky after a question, so that what is imported when it is first needed is not charged."""
    with qsky.connect(place.root) as sky:
        sky.sql("SELECT COUNT(*) FROM sky.object WHERE i_psfFlux > 1e9").arrow()
        yield sky


# -- few rows


def cones_arcmin(place: Place) -> dict[str, Any]:
    return _cones(place, ARCMIN_ARCSEC)


def cones_degree(place: Place) -> dict[str, Any]:
    return _cones(place, DEGREE_ARCSEC)


def _cones(place: Place, radius_arcsec: float) -> dict[str, Any]:
    where = [f"qserv_areaspec_circle({ra}, {dec}, {radius_arcsec / 3600!r})" for ra, dec in CONES]
    return _each(place, [f"SELECT {SHOWN} FROM sky.object WHERE {area}" for area in where])


def ids(place: Place) -> dict[str, Any]:
    return _each(place, [ONE_ID.format(key=key, **TABLES) for key in place.facts()["ids"]])


def light_curve(place: Place) -> dict[str, Any]:
    return _each(place, [LIGHT_CURVE.format(key=key, **TABLES) for key in place.facts()["ids"]])


def _each(place: Place, texts: list[str]) -> dict[str, Any]:
    with opened(place) as sky:
        return each([lambda text=text: int(sky.sql(text).arrow().num_rows) for text in texts])


# -- scans and joins


def one_column(place: Place) -> dict[str, Any]:
    return _values(place, ONE_COLUMN.format(**TABLES))


def average(place: Place) -> dict[str, Any]:
    return _values(place, AVERAGE.format(**TABLES))


def pairs(place: Place) -> dict[str, Any]:
    return _values(place, f"SELECT COUNT(*) AS pairs {_pairs_of('<')}")


def _pairs_of(order: str) -> str:
    separation = _SEPARATION.format("a.coord_ra", "a.coord_dec")
    return f"FROM sky.object a, sky.object b WHERE {separation} < {PAIRS_ARCSEC / 3600!r} AND a.objectId {order} b.objectId"


def _values(place: Place, text: str) -> dict[str, Any]:
    """The values of the one row of the answer are the answer."""
    with opened(place) as sky:
        found, spent = best(lambda: sky.sql(text).arrow())
    return {"answer": found.to_pylist()[0], **spent}


def match(place: Place) -> dict[str, Any]:
    """The nearest object of each of the user's positions."""
    separation = _SEPARATION.format("a.ra", "a.dec")
    text = (
        f"SELECT a.id, MIN_BY(b.objectId, {separation}) AS objectId, MIN({separation}) AS degrees "
        f"FROM mine.user a, sky.object b WHERE {separation} < {MATCH_ARCSEC / 3600!r} GROUP BY a.id"
    )
    return _counted(place, text)


def light_curves(place: Place) -> dict[str, Any]:
    return _counted(place, LIGHT_CURVES.format(**TABLES))


def _counted(place: Place, text: str) -> dict[str, Any]:
    with opened(place) as sky:
        found, spent = best(lambda: sky.sql(text).arrow())
    return {"answer": {"rows": found.num_rows}, **spent}


# -- many chunks


def chunks(place: Place) -> dict[str, Any]:
    """A catalogue of 150,000 partitions: opened in a new process, then plans of cones that nobody has asked for."""
    from benchmarks.partitions import write_partitions

    folder, count = write_partitions(place)
    root = place.inside("many")
    with qsky.connect(root) as sky:
        sky.attach(str(folder), "many")
    with qsky.connect(root) as sky:
        number, spent = once(lambda: sky.chunks("many.object"))
        text = "SELECT COUNT(*) FROM many.object WHERE qserv_areaspec_circle({}, {}, 1)"
        plan = middle([lambda at=at: sky.explain(text.format(*at)) for at in CONES[:PLANS]])
    assert number == count
    return {"answer": {"partitions": number}, **spent, "plan_s": plan}


# -- formats


def write_votable(place: Place) -> dict[str, Any]:
    return _written(place, "votable")


def write_csv(place: Place) -> dict[str, Any]:
    return _written(place, "csv")


def write_arrow(place: Place) -> dict[str, Any]:
    return _written(place, "arrow")


def rows_to_write(sky: Sky) -> Result:
    """At most a million rows of five columns."""
    return sky.sql(f"SELECT {SHOWN}, r_psfFlux FROM sky.object LIMIT {_WRITTEN_ROWS}")


def _written(place: Place, format_name: str) -> dict[str, Any]:
    """CPU seconds of writing rows that are held; the first byte is counted from asking for them, the plan cached."""
    with opened(place) as sky:
        rows = rows_to_write(sky).arrow()
        sink, spent = best(lambda: _sunk(format_name, rows.schema, iter(rows.to_batches())))
        began = time.perf_counter()
        result = rows_to_write(sky)
        first = _sunk(format_name, result.schema, result.batches()).first - began
    return {
        "answer": {"rows": rows.num_rows},
        **spent,
        "first_byte_s": first,
        "rows_per_cpu_s": rows.num_rows / max(spent["cpu_s"], 1e-6),
        "bytes": sink.bytes,
        "binary": b"<BINARY2" in sink.head,
    }


def _sunk(format_name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Sink:
    sink = Sink()
    write(format_name, schema, batches, sink)
    return sink


class Sink(io.RawIOBase):
    """Takes bytes as a network would: remembers when the first came, how many, and the first of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = 0.0
        self.bytes = 0
        self.head = b""

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        length = memoryview(content).nbytes
        if not self.bytes and length:
            self.first = time.perf_counter()
        if len(self.head) < 65_536:
            self.head += bytes(content)[:65_536]
        self.bytes += length
        return length
