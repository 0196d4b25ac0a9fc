"""A query as a small tree with two spellings: Qsky's dialect, and DuckDB's SQL by hand for the oracle.

Made by `expressions` and `queries`; shrunk here. Knows nothing of qsky.sql.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

_PLACE = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True)
class Node:
    """Templates in which [0], [1] stand for the parts. Parts of one `sort` may stand for each other.

    With a separator the parts are a list behind `ours` as its keyword, at least `least` of them, or nothing at all.
    """

    sort: str
    ours: str
    theirs: str
    parts: tuple[Node, ...] = ()
    separator: str | None = None
    least: int = 0
    optional: bool = False

    def spelled(self, *, ours: bool) -> str:
        parts = [part.spelled(ours=ours) for part in self.parts]
        template = self.ours if ours else self.theirs
        if self.separator is None:
            return _PLACE.sub(lambda place: parts[int(place[1])], template)
        texts = [text for text in parts if text]
        return template + self.separator.join(texts) if texts else ""

    def size(self) -> int:
        return 1 + sum(part.size() for part in self.parts)


NOTHING = Node("", "", "")


def node(sort: str, ours: str, *parts: Node, theirs: str | None = None, optional: bool = False) -> Node:
    return Node(sort, ours, ours if theirs is None else theirs, parts, optional=optional)


def listed(parts: list[Node], separator: str = ", ", keyword: str = "", least: int = 0) -> Node:
    return Node("", keyword, keyword, tuple(parts), separator, least)


def smaller(tree: Node) -> Iterator[Node]:
    """Trees with one thing less, the largest cuts first; not all of them are queries."""
    yield from sorted(_cuts(tree), key=Node.size)


def _cuts(tree: Node) -> Iterator[Node]:
    if tree.optional:
        yield NOTHING
    if tree.separator is not None and len(tree.parts) > tree.least:
        for place in range(len(tree.parts)):
            yield replace(tree, parts=tree.parts[:place] + tree.parts[place + 1 :])
    if tree.sort:
        yield from (below for below in _below(tree) if below.sort == tree.sort)
    for place, part in enumerate(tree.parts):
        for cut in _cuts(part):
            yield replace(tree, parts=(*tree.parts[:place], cut, *tree.parts[place + 1 :]))


def _below(tree: Node) -> Iterator[Node]:
    for part in tree.parts:
        yield part
        yield from _below(part)


def shrunk(tree: Node, fails: Callable[[Node], bool], tries_max: int = 400) -> Node:
    """The smallest tree found that still fails."""
    tries = 0
    while True:
        for cut in smaller(tree):
            tries += 1
            if tries > tries_max:
                return tree
            if fails(cut):
                tree = cut
                break
        else:
            return tree
