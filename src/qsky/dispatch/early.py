"""Pieces that came before their turn: a few bytes of them in memory, the rest in unnamed files until they are taken.

Called by `dispatch.run`. Fragments end in any order, and a query whose first one comes last would otherwise hold its
whole answer in memory.
"""

from __future__ import annotations

from dataclasses import replace

from qsky.fragment import Piece
from qsky.spool import spooled


class Early:
    """Pieces by key, each put and taken once."""

    def __init__(self, held_bytes_max: int) -> None:
        self._held_bytes_max = held_bytes_max
        self._pieces: dict[int, Piece] = {}
        self._held_bytes = 0
        self.filed = 0  # pieces that ever went to a file here

    def __contains__(self, key: int) -> bool:
        return key in self._pieces

    def put(self, key: int, piece: Piece) -> None:
        """Keep a piece. Raises disk-full."""
        if not piece.filed and self._held_bytes + piece.table.nbytes > self._held_bytes_max:
            piece = replace(piece, table=spooled(piece.table.schema, piece.table.to_batches(), -1).table, filed=True)
            self.filed += 1
        self._pieces[key] = piece
        self._held_bytes += _held_bytes(piece)

    def take(self, key: int) -> Piece:
        """The piece, which is kept no longer."""
        piece = self._pieces.pop(key)
        self._held_bytes -= _held_bytes(piece)
        return piece

    def close(self) -> None:
        """Forget everything."""
        self._pieces.clear()


def _held_bytes(piece: Piece) -> int:
    return 0 if piece.filed else int(piece.table.nbytes)
