"""What a load is asked to do, and which table it means before any row is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from qsky.catalog import layout
from qsky.catalog.model import RESERVED_COLUMNS, Column, Kind, MatchEnd, Revision, Table
from qsky.catalog.types import FLOATS, INTEGERS
from qsky.config import Settings
from qsky.errors import QskyError
from qsky.ingest.answer import Answer
from qsky.ingest.source import ReadOptions
from qsky.storage.store import Store

Mode = Literal["create", "append", "replace"]
_TEXT_FORMATS: Final = frozenset({"csv"})


@dataclass(frozen=True)
class LoadRequest:
    """One load, of files or of an `answer`.

    Empty `key`, `ra`, `dec`, `overlap_arcsec` mean: as the table has them, or as the sources say.
    """

    database: str
    table: str
    kind: Kind
    inputs: tuple[str, ...] = ()
    key: str = ""
    ra: str = ""
    dec: str = ""
    director: str = ""
    match: tuple[MatchEnd, ...] = ()
    mode: Mode = "create"
    overlap_arcsec: float | None = None
    allow_duplicate_keys: bool = False
    rejects_max: int | None = None
    read: ReadOptions = field(default_factory=ReadOptions)
    format: str | None = None
    collations: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    answer: Answer | None = None


def existing_table(base: Revision, name: str) -> Table | None:
    """The table of that name, whatever the case."""
    return next((t for t in base.tables if t.name.lower() == name.lower()), None)


def check_request(request: LoadRequest, base: Revision) -> Table | None:
    """The table the load stands on (None if it makes one). Raises bad-name, usage, family-mismatch, read-only."""
    layout.checked_name(request.database, "database")
    layout.checked_name(request.table, "table")
    table = existing_table(base, request.table)
    name = f"{request.database}.{request.table}"
    if table is None:
        if request.mode == "append":
            raise QskyError(
                "no-such-table", f"There is no table {name} to append to.", hint="Load it without --append."
            )
        return None
    if table.attached is not None:
        raise QskyError(
            "read-only",
            f"{name} is attached; it is read where it lies and cannot be loaded into.",
            hint="Load into a table of another name.",
        )
    if request.mode == "create":
        raise QskyError("family-mismatch", f"The table {name} exists already.", hint="Pass --append or --replace.")
    if request.mode == "append":
        _check_append(request, table, name)
        return table
    _refuse_dependents(base, table, "replaced")
    return None


def _check_append(request: LoadRequest, table: Table, name: str) -> None:
    wanted = {
        "kind": request.kind,
        "key": request.key,
        "ra": request.ra,
        "dec": request.dec,
        "director": request.director,
    }
    for what, value in wanted.items():
        have = getattr(table, what)
        if value and str(value).lower() != str(have).lower():
            raise QskyError(
                "family-mismatch",
                f"{name} has {what} {have or 'none'}, not {value}.",
                hint="Leave that option out of an append.",
            )
    if request.overlap_arcsec is not None and request.overlap_arcsec != table.overlap_arcsec:
        raise QskyError(
            "family-mismatch",
            f"{name} has an overlap of {table.overlap_arcsec:g} arcsec; an append cannot change it.",
            hint="Change it with `qsky compact --overlap`.",
        )


def _refuse_dependents(base: Revision, table: Table, what: str) -> None:
    """A director whose rows others point to stays while they do."""
    dependents = dependents_of(base, table)
    if dependents:
        names = ", ".join(t.name for t in dependents)
        raise QskyError(
            "family-mismatch",
            f"{base.database}.{table.name} is the director of {names}; it cannot be {what} while they exist.",
            hint="Drop them first, or append to it.",
        )


def dependents_of(base: Revision, table: Table) -> list[Table]:
    """Children and match tables that point to a director."""
    ends = {t.name: {t.director, *(end.director for end in t.match)} for t in base.tables}
    return [t for t in base.tables if t.name != table.name and table.name in ends[t.name]]


def director_of(request: LoadRequest, base: Revision) -> Table | None:
    """The director a child or match table will share the tiling of. Raises usage, no-such-table, family-mismatch."""
    if request.kind is Kind.CHILD:
        names = [request.director]
    elif request.kind is Kind.MATCH:
        if len(request.match) != 2:
            raise QskyError("usage", "A match table has two ends.", hint="Pass --match director1:key1,director2:key2.")
        names = [end.director for end in request.match]
    else:
        return None
    directors = [existing_table(base, name) for name in names]
    for name, director in zip(names, directors, strict=True):
        if director is None or director.attached is not None:
            raise QskyError("no-such-table", f"There is no director {request.database}.{name}.", hint="Load it first.")
        if director.kind is not Kind.DIRECTOR or not director.key:
            raise QskyError(
                "family-mismatch", f"{request.database}.{name} is not a director with a key.", hint="Name one that is."
            )
        if not director.key_unique:
            raise QskyError(
                "family-mismatch",
                f"The key of {request.database}.{name} is not unique, so nothing can be placed by it.",
                hint="Load the director again with each key once, or this table with --replicated.",
            )
    return directors[0]


def new_table(
    request: LoadRequest,
    columns: tuple[Column, ...],
    ra: str,
    dec: str,
    base: Revision,
    store: Store,
    settings: Settings,
) -> Table:
    """The table a load makes, still without rows. Raises no-such-column, usage."""
    director = director_of(request, base)
    overlap = settings.overlap_arcsec if request.overlap_arcsec is None else request.overlap_arcsec
    table = Table(
        name=request.table,
        kind=request.kind,
        columns=tuple(_collated(column, request.collations) for column in columns),
        key=_spelled(request.key, columns) if request.key else "",
        ra=_spelled(ra, columns) if ra else "",
        dec=_spelled(dec, columns) if dec else "",
        director=director.name if director and request.kind is Kind.CHILD else "",
        match=tuple(_match_end(end, columns, base) for end in request.match),
        overlap_arcsec=overlap if request.kind is Kind.DIRECTOR else 0.0,
        tiling=director.tiling if director else "",
        description=request.description,
    )
    if request.kind is Kind.DIRECTOR and not (table.ra and table.dec):
        raise QskyError("usage", "A director needs its position columns.", hint="Pass --ra and --dec.")
    if request.kind is Kind.CHILD and not table.key:
        raise QskyError("usage", "A child needs the column that holds its director's key.", hint="Pass --key.")
    return replace(table, generation=next_generation(store, table))


def _match_end(end: MatchEnd, columns: tuple[Column, ...], base: Revision) -> MatchEnd:
    director = existing_table(base, end.director)
    assert director is not None
    return MatchEnd(director.name, _spelled(end.key, columns))


def _spelled(name: str, columns: tuple[Column, ...]) -> str:
    """The column's name as the source spells it. Raises no-such-column."""
    found = [c.name for c in columns if c.name == name] or [c.name for c in columns if c.name.lower() == name.lower()]
    if not found:
        known = ", ".join(c.name for c in columns[:20])
        raise QskyError("no-such-column", f"The source has no column {name}.", hint=f"It has {known}.")
    return found[0]


def _collated(column: Column, collations: Mapping[str, str]) -> Column:
    wanted = {name.lower(): value for name, value in collations.items()}
    return replace(column, collation=wanted.get(column.name.lower(), column.collation))


def next_generation(store: Store, table: Table) -> int:
    """A generation whose folders nobody ever used, so that old revisions keep theirs."""
    numbers = [0]
    for overlap in (False, True):
        folder = layout.table_path(replace(table, generation=1), overlap=overlap).rsplit("/", 1)[0]
        numbers += [int(name[1:]) for name in store.names(folder) if name[:1] == "g" and name[1:].isdigit()]
    return max(numbers) + 1


def merged_columns(table: Table, columns: tuple[Column, ...], formats: set[str]) -> tuple[Column, ...]:
    """A table's columns with those of an append: new ones come last. Raises type-change, bad-columns."""
    have = {column.name.lower(): column for column in table.columns}
    for column in columns:
        old = have.get(column.name.lower())
        if old is not None and not _fits(column.type, old.type, formats):
            raise QskyError(
                "type-change",
                f"The column {old.name} of {table.name} is {old.type}; the new rows have {column.type}.",
                hint=f"Convert the source (a query with CAST), or force it with --type {old.name}={old.type}.",
            )
    new = tuple(column for column in columns if column.name.lower() not in have)
    assert not any(column.name.lower() in RESERVED_COLUMNS for column in new)
    return table.columns + new


def _fits(new: str, old: str, formats: set[str]) -> bool:
    """Whether every value of type `new` can be stored as `old` without loss; texts have no type of their own."""
    if new == old or (formats <= _TEXT_FORMATS and (old == "VARCHAR" or {new, old} <= set(FLOATS))):
        return True
    if new in INTEGERS and old in INTEGERS:
        return INTEGERS.index(new) <= INTEGERS.index(old)
    if old in FLOATS:
        return new in INTEGERS or new == "FLOAT" or new.startswith("DECIMAL")
    return (new, old) == ("DATE", "TIMESTAMP")
