"""The keeper's lease on a site whose metadata root is one folder: a lock of the kernel, and epochs that only grow.

The lock goes with the process that holds it, so there are never two; each holder makes the next epoch by creating a
file that nobody had created before.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

LEASE = "keeper"


class SiteLease:
    """Held from the first `acquire` that gives an epoch until `release` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handle: int | None = None

    def acquire(self) -> int | None:
        """The epoch, or None while another process holds the lease."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._folder / f"{LEASE}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        self._handle = handle
        return self._next_epoch()

    def _next_epoch(self) -> int:
        used = [int(name.suffix[1:]) for name in self._folder.glob(f"{LEASE}-epoch.*")]
        epoch = max(used, default=0) + 1
        (self._folder / f"{LEASE}-epoch.{epoch}").touch(exist_ok=False)
        for old in used:
            if old < epoch - 1:
                (self._folder / f"{LEASE}-epoch.{old}").unlink(missing_ok=True)
        return epoch

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
