"""What names of files, folders, patterns, addresses and HATS catalogues mean."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from qsky.errors import QskyError
from qsky.events import Event, Progress, silent
from qsky.ingest.source import SourceFile
from qsky.ingest.sources import find_sources

from .reading import SETTINGS, read, write

TABLE = b"id,ra,dec\n1,10,20\n"


class _Pages(BaseHTTPRequestHandler):
    """A plain server: no ranges, some pages that fail at first or always."""

    calls: ClassVar[dict[str, int]] = {}

    def do_GET(self) -> None:
        count = self.calls[self.path] = self.calls.get(self.path, 0) + 1
        if self.path.startswith("/missing"):
            self.send_error(404)
        elif self.path.startswith("/broken") or (self.path.startswith("/flaky") and count < 3):
            self.send_error(503)
        elif self.path.startswith("/short"):
            self._send(TABLE, len(TABLE) + 10)
        elif self.path.startswith("/cut") and count < 2:
            self._send(TABLE[:5], len(TABLE))
        elif self.path.startswith("/stuck"):
            self._send(b"", len(TABLE))
            threading.Event().wait(1.0)
        else:
            self._send(gzip.compress(TABLE) if ".gz" in self.path else TABLE, None)

    def _send(self, body: bytes, length: int | None) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    _Pages.calls.clear()
    web = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{web.server_address[1]}"
    web.shutdown()
    web.server_close()


def find(tmp_path: Path, *inputs: object, format: str | None = None) -> list[SourceFile]:  # noqa: A002
    return find_sources([str(one) for one in inputs], tmp_path / "scratch", SETTINGS, silent, format=format)


def names(sources: list[SourceFile], folder: Path) -> list[str]:
    return [str(Path(source.name).relative_to(folder)) for source in sources]


def refused(tmp_path: Path, *inputs: object, format: str | None = None) -> QskyError:  # noqa: A002
    with pytest.raises(QskyError) as caught:
        find(tmp_path, *inputs, format=format)
    return caught.value


def test_a_file_by_name_and_by_content(tmp_path: Path) -> None:
    plain = write(tmp_path, "a.csv", TABLE)
    packed = write(tmp_path, "b.tsv.GZ", gzip.compress(TABLE))
    odd = write(tmp_path, "c.tbl", b"SIMPLE  =                    T")
    found = find(tmp_path, plain, packed, odd)
    assert [(s.format, s.compressed) for s in found] == [("csv", False), ("csv", True), ("fits", False)]
    assert found[0].bytes == len(TABLE)
    assert found[1].sha256() == hashlib.sha256(packed.read_bytes()).hexdigest()
    assert found[1].unpacked().read_bytes() == TABLE


def test_a_folder_sorted_without_what_is_no_data(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    (folder / "sub").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("b.csv", "a.csv", "sub/c.tsv", ".hidden/x.csv", "_meta.csv", "README.txt", "LICENSE.txt", "notes.md"):
        write(folder, name, TABLE)
    assert names(find(tmp_path, folder), folder) == ["a.csv", "b.csv", "sub/c.tsv"]


def test_a_folder_of_two_formats_is_refused_until_one_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    write(folder, "a.csv", TABLE)
    write(folder, "a.fits", b"SIMPLE  =                    T")
    error = refused(tmp_path, folder)
    assert error.code.name == "bad-format"
    assert "several formats: csv, fits" in error.message
    assert names(find(tmp_path, folder, format="csv"), folder) == ["a.csv"]


def test_patterns(tmp_path: Path) -> None:
    for name in ("x2.csv", "x1.csv", "y.csv"):
        write(tmp_path, name, TABLE)
    assert names(find(tmp_path, tmp_path / "x*.csv"), tmp_path) == ["x1.csv", "x2.csv"]


@pytest.mark.parametrize("name", ["nothing.csv", "no*.csv", "folder/"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    assert refused(tmp_path, tmp_path / name).code.name == "no-input"


def test_no_input_and_unknown_format(tmp_path: Path) -> None:
    assert refused(tmp_path).code.name == "no-input"
    assert refused(tmp_path, "a.csv", format="xls").code.name == "usage"


def test_an_unreadable_file(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", TABLE)
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        assert refused(tmp_path, path).code.name == "no-access"
    else:
        pytest.skip("this user may read everything")


def test_addresses(tmp_path: Path, server: str) -> None:
    events: list[Event] = []
    found = read([f"{server}/data/a.csv?x=1", f"{server}/b.csv.gz"], tmp_path, listener=events.append)
    assert found.values("ra") == [10.0, 10.0]
    assert any(isinstance(event, Progress) and event.unit == "bytes" for event in events)


@pytest.mark.parametrize("page", ["flaky.csv", "cut.csv"])
def test_an_address_that_answers_later(tmp_path: Path, server: str, page: str) -> None:
    assert read([f"{server}/{page}"], tmp_path).values("id") == [1]


@pytest.mark.parametrize(
    ("page", "why"), [("missing.csv", "answered 404"), ("broken.csv", "answered 503"), ("short.csv", "bytes arrived")]
)
def test_an_address_that_fails(tmp_path: Path, server: str, page: str, why: str) -> None:
    error = refused(tmp_path, f"{server}/{page}")
    assert error.code.name == "download-failed"
    assert why in error.message
    assert f"{server}/{page}" in error.message


def test_an_address_that_says_nothing(tmp_path: Path, server: str) -> None:
    settings = SETTINGS.with_changes(http_seconds_max=0.1)
    with pytest.raises(QskyError) as caught:
        find_sources([f"{server}/stuck.csv"], tmp_path, settings, silent)
    assert caught.value.code.name == "download-failed"


def test_nobody_answers(tmp_path: Path) -> None:
    assert refused(tmp_path, "http://127.0.0.1:1/a.csv").code.name == "download-failed"


@pytest.mark.parametrize(
    ("folder", "rows", "position"),
    [
        ("small_sky", 131, ("ra", "dec")),
        ("small_sky_source", 17161, ("source_ra", "source_dec")),
        ("small_sky_o1_collection", 131, ("ra", "dec")),
        ("small_sky_npix_as_dir", 131, ("ra", "dec")),
        ("small_sky_npix_alt_suffix", 131, ("ra", "dec")),
    ],
)
def test_hats_catalogues(tmp_path: Path, shared_data: Path, folder: str, rows: int, position: tuple[str, str]) -> None:
    found = read([shared_data / "hats_test_data" / folder], tmp_path)
    assert found.table.num_rows == rows == found.schema.rows
    assert (found.schema.ra, found.schema.dec) == position
    assert not {"_healpix_29", "Norder", "Dir", "Npix"} & set(found.table.column_names)
