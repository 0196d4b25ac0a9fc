"""Rows on their way as an Arrow table: few in memory, many in an unnamed file that is mapped, so that they can wait.

Called by `duck` for the answer of a fragment and by `dispatch.early` for pieces before their turn. The file goes with
the last use of the table, or with the process, whatever ends it.
"""

from __future__ import annotations

import errno
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from qsky.errors import QskyError


@dataclass(frozen=True)
class Spooled:
    """Rows, and whether they lie in a file."""

    table: pa.Table
    filed: bool


def spooled(schema: pa.Schema, batches: Iterable[pa.RecordBatch], held_bytes_max: int | None) -> Spooled:
    """The batches as a table, in a file if they are more than `held_bytes_max` (None: never). Raises disk-full."""
    held, held_bytes, rest = list[pa.RecordBatch](), 0, iter(batches)
    for batch in rest:
        held.append(batch)
        held_bytes += batch.nbytes
        if held_bytes_max is not None and held_bytes > held_bytes_max:
            return Spooled(_filed(schema, chain(_emptied(held), rest)), True)
    return Spooled(pa.Table.from_batches(held, schema), False)


def _emptied(held: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches in order, each let go of as it is taken."""
    held.reverse()
    while held:
        yield held.pop()


def _filed(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Table:
    with tempfile.TemporaryFile(prefix="qsky-piece-") as file:
        try:
            with pa.ipc.new_stream(file, schema) as stream:
                for batch in batches:
                    stream.write_batch(batch)
            file.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise QskyError("disk-full", "The disk for temporary files is full.") from error
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_stream(pa.py_buffer(content)).read_all()
