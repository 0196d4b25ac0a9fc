"""What the keeper does without haste: put strays aside, and have digests checked in rotation. Called by the keeper."""

from __future__ import annotations

from qsky.cluster.flights import Flights
from qsky.cluster.holdings import Holdings, is_of_live_load
from qsky.cluster.members import Members
from qsky.cluster.queues import Queues


def put_aside(
    holdings: Holdings, members: Members, flights: Flights, queues: Queues, loads: frozenset[str], now: float
) -> None:
    """Strays older than the grace go to quarantine; those of live loads, or of databases nobody spoke of, wait."""
    grace = members.settings.keeper_unknown_grace_seconds
    again = now + members.settings.keeper_retry_seconds
    for host, name in queues.ripe_strays(now):
        since = holdings.stray_since(name, host)
        if since is None:
            continue
        if now < since + grace:  # what was known of it when it was put down has changed
            queues.remember_stray(since + grace, host, name)
            continue
        known = holdings.knows_database_of(name)
        if not known or is_of_live_load(name, loads) or not members.ready(host) or flights.touches(name, host):
            queues.remember_stray(again, host, name)
            continue
        flights.quarantine(name, host)
        holdings.forget_stray(name, host)


class Rotation:
    """Whose turn it is to be checked on each host, and when."""

    def __init__(self) -> None:
        self._turns: dict[str, list[str]] = {}
        self._next_at: dict[str, float] = {}

    def scrub(self, holdings: Holdings, members: Members, flights: Flights, rate: float, now: float) -> None:
        """At most one part at a time on each host, and no more bytes in a second than the rate."""
        if rate <= 0:
            return
        for host in sorted(members.by_name):
            if not members.ready(host) or flights.scrubs(host) or now < self._next_at.get(host, now):
                continue
            name = self._next_of(host, holdings)
            if name is not None and not flights.touches(name, host):
                flights.scrub(name, host)
                self._next_at[host] = now + holdings.parts[name].bytes / rate

    def _next_of(self, host: str, holdings: Holdings) -> str | None:
        held = holdings.held.get(host, set())
        turns = self._turns.get(host) or sorted(held, reverse=True)
        while turns:
            name = turns.pop()
            if name in held:
                self._turns[host] = turns
                return name
        self._turns[host] = []
        return None
