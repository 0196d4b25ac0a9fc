"""Catalogues from elsewhere bring their own names: folders, files and tables called like SQL."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import qsky
from qsky.errors import QskyError

EVIL = """it's "{t0}"; DROP TABLE x --"""


@pytest.fixture
def catalogue(shared_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shared_data / "hats_test_data" / "small_sky", tmp_path / "web" / EVIL))


def test_a_folder_called_like_sql_is_read(catalogue: Path, tmp_path: Path) -> None:
    with qsky.connect(tmp_path / "root", threads=1) as sky:
        sky.attach(str(catalogue), "far", table="t")
        assert sky.sql("SELECT COUNT(*) AS n FROM far.t WHERE id IS NOT NULL").scalar() == 131
        assert sky.sql("SELECT COUNT(*) AS n FROM far.t AS x, far.t AS y WHERE x.id = y.id").scalar() == 131


def test_a_table_cannot_be_called_like_sql(catalogue: Path, tmp_path: Path) -> None:
    properties = catalogue / "hats.properties"
    kept = [line for line in properties.read_text().splitlines() if not line.startswith("obs_collection")]
    properties.write_text("\n".join([*kept, f"obs_collection={EVIL}"]))
    with qsky.connect(tmp_path / "root", threads=1) as sky:
        with pytest.raises(QskyError) as caught:
            sky.attach(str(catalogue), "far", table=EVIL)
        assert caught.value.code.name == "bad-name"
        try:
            sky.attach(str(catalogue), "far")
        except QskyError as error:
            assert error.code.name == "bad-name"
        else:
            names = [table.name for table in sky.revision("far").tables]
            assert all(name.isidentifier() for name in names)
