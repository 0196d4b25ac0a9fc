"""What one XRootD host is, as frozen values: where it is met, what it holds, whose keys it has. Pure.

`config` makes texts of these, `daemons` processes, `files` addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from qsky.errors import QskyError

_SOCKET_PATH_MAX: Final = 107  # bytes of a Unix socket's path, by the kernel
_SOCKET_LONGEST: Final = ".olb/olbd.nimda"


class Role(StrEnum):
    """What an instance does: redirectors know who holds a part, servers hold parts."""

    REDIRECTOR = "manager"
    SERVER = "server"


@dataclass(frozen=True)
class Redirector:
    """Where a redirector is met: clients at `port`, the cmsd of servers at `cms_port`."""

    host: str
    port: int
    cms_port: int


@dataclass(frozen=True)
class KeyFiles:
    """The files of keys that an instance needs: the shared secret, the CA, its own certificate and key (PEM)."""

    sss: Path
    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Instance:
    """One xrootd with its cmsd. A redirector's own entry is the only one in its `redirectors`.

    `folder` is for its configuration, sockets and logs; `parts` is where a server's parts lie (`parts/qsky/<part>`).
    `admitted` are the hosts that may connect at all, names or addresses, with `*` for any letters; empty means any.
    `encrypted` asks TLS of every client of root://; https is always there. `report` is the host:port to which summaries go.
    """

    name: str
    role: Role
    host: str
    port: int
    redirectors: tuple[Redirector, ...]
    folder: Path
    keys: KeyFiles
    parts: Path | None = None
    report: str = ""
    admitted: tuple[str, ...] = ()
    encrypted: bool = True

    def __post_init__(self) -> None:
        if self.role is Role.REDIRECTOR and [(r.host, r.port) for r in self.redirectors] != [(self.host, self.port)]:
            raise QskyError("usage", f"The redirector {self.name} must name itself as its only redirector.")
        if (self.role is Role.SERVER) is (self.parts is None):
            raise QskyError("usage", f"A server of parts has a folder of parts, a redirector has none: {self.name}.")
        if not self.redirectors:
            raise QskyError("usage", f"The server {self.name} has no redirector.")
        if len(str(self.sockets / _SOCKET_LONGEST).encode()) > _SOCKET_PATH_MAX:
            raise QskyError(
                "usage",
                f"The folder {self.folder} has too long a name for the sockets of {self.name}.",
                hint="Choose a data folder with a shorter path.",
            )

    @property
    def sockets(self) -> Path:
        """The folder of the sockets, which xrootd makes below the adminpath."""
        return self.folder / self.name

    @property
    def notes(self) -> Path:
        """The socket at which the cmsd hears of new and deleted files."""
        return self.sockets / ".olb" / "olbd.notes"


@dataclass(frozen=True)
class Access:
    """What a client needs to reach the parts: the redirectors, the shared secret, the CA, whether to encrypt."""

    redirectors: tuple[Redirector, ...]
    sss: Path
    ca: Path
    encrypted: bool = True

    @property
    def scheme(self) -> str:
        return "roots" if self.encrypted else "root"


def access_to(instance: Instance) -> Access:
    """How to reach the cluster that an instance belongs to, with the instance's own keys."""
    return Access(instance.redirectors, instance.keys.sss, instance.keys.ca, instance.encrypted)
