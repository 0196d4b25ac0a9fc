"""Pieces that came before their turn: a few bytes of them in memory, the rest in unnamed files until they are taken.

Called by `dispatch.run`. Fragments end in any order, and a query whose first one comes last would otherwise hold its
whole answer in memory. The files vanish with the process, whatever ends it.
"""

from __future__ import annotations

import errno
import tempfile
from typing import IO

import pyarrow as pa

from qsky.errors import QskyError
from qsky.fragment import Piece


class Early:
    """Pieces by key, each put and taken once."""

    def __init__(self, held_bytes_max: int) -> None:
        self._held_bytes_max = held_bytes_max
        self._held: dict[int, Piece] = {}
        self._held_bytes = 0
        self._filed: dict[int, tuple[int, IO[bytes]]] = {}  # the fragment's number and its file
        self.filed = 0  # pieces that ever went to a file

    def __contains__(self, key: int) -> bool:
        return key in self._held or key in self._filed

    def put(self, key: int, piece: Piece) -> None:
        """Keep a piece. Raises disk-full."""
        if self._held_bytes + piece.table.nbytes <= self._held_bytes_max:
            self._held[key] = piece
            self._held_bytes += piece.table.nbytes
            return
        self._filed[key] = piece.number, _written(piece.table)
        self.filed += 1

    def take(self, key: int) -> Piece:
        """The piece, which is kept no longer."""
        if key in self._held:
            piece = self._held.pop(key)
            self._held_bytes -= piece.table.nbytes
            return piece
        number, file = self._filed.pop(key)
        with file:
            file.seek(0)
            return Piece(number, pa.ipc.open_stream(file).read_all())

    def close(self) -> None:
        """Forget everything."""
        for _, file in self._filed.values():
            file.close()
        self._filed.clear()
        self._held.clear()


def _written(table: pa.Table) -> IO[bytes]:
    file = tempfile.TemporaryFile(prefix="qsky-piece-")  # noqa: SIM115
    try:
        with pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
        file.flush()
    except OSError as error:
        file.close()
        if error.errno != errno.ENOSPC:
            raise
        raise QskyError("disk-full", "The disk for temporary files is full.") from error
    return file
