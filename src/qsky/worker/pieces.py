"""What a worker of a cluster has made and nobody has taken yet: small pieces as bytes, large ones on its disk.

Called by `worker.station`, from many threads. A piece is kept until its token is dropped, or too long.
"""

from __future__ import annotations

from time import monotonic

from qsky.carried import NOTHING, error_header, packed, piece_header, table_bytes
from qsky.errors import QskyError
from qsky.fragment import Piece
from qsky.worker.shelf import Shelf


class Pieces:
    """Replies by token."""

    def __init__(self, shelf: Shelf, inline_bytes_max: int) -> None:
        self._shelf = shelf
        self._inline_bytes_max = inline_bytes_max
        self._replies: dict[str, tuple[bytes, float]] = {}

    def __len__(self) -> int:
        return len(self._replies)

    def put(self, token: str, result: Piece | QskyError) -> None:
        """Keep a piece, or the error in its place; an error too if there is no room for it."""
        try:
            reply = packed(error_header(result)) if isinstance(result, QskyError) else self._reply(token, result)
        except QskyError as error:
            reply = packed(error_header(error))
        self._replies[token] = (reply, monotonic())

    def _reply(self, token: str, piece: Piece) -> bytes:
        if not piece.filed and piece.table.nbytes <= self._inline_bytes_max:
            return packed(piece_header(piece), [table_bytes(piece.table)])
        return packed(piece_header(piece, self._shelf.put(token, piece.table)))

    def reply(self, token: str) -> bytes:
        """The reply of a token: a header, and the rows unless they must be read from the shelf."""
        return self._replies.get(token, (NOTHING, 0.0))[0]

    def drop(self, token: str) -> None:
        self._replies.pop(token, None)
        self._shelf.drop(token)

    def sweep(self, seconds: float) -> None:
        """Drop what nobody has asked for so long."""
        self._shelf.sweep(seconds)
        for token, (_, since) in list(self._replies.items()):
            if monotonic() - since > seconds and not self._shelf.size(token):
                self.drop(token)
