"""Attaching a foreign HATS catalogue: read where it lies, never written, with its margin as overlap if it has one.

What is known of it becomes a revision like any other: its leaves are the tiling (gaps filled, for a tiling covers the
sphere), its leaf files the parts. Local folders and http(s) addresses; no file of rows is opened.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qsky.catalog import layout
from qsky.catalog.lease import Lease, leased
from qsky.catalog.model import HEALPIX_COLUMN, RESERVED_COLUMNS, Attached, Column, Kind, Provenance, Revision, Table
from qsky.catalog.snapshot import PARTS_SCHEMA, arrow_bytes
from qsky.catalog.store import Catalog
from qsky.catalog.types import stored_type, type_name
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Listener, silent
from qsky.ingest.change import replacing
from qsky.ingest.publish import Change, current_revision, new_load_id, publish
from qsky.ingest.tile import tiling_covering
from qsky.sky.healpix import ORDER_MAX, Ints
from qsky.storage import hats, objects
from qsky.storage.store import Store


@dataclass(frozen=True)
class _Foreign:
    """One HATS catalogue as its side files describe it."""

    address: str
    properties: dict[str, str]
    schema: pa.Schema
    orders: Ints
    npix: Ints
    files: tuple[str, ...]  # relative to `address`, one per leaf, or several if leaves are folders
    leaf_of_file: Ints


def attach(
    catalog: Catalog,
    database: str,
    address: str,
    settings: Settings,
    listener: Listener = silent,
    *,
    table: str | None = None,
    margin: str | None = None,
) -> Revision:
    """Make a table of `database` that reads the catalogue, or the collection, at `address`.

    Raises no-input, bad-format, corrupt-file, download-failed, bad-name, family-mismatch.
    """
    layout.checked_name(database, "database")
    address = address.rstrip("/") if objects.is_remote(address) else str(Path(address).absolute())
    primary, margins = _collection(address, settings)
    foreign = _open(primary, settings)
    around = _open(margin or margins[0], settings) if margin or margins else None
    base = current_revision(catalog, database)
    name = layout.checked_name(table or _table_name(foreign), "table")
    if any(t.name.lower() == name.lower() for t in base.tables):
        raise QskyError("family-mismatch", f"The table {database}.{name} exists already.", hint="Drop it first.")
    store, load = catalog.store(database), new_load_id()
    with leased(store, Lease(load=load), settings.lease_seconds):
        made = _table(store, name, foreign, around)
        return publish(catalog, base, _attaching(made, address, load), settings, listener)


def _attaching(made: Table, address: str, load: str) -> Change:
    return Change(
        operation="attach",
        load=load,
        apply=lambda current: replacing(current, (made,)),
        writes=frozenset({made.name}),
        provenance=Provenance(sources=({"name": address, "format": "hats", "bytes": 0, "sha256": ""},)),
    )


def _read(address: str, name: str, settings: Settings) -> bytes | None:
    """A side file, or None if it is not there."""
    try:
        if objects.is_remote(address):
            return objects.read_remote(f"{address}/{name}", settings.http_seconds_max)
        return (Path(address) / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _collection(address: str, settings: Settings) -> tuple[str, list[str]]:
    """The address of the catalogue proper and those of its margins, the default first."""
    content = _read(address, "collection.properties", settings)
    if content is None:
        return address, []
    values = hats.properties_of(content.decode())
    names = values.get("all_margins", "").split()
    default = values.get("default_margin", "")
    ordered = ([default] if default else []) + [name for name in names if name != default]
    primary = values.get("hats_primary_table_url")
    if not primary:
        raise QskyError("corrupt-file", f"{address}/collection.properties names no primary table.")
    return f"{address}/{primary}", [f"{address}/{name}" for name in ordered]


def _open(address: str, settings: Settings) -> _Foreign:
    content = _read(address, "hats.properties", settings) or _read(address, "properties", settings)
    if content is None:
        raise QskyError("no-input", f"There is no HATS catalogue at {address}: it has no hats.properties.")
    properties = hats.properties_of(content.decode())
    schema = _schema(address, settings)
    leaves = _leaves(address, settings)
    files, leaf_of_file = _files(address, leaves, properties.get("hats_npix_suffix", ".parquet"))
    orders, npix = np.array(leaves, dtype=np.int64).reshape(-1, 2).T
    return _Foreign(address, properties, schema, orders, npix, files, leaf_of_file)


def _schema(address: str, settings: Settings) -> pa.Schema:
    for name in ("dataset/_common_metadata", "dataset/_metadata"):
        content = _read(address, name, settings)
        if content is not None:
            try:
                return pq.read_schema(io.BytesIO(content))
            except (pa.ArrowException, OSError) as error:
                raise QskyError("corrupt-file", f"{address}/{name} is damaged: {error}") from error
    raise QskyError("bad-format", f"The HATS catalogue at {address} has neither _common_metadata nor _metadata.")


def _leaves(address: str, settings: Settings) -> list[tuple[int, int]]:
    """The (order, npix) of the leaves in NESTED order. Raises bad-format, corrupt-file."""
    content = _read(address, "partition_info.csv", settings)
    if content is None:
        raise QskyError("bad-format", f"The HATS catalogue at {address} has no partition_info.csv.")
    try:
        return _in_nested_order(hats.leaves_of(content.decode()))
    except (ValueError, IndexError) as error:
        raise QskyError("corrupt-file", f"{address}/partition_info.csv is damaged: {error}.") from error


def _in_nested_order(leaves: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The leaves sorted. Raises ValueError if one is no cell, or lies in another: its rows would be read twice."""
    for order, npix in leaves:
        if not (0 <= order <= ORDER_MAX and 0 <= npix < 12 << 2 * order):
            raise ValueError(f"there is no cell {npix} of order {order}")
    ordered = sorted(leaves, key=_start)
    for leaf, following in pairwise(ordered):
        if _start(following) < _start((leaf[0], leaf[1] + 1)):
            raise ValueError(f"the leaves {leaf} and {following} overlap")
    return ordered


def _start(leaf: tuple[int, int]) -> int:
    """The first cell of order 29 in a leaf, or where the leaf before it ends."""
    return leaf[1] << 2 * (ORDER_MAX - leaf[0])


def _files(address: str, leaves: list[tuple[int, int]], suffix: str) -> tuple[tuple[str, ...], Ints]:
    """The leaf files, and the leaf of each. Leaf folders must be listed, which only a local folder can be."""
    names = [f"dataset/{layout.leaf_folder(order, npix)}" for order, npix in leaves]
    if suffix != "/":
        return tuple(f"{name}{suffix}" for name in names), np.arange(len(names))
    if objects.is_remote(address):
        raise QskyError(
            "bad-format",
            f"The leaves of {address} are folders, which cannot be listed over http.",
            hint="Attach a local copy, or a catalogue with one file per leaf.",
        )
    found = [(f"{name}/{file.name}", leaf) for leaf, name in enumerate(names) for file in _inside(Path(address) / name)]
    return tuple(file for file, _ in found), np.array([leaf for _, leaf in found], dtype=np.int64)


def _inside(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*") if file.is_file() and not file.name.startswith((".", "_")))


def _table_name(foreign: _Foreign) -> str:
    name = foreign.properties.get("obs_collection") or foreign.properties.get("catalog_name") or "object"
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    return kept if kept[:1].isalpha() else f"t_{kept}"


def _table(store: Store, name: str, foreign: _Foreign, around: _Foreign | None) -> Table:
    """The table that stands for the catalogue; its side files are written."""
    ra, dec = _position_columns(foreign)
    healpix = _healpix_column(foreign)
    rows = int(_number(foreign, "hats_nrows", 0))
    tiling = tiling_covering(foreign.orders.astype(np.uint8), foreign.npix)
    table = Table(
        name=name,
        kind=Kind.DIRECTOR,
        columns=_columns(foreign.schema, healpix[0]),
        ra=ra,
        dec=dec,
        tiling=store.create_side_file("tiling", tiling.to_bytes(), "arrow"),
        parts=(store.create_side_file("parts", _manifest(foreign, rows, lambda file: file), "arrow"),),
        rows=rows,
        key_unique=False,
        attached=Attached(
            foreign.address,
            around.address if around else "",
            "",
            *healpix,
            of_points=foreign.properties.get("dataproduct_type") != "map",
        ),
    )
    if around is None:
        return table
    margin_rows = int(_number(around, "hats_nrows", 0))
    manifest = _manifest(around, margin_rows, lambda file: f"{around.address}/{file}")
    return replace(
        table,
        overlap_arcsec=_number(around, "hats_margin_threshold", 0),
        overlap_parts=(store.create_side_file("parts", manifest, "arrow"),),
        overlap_rows=margin_rows,
    )


def _number(foreign: _Foreign, name: str, default: float) -> float:
    """A property that is a number. Raises corrupt-file."""
    text = foreign.properties.get(name)
    try:
        return float(text) if text else default
    except ValueError:
        raise QskyError("corrupt-file", f"{foreign.address}/hats.properties says {name}={text}.") from None


def _position_columns(foreign: _Foreign) -> tuple[str, str]:
    """The names of ra and dec; both "" if the properties do not name columns of the files."""
    ra, dec = (foreign.properties.get(name, "") for name in ("hats_col_ra", "hats_col_dec"))
    return (ra, dec) if {ra, dec} <= set(foreign.schema.names) else ("", "")


def _healpix_column(foreign: _Foreign) -> tuple[str, int]:
    """The spatial index column and its order; "" and 0 if the files have none."""
    name = foreign.properties.get("hats_col_healpix") or HEALPIX_COLUMN
    order = int(_number(foreign, "hats_col_healpix_order", ORDER_MAX))
    return (name, order) if name in foreign.schema.names else ("", 0)


def _columns(schema: pa.Schema, healpix: str) -> tuple[Column, ...]:
    hidden = RESERVED_COLUMNS | {healpix.lower()}
    shown = [field for field in schema if field.name.lower() not in hidden]
    return tuple(Column(field.name, type_name(stored_type(field.type))) for field in shown)


def _manifest(foreign: _Foreign, rows: int, spelled: Callable[[str], str]) -> bytes:
    """A manifest of files nobody has opened: rows are spread evenly, the range of cells is that of the leaf."""
    leaf = foreign.leaf_of_file
    orders, npix = foreign.orders[leaf], foreign.npix[leaf]
    shift = 2 * (ORDER_MAX - orders)
    count = len(foreign.files)
    width = sum(_width(field.type) for field in foreign.schema)
    each = -(-rows // max(1, count))
    columns = "\x1f".join(foreign.schema.names)
    values = {
        "path": pa.array([spelled(file) for file in foreign.files], pa.string()),
        "norder": pa.array(orders.astype(np.uint8)),
        "npix": pa.array(npix),
        "rows": pa.array(np.full(count, each)),
        "bytes": pa.array(np.full(count, each * width)),
        "hp_min": pa.array(npix << shift),
        "hp_max": pa.array(((npix + 1) << shift) - 1),
        "key_min": pa.nulls(count, pa.int64()),
        "key_max": pa.nulls(count, pa.int64()),
        "orphans": pa.array(np.zeros(count, dtype=bool)),
        "columns": pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, dtype=np.int32)), pa.array([columns])),
    }
    return arrow_bytes(pa.table(values, schema=PARTS_SCHEMA))


def _width(arrow: pa.DataType) -> int:
    """Bytes a value takes, roughly."""
    try:
        return max(1, int(arrow.bit_width) // 8)
    except ValueError:
        return 16
