"""Pieces before their turn: in memory as far as they may, in files beyond, the same when taken."""

from __future__ import annotations

import pyarrow as pa

from qsky.dispatch.early import Early
from qsky.fragment import Piece


def piece(number: int) -> Piece:
    return Piece(number, pa.table({"n": pa.array(range(1000)), "t": pa.array([None, str(number)] * 500)}))


def test_pieces_beyond_the_limit_wait_in_files() -> None:
    early = Early(2 * piece(0).table.nbytes + 100)
    for number in range(5):
        early.put(number + 10, piece(number))
    assert early.filed == 3
    assert 13 in early
    assert 20 not in early
    for number in (4, 0, 2):
        assert early.take(number + 10) == piece(number)
    early.put(40, piece(7))
    assert early.filed == 3, "there is room again"
    early.close()
    assert 13 not in early


def test_an_empty_piece_survives_a_file() -> None:
    early = Early(-1)
    early.put(0, Piece(3, piece(0).table.slice(0, 0)))
    assert early.take(0).table.schema == piece(0).table.schema
