"""Which hosts should hold which unit: weighted rendezvous with bounded loads. A function of its arguments alone.

Every unit has its own order of preference of the hosts, made of hashes of both names (Thaler and Ravishankar 1998;
weights by -ln(u)/w), so a host that comes or goes changes nothing but what it gains or leaves behind. Where hosts have
zones, a unit's preferences take the best host of each zone before the second best of any. Chance alone would leave
some hosts far above their share. So each has a bound (Mirrokni, Thorup and Zadimoghaddam 2018) and, as in the matching of
Gale and Shapley, lets go of the units that want it least; these ask the next on their list. That has one outcome, in
whatever sequence units ask.

Called by the keeper and by simulations. Knows neither parts nor databases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qsky.cluster.topology import Hashes, Host, hashes_of
from qsky.sky.healpix import Floats, Ints

Places = NDArray[np.int32]
_ROWS_AT_ONCE: Final = 16_384
_PREFERENCES_MORE: Final = 9  # beyond the replicas; who is refused by all of them is placed by hand


@dataclass(frozen=True, eq=False)
class Placement:
    """`chosen[i]` are the places in `hosts` of the holders of unit i, best first, -1 where hosts are too few.

    Shapes: (units, replicas). `loads` are bytes for each host, `bounds` what it should not exceed by more than one unit.
    """

    hosts: tuple[str, ...]
    chosen: Places
    loads: Floats
    bounds: Floats

    def of_unit(self, place: int) -> tuple[str, ...]:
        """The names of the holders of one unit."""
        return tuple(self.hosts[host] for host in self.chosen[place].tolist() if host >= 0)

    def lists(self) -> list[tuple[str, ...]]:
        """The names of the holders of each unit."""
        names = self.hosts
        return [tuple(names[host] for host in row if host >= 0) for row in self.chosen.tolist()]


@dataclass(frozen=True, eq=False)
class _Field:
    """The hosts that may hold something, zone by zone, and what placement knows of them."""

    hashes: Hashes
    weights: Floats
    zones: tuple[slice, ...]

    def __len__(self) -> int:
        return len(self.hashes)


def eligible(hosts: Sequence[Host]) -> list[Host]:
    """Who may be given units, zone by zone, by name."""
    return sorted((h for h in hosts if h.alive and not h.draining), key=lambda host: (host.zone, host.name))


def wanted(
    units: Sequence[str] | Hashes, bytes_of: Ints | Floats, hosts: Sequence[Host], replicas: int, slack: float = 0.1
) -> Placement:
    """Where the copies of each unit should lie.

    `units` are names or their hashes, `bytes_of` has shape (units,). A host is given at most (1 + slack) of its share by
    capacity, and one unit more where units are few and heavy. Draining and dead hosts get nothing.
    """
    hashes = units if isinstance(units, np.ndarray) else hashes_of(units)
    able = eligible(hosts)
    names = tuple(host.name for host in able)
    copies = min(replicas, len(able))
    sizes = np.maximum(np.asarray(bytes_of, dtype=np.float64), 1.0)
    field = _field_of(able)
    bounds = sizes.sum() * copies * field.weights / max(field.weights.sum(), 1e-300) * (1 + slack)
    chosen = np.full((len(hashes), replicas), -1, dtype=np.int32)
    if copies and len(hashes):
        chosen[:, :copies] = _settled(hashes, sizes, field, bounds, copies)
    return Placement(names, chosen, _loads(chosen, sizes, len(able)), bounds)


def _field_of(able: Sequence[Host]) -> _Field:
    known = [host.capacity_bytes for host in able if host.capacity_bytes > 0]
    usual = sum(known) / len(known) if known else 1.0
    weights = np.array([host.capacity_bytes or usual for host in able], dtype=np.float64)
    labels = [host.zone for host in able]
    edges = [i for i in range(len(labels)) if i == 0 or labels[i] != labels[i - 1]] + [len(labels)]
    zones = tuple(slice(low, high) for low, high in zip(edges, edges[1:], strict=False))
    return _Field(hashes_of([host.name for host in able]), weights / usual, zones)


def _loads(chosen: Places, sizes: Floats, count: int) -> Floats:
    held = chosen >= 0
    return np.bincount(chosen[held], np.broadcast_to(sizes[:, None], chosen.shape)[held], count).astype(np.float64)


def _scores(hashes: Hashes, field: _Field) -> NDArray[np.float32]:
    """How far each host is from each unit, less is better; shape (units, hosts)."""
    mixed = hashes[:, None] ^ field.hashes[None, :]
    mixed = _mix(mixed)  # the finisher of splitmix64 (Steele, Lea and Flood 2014)
    uniform = ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return (-np.log(uniform) / field.weights[None, :]).astype(np.float32)


def _mix(values: Hashes) -> Hashes:
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _preferences(hashes: Hashes, field: _Field, depth: int) -> tuple[Places, NDArray[np.float32]]:
    """The first hosts on each unit's list and how far they are; shapes (units, depth). Level by level of the zones."""
    scores = _scores(hashes, field)
    levels = -(-depth // len(field.zones)) + 1
    each = [_best_of(scores, zone, levels) for zone in field.zones]
    hosts, far = [], []
    for level in range(max(found.shape[1] for found, _ in each)):
        there = [(f[:, level], s[:, level]) for f, s in each if f.shape[1] > level]
        level_hosts = np.stack([f for f, _ in there], axis=1)
        level_far = np.stack([s for _, s in there], axis=1)
        sequence = np.argsort(level_far, axis=1, kind="stable")
        hosts.append(np.take_along_axis(level_hosts, sequence, axis=1))
        far.append(np.take_along_axis(level_far, sequence, axis=1))
    return np.concatenate(hosts, axis=1)[:, :depth], np.concatenate(far, axis=1)[:, :depth]


def _best_of(scores: NDArray[np.float32], zone: slice, count: int) -> tuple[Places, NDArray[np.float32]]:
    """The best `count` hosts of a zone, best first."""
    own = scores[:, zone]
    if count < own.shape[1]:
        some = np.argpartition(own, count - 1, axis=1)[:, :count]
        some = np.sort(some, axis=1)  # equal scores in the order of the hosts
    else:
        some = np.broadcast_to(np.arange(own.shape[1]), own.shape)
    far = np.take_along_axis(own, some, axis=1)
    sequence = np.argsort(far, axis=1, kind="stable")
    found = np.take_along_axis(some, sequence, axis=1) + zone.start
    return found.astype(np.int32), np.take_along_axis(far, sequence, axis=1)


def _settled(hashes: Hashes, sizes: Floats, field: _Field, bounds: Floats, copies: int) -> Places:
    """The holders of each unit after everybody over the bound has let go; shape (units, copies)."""
    depth = min(len(field), copies + _PREFERENCES_MORE)
    blocks = [
        _preferences(hashes[at : at + _ROWS_AT_ONCE], field, depth) for at in range(0, len(hashes), _ROWS_AT_ONCE)
    ]
    hosts, far = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    refused = np.zeros(hosts.shape, dtype=bool)
    while True:
        asks = ~refused & (np.cumsum(~refused, axis=1) <= copies)
        rows, columns = np.nonzero(asks)
        asked, weight = hosts[rows, columns], sizes[rows]
        over = np.flatnonzero(np.bincount(asked, weight, len(field)) > bounds)
        at_over = np.flatnonzero(np.isin(asked, over))
        let_go = _let_go(asked[at_over], far[rows, columns][at_over], weight[at_over], bounds)
        if not let_go.any():
            return _filled(hashes, sizes, field, bounds, hosts, asks, copies)
        refused[rows[at_over][let_go], columns[at_over][let_go]] = True


def _let_go(asked: Places, far: NDArray[np.float32], weight: Floats, bounds: Floats) -> NDArray[np.bool_]:
    """Which of the requests the hosts cannot bear: those from farthest away. Everybody bears the first."""
    sequence = np.lexsort((np.arange(len(asked)), far, asked))
    host, borne = asked[sequence], np.cumsum(weight[sequence])
    first = np.concatenate(([True], host[1:] != host[:-1])) if len(host) else np.empty(0, dtype=bool)
    before = np.repeat((borne - weight[sequence])[first], np.diff(np.append(np.flatnonzero(first), len(host))))
    too_much = (borne - before > bounds[host]) & ~first
    out = np.zeros(len(asked), dtype=bool)
    out[sequence] = too_much
    return out


def _filled(
    hashes: Hashes, sizes: Floats, field: _Field, bounds: Floats, hosts: Places, asks: NDArray[np.bool_], copies: int
) -> Places:
    """What was found as rows; units refused by their whole list go to the next that has room, or has most of it."""
    counts = asks.sum(axis=1)
    chosen = np.full((len(hosts), copies), -1, dtype=np.int32)
    rows, columns = np.nonzero(asks)
    chosen[rows, (np.cumsum(asks, axis=1) - 1)[rows, columns]] = hosts[rows, columns]
    loads = _loads(chosen, sizes, len(field))
    for row in np.flatnonzero(counts < copies).tolist():
        row_hosts = _preferences(hashes[row : row + 1], field, len(field))[0][0]
        for column in range(int(counts[row]), copies):
            free = row_hosts[~np.isin(row_hosts, chosen[row])]
            room = free[loads[free] + sizes[row] <= bounds[free]]
            host = room[0] if len(room) else free[np.argmin((loads[free] + sizes[row]) / bounds[free])]
            chosen[row, column] = host
            loads[host] += sizes[row]
    return chosen
