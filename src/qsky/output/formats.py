"""The formats an answer can be written in, one table. The command line calls `write`; a server will.

A format gets a schema, batches and a sink of bytes, and knows nothing of queries. All are written as the batches come
but FITS, whose header counts the rows: it holds the answer whole.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from qsky.errors import QskyError
from qsky.output.text import write_delimited, write_json, write_json_lines
from qsky.output.votable import write_votable

Batches = Iterable[pa.RecordBatch]
Writer = Callable[[pa.Schema, Batches, IO[bytes]], None]


def _csv(schema: pa.Schema, batches: Batches, sink: IO[bytes]) -> None:
    write_delimited(schema, batches, sink, ",")


def _tsv(schema: pa.Schema, batches: Batches, sink: IO[bytes]) -> None:
    write_delimited(schema, batches, sink, "\t")


def _arrow(schema: pa.Schema, batches: Batches, sink: IO[bytes]) -> None:
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _parquet(schema: pa.Schema, batches: Batches, sink: IO[bytes]) -> None:
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def _fits(schema: pa.Schema, batches: Batches, sink: IO[bytes]) -> None:
    from qsky.output.astropy_table import write_fits

    write_fits(pa.Table.from_batches(batches, schema=schema), sink)


WRITERS: Final[dict[str, Writer]] = {
    "csv": _csv,
    "tsv": _tsv,
    "json": write_json,
    "jsonl": write_json_lines,
    "votable": write_votable,
    "fits": _fits,
    "parquet": _parquet,
    "arrow": _arrow,
}
TEXT_FORMATS: Final = frozenset({"csv", "tsv", "json", "jsonl", "votable"})
_SUFFIXES: Final = {"vot": "votable", "xml": "votable", "fit": "fits", "pq": "parquet", "arrows": "arrow"}


def format_of(file: Path) -> str | None:
    """The format that a file's name asks for, if it does."""
    suffix = file.suffix.lower().lstrip(".")
    name = _SUFFIXES.get(suffix, suffix)
    return name if name in WRITERS else None


def write(format_name: str, schema: pa.Schema, batches: Batches, sink: IO[bytes]) -> None:
    """Write an answer. Raises usage for a format that is not one; whatever reading the batches raises."""
    if format_name not in WRITERS:
        raise QskyError(
            "usage", f"{format_name!r} is not a format of answers.", hint=f"Known: table, {', '.join(WRITERS)}."
        )
    WRITERS[format_name](schema, batches, sink)


def write_file(format_name: str, schema: pa.Schema, batches: Batches, file: Path) -> None:
    """Write an answer to a file, which appears, or replaces an older one, only when it is whole.

    Raises what `write` raises, and disk-full, no-access.
    """
    with appearing(file) as sink:
        write(format_name, schema, batches, sink)


@contextmanager
def appearing(file: Path) -> Iterator[IO[bytes]]:
    """A sink for the bytes of a file that appears, or replaces an older one, when they are whole.

    Raises disk-full, no-access.
    """
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as sink:
            yield sink
        unfinished.replace(file)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise QskyError("disk-full", f"The disk is full: {file} could not be written.") from error
        raise QskyError("no-access", f"{file} cannot be written: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
