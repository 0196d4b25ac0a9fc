"""`qsky restore`, `verify`, `compact`, `vacuum`, `export` and `drop`: care for what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from qsky.cli.catalogue import Database, TableName
from qsky.cli.terminal import Terminal, counted
from qsky.events import size_text


def restore(
    context: typer.Context,
    database: Database,
    number: Annotated[int, typer.Argument(metavar="REVISION", help="A number that `qsky history` shows.")],
) -> None:
    """Publish an old revision again, as the newest."""
    terminal: Terminal = context.obj
    with terminal.working() as sky:
        revision = sky.restore(database, number)
    terminal.say(f"{database}: revision {revision.number} is what revision {number} was.")


def verify(context: typer.Context, database: Database) -> None:
    """Check every file of the current revision, and what is inside."""
    terminal: Terminal = context.obj
    with terminal.working() as sky:
        report = sky.verify(database)
    for notice in report.notices:
        terminal.say(notice)
    for problem in report.problems:
        print(problem)
    problems = counted(len(report.problems), "problem") if report.problems else "no problems"
    terminal.say(f"{database}: {counted(report.parts, 'part')}, {counted(report.rows, 'row')}, {problems}.")
    if not report.clean:
        raise typer.Exit(1)


def compact(
    context: typer.Context,
    database: Database,
    overlap: Annotated[
        float | None, typer.Option(metavar="ARCSEC", help="A new overlap for every director. [default: as it is]")
    ] = None,
) -> None:
    """Write a new generation with fewer, fuller parts and a fresh tiling."""
    terminal: Terminal = context.obj
    with terminal.working() as sky:
        before = sky.revision(database).number
        revision = sky.compact(database, overlap_arcsec=overlap)
    changed = revision.number != before
    terminal.say(
        f"{database}: compacted as revision {revision.number}." if changed else f"{database}: as it should be."
    )


def vacuum(context: typer.Context, database: Database) -> None:
    """Delete the files that no kept revision needs."""
    terminal: Terminal = context.obj
    with terminal.working() as sky:
        report = sky.vacuum(database)
    terminal.say(f"{database}: {counted(report.files, 'file')} deleted, {size_text(report.bytes)} freed.")


def export(
    context: typer.Context,
    name: TableName,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
) -> None:
    """Write a table as a HATS catalogue of its own."""
    terminal: Terminal = context.obj
    with terminal.working() as sky:
        report = sky.export(name, folder)
    terminal.say(
        f"{name}: {counted(report.rows, 'row')}, {counted(report.files, 'file')}, {size_text(report.bytes)} in {report.folder}."
    )


def drop(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="DB.TABLE", help="A table, or a database for all of its tables.")],
) -> None:
    """Take a table out of the current revision; `restore` brings it back until it is vacuumed."""
    terminal: Terminal = context.obj
    with terminal.working() as sky:
        sky.drop(name)
    terminal.say(f"{name}: dropped.")


COMMANDS: Final = {
    "restore": restore,
    "verify": verify,
    "compact": compact,
    "vacuum": vacuum,
    "export": export,
    "drop": drop,
}
