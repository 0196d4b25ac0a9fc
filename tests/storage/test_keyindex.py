"""Director-index segments: every key found at its cell, whatever kind of key, and nothing else found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from qsky.errors import QskyError
from qsky.storage.keyindex import Keys, keys_of, lookup, open_segment, segment_bytes


@dataclass(frozen=True)
class Fence:
    file: str
    low: int
    high: int


def segment(folder: Path, name: str, keys: Keys, cells: NDArray[np.int64]) -> Fence:
    order = keys.order()
    keys = keys.take(order)
    (folder / name).write_bytes(segment_bytes(keys, cells[order]))
    low, high = (int(keys.high[0]), int(keys.high[-1])) if len(keys) else (0, 0)
    return Fence(name, low, high)


INTEGERS = [-(1 << 63), -5, -1, 0, 1, 7, (1 << 63) - 1]
COLUMNS = {
    "integers": pa.array(INTEGERS),
    "small integers": pa.array([-128, -5, 0, 3, 127], pa.int8()),
    "strings": pa.array(["", "a", "A", "a ", "ä", "Gaia DR3 4472832130942575872", "z" * 1000]),
    "bytes": pa.array([b"", b"\0", b"\0\0", b"\xff"]),
    "dates": pa.array([0, 1, -1], pa.date32()),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_key_is_found_at_its_cell(kind: str, tmp_path: Path) -> None:
    column = COLUMNS[kind]
    cells = np.arange(len(column), dtype=np.int64) * 10
    fences = [segment(tmp_path, "s", keys_of(column), cells)]
    asked = np.random.default_rng(0).permutation(len(column))
    places, found = lookup(tmp_path, fences, keys_of(column.take(pa.array(asked))))
    assert places.tolist() == list(range(len(column)))
    assert found.tolist() == (asked * 10).tolist()


@pytest.mark.parametrize(("column", "others"), [(pa.array([1, 5, 9]), pa.array([0, 2, 10, -1])),
                                                (pa.array(["a", "b"]), pa.array(["", "c", "A", "a "]))])  # fmt: skip
def test_other_keys_are_not_found(column: pa.Array, others: pa.Array, tmp_path: Path) -> None:
    fences = [segment(tmp_path, "s", keys_of(column), np.arange(len(column)))]
    places, found = lookup(tmp_path, fences, keys_of(others))
    assert len(places) == len(found) == 0


def test_several_segments_and_repeated_keys(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    keys, cells = rng.integers(-50, 50, 600), rng.integers(0, 1 << 60, 600)
    fences = [segment(tmp_path, f"s{i}", Keys(keys[i : i + 100]), cells[i : i + 100]) for i in range(0, 600, 100)]
    asked = np.array([-60, -50, 0, 0, 13, 49, 60])
    places, found = lookup(tmp_path, fences, Keys(asked))
    assert np.all(places[1:] >= places[:-1])
    for at, key in enumerate(asked):
        assert sorted(found[places == at]) == sorted(cells[keys == key])


def test_hashes_that_share_a_half_are_told_apart(tmp_path: Path) -> None:
    held = Keys(np.array([7, 7, 7, 8]), np.array([1, 2, 2, 1]))
    fences = [segment(tmp_path, "s", held, np.array([10, 20, 21, 30]))]
    places, found = lookup(tmp_path, fences, Keys(np.array([7, 7, 7, 8, 8]), np.array([2, 1, 3, 1, 2])))
    assert list(zip(places.tolist(), found.tolist(), strict=True)) == [(0, 20), (0, 21), (1, 10), (3, 30)]


def test_nothing_in_nothing(tmp_path: Path) -> None:
    empty = Keys(np.empty(0, np.int64))
    fences = [segment(tmp_path, "empty", empty, np.empty(0, np.int64))]
    assert len(lookup(tmp_path, fences, Keys(np.array([0])))[0]) == 0
    assert len(lookup(tmp_path, fences, empty)[0]) == 0
    assert len(lookup(tmp_path, [], Keys(np.array([0])))[0]) == 0
    hashed = Keys(np.empty(0, np.int64), np.empty(0, np.int64))
    assert (
        len(lookup(tmp_path, [segment(tmp_path, "h", hashed, np.empty(0, np.int64))], keys_of(pa.array(["a"])))[0]) == 0
    )


def test_random_keys_against_a_dictionary(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for seed in range(20):
        keys = np.unique(rng.integers(-1000, 1000, rng.integers(1, 300)))
        cells = rng.integers(0, 1 << 60, len(keys))
        cut = int(rng.integers(0, len(keys) + 1))
        pieces = [slice(0, cut), slice(cut, None)] if 0 < cut < len(keys) else [slice(None)]
        text = bool(seed % 2)
        column = pa.array(keys).cast(pa.string()) if text else pa.array(keys)
        whole = keys_of(column)
        fences = [segment(tmp_path, f"{seed}-{n}", whole.take(piece), cells[piece]) for n, piece in enumerate(pieces)]
        truth = dict(zip(keys.tolist(), cells.tolist(), strict=True))
        asked = rng.integers(-1100, 1100, 200)
        sought = pa.array(asked).cast(pa.string()) if text else pa.array(asked)
        places, found = lookup(tmp_path, fences, keys_of(sought))
        answers = dict(zip(places.tolist(), found.tolist(), strict=True))
        assert answers == {at: truth[key] for at, key in enumerate(asked.tolist()) if key in truth}


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_a_damaged_segment_says_so(damage: str, tmp_path: Path) -> None:
    content = segment_bytes(Keys(np.array([1, 2])), np.array([3, 4]))
    path = tmp_path / damage
    if damage != "gone":
        path.write_bytes(content[:-8] if damage == "cut" else b"X" + content[1:])
    with pytest.raises(QskyError) as caught:
        open_segment(path)
    assert caught.value.code.name == "damaged"


def test_repeats_of_sorted_keys() -> None:
    assert Keys(np.array([1, 1, 2, 2, 2])).repeats().tolist() == [False, True, False, True, True]
    assert Keys(np.array([1, 1, 1]), np.array([5, 5, 6])).repeats().tolist() == [False, True, False]
    assert Keys(np.empty(0, np.int64)).repeats().tolist() == []
