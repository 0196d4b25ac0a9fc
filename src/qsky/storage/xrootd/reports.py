"""What the daemons say of themselves, for Prometheus: summaries that arrive as datagrams of XML, and gauges of them.

Each xrootd and cmsd with `report` in its `Instance` sends one every `xrootd_report_seconds`. Nothing here asks or
changes anything; a datagram that is no summary is counted and dropped.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from qsky.config import Settings
from qsky.errors import QskyError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# gauge -> where it stands in the summary: the kind of <stats>, and the elements below
FIGURES: Final[dict[str, tuple[str, str]]] = {
    "links": ("link", "num"),
    "links_total": ("link", "tot"),
    "bytes_in_total": ("link", "in"),
    "bytes_out_total": ("link", "out"),
    "link_timeouts_total": ("link", "tmo"),
    "link_stalls_total": ("link", "stall"),
    "requests_total": ("xrootd", "num"),
    "opens_total": ("xrootd", "ops/open"),
    "reads_total": ("xrootd", "ops/rd"),
    "writes_total": ("xrootd", "ops/wr"),
    "errors_total": ("xrootd", "err"),
    "redirects_total": ("xrootd", "rdr"),
    "delays_total": ("xrootd", "dly"),
    "logins_total": ("xrootd", "lgn/num"),
    "logins_refused_total": ("xrootd", "lgn/af"),
    "files_read": ("ofs", "opr"),
    "files_written": ("ofs", "opw"),
    "file_errors_total": ("ofs", "err"),
    "jobs": ("sched", "inq"),
    "threads": ("sched", "threads"),
}


@dataclass(frozen=True)
class Summary:
    """One daemon's figures at one moment; `instance` is its name, `program` is xrootd or cmsd, `figures` by `FIGURES`."""

    instance: str
    program: str
    host: str
    port: int
    started: int
    figures: tuple[tuple[str, float], ...]

    def figure(self, name: str) -> float:
        """One of the figures; 0 if the daemon does not give it."""
        return dict(self.figures).get(name, 0.0)


def summary_of(datagram: bytes) -> Summary | None:
    """The summary in a datagram, or None if it is something else."""
    if b"<!" in datagram:  # no summary declares anything; entities could be made to grow
        return None
    try:
        root = ElementTree.fromstring(datagram.rstrip(b"\0\n "))
        kinds = {stats.get("id", ""): stats for stats in root.iter("stats")}
        return Summary(
            instance=kinds["info"].findtext("name", ""),
            program=root.get("pgm", ""),
            host=kinds["info"].findtext("host", ""),
            port=int(kinds["info"].findtext("port", "0")),
            started=int(root.get("tos", "0")),
            figures=_figures(kinds),
        )
    except (ElementTree.ParseError, KeyError, ValueError):
        return None


def _figures(kinds: dict[str, ElementTree.Element]) -> tuple[tuple[str, float], ...]:
    found = []
    for name, (kind, place) in FIGURES.items():
        text = kinds[kind].findtext(place) if kind in kinds else None
        if text is not None:
            found.append((name, float(text)))
    return tuple(found)


class Receiver:
    """A thread that hears the summaries of daemons and keeps the last of each. `close` ends it."""

    def __init__(self, host: str, settings: Settings, registry: CollectorRegistry | None = None, port: int = 0) -> None:
        """`port` 0 is any."""
        self._lock = threading.Lock()
        self._latest: dict[tuple[str, str], Summary] = {}
        self._settings = settings
        self._gauges = _Gauges(registry) if registry is not None else None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(0.5)
        self._socket.bind((host, port))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="xrootd-reports", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """host:port for `Instance.report`."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def latest(self) -> tuple[Summary, ...]:
        """The last summary of each daemon."""
        with self._lock:
            return tuple(self._latest.values())

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                summary = summary_of(self._socket.recv(self._settings.xrootd_report_bytes_max))
                if summary is not None:
                    self.hear(summary)

    def hear(self, summary: Summary) -> None:
        """Keep a summary as the last of its daemon, and show it."""
        with self._lock:
            key = (summary.instance, summary.program)
            if key not in self._latest and len(self._latest) >= self._settings.xrootd_reporters_max:
                return
            self._latest[key] = summary
        if self._gauges is not None:
            self._gauges.show(summary)


class _Gauges:
    """The figures as gauges `qsky_xrootd_<figure>`, labelled with instance and program."""

    def __init__(self, registry: CollectorRegistry) -> None:
        try:
            from prometheus_client import Gauge
        except ImportError:
            raise QskyError(
                "not-installed", "The package prometheus-client is not installed.", hint="pip install 'qsky[cluster]'"
            ) from None
        labels = ("instance", "program")
        self._gauges = {
            name: Gauge(f"qsky_xrootd_{name}", f"{kind}/{place} of XRootD's summary", labels, registry=registry)
            for name, (kind, place) in FIGURES.items()
        }

    def show(self, summary: Summary) -> None:
        for name, value in summary.figures:
            self._gauges[name].labels(summary.instance, summary.program).set(value)
