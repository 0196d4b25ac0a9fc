"""`qsky tables`, `describe` and `history`: what exists, and how it came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from qsky.cli.terminal import Terminal
from qsky.events import size_text

if TYPE_CHECKING:
    from qsky.catalog.model import Revision, Table

Database = Annotated[str, typer.Argument(metavar="DB", help="The name of a database.")]
TableName = Annotated[str, typer.Argument(metavar="DB.TABLE", help="The name of a table.")]


def tables(
    context: typer.Context,
    database: Annotated[str | None, typer.Argument(metavar="[DB]", help="Only the tables of this database.")] = None,
) -> None:
    """List the tables."""
    terminal: Terminal = context.obj
    sky = terminal.sky()
    revisions = [sky.revision(name) for name in ([database] if database else sky.databases())]
    rows = [
        (f"{revision.database}.{table.name}", table.kind.value, table.rows, table.overlap_rows, size_text(table.bytes))
        for revision in revisions
        for table in revision.tables
    ]
    terminal.show(("table", "kind", "rows", "overlap rows", "size"), rows)


def describe(context: typer.Context, name: TableName) -> None:
    """Show what is known of a table and its columns."""
    terminal: Terminal = context.obj
    sky = terminal.sky()
    table = sky.table(name)
    for what, value in _facts(table, sky.chunks(name)):
        print(f"{what:<12}{value}")
    print()
    rows = [(c.name, c.type, c.unit, c.ucd, _noted(c.description, c.collation)) for c in table.columns]
    terminal.show(("column", "type", "unit", "ucd", "description"), rows)


def history(context: typer.Context, database: Database) -> None:
    """List the kept revisions of a database."""
    terminal: Terminal = context.obj
    rows = [_line(revision) for revision in terminal.sky().history(database)]
    names = ("revision", "created", "by", "operation", "tables", "rows accepted", "rows refused", "sources")
    terminal.show(names, rows)


COMMANDS: Final = {"tables": tables, "describe": describe, "history": history}


def _facts(table: Table, chunks: int) -> list[tuple[str, str]]:
    """What `describe` says above the columns; lines without a value are left out."""
    facts = [
        ("kind", table.kind.value),
        ("about", table.description),
        ("director", table.director or ", ".join(f"{end.director} by {end.key}" for end in table.match)),
        ("key", table.key and table.key + ("" if table.key_unique else " (not unique)")),
        ("position", table.ra and f"{table.ra}, {table.dec}"),
        ("rows", f"{table.rows:,}" + (f" and {table.orphan_rows:,} orphans" if table.orphan_rows else "")),
        ("chunks", f"{chunks:,}" if table.partitioned else ""),
        (
            "overlap",
            f"{table.overlap_rows:,} rows within {table.overlap_arcsec:g} arcsec" if table.overlap_rows else "",
        ),
        ("size", size_text(table.bytes)),
        ("lies at", table.attached.address if table.attached else ""),
    ]
    return [(what, value) for what, value in facts if value]


def _noted(description: str, collation: str) -> str:
    return f"{description} (compared without case)".strip() if collation == "ci" else description


def _line(revision: Revision) -> tuple[object, ...]:
    provenance = revision.provenance
    sources = [str(source.get("name", "")) for source in provenance.sources]
    named = ", ".join(sources[:3]) + (f" and {len(sources) - 3} more" if len(sources) > 3 else "")
    return (
        revision.number,
        revision.created[:19],
        revision.by,
        revision.operation,
        ", ".join(revision.changed),
        provenance.rows_accepted,
        provenance.rows_refused,
        named,
    )
