"""A revision as a tree: what the disk has for the current one, exact for every other, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qsky.catalog import layout
from qsky.catalog.store import Catalog, DatabaseSnapshot
from qsky.serve.hats_tree import Listing, Part, SideFile, Tree


def walked(tree: Tree, path: str = "") -> Iterator[tuple[str, Part | SideFile]]:
    """Every file of a tree, found by its listings alone."""
    node = tree.node(path)
    assert node is not None
    if not isinstance(node, Listing):
        yield path, node
        return
    for entry in node.entries:
        inside = f"{path}/{entry.name}".strip("/")
        found = tree.node(inside)
        assert isinstance(found, Listing) == entry.name.endswith("/")
        assert not isinstance(found, SideFile) or entry.bytes == len(found.content)
        yield from walked(tree, inside)


def parts_of(snapshot: DatabaseSnapshot) -> set[str]:
    found: set[str] = set()
    for table in snapshot.revision.tables:
        opened = snapshot.table(table.name)
        found |= set(opened.parts.paths.to_pylist()) | set(opened.overlap.paths.to_pylist())
    return found


def test_the_current_revision_is_as_it_lies_on_the_disk(root: Path) -> None:
    snapshot = Catalog(root).snapshot("sky")
    tree = Tree(snapshot)
    files = dict(walked(tree))
    for path, node in files.items():
        on_disk = root / "public" / "sky" / path
        if isinstance(node, Part):
            assert node.name == f"public/sky/{path}" and tree.file(node) == on_disk
            assert node.bytes == on_disk.stat().st_size and node.digest in path
        else:
            assert node.content == on_disk.read_bytes(), path
    assert {path for path, node in files.items() if isinstance(node, Part)} == parts_of(snapshot)
    sides = {path for path, node in files.items() if isinstance(node, SideFile)}
    assert "star.hats/collection.properties" in sides and "star.hats/visit/g0001/hats.properties" in sides
    assert any(path.startswith("band.table/g0001/dataset/") for path in files)


def test_an_older_revision_has_the_parts_it_had(root: Path) -> None:
    catalog = Catalog(root)
    for number in (1, 3):
        snapshot = catalog.snapshot("sky", number)
        files = dict(walked(Tree(snapshot)))
        assert {path for path, node in files.items() if isinstance(node, Part)} == parts_of(snapshot)
    # What was appended later is not there.
    later = parts_of(catalog.snapshot("sky", 4)) - parts_of(catalog.snapshot("sky", 3))
    tree = Tree(catalog.snapshot("sky", 3))
    assert later and all(tree.node(path) is None for path in later)


def test_what_is_not_in_the_revision_is_not_in_the_tree(root: Path) -> None:
    snapshot = Catalog(root).snapshot("sky")
    tree = Tree(snapshot)
    part = next(path for path in sorted(parts_of(snapshot)) if path.startswith("star.hats/star/"))
    leaf, name = part.rsplit("/", 1)
    wrong = [
        "_qsky", "revisions/000001.json", "leases", "star.hats/star/g0002",
        "star.hats/star/g0001/dataset/_delta_log", "star.hats/star/g0001/dataset/_metadata",
        "star.hats/star/g0001/skymap.fits", f"{part}/x", f"{leaf}/x{name}", part.replace("Dir=0", "Dir=00"),
        part.replace("Norder=", "norder="), part.replace("Dir=0", "Dir=10000"),
        part.replace("/star/", "/star_overlap/"), part.replace("/star/", "/visit/"),
        "star.hats/star/g0001/dataset/Norder=0/Dir=0/Npix=99999999999999999999", "star", "star.hat", "star.hats/",
        "/star.hats", "star.hats//star", "visit.hats",
    ]  # fmt: skip
    assert [path for path in wrong if tree.node(path) is not None] == []


def test_parts_that_are_staged_have_their_final_names(root: Path) -> None:
    """As in a root that cannot be written: published, but not moved in yet."""
    settled = Catalog(root).snapshot("sky")
    path = next(path for path in sorted(parts_of(settled)) if path.startswith("star.hats/star/"))
    name = path.rsplit("/", 1)[-1]
    tree = Tree(DatabaseSnapshot(settled.store, settled.revision, frozenset({name})))
    node = tree.node(path)
    assert isinstance(node, Part) and node.name == f"public/sky/{path}"
    assert tree.file(node) == root / "public/sky" / layout.staging_path(settled.revision.load) / name
    assert tree.node(f"{layout.staging_path(settled.revision.load)}/{name}") is None


@pytest.mark.parametrize("name", ["sky", "wide"])
def test_leaves_are_listed_once(root: Path, name: str) -> None:
    paths = [path for path, _ in walked(Tree(Catalog(root).snapshot(name)))]
    assert len(paths) == len(set(paths))


def test_a_part_that_is_elsewhere_is_fetched(root: Path, tmp_path: Path) -> None:
    mine, asked = tmp_path / "root", []
    shutil.copytree(root, mine)
    path = next(path for path in sorted(parts_of(Catalog(root).snapshot("sky"))) if "/star/" in path)
    (mine / "public" / "sky" / path).unlink()

    def fetch(name: str) -> Path:
        asked.append(name)
        return root / name

    tree = Tree(Catalog(mine, fetch=fetch).snapshot("sky"))
    node = tree.node(path)
    assert isinstance(node, Part) and not asked
    assert tree.file(node) == root / "public" / "sky" / path and asked == [f"public/sky/{path}"]
