"""NaN in attached catalogues is NULL everywhere, because Parquet statistics do not know it: pruned or not, the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import qsky
from qsky.sky.healpix import cells_of
from qsky.wire import Sky


@pytest.fixture
def sky(tmp_path: Path) -> Iterator[Sky]:
    with qsky.connect(tmp_path / "root", threads=2, http_seconds_max=5.0) as opened:
        yield opened


def nan_catalogue(folder: Path) -> pa.Table:
    """A catalogue of two leaves with NaN, infinities and NULL in floating columns; its rows with NULL for NaN."""
    rng = np.random.default_rng(5)
    count = 4000
    ra, dec = rng.uniform(1, 89, count), rng.uniform(5, 35, count)
    x = rng.normal(0, 10, count)
    x[rng.random(count) < 0.2] = np.nan
    x[:3] = np.inf, -np.inf, np.nan
    cells = cells_of(ra, dec)
    table = pa.table(
        {
            "_healpix_29": cells,
            "id": np.arange(count),
            "ra": ra,
            "dec": dec,
            "x": pa.array(x, mask=rng.random(count) < 0.1),
            "f": pa.array(np.where(rng.random(count) < 0.5, np.nan, x).astype(np.float32)),
            "none": np.full(count, np.nan),
        }
    ).sort_by("_healpix_29")
    leaves = np.unique(cells >> 56)
    for order_1 in leaves.tolist():
        file = folder / f"dataset/Norder=1/Dir=0/Npix={order_1}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        here = pc.equal(pc.shift_right(table["_healpix_29"], 56), order_1)
        pq.write_table(table.filter(here), file, row_group_size=100)
    properties = (
        f"obs_collection=holes\ndataproduct_type=object\nhats_nrows={count}\nhats_col_ra=ra\nhats_col_dec=dec\n"
    )
    (folder / "hats.properties").write_text(properties)
    (folder / "partition_info.csv").write_text("Norder,Npix\n" + "".join(f"1,{npix}\n" for npix in leaves.tolist()))
    pq.write_metadata(table.schema, folder / "dataset/_common_metadata")
    for name in ("x", "f", "none"):
        known = pc.if_else(pc.is_nan(table[name]), pa.scalar(None, table[name].type), table[name])
        table = table.set_column(table.column_names.index(name), name, known)
    return table


REGIONS = {
    "everywhere": "1 = 1",
    "by region": "qserv_areaspec_box(20, 10, 40, 30)",
    "by ra": "ra BETWEEN 20 AND 40 AND dec BETWEEN 10 AND 30",
}


@pytest.mark.parametrize("region", REGIONS)
def test_nan_is_null_whether_chunks_are_pruned_or_not(sky: Sky, tmp_path: Path, region: str) -> None:
    rows = nan_catalogue(tmp_path / "holes")
    sky.attach(str(tmp_path / "holes"), "far")
    if region != "everywhere":
        rows = rows.filter((pc.field("ra") >= 20) & (pc.field("ra") <= 40))
        rows = rows.filter((pc.field("dec") >= 10) & (pc.field("dec") <= 30))
    assert rows.num_rows > 100
    where = f"FROM far.holes WHERE {REGIONS[region]}"
    assert sky.sql(f"SELECT id, x, f, none {where} ORDER BY id").arrow().to_pylist() == (
        rows.select(["id", "x", "f", "none"]).sort_by("id").to_pylist()
    )
    for name in ("x", "f", "none"):
        check_holes(sky, where, name, [value for value in rows[name].to_pylist() if value is not None], rows.num_rows)


def check_holes(sky: Sky, where: str, name: str, known: list[float], rows: int) -> None:
    """Counts, filters on both sides, extremes, groups and orders of one column."""

    def ask(items: str, condition: str = "") -> Any:
        (row,) = sky.sql(f"SELECT {items} {where}{condition}").arrow().to_pylist()
        return tuple(row.values())

    assert ask(f"COUNT(*), COUNT({name})") == (rows, len(known))
    for condition, test in FILTERS.items():
        count = rows - len(known) if condition == "IS NULL" else sum(map(test, known))
        assert ask("COUNT(*)", f" AND {name} {condition}") == (count,), condition
    assert ask(f"MIN({name}), MAX({name})") == (min(known, default=None), max(known, default=None))
    finite = [value for value in known if math.isfinite(value)]
    mean = ask(f"AVG({name})", f" AND ABS({name}) < 1e9")[0]
    assert mean == (pytest.approx(math.fsum(finite) / len(finite), rel=1e-9) if finite else None)
    biggest = sky.sql(f"SELECT {name} AS v {where} ORDER BY {name} DESC LIMIT 5").arrow()["v"].to_pylist()
    assert biggest == (sorted(known, reverse=True) + [None] * 5)[:5]
    groups = sky.sql(f"SELECT {name} IS NULL AS hole, COUNT(*) AS n {where} GROUP BY {name} IS NULL").arrow()
    counted = dict(zip(groups["hole"].to_pylist(), groups["n"].to_pylist(), strict=True))
    assert counted.get(1, 0) == rows - len(known) and counted.get(0, 0) == len(known)


FILTERS: dict[str, Callable[[float], bool]] = {
    "> 0": lambda v: v > 0,
    "<= 0": lambda v: v <= 0,
    "> 1e9": lambda v: v > 1e9,
    "< -1e9": lambda v: v < -1e9,
    "= 0": lambda v: v == 0,
    "<> 0": lambda v: v != 0,
    "BETWEEN -1 AND 1": lambda v: -1 <= v <= 1,
    "IS NULL": lambda v: False,
    "IS NOT NULL": lambda v: True,
}
