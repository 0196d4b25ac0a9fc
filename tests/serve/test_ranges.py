"""Which bytes a request wants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsky.serve.ranges import Wanted, wanted

TAG = '"abc"'


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("", 200, 0, 100),
        ("bytes=0-", 206, 0, 100),
        ("bytes=0-0", 206, 0, 1),
        ("bytes=10-19", 206, 10, 20),
        ("bytes=90-1000", 206, 90, 100),
        ("bytes=-7", 206, 93, 100),
        ("bytes=-700", 206, 0, 100),
        ("Bytes = 5 - 6", 206, 5, 7),
        ("bytes=100-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=5-4", 200, 0, 100),
        ("bytes=-", 200, 0, 100),
        ("bytes=1-2,5-6", 200, 0, 100),
        ("lines=1-2", 200, 0, 100),
        ("bytes=" + "9" * 5000 + "-", 200, 0, 100),
        ("bytes=٣-٤", 200, 0, 100),
    ],
)
def test_a_range(asked: str, status: int, start: int, end: int) -> None:
    assert wanted({"range": asked}, 100, TAG) == Wanted(status, start, end)


@pytest.mark.parametrize("size", [0, 1])
def test_of_an_empty_file_no_range_can_be_had(size: int) -> None:
    assert wanted({"range": "bytes=1-"}, size, TAG).status == 416
    assert wanted({}, size, TAG) == Wanted(200, 0, size)


def test_what_the_client_has_already() -> None:
    for known in (TAG, f"W/{TAG}", f'"x", {TAG}', "*"):
        assert wanted({"if-none-match": known, "range": "bytes=0-1"}, 100, TAG).status == 304
    assert wanted({"if-none-match": '"x"'}, 100, TAG).status == 200


def test_a_range_of_another_file_is_the_whole_of_this() -> None:
    assert wanted({"range": "bytes=0-1", "if-range": TAG}, 100, TAG).status == 206
    for other in ('"x"', f"W/{TAG}", "Mon, 23 Nov 2026 12:00:00 GMT"):
        assert wanted({"range": "bytes=0-1", "if-range": other}, 100, TAG).status == 200


@given(st.text(max_size=30), st.integers(0, 1000))
def test_no_header_asks_for_bytes_that_are_not_there(asked: str, size: int) -> None:
    for text in (asked, f"bytes={asked}"):
        found = wanted({"range": text}, size, TAG)
        assert 0 <= found.start <= found.end <= size
        assert found.status != 206 or found.start < found.end
