"""A root with a public database, a private folder beside it, and a digest of everything that must stay as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qsky
from qsky.catalog.model import Kind
from qsky.ingest.request import LoadRequest
from qsky.wire import Sky

SECRET = "the-secret-of-the-house"
SECONDS_MAX = 2.0


@dataclass(frozen=True)
class House:
    """The folder all of it lies in, and what the texts of attacks may name."""

    folder: Path
    sky: Sky

    @property
    def names(self) -> dict[str, str]:
        part = next((self.folder / "root" / "public" / "sky" / "star.hats").rglob("*.parquet"))
        csv = self.folder / "root" / "public" / "sky" / "notes.csv"
        private = self.folder / "root" / "private" / "me" / "mine" / "hidden.parquet"
        return {
            "secret": str(self.folder / "secret.txt"),
            "private": str(private),
            "part": str(part),
            "csv": str(csv),
            "out": str(self.folder / "out.csv"),
        }

    def filled(self, text: str) -> str:
        """A text with the files' names in it; other braces stay."""
        for name, path in self.names.items():
            text = text.replace("{" + name + "}", path)
        return text

    def digest(self) -> dict[str, tuple[int, int]]:
        """Every file below the folder but the leases queries hold: (bytes, time of the last change)."""
        found = {}
        for base, _, files in os.walk(self.folder):
            for file in files:
                state = os.stat(Path(base) / file)
                found[str(Path(base) / file)] = (state.st_size, state.st_mtime_ns)
        return {name: state for name, state in found.items() if "/leases/" not in name}


def _write(folder: Path) -> None:
    count = 400
    rows = {
        "id": list(range(count)),
        "ra": [(7 * n) % 360.0 for n in range(count)],
        "dec": [n / 5.0 - 40 for n in range(count)],
        "name": [f"o'{n}" for n in range(count)],
        # stored names that are SQL themselves
        'q"; DROP TABLE x --': [1.0] * count,
        "b{t0}race": [2.0] * count,
        "it's": [3.0] * count,
        "pg_settings": [4.0] * count,
    }
    pq.write_table(pa.table(rows), folder / "star.parquet")
    pq.write_table(
        pa.table({"band": list("ugrizy") * 20, "width": [float(n) for n in range(120)]}), folder / "f.parquet"
    )
    (folder / "secret.txt").write_text(SECRET)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    _write(folder)
    settings = {"threads": 1, "query_seconds_max": SECONDS_MAX, "memory_bytes_max": 512 << 20}
    with qsky.connect(folder / "root", **settings) as sky:
        star = LoadRequest("sky", "star", Kind.DIRECTOR, (str(folder / "star.parquet"),), key="id", ra="ra", dec="dec")
        sky.load(star)
        sky.load(LoadRequest("sky", "filter", Kind.REPLICATED, (str(folder / "f.parquet"),)))
        private = folder / "root" / "private" / "me" / "mine"
        private.mkdir(parents=True)
        pq.write_table(pa.table({"word": [SECRET]}), private / "hidden.parquet")
        (folder / "root" / "public" / "sky" / "notes.csv").write_text(f"word\n{SECRET}\n")
        yield House(folder, sky)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_written(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After all the tests of a file everything is as it was, and the working folder is empty."""
    before, here, was = house.digest(), tmp_path_factory.mktemp("here"), Path.cwd()
    os.chdir(here)
    try:
        yield
    finally:
        os.chdir(was)
    assert house.digest() == before
    assert list(here.iterdir()) == []
