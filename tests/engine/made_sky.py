"""Small partitioned tables written by hand: random tilings, parts, overlaps, orphans, and the rows in one piece beside.

The overlap is found by brute force over cells; nothing of qsky.ingest is used, so that planner and loader are not
tested against each other's mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qsky.catalog.layout import revision_path
from qsky.catalog.model import HEALPIX_COLUMN, Column, IndexSegment, Kind, MatchEnd, Revision, Table
from qsky.catalog.snapshot import COLUMN_SEPARATOR, PARTS_SCHEMA, Parts, TableSnapshot, Tiling, parts_of_manifests
from qsky.catalog.types import type_name
from qsky.errors import QskyError
from qsky.ingest.place import apart_deg
from qsky.sky.cover import ranges_within
from qsky.sky.healpix import cells_of
from qsky.storage.keyindex import keys_of, segment_bytes
from qsky.storage.store import Store


def random_tiling(rng: np.random.Generator, order_max: int = 3, chance: float = 0.4) -> Tiling:
    """A tree over the whole sphere in which each cell above `order_max` is split by chance."""
    leaves: list[tuple[int, int]] = []
    todo = [(0, npix) for npix in range(12)]
    while todo:
        order, npix = todo.pop()
        if order < order_max and rng.random() < chance:
            todo += [(order + 1, 4 * npix + k) for k in range(4)]
        else:
            leaves.append((order, npix))
    leaves.sort(key=lambda leaf: leaf[1] << (2 * (29 - leaf[0])))
    return Tiling(np.array([o for o, _ in leaves], np.uint8), np.array([p for _, p in leaves], np.int64))


@dataclass
class MadeSky:
    """A root with one or more databases; `rows` are the unsharded tables by "database.table"."""

    root: Path
    rng: np.random.Generator
    snapshots: dict[str, dict[str, TableSnapshot]] = field(default_factory=dict)
    rows: dict[str, pa.Table] = field(default_factory=dict)
    number: int = 1

    # -- what Engine asks of a catalogue

    def databases(self) -> list[str]:
        return sorted(self.snapshots)

    def snapshot(self, database: str, number: int | None = None) -> MadeDatabase:
        if database not in self.snapshots or number not in (None, self.number):
            raise QskyError("no-such-database", f"There is no {database}.")
        tables = tuple(s.table for s in self.snapshots[database].values())
        revision = Revision(database, self.number, 0, "", "", "load", "l", "0", tables)
        return MadeDatabase(self.snapshots[database], revision)

    def store(self, database: str) -> Store:
        return Store(self.root / "public" / database)

    # -- making tables

    def director(
        self,
        name: str,
        rows: pa.Table,
        tiling: Tiling,
        *,
        overlap_arcsec: float = 3600.0,
        key: str = "id",
        unique: bool = True,
    ) -> TableSnapshot:
        database, table_name = name.split(".")
        cells = cells_of(rows["ra"].to_numpy(), rows["dec"].to_numpy())
        stored = rows.append_column(HEALPIX_COLUMN, pa.array(cells))
        own = self._write(name, stored, tiling.leaf_of(cells), tiling, key)
        overlap = self._write(name + "_overlap", *self._overlap(stored, cells, tiling, overlap_arcsec), tiling, key)
        table = Table(
            table_name, Kind.DIRECTOR, columns_of(rows), key=key, ra="ra", dec="dec", overlap_arcsec=overlap_arcsec,
            tiling=f"tiling-{hash(tiling.npix.tobytes()):x}", rows=rows.num_rows, key_unique=unique,
            index=(self._index(name, rows[key], cells),),
        )  # fmt: skip
        return self._add(database, table, tiling, own, overlap, rows)

    def child(
        self, name: str, rows: pa.Table, director: str, *, key: str = "id", position: bool = True
    ) -> TableSnapshot:
        """Rows whose key the director does not have become orphans, at their own position or anywhere."""
        database, table_name = name.split(".")
        parent = self.snapshots[database][director]
        tiling = parent.tiling
        assert tiling is not None
        whole = self.rows[f"{database}.{director}"]
        of_key = dict(zip(whole[parent.table.key].to_pylist(), range(whole.num_rows), strict=True))
        at = np.array([of_key.get(k, -1) for k in rows[key].to_pylist()], dtype=np.int64)
        parent_cells = cells_of(whole["ra"].to_numpy(), whole["dec"].to_numpy())
        own_cells = cells_of(rows["ra"].to_numpy(), rows["dec"].to_numpy()) if position else np.zeros(len(at), np.int64)
        cells = np.where(at >= 0, parent_cells[at] if whole.num_rows else 0, own_cells)
        stored = rows.append_column(HEALPIX_COLUMN, pa.array(cells))
        leaves = tiling.leaf_of(cells)
        placed = self._write(name, stored.filter(pa.array(at >= 0)), leaves[at >= 0], tiling, key)
        lost = self._write(name, stored.filter(pa.array(at < 0)), leaves[at < 0], tiling, key, orphans=True)
        table = Table(
            table_name, Kind.CHILD, columns_of(rows), key=key, ra="ra" if position else "", dec="dec" if position else "",
            director=director, tiling=parent.table.tiling, rows=rows.num_rows,
            own_angle_arcsec_max=self._angle(rows, whole, at) if position else 0.0,
        )  # fmt: skip
        return self._add(database, table, tiling, pa.concat_tables([placed, lost]), PARTS_SCHEMA.empty_table(), rows)

    def match(self, name: str, rows: pa.Table, ends: tuple[MatchEnd, MatchEnd]) -> TableSnapshot:
        """A row lies with its first end that is known, an orphan anywhere, and a copy with the other end."""
        database, table_name = name.split(".")
        first = self.snapshots[database][ends[0].director]
        tiling = first.tiling
        assert tiling is not None
        found = [self._cells_of_keys(database, end, rows) for end in ends]
        cells = np.where(found[0] >= 0, found[0], found[1])
        lost, both = cells < 0, (found[0] >= 0) & (found[1] >= 0)
        cells = np.where(lost, 0, cells)
        stored = rows.append_column(HEALPIX_COLUMN, pa.array(cells))
        leaves, other = tiling.leaf_of(cells), tiling.leaf_of(np.maximum(found[1], 0))
        away = both & (other != leaves)
        key = ends[0].key
        own = self._write(name, stored.filter(pa.array(~lost)), leaves[~lost], tiling, key)
        orphans = self._write(name, stored.filter(pa.array(lost)), leaves[lost], tiling, key, orphans=True)
        copies = self._write(name + "_overlap", stored.filter(pa.array(away)), other[away], tiling, key)
        table = Table(
            table_name, Kind.MATCH, columns_of(rows), match=ends, tiling=first.table.tiling, rows=rows.num_rows,
            own_angle_arcsec_max=3600 * apart_deg(found[0], found[1]),
        )  # fmt: skip
        return self._add(database, table, tiling, pa.concat_tables([own, orphans]), copies, rows)

    def _cells_of_keys(self, database: str, end: MatchEnd, rows: pa.Table) -> np.ndarray:
        """The cell of the director's row that each row points to, -1 if there is none."""
        director = self.snapshots[database][end.director].table
        whole = self.rows[f"{database}.{end.director}"]
        cells = cells_of(whole["ra"].to_numpy(), whole["dec"].to_numpy()).tolist()
        of_key = dict(zip(whole[director.key].to_pylist(), cells, strict=True))
        return np.array([of_key.get(key, -1) for key in rows[end.key].to_pylist()], dtype=np.int64)

    def replicated(self, name: str, rows: pa.Table) -> TableSnapshot:
        database, table_name = name.split(".")
        path = f"{database}/{table_name}.parquet"
        size = self._file(path, rows)
        row = {
            "path": path,
            "norder": 0,
            "npix": 0,
            "rows": rows.num_rows,
            "bytes": size,
            "hp_min": 0,
            "hp_max": 0,
            "columns": written(rows),
        }
        manifest = pa.Table.from_pylist([{**row, "key_min": None, "key_max": None, "orphans": False}], PARTS_SCHEMA)
        table = Table(table_name, Kind.REPLICATED, columns_of(rows), rows=rows.num_rows)
        return self._add(database, table, None, manifest, PARTS_SCHEMA.empty_table(), rows)

    def with_column(self, name: str, column: str, kind: str) -> None:
        """Give a table a column that its parts were written before."""
        database, table_name = name.split(".")
        old = self.snapshots[database][table_name]
        table = replace(old.table, columns=(*old.table.columns, Column(column, kind)))
        lacks = tuple((*names, column) for names in old.parts.lacks)
        self.snapshots[database][table_name] = replace(
            old, table=table, parts=replace(old.parts, lacks=lacks), overlap=replace(old.overlap, lacks=lacks)
        )
        nothing = pa.nulls(self.rows[name].num_rows, pa.int64())
        self.rows[name] = self.rows[name].append_column(column, nothing)

    def _add(
        self, database: str, table: Table, tiling: Tiling | None, own: pa.Table, overlap: pa.Table, rows: pa.Table
    ) -> TableSnapshot:
        names = tuple(column.name for column in table.columns)
        made = TableSnapshot(
            database,
            self.number,
            table,
            str(self.root / "public"),
            tiling,
            parts_of(own, names),
            parts_of(overlap, names),
        )
        self.store(database).replace(revision_path(self.number), b"a revision, as far as leases look")
        self.snapshots.setdefault(database, {})[table.name] = made
        self.rows[f"{database}.{table.name}"] = rows
        return made

    def _overlap(
        self, rows: pa.Table, cells: np.ndarray, tiling: Tiling, overlap_arcsec: float
    ) -> tuple[pa.Table, np.ndarray]:
        found, leaves = [], []
        for leaf in range(len(tiling)):
            start, end = tiling.starts[leaf : leaf + 1], tiling.ends[leaf : leaf + 1]
            starts, ends = ranges_within(start, end, overlap_arcsec / 3600)
            at = np.searchsorted(starts, cells, side="right") - 1
            near = (at >= 0) & (cells < ends[np.maximum(at, 0)]) & ~((cells >= start) & (cells < end))
            found.append(rows.filter(pa.array(near)))
            leaves.append(np.full(int(near.sum()), leaf))
        return pa.concat_tables(found), np.concatenate(leaves)

    def _write(
        self, name: str, rows: pa.Table, leaves: np.ndarray, tiling: Tiling, key: str, *, orphans: bool = False
    ) -> pa.Table:
        """One or two parts for each leaf that has rows; their manifest."""
        manifest: list[dict[str, Any]] = []
        for leaf in np.unique(leaves):
            mine = rows.filter(pa.array(leaves == leaf))
            cut = int(self.rng.integers(0, mine.num_rows + 1)) if self.rng.random() < 0.3 else 0
            for piece, part in enumerate((mine.slice(0, cut), mine.slice(cut))):
                if part.num_rows:
                    path = f"{name}/{int(leaf)}-{piece}{'o' if orphans else ''}.parquet"
                    manifest.append(self._part(path, part.sort_by(HEALPIX_COLUMN), tiling, int(leaf), key, orphans))
        return pa.Table.from_pylist(manifest, PARTS_SCHEMA)

    def _part(self, path: str, part: pa.Table, tiling: Tiling, leaf: int, key: str, orphans: bool) -> dict[str, Any]:
        cells, keys = part[HEALPIX_COLUMN].to_numpy(), part[key].to_pylist()
        numbers = [k for k in keys if isinstance(k, int)]
        return {
            "path": path, "norder": int(tiling.orders[leaf]), "npix": int(tiling.npix[leaf]), "rows": part.num_rows,
            "bytes": self._file(path, part), "hp_min": int(cells.min()), "hp_max": int(cells.max()),
            "key_min": min(numbers, default=None), "key_max": max(numbers, default=None), "orphans": orphans,
            "columns": written(part),
        }  # fmt: skip

    def _file(self, path: str, rows: pa.Table) -> int:
        target = self.root / "public" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, target, row_group_size=64)
        return target.stat().st_size

    def _index(self, name: str, column: pa.ChunkedArray, cells: np.ndarray) -> IndexSegment:
        keys = keys_of(column)
        order = keys.order()
        file = f"{name}.index"
        target = self.root / "public" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(segment_bytes(keys.take(order), cells[order]))
        high = keys.high[order]
        low, top = (int(high[0]), int(high[-1])) if len(high) else (0, 0)
        return IndexSegment(file, len(keys), low, top)

    def _angle(self, rows: pa.Table, whole: pa.Table, at: np.ndarray) -> float:
        have = at >= 0
        if not have.any():
            return 0.0
        one = unit(rows["ra"].to_numpy()[have], rows["dec"].to_numpy()[have])
        other = unit(whole["ra"].to_numpy()[at[have]], whole["dec"].to_numpy()[at[have]])
        chord = np.linalg.norm(one - other, axis=1).max()
        return float(np.degrees(2 * np.arcsin(min(1.0, chord / 2))) * 3600 * (1 + 1e-9) + 1e-6)


@dataclass
class MadeDatabase:
    """What Engine asks of a DatabaseSnapshot."""

    tables: dict[str, TableSnapshot]
    revision: Revision
    staged: frozenset[str] = frozenset()

    def table(self, name: str) -> TableSnapshot:
        return self.tables[name]


def unit(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)), axis=1)


def written(part: pa.Table) -> str:
    return COLUMN_SEPARATOR.join(part.column_names)


def columns_of(rows: pa.Table) -> tuple[Column, ...]:
    return tuple(Column(f.name, type_name(f.type), unit="deg" if f.name in ("ra", "dec") else "") for f in rows.schema)


def parts_of(manifest: pa.Table, names: tuple[str, ...]) -> Parts:
    return parts_of_manifests([manifest], names)


CENTRES = ((10.0, 90.0), (200.0, -90.0), (0.0, 0.0), (45.0, 41.810314895778596), (123.4, -20.0), (0.0, 66.0))


def clustered(
    rng: np.random.Generator,
    count: int,
    centres: tuple[tuple[float, float], ...] = CENTRES,
    anywhere_max: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Positions in clumps: at both poles, across ra = 0, on chunk corners, equal ones, and a few anywhere."""
    choice = rng.integers(0, len(centres) + 1, count)
    if anywhere_max is not None:
        lonely = np.flatnonzero(choice == len(centres))[anywhere_max:]
        choice[lonely] = lonely % len(centres)
    ra, dec = rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    for number, (ra0, dec0) in enumerate(centres):
        here = choice == number
        angle, reach = rng.uniform(0, 2 * np.pi, here.sum()), rng.exponential(0.3, here.sum())
        dec_here = dec0 + reach * np.sin(angle)
        over = np.abs(dec_here) > 90
        dec_here[over] = np.sign(dec_here[over]) * 180 - dec_here[over]
        stretch = 1 / np.maximum(np.cos(np.radians(dec_here)), 0.005)
        ra[here], dec[here] = (ra0 + reach * np.cos(angle) * stretch) % 360, dec_here
    same = rng.random(count) < 0.05
    if count:
        ra[same], dec[same] = ra[0], dec[0]
    return ra, dec
