"""Finds the holders of a part and fetches it from any of them, whole and checked, into a file.

Workers and coordinators call it. XRootD only says *where*: that a part exists, its size and its digest are in the
revision, so "nobody has it" is asked again, and a copy that differs is as good as none. A copy is read from its server
directly and not by a redirector's choice: a server that fails or whose copy is bad is then left out for certain.
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.storage.store import DIGEST_LETTERS, fsync_folder, io_errors, make_folders
from qsky.storage.xrootd.client import EVERYTHING, Holder, RemotePart, Session, Unreachable, session
from qsky.storage.xrootd.instance import Access
from qsky.storage.xrootd.names import lfn

ASIDE: Final = ".part"


class BadCopy(Exception):
    """A copy is not the part: its size or digest differs. Never seen by users."""


@dataclass(frozen=True)
class Wanted:
    """A part as the revision knows it: its name, its size, the start of its SHA-256.

    `without` are holders that are not asked, such as oneself.
    """

    part: str
    bytes: int
    digest: str
    without: frozenset[Holder] = frozenset()


@dataclass(frozen=True)
class Refusal:
    """Why a holder did not give the part; `bad` says that its copy is damaged and wants to be replaced."""

    holder: Holder
    why: str
    bad: bool


@dataclass(frozen=True)
class Fetched:
    """A part that lies here now, where it came from, and who failed before."""

    path: Path
    holder: Holder
    refusals: tuple[Refusal, ...] = ()


class Files:
    """The parts of one cluster. Every method may be called by several threads at once."""

    def __init__(self, access: Access, settings: Settings) -> None:
        self._access = access
        self._settings = settings
        self._session: Session = session(access, settings)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, tuple[Holder, ...]]] = OrderedDict()
        self._avoided: dict[Holder, float] = {}
        self._met: set[Holder] = set()

    def locate(self, part: str, *, anew: bool = False) -> tuple[Holder, ...]:
        """Who holds a part, as far as redirectors know; nobody if they find none. A hint: `fetch` finds out.

        The first answer about a part may lack holders that are slower than others, and takes seconds if nobody holds it.
        Answers are remembered for `xrootd_location_seconds`. Raises part-unreachable if no redirector answers.
        """
        name = lfn(part)
        known = None if anew else self._remembered(name)
        if known is not None:
            return known
        holders = self._asked(name, anew)
        self._remember(name, holders)
        return holders

    def fetch(self, wanted: Wanted, into: Path, stop: Callable[[], bool] = lambda: False) -> Fetched:
        """Copy a part to the file `into`, durable and with the wanted size and digest, from whoever holds it.

        The bytes come by way of a `.part` file beside it, which nothing remains of. `stop` is asked between blocks.
        Raises part-unreachable after `xrootd_rounds_max` rounds or `xrootd_fetch_seconds_max`, cancelled, disk-full.
        """
        refusals: list[Refusal] = []
        watch = _Watch(stop, self._settings.xrootd_fetch_seconds_max)
        for holder in self._offers(wanted, refusals, watch):
            try:
                self._copy(holder, wanted, into, watch)
            except Unreachable as why:
                self._avoid(holder)
                refusals.append(Refusal(holder, str(why), bad=False))
            except BadCopy as why:
                refusals.append(Refusal(holder, str(why), bad=True))
            else:
                return Fetched(into, holder, tuple(refusals))
        raise _unreachable(wanted.part, refusals)

    def forget(self, part: str) -> None:
        """Ask redirectors again when this part is next located."""
        with self._lock:
            self._known.pop(lfn(part), None)

    def _offers(self, wanted: Wanted, refusals: list[Refusal], watch: _Watch) -> Iterator[Holder]:
        """Holders to try: in each round those whose copy is not bad.

        If redirectors name nobody, and in the last round, it is every server there is.
        """
        for number in range(self._settings.xrootd_rounds_max):
            if number:
                watch.pause(self._settings.xrootd_retry_seconds * 2 ** (number - 1))
            offers = set(self._located(wanted.part, anew=number > 0))
            if not offers or number == self._settings.xrootd_rounds_max - 1:
                offers |= self._everyone()  # a server that lost its cmsd is named by no redirector, but gives its parts
            yield from self._lately_failed_last(
                offers - wanted.without - {refusal.holder for refusal in refusals if refusal.bad}
            )

    def _located(self, part: str, *, anew: bool) -> tuple[Holder, ...]:
        """As `locate`; silent redirectors may speak in the next round."""
        try:
            return self.locate(part, anew=anew)
        except QskyError as error:
            if error.code.name != "part-unreachable":
                raise
            return ()

    def _everyone(self) -> set[Holder]:
        """Every server that a redirector lists now or that was ever met."""
        with suppress(QskyError):
            self._meet(self._asked(EVERYTHING, anew=False))
        with self._lock:
            return set(self._met)

    def _copy(self, holder: Holder, wanted: Wanted, into: Path, watch: _Watch) -> None:
        aside = into.with_name(f"{into.name}-{secrets.token_hex(4)}{ASIDE}")
        with io_errors(into.name):
            make_folders(into.parent)
        try:
            with self._session.opened(holder, lfn(wanted.part)) as remote:
                self._read(remote, wanted, aside, watch)
            with io_errors(into.name):
                os.replace(aside, into)
                fsync_folder(into.parent)
        finally:
            aside.unlink(missing_ok=True)

    def _read(self, remote: RemotePart, wanted: Wanted, aside: Path, watch: _Watch) -> None:
        if (size := remote.size()) != wanted.bytes:
            raise BadCopy(f"its size is {size} instead of {wanted.bytes}")
        digest = hashlib.sha256()
        with io_errors(aside.name), aside.open("xb") as file:
            for offset in range(0, wanted.bytes, self._settings.xrootd_block_bytes):
                watch.look()
                length = min(self._settings.xrootd_block_bytes, wanted.bytes - offset)
                content = remote.read(offset, length)
                if len(content) != length:
                    raise BadCopy(f"it ends after {offset + len(content)} of {wanted.bytes} bytes")
                digest.update(content)
                file.write(content)
            if digest.hexdigest()[:DIGEST_LETTERS] != wanted.digest:
                raise BadCopy("its content has another digest")
            file.flush()
            os.fsync(file.fileno())

    def _asked(self, name: str, anew: bool) -> tuple[Holder, ...]:
        """The first redirector's answer that names somebody."""
        silent: list[str] = []
        redirectors = {Holder(redirector.host, redirector.port): redirector for redirector in self._access.redirectors}
        for place in self._lately_failed_last(redirectors):
            try:
                if holders := self._session.locate(redirectors[place], name, anew=anew):
                    return holders
            except Unreachable as why:
                self._avoid(place)
                silent.append(f"{place}: {why}")
        if len(silent) == len(redirectors):
            raise QskyError("part-unreachable", f"No redirector answers: {'; '.join(silent)}")
        return ()

    def _remembered(self, name: str) -> tuple[Holder, ...] | None:
        with self._lock:
            until, holders = self._known.get(name, (0.0, ()))
        return holders if until > time.monotonic() else None

    def _meet(self, servers: tuple[Holder, ...]) -> None:
        with self._lock:
            self._met.update(servers)

    def _remember(self, name: str, holders: tuple[Holder, ...]) -> None:
        self._meet(holders)
        with self._lock:
            self._known.pop(name, None)
            if holders:  # nobody is an answer for a moment only
                self._known[name] = (time.monotonic() + self._settings.xrootd_location_seconds, holders)
            for oldest in list(islice(self._known, max(0, len(self._known) - self._settings.xrootd_locations_max))):
                del self._known[oldest]

    def _lately_failed_last(self, places: Iterable[Holder]) -> list[Holder]:
        """In a random order, so that all are asked alike."""
        with self._lock:
            failed = dict(self._avoided)
        now = time.monotonic()
        return sorted(places, key=lambda place: (failed.get(place, 0.0) > now, random.random()))

    def _avoid(self, holder: Holder) -> None:
        """Try others first for a while."""
        with self._lock:
            self._avoided[holder] = time.monotonic() + self._settings.xrootd_avoid_seconds


class _Watch:
    """When a fetch must end: on request, or when its time is over."""

    def __init__(self, stop: Callable[[], bool], seconds_max: float) -> None:
        self._stop = stop
        self._seconds_max = seconds_max
        self._end = time.monotonic() + seconds_max

    def look(self) -> None:
        if self._stop():
            raise QskyError("cancelled", "The fetch of a part was stopped.")
        if time.monotonic() > self._end:
            raise QskyError(
                "part-unreachable",
                f"A part could not be fetched within xrootd_fetch_seconds_max, {self._seconds_max:g} seconds.",
            )

    def pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.look()
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
            self.look()


def _unreachable(part: str, refusals: list[Refusal]) -> QskyError:
    told = "; ".join(f"{refusal.holder}: {refusal.why}" for refusal in refusals) or "no server has it"
    return QskyError(
        "part-unreachable",
        f"No good copy of the part {part} could be read: {told}.",
        hint="`qsky cluster status` shows which servers are up.",
    )
