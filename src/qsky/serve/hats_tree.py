"""A revision of a database as a tree of HATS catalogues, made from the revision and never from the disk.

So it is exact for every kept revision, while loads append and vacuum deletes. Folders, files and their names are those
of `catalog.layout`; what is not in the revision is not in the tree. Used by `serve.hats`; opens no part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from qsky.catalog import layout
from qsky.catalog.hats_properties import collection_properties, side_files
from qsky.catalog.model import Kind, Table
from qsky.catalog.snapshot import Parts, TableSnapshot
from qsky.catalog.store import DatabaseSnapshot
from qsky.sky.healpix import Ints, range_of
from qsky.storage.partname import digest_of

_COLLECTION: Final = "collection.properties"
_DIR_CELLS: Final = 10_000  # cells in one Dir folder of HATS
_NUMBER: Final = r"(0|[1-9]\d{0,18})"  # as it is written, without noughts before it
_LEAF: Final = re.compile(rf"Norder={_NUMBER}(?:/Dir={_NUMBER}(?:/Npix={_NUMBER}(?:/([^/]+))?)?)?")


@dataclass(frozen=True)
class Entry:
    """A line of a listing: a name, folders with "/" at the end; of files the bytes, of parts the rows too."""

    name: str
    bytes: int | None = None
    rows: int | None = None


@dataclass(frozen=True)
class Listing:
    """What a folder holds."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class SideFile:
    """A small file that is made, not read."""

    content: bytes


@dataclass(frozen=True)
class Part:
    """A part of the revision. `name` is its path relative to the root; `stored` where it is now in the database's folder."""

    name: str
    stored: str
    bytes: int

    @property
    def digest(self) -> str:
        return digest_of(self.name)


Node = Listing | SideFile | Part


@dataclass(frozen=True)
class Tree:
    """One revision. `node` finds what lies at a path relative to the database's folder."""

    snapshot: DatabaseSnapshot
    _catalogues: dict[str, _Catalogue] = field(default_factory=dict)

    @property
    def revision(self) -> int:
        return self.snapshot.revision.number

    def node(self, path: str) -> Node | None:
        """What lies at a path ("" is the top, no "/" at the ends), or None."""
        for folder, (table, overlap) in self._folders.items():
            if path == folder or path.startswith(f"{folder}/"):
                if folder not in self._catalogues:
                    self._catalogues[folder] = self._opened(table, overlap)
                return self._catalogues[folder].node(path[len(folder) + 1 :])
        return self._above(path)

    def file(self, part: Part) -> Path:
        """A file of this machine that holds the part, brought here if it must be. Raises what fetching raises."""
        return self.snapshot.store.part(part.stored)

    @cached_property
    def _folders(self) -> dict[str, tuple[Table, bool]]:
        """The generations this revision names, by folder. Attached tables lie elsewhere and are not given out."""
        found = {}
        for table in self.snapshot.revision.tables:
            if table.attached is None:
                for overlap in (False, True) if table.has_overlap else (False,):
                    found[layout.table_path(table, overlap=overlap)] = (table, overlap)
        return found

    @cached_property
    def _collections(self) -> dict[str, bytes]:
        """The properties of each director's collection, by path."""
        revision = self.snapshot.revision
        return {
            f"{layout.collection_path(table.name)}/{_COLLECTION}": collection_properties(
                table, revision.created
            ).encode()
            for table in revision.tables
            if table.kind is Kind.DIRECTOR and table.attached is None
        }

    def _above(self, path: str) -> Node | None:
        """A folder above the generations, or a collection's properties."""
        if path in self._collections:
            return SideFile(self._collections[path])
        start = f"{path}/" if path else ""
        inside = [(name, None) for name in self._folders if name.startswith(start)]
        files = [(name, len(content)) for name, content in self._collections.items() if name.startswith(start)]
        if not inside and path:
            return None
        return Listing(_children(((name[len(start) :], size) for name, size in [*files, *inside])))

    def _opened(self, table: Table, overlap: bool) -> _Catalogue:
        return _Catalogue(self.snapshot.table(table.name), overlap, self.snapshot.revision.created)


@dataclass(frozen=True)
class _Catalogue:
    """One generation of a table, or of its overlap."""

    opened: TableSnapshot
    overlap: bool
    created: str

    @property
    def _parts(self) -> Parts:
        return self.opened.overlap if self.overlap else self.opened.parts

    @property
    def _table(self) -> Table:
        return self.opened.table

    @cached_property
    def _leaves(self) -> dict[tuple[int, int], None]:
        """The (order, npix) that have a part, each once, by order and then number."""
        leaves = set(zip(self._parts.norder.tolist(), self._parts.npix.tolist(), strict=True))
        return dict.fromkeys(sorted(leaves))

    @cached_property
    def _side_files(self) -> dict[str, bytes]:
        if not self._table.partitioned:
            return {}
        rows = int(self._parts.rows.sum())
        return side_files(self.opened.database, self._table, self._leaves, rows, self.created, overlap=self.overlap)

    def node(self, path: str) -> Node | None:
        if path in self._side_files:
            return SideFile(self._side_files[path])
        if path == "":
            return self._folder("", ["dataset/"])
        if path == "dataset":
            if not self._table.partitioned:
                return self._listed(np.arange(len(self._parts)))
            return self._folder("dataset/", [f"Norder={order}/" for order in sorted({k for k, _ in self._leaves})])
        top, _, inside = path.partition("/")
        if top != "dataset":
            return None
        if not self._table.partitioned:
            return self._part(np.arange(len(self._parts)), inside)
        return self._below(inside)

    def _folder(self, start: str, folders: list[str]) -> Listing:
        """A folder of side files and folders."""
        files = ((name[len(start) :], content) for name, content in self._side_files.items() if name.startswith(start))
        found = [Entry(name, len(content)) for name, content in files if "/" not in name]
        return Listing((*found, *map(Entry, folders)))

    def _below(self, path: str) -> Node | None:
        """What lies below `dataset`: Norder=k, Dir=d, Npix=p, a part."""
        found = _LEAF.fullmatch(path)
        if found is None:
            return None
        order, directory, npix = (None if number is None else int(number) for number in found.groups()[:3])
        if order is None or npix is None:
            return self._folders_below(order, directory)
        if (order, npix) not in self._leaves or directory != npix // _DIR_CELLS * _DIR_CELLS:
            return None
        places = self._parts.of_leaves(np.array([range_of(order, npix)[0]], dtype=np.int64))
        return self._part(places, found[4]) if found[4] else self._listed(places)

    def _folders_below(self, order: int | None, directory: int | None) -> Listing | None:
        """The Dir folders of an order, or the Npix folders of one of these."""
        numbers = [npix for k, npix in self._leaves if k == order]
        if directory is None:
            names = [f"Dir={number}/" for number in dict.fromkeys(npix // _DIR_CELLS * _DIR_CELLS for npix in numbers)]
        else:
            names = [f"Npix={npix}/" for npix in numbers if npix // _DIR_CELLS * _DIR_CELLS == directory]
        return Listing(tuple(map(Entry, names))) if names else None

    def _listed(self, places: Ints) -> Listing:
        rows, sizes = self._parts.rows[places].tolist(), self._parts.bytes[places].tolist()
        names = [path.rsplit("/", 1)[-1] for path in self.opened.addresses(places, overlap=self.overlap)]
        return Listing(tuple(Entry(name, size, n) for name, size, n in zip(names, sizes, rows, strict=True)))

    def _part(self, places: Ints, name: str) -> Part | None:
        for place, address in zip(places.tolist(), self.opened.addresses(places, overlap=self.overlap), strict=True):
            if address.rsplit("/", 1)[-1] == name:
                stored = self._parts.paths[place].as_py()
                return Part(self._part_name(place, name), stored, int(self._parts.bytes[place]))
        return None

    def _part_name(self, place: int, name: str) -> str:
        """Where the part lies for good, though it may still be staged in a root that cannot be written."""
        folder = layout.dataset_path(self._table, overlap=self.overlap)
        if self._table.partitioned:
            leaf = layout.leaf_folder(int(self._parts.norder[place]), int(self._parts.npix[place]))
            folder = f"{folder}/{leaf}"
        return f"{layout.PUBLIC}/{self.opened.database}/{folder}/{name}"


def _children(names: Iterable[tuple[str, int | None]]) -> tuple[Entry, ...]:
    """The first steps of paths, each once: files with their sizes, folders (of no size) with "/" at the end."""
    found: dict[str, Entry] = {}
    for name, size in names:
        first, slash, _ = name.partition("/")
        found.setdefault(first, Entry(f"{first}/") if slash or size is None else Entry(first, size))
    return tuple(found[name] for name in sorted(found))
