"""The instances that merge: one large, small ones beside it, kept and thrown away as they should be."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from qsky.duck import Duck
from qsky.errors import QskyError
from qsky.merge import Above

pytestmark = pytest.mark.usefixtures("any_words")

MIB = 1 << 20


@pytest.fixture
def opened() -> list[int]:
    return []


@pytest.fixture
def above(opened: list[int]) -> Iterator[Above]:
    def open_duck(memory_bytes: int) -> Duck:
        opened.append(memory_bytes)
        return Duck(memory_bytes=memory_bytes)

    made = Above(open_duck, 256 * MIB)
    yield made
    made.close()


def test_one_query_has_all_the_memory_and_others_meanwhile_a_part(above: Above, opened: list[int]) -> None:
    with above.lent(), above.lent(), above.lent():
        pass
    assert opened == [256 * MIB, 64 * MIB, 64 * MIB]
    with above.lent(), above.lent():
        pass
    assert len(opened) == 3, "they are kept"


def test_an_instance_left_in_the_middle_is_opened_anew(above: Above, opened: list[int]) -> None:
    with pytest.raises(RuntimeError), above.lent() as lent:
        pieces = lent.collect("pieces", pa.schema([("n", pa.int64())]))
        pieces.add(pa.table({"n": [1, 2, 3]}))
        next(lent.stream("SELECT a.n FROM pieces a, range(10000000)", 10, None))
        raise RuntimeError
    with above.lent() as lent:
        assert [batch.num_rows for batch in lent.stream("SELECT 1 AS n", 10, None)] == [1]
    assert opened == [256 * MIB] * 2


def test_a_merge_beyond_its_memory_fails_alone(above: Above) -> None:
    hungry = "SELECT list(range) AS l FROM range(100000000)"
    with above.lent() as large, above.lent() as small:
        with pytest.raises(QskyError) as caught:
            list(small.stream(hungry, 10, None))
        assert caught.value.code.name == "limit-memory"
        assert sum(batch.num_rows for batch in large.stream("SELECT 1 AS n", 10, None)) == 1
    with above.lent() as again:
        assert sum(batch.num_rows for batch in again.stream("SELECT 1 AS n", 10, None)) == 1
