"""How the DuckDB instances of one process are opened: locked to the folders it may read, with our functions in them.

Called by `worker.serve` through the transports, and by `engine` for the instances that merge. A worker process of a
cluster opens its instances with the same words as an engine that runs alone, so that both give the same rows.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

from qsky.config import Settings
from qsky.duck import Duck
from qsky.sky.functions import ARROW_FUNCTIONS, MACROS


class Ducks:
    """Opens instances. Safe for several threads."""

    def __init__(self, settings: Settings, folders: Iterable[str], spill_folder: Path | None = None) -> None:
        """`folders` are all that fragments may read, besides what is allowed later."""
        self._settings = settings
        self._folders = tuple(folders)
        self._spill_folder = spill_folder or Path(tempfile.gettempdir()) / f"qsky-spill-{id(self):x}"
        self._lock = threading.Lock()

    def allow(self, folders: Iterable[str]) -> bool:
        """Let instances opened from now on read more folders and addresses; whether any of them is new."""
        with self._lock:
            new = sorted(set(folders) - {""} - set(self._folders))
            self._folders = (*self._folders, *new)
        return bool(new)

    def allows(self, address: str) -> bool:
        """Whether instances opened from now on may read a file."""
        return any(address.startswith(folder.rstrip("/") + "/") for folder in self._folders)

    def under(self, interactive: bool) -> Duck:
        """An instance under the line: for interactive fragments alone, or for all."""
        return self._opened(self._settings.permit_bytes_max, self._folders, footers_kept=interactive, same_plan=True)

    def above(self, memory_bytes: int) -> Duck:
        """An instance that merges, and reads no file."""
        return self._opened(memory_bytes, ())

    def _opened(
        self, memory_bytes: int, folders: tuple[str, ...], *, footers_kept: bool = False, same_plan: bool = False
    ) -> Duck:
        duck = Duck(
            memory_bytes=memory_bytes,
            spill_bytes_max=self._settings.spill_bytes_max // (self._settings.cores + 2),
            answer_bytes_max=self._settings.memory_bytes_max // 2,
            held_bytes_max=self._settings.piece_bytes_held_max,
            temp_dir=self._spill_folder,
            folders=folders,
            macros=MACROS,
            footers_kept=footers_kept,
            same_plan=same_plan,
        )
        for function in ARROW_FUNCTIONS:
            duck.register_function(function.name, function.function, function.arguments, function.result)
        if any("://" in folder for folder in folders):
            from qsky.storage.objects import RemoteFiles  # slow to import, and rarely needed

            duck.register_files(RemoteFiles(self._settings.http_seconds_max))
        return duck
