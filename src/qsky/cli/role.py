"""The options that say what a table shall be, the same for `qsky load` and `qsky query --into`."""

from __future__ import annotations

from typing import Annotated

import typer

Director = Annotated[bool, typer.Option("--director", help="Partitioned by its own position.")]
ChildOf = Annotated[
    str | None, typer.Option(metavar="DB.TABLE", help="Rows lie with their director's, found by --key.")
]
Replicated = Annotated[bool, typer.Option("--replicated", help="Small, whole everywhere.")]
Key = Annotated[str, typer.Option(metavar="COLUMN", help="The director's key.")]
Ra = Annotated[str, typer.Option(metavar="COLUMN", help="Right ascension.")]
Dec = Annotated[str, typer.Option(metavar="COLUMN", help="Declination.")]
Overlap = Annotated[float | None, typer.Option(metavar="ARCSEC", help="Overlap stored around chunks.")]
Append = Annotated[bool, typer.Option("--append", help="Add to the table.")]
Replace = Annotated[bool, typer.Option("--replace", help="Put the rows in the place of the old ones.")]
AllowDuplicateKeys = Annotated[bool, typer.Option("--allow-duplicate-keys", help="Let keys repeat.")]
Description = Annotated[str, typer.Option(metavar="TEXT", help="What the table is.")]
