"""Who holds which part, as the keeper knows it: what is wanted, what workers reported, and what nobody knows.

Called by `cluster.keeper` alone. Bookkeeping without decisions: whatever changes a part puts its name into `changed`.
Two million parts are two million small records, so a record holds a tuple of names and nothing else that grows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from qsky.catalog.layout import load_of
from qsky.cluster.orders import WantedPart


class Part:
    """One part that must exist. `holders` are hosts in the order of their names; `last` those of a part that has none."""

    __slots__ = ("bytes", "holders", "last", "name", "unit")

    def __init__(self, name: str, size: int, unit: str) -> None:
        self.name = name
        self.bytes = size
        self.unit = unit
        self.holders: tuple[str, ...] = ()
        self.last: tuple[str, ...] = ()


class Holdings:
    """Parts by name, by unit and by host. A *stray* is a part that a host holds and no revision names."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self.of_unit: defaultdict[str, dict[str, Part]] = defaultdict(dict)
        self.unit_bytes: defaultdict[str, int] = defaultdict(int)
        self.held: defaultdict[str, set[str]] = defaultdict(set)
        self.strays: dict[str, dict[str, tuple[int, float]]] = {}  # name -> host -> (bytes, first seen)
        self.changed: dict[str, None] = {}
        self._of_database: dict[str, set[str]] = {}

    def knows_database_of(self, name: str) -> bool:
        """Whether somebody has said what is wanted of the database a part belongs to."""
        folders = name.split("/")
        return "/".join(folders[: 2 if folders[0] == "public" else 3]) in self._of_database

    def want(self, database: str, wanted: Sequence[WantedPart], now: float) -> None:
        """Exactly these parts of a database must exist from now on."""
        before = self._of_database.get(database, set())
        after = {part.name for part in wanted}
        self._of_database[database] = after
        for name in sorted(before - after):
            self._forget(name, now)
        for part in wanted:
            if part.name not in before:
                self._learn(part)

    def _learn(self, wanted: WantedPart) -> None:
        part = Part(*wanted)
        self.parts[part.name] = part
        self.of_unit[part.unit][part.name] = part
        self.unit_bytes[part.unit] += part.bytes
        self.changed[part.name] = None
        for host, (size, _) in self.strays.pop(part.name, {}).items():
            if size == part.bytes:
                self.add(part, host)

    def _forget(self, name: str, now: float) -> None:
        part = self.parts.pop(name)
        del self.of_unit[part.unit][name]
        self.unit_bytes[part.unit] -= part.bytes
        if not self.of_unit[part.unit]:
            del self.of_unit[part.unit], self.unit_bytes[part.unit]
        for host in part.holders:
            self.held[host].discard(name)
            self.stray(name, host, part.bytes, now)
        self.changed[name] = None

    def add(self, part: Part, host: str) -> None:
        """The host holds the part."""
        if host not in part.holders:
            part.holders = tuple(sorted((*part.holders, host)))
            part.last = ()
            self.held[host].add(part.name)
            self.changed[part.name] = None

    def remove(self, part: Part, host: str) -> None:
        """It does not, or not any more."""
        if host in part.holders:
            self.held[host].discard(part.name)
            if len(part.holders) == 1:
                part.last = part.holders
            part.holders = tuple(holder for holder in part.holders if holder != host)
        self.changed[part.name] = None

    def stray(self, name: str, host: str, size: int, now: float) -> bool:
        """A host holds a part that nobody knows; whether that is news."""
        hosts = self.strays.setdefault(name, {})
        news = host not in hosts
        hosts[host] = size, hosts[host][1] if host in hosts else now
        return news

    def stray_since(self, name: str, host: str) -> float | None:
        """From when the grace of a stray counts; None if the host has no such stray."""
        _, since = self.strays.get(name, {}).get(host, (0, None))
        return since

    def spare(self, loads: frozenset[str], now: float) -> None:
        """The strays of these loads, which have just ended, have their grace before them: a revision may name them."""
        for name, hosts in self.strays.items():
            if load_of(name) in loads:
                hosts.update({host: (size, now) for host, (size, _) in hosts.items()})

    def slept(self, seconds: float) -> None:
        """Nobody read what is wanted for so long: that was no grace."""
        for hosts in self.strays.values():
            hosts.update({host: (size, since + seconds) for host, (size, since) in hosts.items()})

    def forget_stray(self, name: str, host: str) -> None:
        """The host holds it no more."""
        hosts = self.strays.get(name)
        if hosts is not None and hosts.pop(host, None) is not None and not hosts:
            del self.strays[name]

    def report(
        self, host: str, parts: Mapping[str, int], aside: frozenset[str], now: float
    ) -> tuple[list[str], list[str]]:
        """A host holds exactly these, but for those `aside`, of which more is known.

        Gives back the wanted parts whose size is wrong, and the strays nobody had seen.
        """
        for name in sorted(self.held[host] - parts.keys() - aside):
            self.remove(self.parts[name], host)
        for name in [name for name, hosts in self.strays.items() if host in hosts and name not in parts]:
            self.forget_stray(name, host)
        odd, news = [], []
        for name in sorted(parts.keys() - aside):
            part, size = self.parts.get(name), parts[name]
            if part is None:
                if self.stray(name, host, size, now):
                    news.append(name)
            elif size != part.bytes:
                self.remove(part, host)
                odd.append(name)
            else:
                self.add(part, host)
        return sorted(odd), sorted(news)

    def lose(self, host: str) -> None:
        """Nothing that the host held counts any more."""
        for name in sorted(self.held.pop(host, set())):
            part = self.parts[name]
            if len(part.holders) == 1:
                part.last = part.holders
            part.holders = tuple(holder for holder in part.holders if holder != host)
            self.changed[name] = None
        for name in [name for name, hosts in self.strays.items() if host in hosts]:
            self.forget_stray(name, host)

    def bytes_on(self, host: str) -> int:
        """Bytes of wanted parts that a host holds."""
        return sum(self.parts[name].bytes for name in self.held[host])


def is_of_live_load(name: str, loads: frozenset[str]) -> bool:
    """Whether a load that has not published yet wrote the part."""
    return load_of(name) in loads
