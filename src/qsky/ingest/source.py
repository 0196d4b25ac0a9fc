"""What a load reads, as values: a file, how to read it, and what a reader of one format gives back.

Shared by `sources`, `read` and the readers of single formats. Does no I/O except to unpack and digest its own file.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from qsky.errors import QskyError

Format = Literal["csv", "parquet", "fits", "votable"]
Unit = Literal["", "deg", "rad", "hours", "sexagesimal"]
Mask = npt.NDArray[np.bool_]

_COPY_BYTES: Final = 1 << 22


@dataclass(frozen=True)
class SourceFile:
    """One file to read. `name` is what the user called it, `path` where its bytes are now.

    `ra`, `dec` and `drop` come from the properties of a HATS catalogue: its position columns, and its own columns
    that are no data. `provenance` is what the revision says of it instead of name and format.
    """

    name: str
    path: Path
    format: Format
    compressed: bool
    bytes: int
    scratch: Path
    ra: str = ""
    dec: str = ""
    drop: tuple[str, ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)

    def told(self) -> dict[str, object]:
        """What the revision says of it."""
        known = {"name": self.name, "bytes": self.bytes, "sha256": self.sha256(), "format": self.format}
        return {**known, **self.provenance}

    def sha256(self) -> str:
        """The digest of the file as it was given (packed if it was packed), in hex."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def scratch_file(self, suffix: str) -> Path:
        """A path in the scratch folder that belongs to this file alone."""
        digest = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:16]
        return self.scratch / f"{digest}{suffix}"

    def unpacked(self) -> Path:
        """The file without its gzip layer, unpacked to scratch once. Raises corrupt-file, disk-full."""
        if not self.compressed:
            return self.path
        target = self.scratch_file(".unpacked")
        if not target.exists():
            self.scratch.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            try:
                with gzip.open(self.path, "rb") as packed, partial.open("wb") as file:
                    shutil.copyfileobj(packed, file, _COPY_BYTES)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise corrupt(self.name, f"its gzip data end early or are damaged ({error})") from error
            partial.rename(target)
        return target


@dataclass(frozen=True)
class ReadOptions:
    """How the user wants sources read.

    `columns` names the columns of text files without a header. `types` gives column -> type name and wins over what
    the file says; columns may be named as in the file or as in `rename`. `nulls` are values that mean NULL,
    in text as spelled, in numeric columns of every format by value. Units "" mean: as the file says, else degrees.
    With `position_required` the position columns are found by themselves if not named, and rows without a position
    are refused; otherwise only named ones are converted and NULL is let through. `ddl` is a MySQL CREATE TABLE: names,
    types and collations of a dump's columns.
    """

    nulls: tuple[str, ...] = ()
    delimiter: str | None = None
    columns: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"
    hdu: int | None = None
    table: int | None = None
    ra: str | None = None
    dec: str | None = None
    ra_unit: Unit = ""
    dec_unit: Unit = ""
    position_required: bool = False
    key: str | None = None
    key_required: bool = False
    rename: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    felis: Path | None = None
    felis_table: str | None = None
    ddl: Path | None = None

    def renamed(self, name: str) -> str:
        """The name in the table of the file's column `name`."""
        return self.rename.get(name, name)

    def type_of(self, name: str) -> str | None:
        """The type the user gave the file's column `name`, under this name or its new one, whatever the case."""
        known = (name, self.renamed(name))
        found = next((self.types[one] for one in known if one in self.types), None)
        if found is not None:
            return found
        folded = {one.casefold() for one in known}
        return next((type_ for one, type_ in self.types.items() if one.casefold() in folded), None)


@dataclass(frozen=True)
class RawColumn:
    """A column as its file has it: `arrow` None where no value was seen, so that any type will do; `collation` "" or "ci"."""

    name: str
    arrow: pa.DataType | None
    unit: str = ""
    ucd: str = ""
    description: str = ""
    collation: str = ""


@dataclass(frozen=True)
class RawTable:
    """What one file holds; `rows` is None where only reading it all would tell."""

    columns: tuple[RawColumn, ...]
    rows: int | None = None


@dataclass(frozen=True)
class Refused:
    """A record a format's own parser could not make a row of."""

    place: int
    reason: str
    text: str


@dataclass(frozen=True)
class RawBatch:
    """Some rows as read, column by column; text formats give bytes that nobody has parsed yet.

    `places` turns row numbers of this batch into (line or row number in the file, text of the record).
    """

    columns: Mapping[str, pa.Array]
    rows: int
    places: Callable[[Sequence[int]], list[tuple[int, str]]]
    refused: tuple[Refused, ...] = ()


def corrupt(name: str, why: str) -> QskyError:
    """The error for a file that is truncated or damaged."""
    return QskyError(
        "corrupt-file",
        f"The file {name} cannot be read: {why.rstrip('.')}.",
        hint="Fetch it again or check it where it came from.",
    )


def numbered_rows(columns: Mapping[str, pa.Array], first: int) -> Callable[[Sequence[int]], list[tuple[int, str]]]:
    """`places` for formats without lines: row numbers count from 1, the text is the start of the row's values."""

    def places(rows: Sequence[int]) -> list[tuple[int, str]]:
        return [(first + row + 1, _row_text(columns, row)) for row in rows]

    return places


def _row_text(columns: Mapping[str, pa.Array], row: int, letters_max: int = 500) -> str:
    text = ", ".join(f"{name}={column[row].as_py()}" for name, column in list(columns.items())[:20])
    return text[:letters_max]
