"""The columns of many files as the columns of one table: names checked, types widened, positions found.

Called by `ingest.read`. Pure: works on what the scans of the files said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from qsky.catalog.model import RESERVED_COLUMNS
from qsky.catalog.types import arrow_type, stored_type
from qsky.errors import QskyError
from qsky.ingest.source import RawColumn, RawTable, ReadOptions, SourceFile

# Pairs of position columns by the names archives give them, best first.
_POSITION_NAMES: Final = (
    ("ra", "dec"),
    ("ra_icrs", "de_icrs"),
    ("ra_icrs", "dec_icrs"),
    ("raj2000", "dej2000"),
    ("raj2000", "decj2000"),
    ("_raj2000", "_dej2000"),
    ("radeg", "dedeg"),
    ("radeg", "decdeg"),
    ("ra_deg", "dec_deg"),
    ("r.a.", "dec"),
    ("r.a.", "dec."),
    ("ra", "decl"),
    ("ra_ps", "decl_ps"),
    ("coord_ra", "coord_dec"),
    ("s_ra", "s_dec"),
    ("alpha", "delta"),
    ("rightascension", "declination"),
)


@dataclass(frozen=True)
class Named:
    """A column under its final name; `raw.name` is what the files call it."""

    name: str
    raw: RawColumn


def union(tables: Sequence[tuple[SourceFile, RawTable]], options: ReadOptions) -> list[Named]:
    """The columns of all files, in order of appearance, each of a type that holds all its values.

    Raises bad-columns: duplicate, reserved or clashing names, types that have nothing in common.
    """
    found: dict[str, Named] = {}
    text_only = all(source.format == "csv" for source, _ in tables)
    for source, table in tables:
        for column in _kept(source, table, options):
            other = found.get(column.name.casefold())
            found[column.name.casefold()] = column if other is None else _both(other, column, source, text_only)
    if not found:
        raise QskyError("bad-columns", "The sources have no columns to store.")
    return list(found.values())


def _kept(source: SourceFile, table: RawTable, options: ReadOptions) -> list[Named]:
    """The columns of one file that are stored, renamed and checked."""
    left_out = {name.casefold() for name in source.drop}
    kept = [
        Named(options.renamed(raw.name), _typed(raw, options))
        for raw in table.columns
        if raw.name not in options.drop and raw.name.casefold() not in left_out
    ]
    _refuse_reserved(source, kept)
    _refuse_clashes(source, kept)
    return kept


def _typed(raw: RawColumn, options: ReadOptions) -> RawColumn:
    """The column with the type somebody gave it, which ends all questions."""
    spelled = options.type_of(raw.name)
    return replace(raw, arrow=arrow_type(spelled)) if spelled else raw


def _refuse_reserved(source: SourceFile, columns: Sequence[Named]) -> None:
    for column in columns:
        if column.name.casefold() in RESERVED_COLUMNS:
            raise QskyError(
                "bad-columns",
                f"The file {source.name} has a column {column.raw.name}, a name that Qsky keeps for itself.",
                hint=f"Rename it with --rename {column.raw.name}=NEW, or leave it out with --omit {column.raw.name}; "
                "of a HATS catalogue, name the folder, not its files.",
            )


def _refuse_clashes(source: SourceFile, columns: Sequence[Named]) -> None:
    """Names that differ only in case, all of them in one message."""
    seen: dict[str, Named] = {}
    clashes = [
        (other, column)
        for column in columns
        if (other := seen.setdefault(column.name.casefold(), column)) is not column
    ]
    if clashes:
        pairs = "; ".join(f"{one.name} and {other.name}" for one, other in clashes)
        renames = " ".join(f"--rename {other.raw.name}={other.name}_2" for _, other in clashes)
        raise QskyError(
            "bad-columns",
            f"Columns of {source.name} differ only in case, so that SQL cannot tell them apart: {pairs}.",
            hint=f"Rename them: {renames}.",
        )


def check_duplicates(source: SourceFile, table: RawTable) -> None:
    """Two columns of exactly the same name have no way in. Raises bad-columns."""
    names = [column.name for column in table.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise QskyError(
            "bad-columns",
            f"The file {source.name} has more than one column called {', '.join(twice)}.",
            hint="Give the columns different names in the file.",
        )


def _both(have: Named, more: Named, source: SourceFile, text_only: bool) -> Named:
    if have.name != more.name:
        raise QskyError(
            "bad-columns",
            f"The column {more.name} of {source.name} is called {have.name} in other files.",
            hint=f"Rename it: --rename {more.raw.name}={have.name}.",
        )
    arrow = unified(have.raw.arrow, more.raw.arrow, text_only=text_only)
    if arrow is None and have.raw.arrow is not None and more.raw.arrow is not None:
        raise QskyError(
            "bad-columns",
            f"The column {more.name} is {more.raw.arrow} in {source.name}, but {have.raw.arrow} in other files.",
            hint=f"Say what it is with --type {more.name}=VARCHAR (or another type).",
        )
    raw = replace(have.raw, arrow=arrow)
    return Named(
        have.name,
        replace(
            raw,
            unit=raw.unit or more.raw.unit,
            ucd=raw.ucd or more.raw.ucd,
            description=raw.description or more.raw.description,
        ),
    )


def unified(one: pa.DataType | None, other: pa.DataType | None, *, text_only: bool = False) -> pa.DataType | None:
    """The smallest type that holds the values of both; None if there is none.

    With `text_only` the values are still text, so that text holds them all.
    """
    t = pa.types
    if one is None or other is None or one == other:
        return other if one is None else one
    one, other = stored_type(one), stored_type(other)
    if one == other:
        return one
    if t.is_integer(one) and t.is_integer(other):
        return max(one, other, key=lambda type_: type_.bit_width)
    if _numeric(one) and _numeric(other):
        return pa.float64()
    if {t.is_date(one), t.is_date(other)} == {True, False} and (t.is_timestamp(one) or t.is_timestamp(other)):
        return one if t.is_timestamp(one) else other
    if t.is_list(one) and t.is_list(other):
        inner = unified(one.value_type, other.value_type)
        return None if inner is None else pa.list_(inner)
    return pa.string() if text_only else None


def _numeric(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_integer(arrow) or pa.types.is_floating(arrow))


def find(columns: Sequence[Named], name: str) -> Named | None:
    """The column of that name: the final one or the file's, exactly or but for case."""
    same = [column for column in columns if name in (column.name, column.raw.name)]
    folded = name.casefold()
    alike = [column for column in columns if folded in (column.name.casefold(), column.raw.name.casefold())]
    return next(iter(same or alike), None)


def required(columns: Sequence[Named], name: str, what: str) -> Named:
    """The column of that name. Raises no-such-column with the names there are."""
    found = find(columns, name)
    if found is None:
        known = ", ".join(column.name for column in columns[:20]) + (", ..." if len(columns) > 20 else "")
        raise QskyError("no-such-column", f"The sources have no column {name} ({what}).", hint=f"They have {known}.")
    return found


def guess_position(columns: Sequence[Named], sources: Sequence[SourceFile]) -> tuple[Named, Named] | None:
    """The position columns: those a HATS catalogue names, those with the main UCDs, those of a usual name."""
    by_name = {column.name.casefold(): column for column in columns}
    pairs = [(source.ra.casefold(), source.dec.casefold()) for source in sources[:1]]
    pairs += [_by_ucd(columns), *_POSITION_NAMES]
    for ra, dec in pairs:
        if ra in by_name and dec in by_name:
            return by_name[ra], by_name[dec]
    return None


def _by_ucd(columns: Sequence[Named]) -> tuple[str, str]:
    names: dict[str, str] = {}
    for column in columns:
        words = column.raw.ucd.lower().replace("_", ".").split(";")
        for axis in ("pos.eq.ra", "pos.eq.dec"):
            if words[0] == axis and "meta.main" in words:
                names.setdefault(axis, column.name.casefold())
            if column.raw.ucd.upper() == f"{axis.upper().replace('.', '_')}_MAIN":
                names.setdefault(axis, column.name.casefold())
    return names.get("pos.eq.ra", ""), names.get("pos.eq.dec", "")


def stored(column: Named) -> pa.DataType:
    """The type a column is stored as: the smallest that holds all its values. Raises bad-columns."""
    if column.raw.arrow is None:
        return pa.string()
    try:
        return stored_type(column.raw.arrow)
    except QskyError as error:
        raise QskyError(
            "bad-columns",
            f"The column {column.name} has the type {column.raw.arrow}, which Qsky does not store.",
            hint=f"Leave it out with --omit {column.raw.name}.",
        ) from error
