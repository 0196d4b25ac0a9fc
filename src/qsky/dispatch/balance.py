"""Which worker an attempt goes to. Pure.

Called by `dispatch.link`. A fragment goes where its parts were read before, so that queries that read the same parts meet
at one worker and share them, though each cuts a table in another way; unless that one has much more to do than another
that would do. Parts that were never read go to the idlest of their homes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from qsky.fragment import Fragment, PartFile

# A home may have so many times the bytes of the idlest one before it on its hands, and a few fragments like this.
_LEAN: Final = 1.5
_FRAGMENTS_MORE: Final = 4


@dataclass(eq=False)
class Host:
    """A worker as a coordinator sees it; `bytes` are those of the parts it was sent and has not answered."""

    name: str
    address: str
    permits: int = 1
    bytes: int = 0
    attempts: int = 0
    silent: bool = False
    asked: float | None = None  # since when it owes an answer


class Readers:
    """At which worker, by name, parts were read first; the parts that were longest not asked for are forgotten."""

    def __init__(self, parts_max: int) -> None:
        self._parts_max = parts_max
        self._names: OrderedDict[str, str] = OrderedDict()

    def before(self, fragment: Fragment) -> list[str]:
        """The workers that read parts of a fragment before, the one with most bytes of them first."""
        sizes: Counter[str] = Counter()
        for file in _files(fragment):
            name = self._names.get(file.address)
            if name is not None:
                self._names.move_to_end(file.address)
                sizes[name] += file.bytes
        return [name for name, _ in sizes.most_common()]

    def put(self, fragment: Fragment, name: str, there: Collection[str]) -> None:
        """A fragment goes to a worker; `there` are the names of all. A part stays where it was as long as that is there."""
        for file in _files(fragment):
            if self._names.get(file.address) not in there:
                self._names[file.address] = name
        while len(self._names) > self._parts_max:
            self._names.popitem(last=False)


def _files(fragment: Fragment) -> Iterable[PartFile]:
    """The files that decide: those of the first input, whose rows the fragment owns."""
    return fragment.inputs[0].files if fragment.inputs else ()


def chosen(
    hosts: Collection[Host], homes: Sequence[str], before: Sequence[str], avoid: Collection[str], size_bytes: int
) -> Host | None:
    """The worker for a fragment of so many bytes; None if there is none.

    `homes` are the names of those that hold its parts, in any order, `before` of those that read them, the best first;
    `avoid` are addresses.
    """
    heard = [host for host in hosts if not host.silent] or list(hosts)
    for wanted in (
        [host for host in heard if host.name in homes and host.address not in avoid],
        [host for host in heard if host.address not in avoid],
        heard,
    ):
        if wanted:
            idlest = min(wanted, key=lambda host: (host.bytes, host.attempts))
            much = _LEAN * idlest.bytes + _FRAGMENTS_MORE * size_bytes
            here = {host.name: host for host in wanted}
            first = next((here[name] for name in before if name in here), idlest)
            return first if first.bytes <= much else idlest
    return None
