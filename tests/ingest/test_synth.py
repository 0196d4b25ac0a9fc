"""The synthetic sky: the same rows however they are made, the real density of stars, and children that fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from scipy.spatial import cKDTree

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Event, Progress, silent
from qsky.ingest.synth import (
    FILTER_COLUMNS,
    OBJECT_COLUMNS,
    SOURCE_COLUMNS,
    VISIT_COLUMNS,
    SkyPlan,
    filter_rows,
    object_batches,
    source_batches,
    visit_rows,
    write_sky,
)
from qsky.ingest.synth_sky import sky_of, star_density, unit_vectors
from qsky.ingest.synth_truth import BLOCK_OBJECTS, moved, truth_of
from qsky.sky.healpix import Floats, centres_of

PLAN = SkyPlan(objects=70_000, sources_per_object=3.0, seed=7)
ARCSEC = np.radians(1 / 3600)


def whole(batches: object) -> pa.Table:
    return pa.Table.from_batches(list(batches))  # type: ignore[call-overload]


def separation_arcsec(ra1: Floats, dec1: Floats, ra2: Floats, dec2: Floats) -> Floats:
    chord = np.linalg.norm(unit_vectors(ra1, dec1) - unit_vectors(ra2, dec2), axis=-1)
    return 2 * np.arcsin(chord / 2) / ARCSEC


@pytest.fixture(scope="module")
def objects() -> pa.Table:
    return whole(object_batches(PLAN, 1_000_000))


@pytest.fixture(scope="module")
def sources() -> pa.Table:
    return whole(source_batches(PLAN, 1_000_000))


@pytest.mark.parametrize("rows", [9_999, BLOCK_OBJECTS])
def test_batch_size_does_not_change_the_rows(objects: pa.Table, sources: pa.Table, rows: int) -> None:
    batches = list(object_batches(PLAN, rows))
    assert [b.num_rows for b in batches[:-1]] == [rows] * (len(batches) - 1)
    assert whole(batches).combine_chunks().equals(objects.combine_chunks())
    assert whole(source_batches(PLAN, rows)).combine_chunks().equals(sources.combine_chunks())


def test_seeds_make_different_skies(objects: pa.Table) -> None:
    other = whole(object_batches(SkyPlan(100, seed=8), 100))
    assert not np.isin(other["coord_ra"].to_numpy(), objects["coord_ra"].to_numpy()).any()


def test_rows_have_the_columns_as_described(objects: pa.Table, sources: pa.Table) -> None:
    tables = {OBJECT_COLUMNS: objects, SOURCE_COLUMNS: sources, VISIT_COLUMNS: visit_rows(PLAN)}
    tables[FILTER_COLUMNS] = filter_rows()
    for columns, rows in tables.items():
        assert rows.schema.names == [c.name for c in columns]
        assert all(c.description for c in columns)
    described = objects.schema.field("g_psfFlux").metadata
    assert described[b"unit"] == b"nJy" and described[b"ucd"].startswith(b"phot.flux.density")


def test_objects_lie_in_range_and_have_ids_of_their_own(objects: pa.Table) -> None:
    assert objects.num_rows == PLAN.objects
    ids, ra, dec = (objects[name].to_numpy() for name in ("objectId", "coord_ra", "coord_dec"))
    assert len(np.unique(ids)) == len(ids) and ids.min() > 1 << 40
    assert ra.min() >= 0 and ra.max() < 360 and np.abs(dec).max() <= 90
    for name in ("u_psfFlux", "y_psfFluxErr", "shape_xx", "refExtendedness"):
        assert 0 < objects[name].null_count < 0.06 * len(ids)
        assert np.isfinite(objects[name].drop_null().to_numpy()).all()
    assert objects["objectId"].null_count == objects["coord_ra"].null_count == objects["i_psfFlux"].null_count == 0
    assert objects["tract"].to_numpy().max() < 12 << 10 and objects["patch"].to_numpy().max() < 64


def test_blocks_are_spread_over_the_sky(objects: pa.Table) -> None:
    first = objects.slice(0, 5000)
    centre = unit_vectors(first["coord_ra"].to_numpy(), first["coord_dec"].to_numpy())
    assert (centre.min(axis=0) < -0.9).all() and (centre.max(axis=0) > 0.9).all()


def test_fluxes_look_like_a_catalogue(objects: pa.Table) -> None:
    flux, error = (objects[name].to_numpy() for name in ("i_psfFlux", "i_psfFluxErr"))
    magnitude = 31.4 - 2.5 * np.log10(np.maximum(flux, 1))
    bright, faint = np.sum((magnitude > 20) & (magnitude < 21)), np.sum((magnitude > 22) & (magnitude < 23))
    assert 1.5 < faint / bright < 8
    assert (error > 0).all() and 0.001 < np.median(error / flux) < 0.1


def latitude_deg(ra: Floats, dec: Floats) -> Floats:
    return SkyCoord(ra, dec, unit="deg").galactic.b.deg


def test_stars_follow_the_shipped_density() -> None:
    density = star_density()
    of_cell = np.abs(latitude_deg(*centres_of(np.arange(len(density)), 6)))
    stars = whole(object_batches(SkyPlan(4 * BLOCK_OBJECTS, 0, galaxy_fraction=0.0), 1 << 20))
    of_star = np.abs(latitude_deg(stars["coord_ra"].to_numpy(), stars["coord_dec"].to_numpy()))
    for low, high in [(0, 5), (5, 10), (10, 20), (20, 40), (60, 90)]:
        expected = density[(of_cell >= low) & (of_cell < high)].sum() / density.sum()
        found = np.mean((of_star >= low) & (of_star < high))
        assert found == pytest.approx(expected, rel=0.1), (low, high)


def test_shipped_density_is_that_of_the_counts(shared_data: Path) -> None:
    counts = pq.read_table(shared_data / "gaia_dr2_density" / "chunk_density.parquet", columns=["rows", "area", "b"])
    rows, area, b = (counts[name].to_numpy() for name in ("rows", "area", "b"))
    density = star_density()
    of_cell = np.abs(latitude_deg(*centres_of(np.arange(len(density)), 6)))
    assert density.mean() * area.sum() == pytest.approx(rows.sum(), rel=0.001)
    for low, high in [(0, 5), (10, 20), (60, 90)]:
        here = (np.abs(b) >= low) & (np.abs(b) < high)
        shipped = density[(of_cell >= low) & (of_cell < high)].mean()
        assert shipped == pytest.approx(rows[here].sum() / area[here].sum(), rel=0.03)


def test_galaxies_are_nearly_uniform_and_cluster() -> None:
    plan = SkyPlan(BLOCK_OBJECTS, 0, galaxy_fraction=1.0)
    truth = truth_of(sky_of(plan), 0)
    b = np.abs(latitude_deg(truth.ra, truth.dec))
    polar = np.mean(b > 30)
    assert 0.5 < polar < 0.65  # half of the sphere, more because of the dust in the plane
    tree = cKDTree(unit_vectors(truth.ra, truth.dec))
    uniform = BLOCK_OBJECTS**2 * np.sin(60 * ARCSEC / 2) ** 2 / 2
    assert len(tree.query_pairs(60 * ARCSEC)) > 20 * uniform


def test_close_pairs_exist(objects: pa.Table) -> None:
    ra, dec = objects["coord_ra"].to_numpy(), objects["coord_dec"].to_numpy()
    pairs = cKDTree(unit_vectors(ra, dec)).query_pairs(2 * ARCSEC, output_type="ndarray")
    assert 0.005 < len(pairs) / len(ra) < 0.05
    assert separation_arcsec(*(v[pairs[:, i]] for i in (0, 1) for v in (ra, dec))).min() > 0.2
    children = objects.filter(pc.is_valid(objects["parentObjectId"]))
    assert np.isin(children["parentObjectId"].to_numpy(), objects["objectId"].to_numpy()).all()
    assert pc.sum(objects["deblend_nChild"]).as_py() == children.num_rows > 0


def test_sources_belong_to_their_objects(objects: pa.Table, sources: pa.Table) -> None:
    ids = objects["objectId"].to_numpy()
    order = np.argsort(ids)
    owner = order[np.searchsorted(ids, sources["objectId"].to_numpy(), sorter=order)]
    assert (ids[owner] == sources["objectId"].to_numpy()).all()
    many = np.bincount(owner, minlength=len(ids))
    assert many.min() == 1 and many.max() > 6
    assert sources.num_rows == pytest.approx(PLAN.objects * PLAN.sources_per_object, rel=0.01)
    ra, dec = (objects[name].to_numpy()[owner] for name in ("coord_ra", "coord_dec"))
    away = separation_arcsec(ra, dec, sources["ra"].to_numpy(), sources["dec"].to_numpy())
    assert away.max() < 0.6 and 0.07 < np.sqrt(np.mean(away**2)) < 0.13


def test_sources_have_ids_and_visits(sources: pa.Table) -> None:
    visits = visit_rows(PLAN)
    assert (np.diff(visits["midpointMjdTai"].to_numpy()) >= 0).all()
    ids, visit = sources["sourceId"].to_numpy(), sources["visit"].to_numpy()
    assert len(np.unique(ids)) == len(ids) and ids.min() > 0
    assert (visits["visit"].to_numpy() == np.arange(1, visits.num_rows + 1)).all()
    assert (visits["midpointMjdTai"].to_numpy()[visit - 1] == sources["midpointMjdTai"].to_numpy()).all()
    bands = np.array(visits["band"].to_pylist())[visit - 1]
    assert (bands == np.array(sources["band"].to_pylist())).all() and set(bands) == set("ugrizy")
    field = visits["ra"].to_numpy()[visit - 1], visits["dec"].to_numpy()[visit - 1]
    assert separation_arcsec(*field, sources["ra"].to_numpy(), sources["dec"].to_numpy()).max() < 5 * 3600
    failed = sources["psfFlux_flag"].to_numpy()
    assert 0 < failed.sum() == sources["psfFlux"].null_count < 0.01 * len(ids)


def test_variables_vary_with_their_period() -> None:
    plan = SkyPlan(20_000, 60.0, galaxy_fraction=0.0)
    objects, sources = whole(object_batches(plan, 20_000)), whole(source_batches(plan, 1 << 18))
    lyrae = objects.filter(pc.equal(objects["variable_class"].cast(pa.string()), "RRab"))
    bright = lyrae.sort_by([("i_psfFlux", "descending")]).slice(0, 1).to_pylist()[0]
    mine = sources.filter(pc.equal(sources["objectId"], bright["objectId"]))
    mine = mine.filter(pc.equal(mine["band"].cast(pa.string()), "i")).drop_null()
    magnitude = -2.5 * np.log10(mine["psfFlux"].to_numpy())
    cycle = 2 * np.pi * mine["midpointMjdTai"].to_numpy() / bright["variable_period"]
    waves = [np.ones_like(cycle), *(f(n * cycle) for n in (1, 2) for f in (np.sin, np.cos))]
    _, residual, *_ = np.linalg.lstsq(np.stack(waves, axis=1), magnitude, rcond=None)
    assert len(magnitude) > 7 and magnitude.std() > 0.08
    assert residual[0] / len(magnitude) < 0.01 * magnitude.var()


def test_no_sources_on_request(tmp_path: Path) -> None:
    plan = SkyPlan(100, 0)
    assert list(source_batches(plan, 10)) == []
    assert [p.name for p in write_sky(plan, tmp_path, Settings(), silent)] == ["filter.parquet", "object-00000.parquet"]


def test_many_sources_come_in_bounded_steps() -> None:
    before = pa.total_allocated_bytes()
    batches = source_batches(SkyPlan(BLOCK_OBJECTS, 300.0), 1000)
    assert next(batches).num_rows == 1000
    assert pa.total_allocated_bytes() - before < 100 << 20


@pytest.mark.parametrize("cone", [(0.0, 90.0, 3.0), (0.0, -90.0, 3.0), (359.9, 0.0, 1.0), (120.0, 45.0, 0.01)])
def test_a_cone_holds_all_its_rows(cone: tuple[float, float, float]) -> None:
    ra, dec, radius = cone
    plan = SkyPlan(3000, 2.0, cone_deg=cone)
    for batch, names in [
        (next(object_batches(plan, 3000)), ("coord_ra", "coord_dec")),
        (next(source_batches(plan, 3000)), ("ra", "dec")),
    ]:
        places = [batch[name].to_numpy() for name in names]
        away = separation_arcsec(*places, np.array([ra]), np.array([dec])) / 3600
        assert away.max() < radius + 0.6 and batch.num_rows == 3000
        assert places[0].min() >= 0 and places[0].max() < 360


def test_a_band_of_declination() -> None:
    dec = next(object_batches(SkyPlan(5000, 0, dec_range_deg=(-10, 5)), 5000))["coord_dec"].to_numpy()
    assert dec.min() > -10.5 and dec.max() < 5.5 and dec.max() - dec.min() > 14


@pytest.mark.parametrize("dec", [0.0, 60.0, 89.99999, 90.0, -90.0])
def test_moved_keeps_the_distance(dec: float) -> None:
    ra, dec_deg = np.array([0.0, 0.0, 359.9999]), np.full(3, dec)
    east, north = np.array([3, -3, 0], dtype=np.float32), np.array([4, -4, 5], dtype=np.float32)
    there = moved(ra, dec_deg, east, north)
    np.testing.assert_allclose(separation_arcsec(ra, dec_deg, *there), 5.0, rtol=1e-6)
    assert (there[0] >= 0).all() and (there[0] < 360).all() and (np.abs(there[1]) <= 90).all()


def test_files_hold_the_same_rows_for_any_threads(tmp_path: Path, objects: pa.Table, sources: pa.Table) -> None:
    events: list[Event] = []
    one = write_sky(PLAN, tmp_path / "one", Settings(threads=1), events.append)
    two = write_sky(PLAN, tmp_path / "two", Settings(threads=2), silent)
    assert [p.name for p in one] == [p.name for p in two] == sorted(p.name for p in (tmp_path / "one").iterdir())
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two, strict=True))
    for kind, rows in [("object", objects), ("source", sources)]:
        written = pa.concat_tables(pq.read_table(p) for p in one if p.name.startswith(kind))
        assert written.equals(rows)
    last = events[-1]
    assert isinstance(last, Progress) and last.done == last.total == objects.num_rows + sources.num_rows
    assert pq.read_metadata(tmp_path / "one" / "source-00000.parquet").row_group(0).num_rows == 1 << 17


def test_an_interrupt_leaves_no_unfinished_file(tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sky(SkyPlan(1_000_000, 10.0), tmp_path, Settings(threads=2), interrupt)
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_folder_with_a_sky_is_refused(tmp_path: Path) -> None:
    write_sky(SkyPlan(10, 0), tmp_path, Settings(), silent)
    with pytest.raises(QskyError, match=r"already holds a synthetic sky: object-00000\.parquet") as refusal:
        write_sky(SkyPlan(10, 0), tmp_path, Settings(), silent)
    assert refusal.value.code.name == "usage"


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"objects": 0}, "objects between 1 and"),
        ({"objects": 10, "sources_per_object": 0.5}, "0 or at least 1"),
        ({"objects": 10, "sources_per_object": 2000.0}, "sources_per_object between 0 and 1000; 2000 was asked"),
        ({"objects": 10, "seed": -1}, "seed between 0 and"),
        ({"objects": 10, "galaxy_fraction": 1.5}, "galaxy_fraction between 0 and 1"),
    ],
)
def test_impossible_plans_are_refused(plan: dict[str, float], message: str) -> None:
    with pytest.raises(QskyError, match=message):
        SkyPlan(**plan)  # type: ignore[arg-type]


def test_an_empty_footprint_is_refused() -> None:
    with pytest.raises(QskyError, match="leave nothing"):
        object_batches(SkyPlan(10, dec_range_deg=(10, 5)), 10)
    with pytest.raises(QskyError, match="at least one row"):
        next(object_batches(SkyPlan(10), 0))
