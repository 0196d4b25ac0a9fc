"""Real daemons: finding, fetching, publishing, who is let in, what is reported."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from qsky.errors import QskyError
from qsky.storage.xrootd.client import EVERYTHING, session
from qsky.storage.xrootd.keys import make_authority, make_sss_key
from qsky.storage.xrootd.names import lfn
from qsky.storage.xrootd.publish import publish, retract
from qsky.storage.xrootd.reports import Receiver
from tests.xrootd.cluster import HOST, QUICK, Cluster, eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("xrootd")]

CONTENT = os.urandom(3_000_000)


def part(name: str, owner: str = "public") -> str:
    return f"{owner}/dr1/t.hats/t/g0001/dataset/Norder=0/Dir=0/Npix=1/{name}.parquet"


def test_redirectors_list_every_server_by_name(cluster: Cluster) -> None:
    for redirector in cluster.access.redirectors:
        found = session(cluster.access, QUICK).locate(redirector, EVERYTHING)
        assert set(found) == {cluster.holder(number) for number in range(3)}


def test_a_part_is_fetched_whole_from_whoever_has_it(cluster: Cluster, tmp_path: Path) -> None:
    wanted = cluster.place(part("whole"), CONTENT, 0, 2)
    files = cluster.files()
    assert set(files.locate(wanted.part)) <= {cluster.holder(0), cluster.holder(2)}
    assert eventually(lambda: len(cluster.files().locate(wanted.part)) == 2)  # the first answer may lack the slower one
    fetched = files.fetch(wanted, tmp_path / "deep" / "part.parquet")
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.holder in (cluster.holder(0), cluster.holder(2))
    assert fetched.refusals == ()
    assert list((tmp_path / "deep").iterdir()) == [fetched.path]
    assert stat.S_IMODE(fetched.path.stat().st_mode) == 0o644


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), CONTENT + b"x"])
def test_a_bad_copy_is_told_and_another_is_read(cluster: Cluster, tmp_path: Path, content: bytes) -> None:
    wanted = cluster.place(part(f"bad{len(content)}-{content[-1:].hex()}"), CONTENT, 0, 1)
    cluster.path(wanted.part, 0).write_bytes(content)
    fetches = [cluster.files().fetch(wanted, tmp_path / f"{n}.parquet") for n in range(6)]
    assert {fetched.holder for fetched in fetches} == {cluster.holder(1)}
    refusals = [refusal for fetched in fetches for refusal in fetched.refusals]
    assert all(refusal.bad and refusal.holder == cluster.holder(0) for refusal in refusals)
    assert all(fetched.path.read_bytes() == CONTENT for fetched in fetches)
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.long
def test_bad_copies_alone_are_an_error_that_names_them(cluster: Cluster, tmp_path: Path) -> None:
    wanted = cluster.place(part("worse"), CONTENT, 1)
    cluster.path(wanted.part, 1).write_bytes(CONTENT[::-1])
    with pytest.raises(QskyError, match=rf"{cluster.holder(1)}: its content has another digest") as caught:
        cluster.files().fetch(wanted, tmp_path / "part.parquet")
    assert caught.value.code.name == "part-unreachable"
    assert list(tmp_path.iterdir()) == []


def test_holders_are_left_out_on_request(cluster: Cluster, tmp_path: Path) -> None:
    wanted = replace(cluster.place(part("others"), CONTENT, 0, 1), without=frozenset([cluster.holder(0)]))
    assert {cluster.files().fetch(wanted, tmp_path / str(n)).holder for n in range(4)} == {cluster.holder(1)}


def test_a_fetch_is_stopped_on_request_and_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    wanted = cluster.place(part("stopped"), CONTENT, 0)
    with pytest.raises(QskyError) as caught:
        cluster.files().fetch(wanted, tmp_path / "part.parquet", stop=lambda: True)
    assert caught.value.code.name == "cancelled"
    assert list(tmp_path.iterdir()) == []


def test_a_part_appears_everywhere_when_it_is_published_although_it_was_missed_before(cluster: Cluster) -> None:
    name = part("published")
    asked = session(cluster.access, QUICK)
    for redirector in cluster.access.redirectors:
        assert asked.locate(redirector, lfn(name)) == ()  # and this is remembered
    cluster.place(name, CONTENT, 0, told=False)
    publish(cluster.servers[0].instance, name, QUICK)
    for redirector in cluster.access.redirectors:
        assert eventually(lambda at=redirector: set(asked.locate(at, lfn(name))) == {cluster.holder(0)}, 2)  # type: ignore[misc]
    cluster.place(name, CONTENT, 1, told=False)
    publish(cluster.servers[1].instance, name, QUICK)
    for redirector in cluster.access.redirectors:
        assert eventually(lambda at=redirector: len(asked.locate(at, lfn(name))) == 2, 2)  # type: ignore[misc]
    cluster.path(name, 0).unlink()
    retract(cluster.servers[0].instance, name, QUICK)
    for redirector in cluster.access.redirectors:
        assert eventually(lambda at=redirector: set(asked.locate(at, lfn(name))) == {cluster.holder(1)}, 2)  # type: ignore[misc]


@pytest.mark.long
def test_a_part_missed_before_is_fetched_once_it_is_published(cluster: Cluster, tmp_path: Path) -> None:
    files = cluster.files()
    assert files.locate(part("late")) == ()
    wanted = cluster.place(part("late"), CONTENT, 2, told=False)
    assert files.locate(part("late")) == ()  # nobody told the redirectors
    publish(cluster.servers[2].instance, wanted.part, QUICK)
    assert files.fetch(wanted, tmp_path / "part.parquet").holder == cluster.holder(2)


@pytest.mark.long
def test_a_part_nobody_told_of_is_found_by_asking_again(cluster: Cluster, tmp_path: Path) -> None:
    files = cluster.files()
    assert files.locate(part("untold")) == ()
    wanted = cluster.place(part("untold"), CONTENT, 2, told=False)
    assert files.fetch(wanted, tmp_path / "part.parquet").holder == cluster.holder(2)


def test_the_client_library_counts_references_rightly(cluster: Cluster, tmp_path: Path) -> None:
    """What it took from True and False once too often, a worker would die of after some thousand parts."""
    wanted = cluster.place(part("counted-references"), b"x" * 1000, 0)
    lost = {True: -sys.getrefcount(True), False: -sys.getrefcount(False)}
    for _ in range(30):
        cluster.files().fetch(wanted, tmp_path / "part.parquet")
    assert {value: sys.getrefcount(value) + before > -20 for value, before in lost.items()} == {True: True, False: True}


# -- who is let in


def run(
    cluster: Cluster, command: list[str], *, key: Path | None, ca: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """A command of Debian's client, with a home of its own so that no key is found by chance."""
    ca = ca or cluster.keys.ca
    authorities = ca.parent / "authorities"
    authorities.mkdir(exist_ok=True)
    hashing = ["openssl", "x509", "-hash", "-noout", "-in", str(ca)]
    hashed = subprocess.run(hashing, capture_output=True, text=True, check=True).stdout
    (authorities / f"{hashed.strip()}.0").write_bytes(ca.read_bytes())
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(cluster.folder), "X509_CERT_DIR": str(authorities),
        "X509_CERT_FILE": str(ca), "XRD_CONNECTIONWINDOW": "3", "XRD_CONNECTIONRETRY": "1", "XRD_REQUESTTIMEOUT": "5",
        **({"XrdSecSSSKT": str(key), "XrdSecPROTOCOL": "sss"} if key else {}),
    }  # fmt: skip
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("scheme", ["root", "roots"])
def test_inside_nothing_is_read_without_the_key(cluster: Cluster, tmp_path: Path, scheme: str) -> None:
    wanted = cluster.place(part("inside"), CONTENT, 0)
    other = make_sss_key(tmp_path / "other")
    for number, port in enumerate([cluster.access.redirectors[0].port, cluster.holder(0).port]):
        for key in (None, other):
            command = ["xrdcp", "-s", f"{scheme}://{HOST}:{port}/{lfn(wanted.part)}", str(tmp_path / f"got{number}")]
            refused = run(cluster, command, key=key)
            assert refused.returncode != 0 and "Auth failed" in refused.stderr
    assert not list(tmp_path.glob("got*"))


def test_xrdcp_reads_through_either_redirector_and_writes_with_the_key(cluster: Cluster, tmp_path: Path) -> None:
    wanted = cluster.place(part("copied", "private"), CONTENT, 1)
    cluster.let_daemons_write()
    for number, redirector in enumerate(cluster.access.redirectors):
        base = f"roots://{HOST}:{redirector.port}/"
        copied = run(
            cluster, ["xrdcp", "-s", base + lfn(wanted.part), str(tmp_path / str(number))], key=cluster.keys.sss
        )
        assert copied.returncode == 0, copied.stderr
        assert (tmp_path / str(number)).read_bytes() == CONTENT
    wrote = run(cluster, ["xrdcp", "-s", str(tmp_path / "0"), base + lfn(part("written"))], key=cluster.keys.sss)
    assert wrote.returncode == 0, wrote.stderr
    assert cluster.files().locate(part("written")) != ()


def test_a_server_of_another_authority_is_not_believed(cluster: Cluster, tmp_path: Path) -> None:
    wanted = cluster.place(part("believed"), CONTENT, 0)
    address = f"roots://{HOST}:{cluster.holder(0).port}/{lfn(wanted.part)}"
    other, _ = make_authority(tmp_path / "other", 2)
    refused = run(cluster, ["xrdcp", "-s", address, str(tmp_path / "got")], key=cluster.keys.sss, ca=other)
    assert refused.returncode != 0 and "TLS error" in refused.stderr
    assert not (tmp_path / "got").exists()


def https(cluster: Cluster, port: int, name: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and body by a client that knows the authority and has no key; redirects are followed."""
    context = ssl.create_default_context(cafile=str(cluster.keys.ca))
    body = b"x" if method == "PUT" else None
    request = urllib.request.Request(f"https://{HOST}:{port}{name}", method=method, data=body)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def test_outside_public_parts_are_read_over_https_and_redirects_keep_to_it(cluster: Cluster) -> None:
    wanted = cluster.place(part("https"), CONTENT, 1)
    for port in (*(redirector.port for redirector in cluster.access.redirectors), cluster.holder(1).port):
        assert https(cluster, port, lfn(wanted.part)) == (200, CONTENT)
        assert https(cluster, port, lfn(wanted.part), "HEAD")[0] == 200


def test_outside_private_parts_do_not_exist(cluster: Cluster) -> None:
    wanted = cluster.place(part("hidden", "private"), CONTENT, 1)
    for port in (cluster.access.redirectors[0].port, cluster.holder(1).port):
        for name in (lfn(wanted.part), lfn(part("absent", "private")), "/qsky/public/../private/" + wanted.part[8:]):
            assert https(cluster, port, name)[0] in (400, 403, 404)
            assert (
                https(cluster, port, name)[0] == https(cluster, port, lfn(part("absent", "private")))[0] or ".." in name
            )


def test_outside_nothing_is_written_deleted_or_listed(cluster: Cluster) -> None:
    wanted = cluster.place(part("kept"), CONTENT, 1)
    server = cluster.holder(1).port
    assert https(cluster, server, lfn(part("new")), "PUT")[0] == 403
    assert https(cluster, server, lfn(wanted.part), "PUT")[0] == 403
    assert https(cluster, server, lfn(wanted.part), "DELETE")[0] == 403
    for folder in ("/qsky/public/", "/qsky/private/", "/qsky/", "/"):
        assert https(cluster, server, folder)[0] >= 400
    for folder in ("/qsky/private/", "/qsky/", "/"):
        assert https(cluster, server, folder, "PROPFIND")[0] >= 400
    assert cluster.path(wanted.part, 1).read_bytes() == CONTENT
    assert not cluster.path(part("new"), 1).exists()


def test_hosts_that_are_not_admitted_are_not_answered(cluster: Cluster) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address of this machine would be used
            own = probe.getsockname()[0]
        except OSError:
            own = "127.0.0.1"
    if own.startswith("127."):
        pytest.skip("this machine has no address but those of itself")
    for port in (cluster.holder(0).port, cluster.access.redirectors[0].port):
        with socket.create_connection((own, port), timeout=5) as connection:
            connection.sendall(b"GET /qsky/public/x HTTP/1.1\r\nHost: x\r\n\r\n")
            with suppress(ConnectionResetError):
                assert connection.recv(100) == b""


def test_keys_of_daemons_are_theirs_alone(cluster: Cluster) -> None:
    for daemons in (*cluster.redirectors, *cluster.servers):
        copies = list((daemons.instance.folder / "keys").iterdir())
        assert len(copies) == 4
        assert {stat.S_IMODE(copy.stat().st_mode) for copy in copies} == {0o600}


# -- what they say of themselves


def test_summaries_of_daemons_become_gauges(
    cluster: Cluster, receiver: Receiver, registry: CollectorRegistry, tmp_path: Path
) -> None:
    wanted = cluster.place(part("counted"), CONTENT, 0)
    cluster.files().fetch(wanted, tmp_path / "part.parquet")
    labels = {"instance": "w0", "program": "xrootd"}

    def counted() -> bool:
        return (registry.get_sample_value("qsky_xrootd_bytes_out_total", labels) or 0) > len(CONTENT)

    assert eventually(counted)
    assert {summary.instance for summary in receiver.latest()} == {"r0", "r1", "w0", "w1", "w2"}
    assert registry.get_sample_value("qsky_xrootd_opens_total", labels)
