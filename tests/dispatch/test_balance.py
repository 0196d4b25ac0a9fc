"""Which worker a fragment goes to: the one that read its parts, unless it has too much to do."""

from __future__ import annotations

from qsky.dispatch.balance import Host, Readers, chosen
from qsky.fragment import Fragment, Input, PartFile

MB = 1 << 20


def hosts(**loads: int) -> list[Host]:
    return [Host(name, f"tls://{name}", bytes=load, attempts=load // MB) for name, load in loads.items()]


def fragment(*parts: str, number: int = 0) -> Fragment:
    files = tuple(PartFile(part, MB) for part in parts)
    return Fragment(number, "SELECT 1", (Input("t0", files, (("a", "BIGINT"),)),), 1, 1)


def name_of(host: Host | None) -> str | None:
    return host and host.name


def test_parts_nobody_read_go_to_the_idlest() -> None:
    assert name_of(chosen(hosts(a=3 * MB, b=MB, c=2 * MB), (), (), (), MB)) == "b"
    assert name_of(chosen(hosts(a=3 * MB, b=MB, c=2 * MB), ("a", "c"), (), (), MB)) == "c"
    assert chosen([], (), (), (), MB) is None


def test_who_read_a_part_gets_it_unless_he_has_too_much_to_do() -> None:
    assert name_of(chosen(hosts(a=3 * MB, b=0), (), ["a"], (), MB)) == "a"
    assert name_of(chosen(hosts(a=40 * MB, b=0), (), ["a"], (), MB)) == "b"
    assert name_of(chosen(hosts(a=0, b=0), (), ["b", "a"], ["tls://b"], MB)) == "a"


def test_only_those_that_hold_it_while_there_is_one() -> None:
    assert name_of(chosen(hosts(a=0, b=9 * MB), ("b",), ["a"], (), MB)) == "b"
    assert name_of(chosen(hosts(a=0, b=9 * MB), ("b",), ["a"], ["tls://b"], MB)) == "a"


def test_a_silent_worker_is_the_last() -> None:
    there = hosts(a=0, b=9 * MB)
    there[0].silent = True
    assert name_of(chosen(there, ("a",), ["a"], (), MB)) == "b"
    assert name_of(chosen(there[:1], (), (), (), MB)) == "a"


def test_queries_that_cut_a_table_in_other_ways_meet() -> None:
    readers = Readers(100)
    readers.put(fragment("p0", "p1", "p2"), "a", {"a", "b"})
    readers.put(fragment("p3"), "b", {"a", "b"})
    assert readers.before(fragment("p1")) == ["a"]
    assert readers.before(fragment("p1", "p2", "p3")) == ["a", "b"]
    assert readers.before(fragment("p9")) == []


def test_a_part_stays_where_it_was_as_long_as_that_is_there() -> None:
    readers = Readers(100)
    readers.put(fragment("p0"), "a", {"a", "b"})
    readers.put(fragment("p0"), "b", {"a", "b"})
    assert readers.before(fragment("p0")) == ["a"]
    readers.put(fragment("p0"), "b", {"b"})
    assert readers.before(fragment("p0")) == ["b"]


def test_the_parts_longest_not_asked_for_are_forgotten() -> None:
    readers = Readers(2)
    for part in ("p0", "p1"):
        readers.put(fragment(part), "a", {"a"})
    readers.before(fragment("p0"))
    readers.put(fragment("p2"), "a", {"a"})
    assert [readers.before(fragment(part)) for part in ("p0", "p1", "p2")] == [["a"], [], ["a"]]
