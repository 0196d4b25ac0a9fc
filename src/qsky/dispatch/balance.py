"""Which worker an attempt goes to. Pure.

Called by `dispatch.dask`. A fragment goes to the first of its homes, so that queries that read the same parts meet at
one worker and share them, unless that one has much more to do than another that would do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

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


def ranked(names: Sequence[str], about: str) -> list[str]:
    """The names in an order that depends on `about` alone, and changes little when one comes or goes."""
    return sorted(names, key=lambda name: blake2b(f"{name} {about}".encode(), digest_size=8).digest())


def chosen(hosts: Collection[Host], homes: Sequence[str], avoid: Collection[str], size_bytes: int) -> Host | None:
    """The worker for a fragment of so many bytes; None if there is none. `avoid` are addresses."""
    heard = [host for host in hosts if not host.silent] or list(hosts)
    place = {name: number for number, name in enumerate(homes)}
    for wanted in (
        [host for host in heard if host.name in place and host.address not in avoid],
        [host for host in heard if host.address not in avoid],
        heard,
    ):
        if wanted:
            idlest = min(wanted, key=lambda host: (host.bytes, host.attempts))
            first = min(wanted, key=lambda host: place.get(host.name, len(place)))
            much = _LEAN * idlest.bytes + _FRAGMENTS_MORE * size_bytes
            return first if first.name in place and first.bytes <= much else idlest
    return None
