"""Paths: spelled in one place, unique, and readable backwards."""

from __future__ import annotations

import pytest

from qsky.catalog import layout
from qsky.catalog.model import Kind, MatchEnd, Table
from qsky.errors import QskyError
from qsky.storage.partname import digest_of

STAR = Table("star", Kind.DIRECTOR, (), key="id")


@pytest.mark.parametrize("name", ["star", "S", "dr1", "a" * 63, "with_underscore"])
def test_names_that_are_names(name: str) -> None:
    assert layout.checked_name(name, "table") == name


@pytest.mark.parametrize(
    "name", ["", "1a", "_a", "a-b", "a.b", "a/b", "..", "a b", "größe", "a" * 64, "star_overlap", "x_OVERLAP", "a\n"]
)
def test_names_that_are_not(name: str) -> None:
    with pytest.raises(QskyError) as caught:
        layout.checked_name(name, "table")
    assert caught.value.code.name == "bad-name"


def test_where_tables_lie() -> None:
    child = Table("det", Kind.CHILD, (), director="star", generation=3)
    match = Table("m", Kind.MATCH, (), match=(MatchEnd("star", "a"), MatchEnd("other", "b")))
    assert layout.table_path(STAR) == "star.hats/star/g0001"
    assert layout.dataset_path(STAR, overlap=True) == "star.hats/star_overlap/g0001/dataset"
    assert layout.table_path(child) == "star.hats/det/g0003"
    assert layout.table_path(match, overlap=True) == "star.hats/m_overlap/g0001"
    assert layout.table_path(Table("filter", Kind.REPLICATED, ())) == "filter.table/g0001"


def test_leaves_as_hats_spells_them() -> None:
    assert layout.leaf_folder(5, 4711) == "Norder=5/Dir=0/Npix=4711"
    assert layout.leaf_folder(7, 123_456) == "Norder=7/Dir=120000/Npix=123456"


def test_a_part_says_its_load_and_its_digest() -> None:
    name = layout.part_name("20260101T000000xabc", 12, "0123456789abcdef")
    path = f"star.hats/star/g0001/dataset/Norder=1/Dir=0/Npix=1/{name}"
    assert layout.load_of(path) == "20260101T000000xabc" and digest_of(path) == "0123456789abcdef"


def test_revisions_sort_beyond_a_million() -> None:
    assert layout.revision_path(42) == "revisions/000042.json"
    assert layout.revision_path(1_000_000) == "revisions/1000000.json"
