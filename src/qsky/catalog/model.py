"""What exists, as values: databases, tables, columns, tilings' names, the files a revision stands on.

A `Revision` is one published state of one database; it is immutable and names everything by digest. Nothing here
reads a file or a clock. `to_json`/`from_json` are the format of `revisions/000042.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from qsky.errors import QskyError

FORMAT: Final = 1
HEALPIX_COLUMN: Final = "_healpix_29"
# Names a reader of our files takes for itself; a source column of such a name is refused.
FOLDER_COLUMNS: Final = {"Norder": "INTEGER", "Dir": "BIGINT", "Npix": "BIGINT"}  # of HATS: no part stores them
RESERVED_COLUMNS: Final = frozenset({HEALPIX_COLUMN, "norder", "dir", "npix"})


class Kind(StrEnum):
    """What a table is to the sky."""

    DIRECTOR = "director"
    CHILD = "child"
    MATCH = "match"
    REPLICATED = "replicated"


@dataclass(frozen=True)
class Column:
    """One column as users see it. `type` is a name of `catalog.types`; `collation` is "" or "ci"."""

    name: str
    type: str
    unit: str = ""
    ucd: str = ""
    description: str = ""
    collation: str = ""


@dataclass(frozen=True)
class MatchEnd:
    """One end of a match table: the director it points to and the column that holds that director's key."""

    director: str
    key: str


@dataclass(frozen=True)
class IndexSegment:
    """One sorted file of (key, `_healpix_29`); `low`, `high` are its key fences (of hashes, for text keys)."""

    file: str
    rows: int
    low: int
    high: int


@dataclass(frozen=True)
class Attached:
    """A foreign HATS catalogue read where it lies: its address, that of its margin, and the margin's width."""

    address: str
    margin_address: str = ""
    npix_suffix: str = ".parquet"
    healpix_column: str = HEALPIX_COLUMN
    healpix_order: int = 29
    of_points: bool = True  # False of a map, whose rows are areas


@dataclass(frozen=True)
class Table:
    """One table at one revision.

    `key` is the director's key, in a director its own column, in a child the column that points to it. `ra`, `dec`
    are the position columns in degrees, "" where there are none. `parts` and `overlap_parts` are manifest files
    (catalog.snapshot), whose union is the table. `own_angle_arcsec_max` is how far a child's own position lies from
    its director's at most, and how far the ends of any row of a match table lie apart (0: not measured). `tiling`
    names the tiling file of the director; children and match tables repeat it.
    """

    name: str
    kind: Kind
    columns: tuple[Column, ...]
    key: str = ""
    ra: str = ""
    dec: str = ""
    director: str = ""
    match: tuple[MatchEnd, ...] = ()
    generation: int = 1
    overlap_arcsec: float = 0.0
    tiling: str = ""
    parts: tuple[str, ...] = ()
    overlap_parts: tuple[str, ...] = ()
    delta_version: int = -1
    overlap_delta_version: int = -1
    index: tuple[IndexSegment, ...] = ()
    key_unique: bool = True
    rows: int = 0
    overlap_rows: int = 0
    bytes: int = 0
    orphan_rows: int = 0
    own_angle_arcsec_max: float = 0.0
    description: str = ""
    attached: Attached | None = None

    @property
    def partitioned(self) -> bool:
        return self.kind is not Kind.REPLICATED

    @property
    def cell_column(self) -> str:
        """The column that holds a row's order-29 cell, "" if the files have none of that order."""
        if self.attached is None:
            return HEALPIX_COLUMN if self.partitioned else ""
        return self.attached.healpix_column if self.attached.healpix_order == 29 else ""

    @property
    def has_overlap(self) -> bool:
        """Directors store the rows around each chunk, match tables the copies for their other end."""
        return self.kind in (Kind.DIRECTOR, Kind.MATCH)

    @property
    def family(self) -> str:
        """The director whose tiling the table shares; its own name for a director, "" for a replicated table."""
        if self.kind is Kind.DIRECTOR:
            return self.name
        return self.match[0].director if self.kind is Kind.MATCH else self.director

    def column(self, name: str) -> Column | None:
        """The column of that name, exactly."""
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True)
class Provenance:
    """What one load did: where the rows came from and what became of them."""

    sources: tuple[Mapping[str, Any], ...] = ()  # {"name", "bytes", "sha256", "format"}
    rows_accepted: int = 0
    rows_refused: int = 0
    rejects_file: str = ""
    nan_nulled: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Revision:
    """One published state of one database. `operation` is load, drop, compact, restore, attach, ...; `load` its id."""

    database: str
    number: int
    parent: int
    created: str  # ISO 8601, UTC
    by: str
    operation: str
    load: str
    qsky: str
    tables: tuple[Table, ...]
    changed: tuple[str, ...] = ()  # names of the tables this revision touched
    provenance: Provenance = Provenance()

    def table(self, name: str) -> Table | None:
        return next((t for t in self.tables if t.name == name), None)

    def with_table(self, table: Table) -> Revision:
        """The same revision with one table added or replaced."""
        others = tuple(t for t in self.tables if t.name != table.name)
        return replace(self, tables=tuple(sorted((*others, table), key=lambda t: t.name)))

    def family_of(self, director: str) -> tuple[Table, ...]:
        """The director and everything that shares its tiling, the director first."""
        members = [t for t in self.tables if t.family == director]
        return tuple(sorted(members, key=lambda t: (t.kind is not Kind.DIRECTOR, t.name)))

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}


def _only_known(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in cls.__dataclass_fields__}  # type: ignore[attr-defined]


def _table_from_json(values: Mapping[str, Any]) -> Table:
    known = _only_known(Table, values)
    attached = known.get("attached")
    known.update(
        kind=Kind(known["kind"]),
        columns=tuple(Column(**_only_known(Column, c)) for c in known["columns"]),
        match=tuple(MatchEnd(**m) for m in known.get("match", ())),
        index=tuple(IndexSegment(**s) for s in known.get("index", ())),
        parts=tuple(known.get("parts", ())),
        overlap_parts=tuple(known.get("overlap_parts", ())),
        attached=Attached(**attached) if attached else None,
    )
    return Table(**known)


def revision_from_json(values: Mapping[str, Any]) -> Revision:
    """The revision a JSON document describes; raises not-a-root for a format this version does not know."""
    if values.get("format") != FORMAT:
        raise QskyError(
            "not-a-root",
            f"Revision {values.get('number')} has format {values.get('format')}; this Qsky knows format {FORMAT}.",
            hint="Use the version of Qsky that wrote it, or a newer one.",
        )
    known = _only_known(Revision, values)
    provenance = dict(known.get("provenance", {}))
    provenance["sources"] = tuple(provenance.get("sources", ()))
    known.update(
        tables=tuple(_table_from_json(t) for t in known["tables"]),
        changed=tuple(known.get("changed", ())),
        provenance=Provenance(**_only_known(Provenance, provenance)),
    )
    return Revision(**known)
