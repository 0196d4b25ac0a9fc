"""A server starts, stops, refuses what is too much, and says clearly what keeps it from starting."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path

import pytest

from qsky.cli.app import run
from qsky.serve.options import ServeOptions
from tests.serve.running import COMMAND, REPOSITORY, Running, in_a_thread, serving
from tests.serve.test_hats_view import disk, one_part

pytestmark = pytest.mark.slow


def wide_part(server: Running) -> str:
    return one_part(server, "/hats/wide", "row.hats/row/g0001")


def everything(client: socket.socket) -> bytes:
    found = b""
    while block := client.recv(1 << 20):
        found += block
    return found


def test_what_keeps_it_from_starting_is_said(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, status, said in [
            (("--root", str(tmp_path / "none")), 1, "none is not a Qsky root. [not-a-root] Load something"),
            (("--http", port), 2, f"Port {port} of 127.0.0.1 is taken by another program. [no-port] Choose another"),
            (("--host", "192.0.2.1"), 2, "cannot be used: the address is not of this machine."),
            (("--host", "no such host"), 2, "is no address of this machine"),
            (("--tls-key", "key.pem"), 2, "A key without a certificate."),
            (("--tls-cert", "none.pem"), 2, "There is no file none.pem."),
            (("--tls-cert", str(REPOSITORY / "README.md")), 2, "is no certificate with its key"),
            (("--log-format", "xml"), 2, "There is no log format 'xml'."),
        ]:
            assert run(["serve", "--http", "0", "--root", str(root), *arguments]) == status
            told = capsys.readouterr().err
            assert said in told and len(told.splitlines()) == 1, told


def test_without_its_packages_it_says_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qsky.errors import QskyError
    from qsky.serve import options

    monkeypatch.setattr(options, "find_spec", lambda name: None if name != "uvicorn" else object())
    with pytest.raises(QskyError, match="Serving needs starlette and prometheus-client") as said:
        options.assert_installed()
    assert said.value.code.name == "not-installed" and "qsky[serve]" in said.value.hint


def test_embedded_use_imports_nothing_of_it() -> None:
    code = (
        "import sys, qsky.wire, qsky.cli.app, qsky.serve.options\n"
        "sys.exit(' '.join({'starlette', 'uvicorn', 'prometheus_client', 'anyio', 'pyarrow'} & set(sys.modules)) or 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_told_to_stop_it_ends_what_it_began(root: Path) -> None:
    with serving(root) as server:
        path = wide_part(server)
        client = server.slow(path)
        start = client.recv(1000)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", server.port), 5)
        assert server.process.poll() is None
        body = (start + everything(client)).split(b"\r\n\r\n", 1)[1]
        client.close()
        assert body == disk(root, path).read_bytes()
        assert server.process.wait(60) == 0
        assert not server.logged("request", path=path, method="GET", cut=False)["cut"] and server.logged("stopped")


def test_what_a_killed_server_began_another_ends(root: Path, server: Running) -> None:
    path = wide_part(server)
    with serving(root) as killed:
        connection = HTTPConnection("127.0.0.1", killed.port, timeout=30)
        connection.request("GET", path)
        response = connection.getresponse()
        some = response.read(100_000)
        assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
        with pytest.raises((IncompleteRead, OSError)):
            some += response.read()
        connection.close()
    rest = server.ask(path, Range=f"bytes={len(some)}-", If_Range=str(response.getheader("etag")))
    assert rest.status == 206 and some + rest.body == disk(root, path).read_bytes()


def test_clients_that_go_or_sleep_are_let_go(root: Path) -> None:
    with in_a_thread(root, serve_silent_seconds_max=1, serve_idle_seconds_max=1) as server:
        path = wide_part(server)
        gone = server.slow(path)
        gone.recv(1000)
        gone.close()
        server.logged("request", path=path, method="GET", cut=True)
        asleep = server.slow(path)
        asleep.recv(1000)
        server.logged("slow")
        half = socket.create_connection(("127.0.0.1", server.port), 10)
        half.sendall(b"GET /hats/ HTTP/1.1\r\nHost:")
        assert half.recv(100) == b""
        asleep.close()
        half.close()
        assert "qsky_http_requests_running 1.0" in server.ask("/metrics").text  # this one
        assert server.ask("/hats/").status == 200


def test_too_many_requests_are_refused_in_words(root: Path) -> None:
    with in_a_thread(root, serve_requests_per_client_max=2) as server:
        path = wide_part(server)
        held = [server.slow(path) for _ in range(2)]
        for client in held:
            client.recv(100)
        refused = server.ask("/hats/")
        assert refused.status == 429 and refused.header("retry-after") == "1"
        assert refused.text == "127.0.0.1 has as many requests at work as one client may (2). [limit-requests]\n"
        assert server.ask("/healthz").status == 200 and server.ask("/metrics").status == 200
        for client in held:
            client.close()
    with in_a_thread(root, serve_requests_max=1) as server:
        client = server.slow(wide_part(server))
        client.recv(100)
        refused = server.ask("/hats/")
        assert refused.status == 503 and refused.text.endswith("as it may (1); try again soon. [limit-requests]\n")
        client.close()


def test_too_many_connections_are_refused_in_words(root: Path) -> None:
    with in_a_thread(root, serve_connections_max=3, serve_idle_seconds_max=20) as server:
        held = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(3)]
        time.sleep(0.3)
        refused = server.ask("/hats/")
        assert refused.status == 503 and "as many connections as it may (3)" in refused.text
        assert refused.header("connection") == "close"
        held += [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(4)]
        assert held[-1].recv(10) == b""
        for client in held:
            client.close()
        time.sleep(0.3)
        assert server.ask("/hats/").status == 200


def test_long_headers_are_refused(root: Path) -> None:
    with in_a_thread(root, serve_header_bytes_max=2048) as server:
        assert server.ask("/hats/", X=("y" * 1000)).status == 200
        try:
            status = server.ask("/hats/", X=("y" * 500_000)).status
        except OSError:  # it hung up before it had read all
            status = 400
        assert status == 400


def test_it_speaks_https(root: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *names], check=True, capture_output=True)
    with in_a_thread(root, ServeOptions(port=0, certificate=certificate, key=key)) as server:
        trusted = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(f"{server.url}/hats/", context=trusted, timeout=30) as answer:
            assert b"sky/" in answer.read()


@pytest.mark.long
def test_ctrl_c_ends_it_though_a_client_takes_nothing(root: Path, server: Running) -> None:
    path = wide_part(server)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "QSKY_SERVE_STOP_SECONDS_MAX": "1"}
    command = [*COMMAND, "--root", str(root), "serve", "--http", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        address = process.stderr.readline().split("listening: ")[1].strip()
        with urllib.request.urlopen(f"{address}hats/", timeout=30) as answer:
            assert answer.status == 200
        client = Running(process, int(address.rstrip("/").rsplit(":", 1)[1])).slow(path)
        client.recv(1000)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        told = process.stderr.read().splitlines()
        assert process.wait(40) == 0 and time.monotonic() - began < 30
        client.close()
    finally:
        process.kill()
    assert " 127.0.0.1 GET /hats/ 200 " in told[0] and told[0].endswith(" s")
    assert any(line.endswith("broke off") for line in told) and "stopped: http://" in told[-1]
