"""What PostgreSQL with q3c is measured at. CPU seconds are those of the server's processes and of psql.

It holds only the columns that are asked for, which makes its scans faster than a table of 34 columns would be; both
tables are clustered, objects by position and sources by object.
"""

from __future__ import annotations

import re
import statistics
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.clock import best, once
from benchmarks.place import Place
from benchmarks.postgres import copying, run
from benchmarks.questions import (
    ARCMIN_ARCSEC,
    AVERAGE,
    CONES,
    DEGREE_ARCSEC,
    LIGHT_CURVE,
    LIGHT_CURVES,
    ONE_COLUMN,
    ONE_ID,
    PAIRS_ARCSEC,
    SHOWN,
    scans,
)

TABLES = {"object": "object", "source": "source"}
_ROUNDS = 3
_OBJECT = dict.fromkeys(("coord_ra", "coord_dec", "g_psfFlux", "r_psfFlux", "i_psfFlux"), "float8")
_COLUMNS = {
    "object": {"objectId": "int8", **_OBJECT},
    "source": {"objectId": "int8", "midpointMjdTai": "float8", "band": "text", "psfFlux": "float8"},
}
_ARROW = {"int8": pa.int64(), "float8": pa.float64(), "text": pa.string()}
_INDEXES = """
CREATE INDEX object_place ON object (q3c_ang2ipix(coord_ra, coord_dec));
CLUSTER object USING object_place;
ALTER TABLE object ADD PRIMARY KEY (objectId);
CREATE INDEX source_object ON source (objectId);
CLUSTER source USING source_object;
VACUUM ANALYZE object;
VACUUM ANALYZE source;
CHECKPOINT;
"""
_TIME = re.compile(r"^Time: ([0-9.]+) ms", re.MULTILINE)


def load(place: Place) -> dict[str, Any]:
    """Objects and sources, with their indexes."""
    _, spent = once(lambda: _load(place), place.server_pid)
    rows = [int(run(place.socket, f"SELECT count(*) FROM {table}")) for table in TABLES]
    return {"answer": {"rows": rows}, **spent}


def _load(place: Place) -> None:
    for table, columns in _COLUMNS.items():
        declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        run(place.socket, f"CREATE TABLE {table} ({declared})")
        with copying(place.socket, table) as sink:
            for file in place.files(table):
                for batch in pq.ParquetFile(file).iter_batches(columns=list(columns)):
                    pa.csv.write_csv(_plain(batch, columns), sink, pa.csv.WriteOptions(include_header=False))
    run(place.socket, _INDEXES)


def _plain(batch: pa.RecordBatch, columns: dict[str, str]) -> pa.Table:
    """As PostgreSQL's types: a float becomes a double before it becomes text, or its value would change."""
    return pa.table({name: batch[name].cast(_ARROW[kind]) for name, kind in columns.items()})


# -- few rows


def cones_arcmin(place: Place) -> dict[str, Any]:
    return _cones(place, ARCMIN_ARCSEC)


def cones_degree(place: Place) -> dict[str, Any]:
    return _cones(place, DEGREE_ARCSEC)


def _cones(place: Place, radius_arcsec: float) -> dict[str, Any]:
    area = "q3c_radial_query(coord_ra, coord_dec, {}, {}, {!r})"
    wheres = [area.format(*at, radius_arcsec / 3600) for at in CONES]
    return _each(place, [f"SELECT {SHOWN} FROM object WHERE {where}" for where in wheres])


def ids(place: Place) -> dict[str, Any]:
    return _each(place, [ONE_ID.format(key=key, **TABLES) for key in place.facts()["ids"]])


def light_curve(place: Place) -> dict[str, Any]:
    return _each(place, [LIGHT_CURVE.format(key=key, **TABLES) for key in place.facts()["ids"]])


def _each(place: Place, texts: list[str]) -> dict[str, Any]:
    """One session that asks each for the first time, another that asks all of them thrice; psql takes the times."""
    rows, first = _session(place, texts)
    (_, walls), spent = once(lambda: _session(place, texts * _ROUNDS), place.server_pid)
    return {
        "answer": {"rows": rows},
        "cpu_s": spent["cpu_s"] / len(walls),
        "wall_s": statistics.median(walls),
        "first_s": statistics.median(first),
    }


def _session(place: Place, texts: list[str]) -> tuple[int, list[float]]:
    """How many rows came, and the seconds of each text."""
    file = Path(place.folder, "tmp", "psql.txt")
    said = run(place.socket, "\n".join([f"\\o {file}", "\\timing on", *(f"{text};" for text in texts)]))
    with file.open() as lines:
        rows = sum(1 for _ in lines)
    file.unlink()
    return rows, [float(ms) / 1000 for ms in _TIME.findall(said)]


# -- scans and joins


def one_column(place: Place) -> dict[str, Any]:
    return _mean(place, ONE_COLUMN)


def average(place: Place) -> dict[str, Any]:
    return _mean(place, AVERAGE)


def _mean(place: Place, text: str) -> dict[str, Any]:
    said, spent = best(lambda: run(place.socket, text.format(**TABLES)), place.server_pid)
    mean, n = said.strip().split("|")
    return {"answer": {"mean": float(mean), "n": int(n)}, **spent}


def pairs(place: Place) -> dict[str, Any]:
    """Pairs in both orders and halved: with `<` its planner takes the index of the ids, and does not come back."""
    text = (
        "SELECT count(*) FROM object a, object b WHERE a.objectId <> b.objectId AND "
        f"q3c_join(a.coord_ra, a.coord_dec, b.coord_ra, b.coord_dec, {PAIRS_ARCSEC / 3600!r})"
    )
    said, spent = best(lambda: run(place.socket, text), place.server_pid)
    return {"answer": {"pairs": int(said) // 2}, **spent}


def light_curves(place: Place) -> dict[str, Any]:
    text = LIGHT_CURVES.format(**TABLES)
    (rows, _), spent = best(lambda: _session(place, [text]), place.server_pid)
    return {"answer": {"rows": rows}, **spent}


def sixteen(place: Place) -> dict[str, Any]:
    """Sixteen sessions at once, beside each of them alone."""
    texts = scans(16, "object")
    alone = [best(lambda text=text: run(place.socket, text), place.server_pid) for text in texts]
    said, spent = once(lambda: _at_once(place, texts), place.server_pid)
    answer = _answer(said)
    if _answer([one for one, _ in alone]) != answer:
        raise SystemExit("the answers changed")
    return {"answer": answer, **spent, "alone_cpu_s": statistics.mean(taken["cpu_s"] for _, taken in alone)}


def _answer(said: list[str]) -> dict[str, int]:
    """Rows of the scans that list objects, and what those that count have counted. Last digits of sums may change."""
    counted, listed = said[0::2], said[1::2]
    return {
        "rows": sum(len(text.splitlines()) for text in listed),
        "n": sum(int(text.split("|")[0]) for text in counted),
    }


def _at_once(place: Place, texts: list[str]) -> list[str]:
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = run(place.socket, texts[number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[number] for number in range(len(texts))]
