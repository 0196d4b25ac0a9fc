"""What a table shall be, said in the words of the command line and of Python: one of four kinds, or as it stands.

Called by `cli` and `wire` to make a `LoadRequest`. Pure.
"""

from __future__ import annotations

from qsky.catalog.layout import split_name
from qsky.catalog.model import Kind, MatchEnd, Table
from qsky.errors import QskyError
from qsky.ingest.answer import Answer
from qsky.ingest.request import LoadRequest, Mode
from qsky.result import SaveOptions


def mode_of(append: bool, replace: bool) -> Mode:
    """Raises usage."""
    if append and replace:
        raise QskyError("usage", "A load appends or replaces, not both.")
    return "append" if append else "replace" if replace else "create"


def role_of(
    into: str,
    *,
    director: bool = False,
    child_of: str | None = None,
    match: str | None = None,
    replicated: bool = False,
    standing: Table | None = None,
) -> tuple[Kind, str, tuple[MatchEnd, ...]]:
    """(kind, director of a child, ends of a match table). Of a `standing` table nothing need be said. Raises usage."""
    split_name(into)
    if sum([director, bool(child_of), bool(match), replicated]) > 1:
        raise QskyError("usage", "A table is one of --director, --child-of, --match and --replicated.")
    if child_of:
        return Kind.CHILD, _same_database(child_of, into), ()
    if match:
        return Kind.MATCH, "", _ends(match)
    if director or replicated:
        return Kind.DIRECTOR if director else Kind.REPLICATED, "", ()
    if standing is None:
        raise QskyError(
            "usage",
            "The load does not say what the table is.",
            hint="Add --director, --child-of, --match or --replicated.",
        )
    return standing.kind, standing.director, standing.match


def saving(answer: Answer, name: str, role: SaveOptions, standing: Table | None) -> LoadRequest:
    """The load of an answer. What nobody says is as in the `standing` table, or else replicated. Raises usage."""
    mode = mode_of(role.get("append", False), role.get("replace", False))
    director, child_of = role.get("director", False), role.get("child_of")
    placed = role.get("key") or role.get("ra") or role.get("dec")
    said = director or child_of or role.get("replicated", False)
    if not said and mode == "create" and placed:
        hint = "Add --director, or --child-of and the director's name."
        raise QskyError("usage", "A key or a position was named, and not what the table is.", hint=hint)
    known = standing if mode != "create" else None
    kind, parent, ends = role_of(
        name,
        director=director,
        child_of=child_of,
        replicated=role.get("replicated", False) or not (said or known),
        standing=known,
    )
    return LoadRequest(
        *split_name(name),
        kind=kind,
        key=role.get("key", ""),
        ra=role.get("ra", ""),
        dec=role.get("dec", ""),
        director=parent,
        match=ends,
        mode=mode,
        overlap_arcsec=role.get("overlap_arcsec"),
        allow_duplicate_keys=role.get("allow_duplicate_keys", False),
        description=role.get("description", ""),
        answer=answer,
    )


def _same_database(child_of: str, into: str) -> str:
    database, director = split_name(child_of)
    if database.lower() != split_name(into)[0].lower():
        raise QskyError("usage", f"{into} cannot be a child of {child_of}: a child lies in its director's database.")
    return director


def _ends(match: str) -> tuple[MatchEnd, ...]:
    """The two ends of `director1:column1,director2:column2`. Raises usage."""
    pairs = [end.partition(":") for end in match.split(",")]
    if len(pairs) != 2 or not all(name and column for name, _, column in pairs):
        raise QskyError("usage", f"--match takes DIRECTOR1:COLUMN1,DIRECTOR2:COLUMN2, not {match!r}.")
    return tuple(MatchEnd(name, column) for name, _, column in pairs)
