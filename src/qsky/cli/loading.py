"""`qsky synth`, `load` and `attach`: rows in. Turns options into a `LoadRequest` and its report into a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qsky.cli.role import (
    AllowDuplicateKeys,
    Append,
    ChildOf,
    Dec,
    Description,
    Director,
    Key,
    Overlap,
    Ra,
    Replace,
    Replicated,
)
from qsky.cli.terminal import Terminal, counted
from qsky.errors import QskyError
from qsky.events import size_text

if TYPE_CHECKING:
    from qsky.catalog.model import Kind, MatchEnd
    from qsky.events import LoadReport
    from qsky.ingest.request import LoadRequest


class AngleUnit(StrEnum):
    """How a position column can be written."""

    DEG = "deg"
    RAD = "rad"
    HOURS = "hours"
    SEXAGESIMAL = "sexagesimal"


class SourceFormat(StrEnum):
    """The formats that can be loaded."""

    CSV = "csv"
    PARQUET = "parquet"
    FITS = "fits"
    VOTABLE = "votable"


def synth(
    context: typer.Context,
    into: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the files.")],
    objects: Annotated[float, typer.Option(help="How many objects (1e6 is fine).")] = 1e6,
    sources_per_object: Annotated[float, typer.Option(help="Mean number of detections of an object.")] = 10.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same sky.")] = 1,
    cone: Annotated[
        tuple[float, float, float] | None, typer.Option(metavar="RA DEC RADIUS", help="Only this part, in degrees.")
    ] = None,
) -> None:
    """Make the files of a realistic sky of any size."""
    from qsky.ingest.synth import SkyPlan

    terminal: Terminal = context.obj
    plan = SkyPlan(round(objects), sources_per_object, seed, cone_deg=cone)
    with terminal.working() as sky:
        files = sky.synth(plan, into)
    size = sum(file.stat().st_size for file in files)
    terminal.say(f"{into}: {plan.objects:,} objects in {len(files)} files, {size_text(size)}.")


_Inputs = Annotated[list[str], typer.Argument(metavar="FILE...", help="Files, folders or addresses.")]
_Into = Annotated[str, typer.Option(metavar="DB.TABLE", help="The table to load into.")]
_Match = Annotated[
    str | None, typer.Option(metavar="DIRECTOR1:COLUMN1,DIRECTOR2:COLUMN2", help="Links the keys of two directors.")
]
_RaUnit = Annotated[AngleUnit | None, typer.Option(help="Default: as the file says, else deg.")]
_DecUnit = Annotated[AngleUnit | None, typer.Option(help="Default: as the file says, else deg.")]
_MaxRejects = Annotated[int | None, typer.Option(min=0, help="Rows that may be refused. [default: 0]")]
_Null = Annotated[list[str] | None, typer.Option(metavar="VALUE", help="A value that means NULL; repeatable.")]
_Delimiter = Annotated[str | None, typer.Option(help="Of text files; default: found out.")]
_Type = Annotated[list[str] | None, typer.Option("--type", metavar="COLUMN=TYPE", help="Force a type; repeatable.")]
_Column = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Columns of a text file without header; repeatable.")
]
_Rename = Annotated[list[str] | None, typer.Option(metavar="OLD=NEW", help="Rename; repeatable.")]
_Omit = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Leave out; repeatable.")]
_Ci = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Compare without case; repeatable.")]
_Hdu = Annotated[int | None, typer.Option(help="Which HDU of a FITS file, counted from 0.")]
_Ddl = Annotated[Path | None, typer.Option(metavar="FILE", help="MySQL's CREATE TABLE of a dump: names, types, case.")]
_Resume = Annotated[bool, typer.Option("--resume", help="On a cluster: go on with an interrupted load of the table.")]
_Felis = Annotated[Path | None, typer.Option(metavar="FILE", help="A Felis schema: types, units, texts.")]
_Format = Annotated[SourceFormat | None, typer.Option(help="Default: found out.")]


def load(
    context: typer.Context,
    inputs: _Inputs,
    into: _Into,
    director: Director = False,
    child_of: ChildOf = None,
    match: _Match = None,
    replicated: Replicated = False,
    key: Key = "",
    ra: Ra = "",
    dec: Dec = "",
    ra_unit: _RaUnit = None,
    dec_unit: _DecUnit = None,
    overlap: Overlap = None,
    append: Append = False,
    replace: Replace = False,
    max_rejects: _MaxRejects = None,
    allow_duplicate_keys: AllowDuplicateKeys = False,
    null: _Null = None,
    delimiter: _Delimiter = None,
    type_: _Type = None,
    column: _Column = None,
    rename: _Rename = None,
    omit: _Omit = None,
    ci: _Ci = None,
    hdu: _Hdu = None,
    ddl: _Ddl = None,
    felis: _Felis = None,
    format: _Format = None,  # noqa: A002 - the option's name
    description: Description = "",
    resume: _Resume = False,
) -> None:
    """Load files into a table and publish a revision."""
    from qsky.catalog.layout import split_name
    from qsky.ingest.request import LoadRequest
    from qsky.ingest.role import mode_of
    from qsky.ingest.source import ReadOptions

    read = ReadOptions(
        nulls=tuple(null or ()),
        delimiter=_unescaped(delimiter),
        columns=tuple(column or ()),
        types=_pairs("--type", type_),
        hdu=hdu,
        ra_unit=ra_unit.value if ra_unit else "",
        dec_unit=dec_unit.value if dec_unit else "",
        rename=_pairs("--rename", rename),
        drop=tuple(omit or ()),
        ddl=ddl,
        felis=felis,
    )
    kind, parent, ends = _role(context.obj, into, director, child_of, match, replicated, append or replace)
    request = LoadRequest(
        *split_name(into),
        kind,
        tuple(inputs),
        *(key, ra, dec),
        parent,
        ends,
        mode_of(append, replace),
        overlap_arcsec=overlap,
        allow_duplicate_keys=allow_duplicate_keys,
        rejects_max=max_rejects,
        read=read,
        format=format.value if format else None,
        collations=dict.fromkeys(ci or (), "ci"),
        description=description,
    )
    _run_load(context.obj, request, resume)


def attach(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="A HATS catalogue: a folder or an address.")],
    name: Annotated[str, typer.Option("--as", metavar="DB[.TABLE]", help="What it is called here.")],
    margin: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Its margin catalogue, if it has one.")] = None,
) -> None:
    """Make a HATS catalogue readable where it lies."""
    terminal: Terminal = context.obj
    database, _, wanted = name.partition(".")
    with terminal.working() as sky:
        revision = sky.attach(address, database, table=wanted or None, margin=margin)
    for table in revision.tables:
        if table.name in revision.changed:
            terminal.say(f"{database}.{table.name}: {table.rows:,} rows, attached.")


COMMANDS: Final = {"synth": synth, "load": load, "attach": attach}


def _unescaped(delimiter: str | None) -> str | None:
    return "\t" if delimiter in ("\\t", "tab") else delimiter


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    r"""{"a": "b"} of ["a=b"]. Raises usage."""
    pairs = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise QskyError("usage", f"{option} takes COLUMN=VALUE, not {text!r}.")
        pairs[name] = value
    return pairs


def _role(
    terminal: Terminal,
    into: str,
    director: bool,
    child_of: str | None,
    match: str | None,
    replicated: bool,
    standing: bool,
) -> tuple[Kind, str, tuple[MatchEnd, ...]]:
    """What the table shall be; a standing one, of which nothing is said, is what it was. Raises usage."""
    from qsky.ingest.role import role_of

    unsaid = not (director or child_of or match or replicated)
    known = terminal.sky().table(into) if standing and unsaid else None
    return role_of(into, director=director, child_of=child_of, match=match, replicated=replicated, standing=known)


def _run_load(terminal: Terminal, request: LoadRequest, resume: bool) -> None:
    """Load, and say what became of the rows."""
    with terminal.working() as sky:
        report = sky.load(request, resume=resume)
    for line in report_lines(report):
        terminal.say(line)


def report_lines(report: LoadReport) -> Sequence[str]:
    chunks = f" in {counted(report.chunks, 'chunk')}" if report.chunks else ""
    overlap = f", {report.overlap_rows:,} in overlaps" if report.overlap_rows else ""
    speed = report.rows / max(report.seconds, 1e-3)
    lines = [
        f"{report.database}.{report.table}: {counted(report.rows, 'row')}{chunks}{overlap}, {size_text(report.bytes)}, "
        f"revision {report.revision}, {report.seconds:.1f} s ({speed:,.0f} rows/s)"
    ]
    if report.rows_refused:
        lines.append(f"  refused: {counted(report.rows_refused, 'row')}, see {report.rejects_file}")
    if report.orphan_rows:
        lines.append(f"  waiting for their director: {counted(report.orphan_rows, 'row')}")
    if report.orphans_placed:
        lines.append(f"  placed, for their director came: {counted(report.orphans_placed, 'row')}")
    nulled = ", ".join(f"{count:,} in {name}" for name, count in report.nan_nulled.items() if count)
    if nulled:
        lines.append(f"  NaN became NULL: {nulled}")
    return lines
