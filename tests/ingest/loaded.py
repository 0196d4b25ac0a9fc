"""A root made by loads for tests: rows in from memory, rows out without SQL, and what lies in its folders.

Everything is read with pyarrow and the catalogue alone, so that storage is judged by itself.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qsky.catalog.model import Kind, Revision
from qsky.catalog.snapshot import TableSnapshot
from qsky.catalog.store import Catalog
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import LoadReport
from qsky.ingest import publish as publishing
from qsky.ingest.load import load
from qsky.ingest.request import LoadRequest, Mode
from qsky.ingest.vacuum import VacuumReport, vacuum
from qsky.ingest.verify import VerifyReport, verify

SETTINGS = Settings(threads=2, chunk_rows_max=100, overlap_arcsec=1800.0, tiling_order_max=5, load_batch_rows=1000)
_numbers = itertools.count()


@dataclass
class Root:
    """One root with one database; loads go into it until a test says otherwise."""

    folder: Path
    settings: Settings = SETTINGS
    database: str = "sky"
    catalog: Catalog = field(init=False)

    def __post_init__(self) -> None:
        self.catalog = Catalog(self.folder / "root", create=True)

    def file(self, rows: pa.Table) -> Path:
        path = self.folder / f"rows-{next(_numbers)}.parquet"
        pq.write_table(rows, path)
        return path

    def load(
        self, table: str, rows: pa.Table | Path, mode: Mode = "create", kind: Kind = Kind.DIRECTOR, **asked: Any
    ) -> LoadReport:
        """Load; a director's columns are id, ra, dec unless said otherwise."""
        if kind is Kind.DIRECTOR and mode != "append":
            asked = {"key": "id", "ra": "ra", "dec": "dec", **asked}
        source = rows if isinstance(rows, Path) else self.file(rows)
        request = LoadRequest(self.database, table, kind, (str(source),), mode=mode, **asked)
        return load(self.catalog, request, self.settings)

    def child(self, table: str, rows: pa.Table, director: str, key: str, mode: Mode = "create", **asked: Any) -> Any:
        return self.load(table, rows, mode, Kind.CHILD, director=director, key=key, **asked)

    @property
    def revision(self) -> Revision:
        return self.catalog.revision(self.database)

    def table(self, name: str, number: int | None = None) -> TableSnapshot:
        return self.catalog.snapshot(self.database, number).table(name)

    def rows(self, name: str, number: int | None = None, *, overlap: bool = False) -> pa.Table:
        """Every stored row, with the chunk it lies in as `leaf`, from the parts a revision names."""
        opened = self.table(name, number)
        parts = opened.overlap if overlap else opened.parts
        columns = [c.name for c in opened.table.columns]
        read = []
        for at, path in enumerate(opened.addresses(np.arange(len(parts)), overlap=overlap)):
            rows = pq.ParquetFile(path).read()
            for column in opened.table.columns:
                if column.name not in rows.column_names:
                    rows = rows.append_column(column.name, pa.nulls(rows.num_rows))
            hidden = ["_healpix_29"] if opened.table.partitioned else []
            rows = rows.select(hidden + columns)
            leaf = int(parts.leaf_starts[at])
            read.append(rows.append_column("leaf", pa.array(np.full(rows.num_rows, leaf))))
        return pa.concat_tables(read, promote_options="permissive") if read else pa.table({"leaf": []})

    def ids(self, name: str, number: int | None = None, column: str = "id") -> list[Any]:
        return sorted(self.rows(name, number)[column].to_pylist())

    def verified(self, **changes: Any) -> VerifyReport:
        return verify(self.catalog, self.database, self.settings.with_changes(**changes))

    def assert_clean(self) -> None:
        report = verify(Catalog(self.catalog.root), self.database, self.settings)
        assert report.problems == []

    def vacuum(self, **changes: Any) -> VacuumReport:
        """A vacuum that keeps nothing but the current revision, unless said otherwise."""
        asked = {"vacuum_grace_seconds": 0, "revisions_kept": 1, "revisions_kept_days": 0, **changes}
        return vacuum(self.catalog, self.database, self.settings.with_changes(**asked))

    def files(self) -> set[str]:
        return set(self.catalog.store(self.database).files())

    def unreferenced(self) -> set[str]:
        """Files of the database that no kept revision accounts for, found without the code of vacuum."""
        store = self.catalog.store(self.database)
        expected = {"_qsky/settle.lock", "_qsky/foreign-seen.json"}
        folders: set[str] = set()
        for name in store.names("revisions"):
            expected.add(f"revisions/{name}")
            content = store.read(f"revisions/{name}")
            for table in json.loads(content)["tables"] if content else ():
                _expect(store.folder, table, expected, folders)
        logs = tuple(f"{folder}/_delta_log/" for folder in folders)
        return {
            name
            for name in self.files() - expected
            if not (name.startswith(logs) and name.endswith((".json", ".checkpoint.parquet", "_last_checkpoint")))
        }


def _expect(folder: Path, table: dict[str, Any], expected: set[str], folders: set[str]) -> None:
    """Add the files that a table's entry in a revision accounts for, and its dataset folders."""
    manifests = [*table["parts"], *table["overlap_parts"]]
    expected |= {*manifests, *(segment["file"] for segment in table["index"]), table["tiling"]} - {""}
    for name in manifests:
        expected |= set(pa.ipc.open_file(folder / name).read_all().column("path").to_pylist())
    kind, generation = table["kind"], f"g{table['generation']:04d}"
    family = table["director"] or (table["match"][0]["director"] if table["match"] else table["name"])
    top = f"{table['name']}.table" if kind == "replicated" else f"{family}.hats"
    catalogues = [f"{top}/{generation}" if kind == "replicated" else f"{top}/{table['name']}/{generation}"]
    if kind in ("director", "match"):
        catalogues.append(f"{top}/{table['name']}_overlap/{generation}")
    expected.add(f"{top}/collection.properties")
    for catalogue in catalogues:
        folders.add(f"{catalogue}/dataset")
        names = ("hats.properties", "partition_info.csv", "moc.txt", "dataset/_common_metadata")
        expected |= {f"{catalogue}/{name}" for name in names}


def positions(rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """Uniform over the sphere, in degrees."""
    return rng.random(count) * 360, np.degrees(np.arcsin(rng.random(count) * 2 - 1))


def stars(count: int, seed: int = 0, first: int = 0) -> pa.Table:
    """Directors with the keys first, first + 1, ..., anywhere."""
    rng = np.random.default_rng([seed, first])
    ra, dec = positions(rng, count)
    return pa.table({"id": np.arange(first, first + count), "ra": ra, "dec": dec, "mag": rng.random(count) * 20})


def visits(keys: Any, seed: int = 0) -> pa.Table:
    """Children of the given keys, one row each, without positions."""
    rng = np.random.default_rng([seed, 1])
    return pa.table({"visit": np.arange(len(keys)), "star": keys, "flux": rng.random(len(keys))})


def refused(code: str) -> pytest.RaisesExc[QskyError]:
    return pytest.raises(QskyError, check=lambda error: error.code.name == code)


def meanwhile(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> None:
    """Do `work` right before the next publication, as another process would."""
    publish = publishing.publish

    def interrupted(catalog: Catalog, start: Revision, *others: Any) -> Revision:
        monkeypatch.undo()
        work()
        return publish(catalog, start, *others)

    for module in ("load", "compact", "maintain"):
        monkeypatch.setattr(f"qsky.ingest.{module}.publish", interrupted)


def unsettled(root: Root, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> None:
    """Do `work` as a process would that dies right after its commit point."""
    with monkeypatch.context() as patch:
        patch.setattr("qsky.ingest.publish._settle_or_tell", lambda *_: None)
        work()
