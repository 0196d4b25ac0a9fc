"""What a table says of itself in the words of HATS: the files beside its parts, and its director's collection."""

from __future__ import annotations

from collections.abc import Iterable

from qsky.catalog.model import HEALPIX_COLUMN, Kind, Table
from qsky.catalog.settle import stored_schema
from qsky.sky.healpix import range_of
from qsky.storage.hats import RELEASE, common_metadata, moc_text, partition_info, properties_text


def side_files(
    database: str, table: Table, leaves: Iterable[tuple[int, int]], rows: int, created: str, *, overlap: bool = False
) -> dict[str, bytes]:
    """Every file beside the parts of a table's generation (or of its overlap), by its path in the catalogue's folder.

    `leaves` are the (order, npix) that have a part, in any order, each as often as it likes; `rows` the rows of all.
    """
    ordered = sorted(set(leaves), key=lambda leaf: range_of(*leaf)[0])
    return {
        "dataset/_common_metadata": common_metadata(stored_schema(table)),
        "moc.txt": moc_text(ordered).encode(),
        "partition_info.csv": partition_info(ordered).encode(),
        "hats.properties": table_properties(database, table, rows, created, overlap=overlap).encode(),
    }


def table_properties(database: str, table: Table, rows: int, created: str, *, overlap: bool = False) -> str:
    """`hats.properties` of a table's generation or of its overlap."""
    name = f"{table.name}_overlap" if overlap else table.name
    values: dict[str, object] = {
        "obs_collection": name,
        "dataproduct_type": _product_type(table, overlap),
        "hats_nrows": rows,
        "hats_col_ra": table.ra,
        "hats_col_dec": table.dec,
        "hats_col_healpix": HEALPIX_COLUMN,
        "hats_col_healpix_order": 29,
        "hats_npix_suffix": "/",
        "hats_builder": "Qsky",
        "hats_creation_date": f"{created[:16]}UTC",
        "hats_cols_survey_id": table.key if table.kind is Kind.DIRECTOR else "",
        "obs_title": f"{database}.{table.name}",
        **RELEASE,
    }
    if overlap:
        values["hats_primary_table_url"] = f"../../{table.name}/g{table.generation:04d}"
        values["hats_margin_threshold"] = table.overlap_arcsec
    return properties_text(values, "HATS catalog")


def _product_type(table: Table, overlap: bool) -> str:
    """The nearest thing HATS has: a table without positions can only be a map, which asks for none."""
    if overlap:
        return "margin"
    if table.kind is Kind.DIRECTOR:
        return "object"
    return "source" if table.ra else "map"


def collection_properties(director: Table, created: str) -> str:
    """`collection.properties`: the current generation of the director, its overlap as the default margin."""
    margin = f"{director.name}_overlap/g{director.generation:04d}"
    values = {
        "obs_collection": director.name,
        "hats_primary_table_url": f"{director.name}/g{director.generation:04d}",
        "all_margins": margin,
        "default_margin": margin,
        "hats_builder": "Qsky",
        "hats_creation_date": f"{created[:16]}UTC",
        **RELEASE,
    }
    return properties_text(values, "HATS Collection")
