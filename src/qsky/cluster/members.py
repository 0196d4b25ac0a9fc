"""The workers as the keeper knows them: who is heard, who is silent, who is lost, who must say what it holds.

Called by `cluster.keeper` alone. A host that is heard but does not say what it holds is as good as silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from qsky.cluster.orders import AskInventory
from qsky.cluster.topology import Host
from qsky.config import Settings

_NEVER = float("-inf")
_ROOM_LEFT = 0.95  # of what a full host holds is what it should hold


@dataclass
class Member:
    """One host. `recent` are its parts that changed after its last inventory was taken, with their serials."""

    host: Host
    absent_since: float | None  # silent, or asked for an inventory and not answering
    heard: bool = True
    known: bool = False  # it has said what it holds, under this lease and since it was last silent
    lost: bool = False
    draining: bool = False
    serial: int = -1
    recent: dict[str, int] = field(default_factory=dict)
    told_at: float = _NEVER  # when it was asked what it last answered
    asked_at: float = _NEVER
    asked: dict[int, float] = field(default_factory=dict)  # questions not answered, by number
    asks: bool = True
    room: int | None = None  # bytes, of a host whose disk was full


class Members:
    """All hosts by name. `moved` says that those who may hold parts are others than before."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.by_name: dict[str, Member] = {}
        self.moved = False
        self._questions = 0

    def seen(self, host: Host, now: float) -> bool:
        """A host gives signs of life; whether it had been silent, so that what it was told may be forgotten."""
        member = self.by_name.get(host.name)
        if member is None:
            self.by_name[host.name] = Member(host, now)
            self.moved = True
            return False
        if (member.host.zone, member.host.capacity_bytes) != (host.zone, host.capacity_bytes):
            member.room = None
            self.moved = True
        member.host = host
        back = not member.heard
        if back:
            member.heard = True
            _doubt(member)
            if member.lost:
                member.absent_since = now  # it has as long as a new one to say what it holds
        return back

    def silent(self, name: str, now: float) -> bool:
        """A host is silent; whether too many are at once."""
        member = self.by_name.setdefault(name, Member(Host(name), now))
        if member.heard:
            member.heard = False
            member.absent_since = now if member.absent_since is None else member.absent_since
        there = [each for each in self.by_name.values() if not each.lost]
        vanished = sum(not each.heard for each in there)
        return vanished > len(there) * self.settings.keeper_vanished_share_max

    def doubt_all(self, now: float) -> None:
        """Nothing that hosts said before counts as known."""
        for member in self.by_name.values():
            _doubt(member)
            member.absent_since = now if member.absent_since is None else member.absent_since

    def reported(self, name: str, serial: int, answers: int) -> frozenset[str] | None:
        """A host says what it holds: the parts about which more is known already; None if all of it is old.

        Only an answer shows that a host is able to answer; what was sent before may have been long on its way.
        """
        member = self.by_name.get(name)
        if member is None or not member.heard or serial < member.serial:
            return None
        member.recent = {part: at for part, at in member.recent.items() if at > serial}
        member.serial = serial
        if answers in member.asked:
            member.told_at = member.asked[answers]
            member.asked = {number: at for number, at in member.asked.items() if number > answers}
            member.known, member.absent_since = True, None
            self.moved |= member.lost
            member.lost = False
        return frozenset(member.recent)

    def changed(self, name: str, part: str, serial: int) -> bool:
        """A host has changed a part and is then at `serial`; whether no inventory tells of it already."""
        member = self.by_name[name]
        if serial < member.serial:
            return False
        member.recent[part] = max(serial, member.recent.get(part, -1))
        return True

    def slept(self, seconds: float) -> None:
        """The keeper did not listen for so long: that was not silence of those it had not heard."""
        for member in self.by_name.values():
            if member.absent_since is not None and not member.lost:
                member.absent_since += seconds

    def ready(self, name: str) -> bool:
        """Whether a host is heard and has said what it holds."""
        member = self.by_name.get(name)
        return member is not None and member.heard and member.known

    def draining(self, name: str) -> bool:
        return name in self.by_name and self.by_name[name].draining

    def drain(self, name: str, draining: bool) -> None:
        """A host is to leave, or stays."""
        member = self.by_name.get(name)
        if member is not None:
            member.draining, member.room, self.moved = draining, None, True

    def full(self, name: str, held: int) -> None:
        """The disk of a host is full at so many bytes of parts."""
        self.by_name[name].room = max(int(held * _ROOM_LEFT), 1)
        self.moved = True

    def ask(self, name: str) -> None:
        """What a host holds is not sure any more."""
        self.by_name[name].asks = True

    def ask_everybody(self) -> None:
        """Somebody may hold what nobody is known to hold."""
        for member in self.by_name.values():
            member.asks = True

    def questions(self, now: float) -> list[AskInventory]:
        """Who is to say what it holds, each at most once in a while."""
        questions = []
        for name, member in sorted(self.by_name.items()):
            old = now - member.told_at >= self.settings.keeper_inventory_seconds
            asked = now - member.asked_at < self.settings.keeper_retry_seconds
            if member.heard and (member.asks or old) and not asked:
                member.asked_at, member.asks = now, not member.known
                self._questions += 1
                member.asked[self._questions] = now
                questions.append(AskInventory(name, self._questions))
        return questions

    def newly_lost(self, now: float) -> list[str]:
        """Hosts that have been absent for too long, each said once."""
        limit = now - self.settings.worker_lost_seconds
        names = []
        for name, member in sorted(self.by_name.items()):
            if not member.lost and member.absent_since is not None and member.absent_since <= limit:
                member.lost, member.known, self.moved = True, False, True
                names.append(name)
        return names

    def all_told_since(self, when: float, now: float) -> bool:
        """Whether everybody has said later than this what it holds, but for those silent for too long.

        Who is heard and does not answer may hold anything.
        """
        limit = now - self.settings.worker_lost_seconds
        return all(
            (m.known and m.told_at > when) if m.heard else (m.absent_since is not None and m.absent_since <= limit)
            for m in self.by_name.values()
        )

    def hosts(self) -> list[Host]:
        """Every host, as it is judged."""
        named = sorted(self.by_name.items())
        return [replace(m.host, alive=not m.lost, draining=m.draining or m.host.draining) for _, m in named]

    def eligible(self, wanted_bytes: int) -> list[Host]:
        """Who may hold parts, those with full disks as small as they turned out to be."""
        able = [host for host in self.hosts() if host.alive and not host.draining]
        if all(self.by_name[host.name].room is None for host in able):
            return able
        share = max(wanted_bytes // max(len(able), 1), 1)
        sized = []
        for host in able:
            capacity, room = host.capacity_bytes or share, self.by_name[host.name].room
            sized.append(replace(host, capacity_bytes=capacity if room is None else min(capacity, room)))
        return sized


def _doubt(member: Member) -> None:
    """What a host said, or was asked, before this moment does not count."""
    member.known, member.asks, member.asked_at = False, True, _NEVER
    member.asked.clear()
