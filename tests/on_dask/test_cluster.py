"""Queries on real worker processes: the rows of one process, and everything stops when it should."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import Any
from urllib.request import urlopen

import pyarrow as pa
import pytest

from qsky.carried import error_of, fragment_bytes, unpacked
from qsky.config import Settings
from qsky.dispatch.dask import DaskTransport, link_to
from qsky.dispatch.run import run
from qsky.dispatch.state import Failed, Limits
from qsky.dispatch.transport import Mailbox
from qsky.engine import Engine
from qsky.errors import QskyError
from qsky.fragment import Fragment, Input, PartFile
from qsky.worker.post import Post
from qsky.worker.station import Certificates
from tests.certificates import certificates_in
from tests.cluster_process import Echo, SharedParts
from tests.dask_cluster import Cluster, until
from tests.engine.shapes import SHAPES
from tests.engine.test_at_once import SCANS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dask")]
ENDLESS = "SELECT sum(sqrt(a.range * b.range)) AS s FROM range(1000000) a, range(1000000) b"


def sums(status: dict[str, dict[str, Any]], name: str) -> int:
    return sum(said[name] for said in status.values())


def endless(at: int) -> Fragment:
    return Fragment(at, ENDLESS, (), 1, 1)


def test_the_same_rows_as_in_one_process(engines: tuple[Engine, Engine]) -> None:
    local, remote = engines
    texts = [*SCANS, *(ours for cases, lang in list(SHAPES.values())[:3] if lang == "mysql" for ours, _ in cases[::12])]
    assert len(texts) > 8
    for text in texts:
        assert remote.query(text).arrow().equals(local.query(text).arrow()), text


def test_errors_are_those_of_one_process(engines: tuple[Engine, Engine]) -> None:
    text = "SELECT SUM(1000000000 * (id + 1000000) * 1000000) FROM db.obj WHERE CAST(CAST(id * 100000 AS CHAR) AS SIGNED) > 0"
    said = []
    for engine in engines:
        with pytest.raises(QskyError) as caught:
            engine.query(text).arrow()
        said.append((caught.value.code.name, str(caught.value)))
    assert said[0] == said[1]


def test_a_cancel_reaches_every_worker_at_once(cluster: Cluster, transport: DaskTransport) -> None:
    link = cluster.links[0]
    pieces = run(9, endless, transport, Limits(slots=9))
    threading.Thread(target=lambda: next(pieces, None), daemon=True).start()
    until(lambda: [said["running"] for said in link.status().values()] == [1, 1, 1])
    began = monotonic()
    transport.close()
    until(lambda: sums(link.status(), "running") == sums(link.status(), "waiting") == 0)
    assert monotonic() - began < 15, "a third of a second on a machine at rest"
    assert len(list(run(3, lambda at: Fragment(at, "SELECT 1 AS n", (), 1, 1), transport, Limits(slots=3)))) == 3


def test_a_client_that_is_gone_stops_its_work(cluster: Cluster) -> None:
    link = cluster.links[0]
    other = cluster.link()
    other.wait_for_workers(3, 20)
    mailbox: Mailbox = SimpleQueue()
    DaskTransport(other, "/").submit(0, endless(0), mailbox)
    until(lambda: sums(link.status(), "running") == 1)
    other.close()
    until(lambda: sums(link.status(), "running") == 0)


def test_a_large_piece_is_pulled_whole(cluster: Cluster, transport: DaskTransport) -> None:
    sql = "SELECT range AS a, range * 0.5 AS b, CAST(range AS VARCHAR) AS c FROM range(2000000)"
    (piece,) = run(1, lambda at: Fragment(at, sql, (), 1, 1), transport, Limits(slots=1))
    assert piece.filed and piece.table.nbytes > 50_000_000
    assert piece.table["a"].to_numpy().sum() == 1_999_999 * 1_000_000
    assert piece.table["c"][1_999_999].as_py() == "1999999"
    until(lambda: sums(cluster.links[0].status(), "spooled_bytes") == 0)
    assert sums(cluster.links[0].status(), "pieces") == 0


def test_large_rows_that_are_given_go_ahead_once(cluster: Cluster, transport: DaskTransport) -> None:
    given = pa.table({"k": pa.array(range(400_000)), "t": ["x"] * 400_000})

    def summed(at: int) -> Fragment:
        return Fragment(at, f"SELECT sum(k) + {at} AS s FROM g", (), 1, 1, given=(("g", given),))

    found = [piece.table["s"][0].as_py() for piece in run(6, summed, transport, Limits(slots=6))]
    assert found == [399_999 * 200_000 + at for at in range(6)]
    assert 0 < sums(cluster.links[0].status(), "spooled_bytes") < 4 * given.nbytes


def test_scans_at_once_share_what_is_decoded(cluster: Cluster, engines: tuple[Engine, Engine]) -> None:
    """Whether two scans meet is a matter of time: on a machine with other work to do they may have to be asked again."""
    local, remote = engines
    alone = {text: local.query(text).arrow() for text in SCANS}

    def ask_all() -> None:
        with ThreadPoolExecutor(16) as threads:
            found = threads.map(lambda n: (n, remote.query(SCANS[n % len(SCANS)]).arrow()), range(16))
            assert all(table.equals(alone[SCANS[n % len(SCANS)]]) for n, table in found)

    before = sums(cluster.links[0].status(), "shared")
    for _ in range(20):
        ask_all()
        if sums(cluster.links[0].status(), "shared") > before:
            return
    pytest.fail("320 scans, 16 at once, and no two shared what was decoded")


def test_a_worker_reads_nothing_outside_its_folders(tmp_path: Path) -> None:
    """In the process of a test, where a Post needs no network."""
    post = Post(Settings(threads=1), SharedParts(tmp_path), [str(tmp_path)], tmp_path / "data")
    for address in ("/etc/hostname", "https://example.org/part.parquet"):
        done = threading.Event()
        source = Input("t", (PartFile(address, 1),), (("a", "BIGINT"),))
        post.receive("q-1", fragment_bytes(Fragment(0, 'SELECT "a" FROM {t}', (source,), 1, 1), {}), done.set)
        assert done.wait(5)
        error = error_of(unpacked(post.pieces.reply("q-1"))[0])
        assert error is not None and error.code.name == "no-access"
        post.drop("q-1")
    post.close()


def test_the_scheduler_tells_its_metrics_where_it_was_told(cluster: Cluster) -> None:
    with urlopen(f"http://127.0.0.1:{cluster.http_port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert "dask_scheduler_workers" in text


def test_another_work_is_obeyed_by_name(cluster: Cluster) -> None:
    assert cluster.links[0].order("w1", Echo("heard")).result(10) == Echo("heard")
    with pytest.raises(QskyError) as caught:
        cluster.links[0].order("w9", Echo("lost")).result(10)
    assert caught.value.code.name == "no-cluster"


def test_without_tls_nobody_is_spoken_to(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(QskyError) as caught:
        link_to(f"tcp://127.0.0.1:{cluster.port}", cluster.certificates, cluster.settings)
    assert caught.value.code.name == "insecure"
    with pytest.raises(QskyError) as caught:
        link_to(cluster.address, Certificates(tmp_path, tmp_path, tmp_path), cluster.settings)
    assert caught.value.code.name == "insecure"
    with socket.create_connection(("127.0.0.1", cluster.port), timeout=5) as plain:
        plain.sendall(b"\x01" + b"\0" * 63)
        with suppress(ConnectionResetError):
            assert plain.recv(1000)[:1] in (b"", b"\x15"), "an alert of TLS, or the end"


def test_an_authority_of_ones_own_is_not_believed(cluster: Cluster, tmp_path: Path) -> None:
    stranger = link_to(
        cluster.address,
        Certificates(*certificates_in(tmp_path)),
        cluster.settings.with_changes(cluster_wait_seconds=1.0),
    )
    mailbox: Mailbox = SimpleQueue()
    DaskTransport(stranger, "/").submit(0, endless(0), mailbox)
    report = mailbox.get(timeout=10)
    stranger.close()
    assert isinstance(report, Failed) and report.error.code.name == "no-cluster"
