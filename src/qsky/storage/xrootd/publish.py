"""Tells redirectors at once that a part has come or gone on this host.

A redirector remembers who has a file and who has not, for hours. A worker writes its parts past XRootD, so it says so
to its own cmsd, which tells all redirectors: one line in a datagram to a socket of the cmsd. That interface is used by
XRootD itself but documented nowhere; `tests/xrootd` holds it to its word.
"""

from __future__ import annotations

import socket

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.storage.xrootd.instance import Instance
from qsky.storage.xrootd.names import lfn


def publish(instance: Instance, part: str, settings: Settings) -> None:
    """Say that a part lies on this host now. Raises xrootd-failed if the cmsd is not there to be told."""
    announce(instance, lfn(part), settings)


def announce(instance: Instance, name: str, settings: Settings) -> None:
    """Say that a file of XRootD's own names lies on this host. Raises xrootd-failed."""
    _tell(instance, settings, f"newfn {name}\n")


def retract(instance: Instance, part: str, settings: Settings) -> None:
    """Say that a part is no longer on this host. Raises xrootd-failed."""
    _tell(instance, settings, f"rmdid {lfn(part)}\n")


def _tell(instance: Instance, settings: Settings, line: str) -> None:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notes:
            notes.settimeout(settings.xrootd_notice_seconds_max)
            notes.sendto(line.encode(), str(instance.notes))
    except OSError as error:
        raise QskyError(
            "xrootd-failed",
            f"The cmsd of {instance.name} could not be told of a part: {error.strerror or error}.",
            hint="It hears of all parts when it is back.",
        ) from error
