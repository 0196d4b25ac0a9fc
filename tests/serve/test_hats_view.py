"""What the HATS view answers, byte by byte: listings, files, parts, ranges, and everything that is not there."""

from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import qsky
from tests.serve.conftest import load, stars
from tests.serve.running import Running, in_a_thread

pytestmark = pytest.mark.slow

GENERATION = "/hats/sky/star.hats/star/g0001"


def links(server: Running, path: str) -> list[str]:
    answer = server.ask(path)
    assert answer.status == 200 and answer.header("content-type") == "text/html; charset=utf-8"
    return [link for link in re.findall(r'<a href="([^"]+)"', answer.text) if link != "../"]


def one_part(server: Running, top: str = "/hats/sky", table: str = "star.hats/star/g0001") -> str:
    """The address of the first part of a table, found by links."""
    path = f"{top}/{table}/dataset/"
    while not path.endswith(".parquet"):
        path += next(link for link in links(server, path) if link.startswith(("Norder", "Dir", "Npix")) or "." in link)
    return path


def disk(root: Path, address: str) -> Path:
    return root / "public" / re.sub(r"@\d+", "", address.removeprefix("/hats/"))


def test_listings_lead_from_the_top_to_a_part(server: Running, root: Path) -> None:
    assert links(server, "/hats/") == links(server, "/hats") == ["sky/", "wide/"]
    assert links(server, "/hats/sky/") == ["band.table/", "star.hats/"]
    assert links(server, "/hats/sky@2/") == ["star.hats/"]
    assert "revision n is sky@n" in server.ask("/hats/sky").text and "Kept: 1, 2, 3, 4" in server.ask("/hats/sky").text
    assert links(server, "/hats/sky/star.hats") == ["collection.properties", "star/", "star_overlap/", "visit/"]
    assert '<base href="star.hats/">' in server.ask("/hats/sky/star.hats").text
    assert "<base" not in server.ask("/hats/sky/star.hats/").text
    part = one_part(server)
    assert server.ask(part).body == disk(root, part).read_bytes()


def test_a_part_in_pieces(server: Running, root: Path) -> None:
    path = one_part(server)
    whole = disk(root, path).read_bytes()
    size, tag = len(whole), f'"{path.rsplit("-", 1)[1].removesuffix(".parquet")}"'
    head = server.ask(path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.header("content-length") == str(size) and head.header("accept-ranges") == "bytes"
    assert head.header("etag") == tag and "immutable" in str(head.header("cache-control"))
    assert head.header("qsky-revision") == "4"
    for asked, start, end in (("4-11", 4, 12), ("-8", size - 8, size), (f"{size - 3}-{size + 9}", size - 3, size)):
        piece = server.ask(path, Range=f"bytes={asked}")
        assert (piece.status, piece.body) == (206, whole[start:end])
        assert piece.header("content-range") == f"bytes {start}-{end - 1}/{size}"
    beyond = server.ask(path, Range=f"bytes={size}-")
    assert beyond.status == 416 and beyond.header("content-range") == f"bytes */{size}"
    known = server.ask(path, If_None_Match=tag)
    assert (known.status, known.body) == (304, b"") and known.header("etag") == tag
    assert server.ask(path, Range="bytes=0-3", If_Range='"other"').status == 200
    assert server.ask(path, Range="bytes=0-3", If_Range=tag).body == whole[:4]


def test_side_files_can_be_asked_for_again(server: Running, root: Path) -> None:
    path = f"{GENERATION}/partition_info.csv"
    first = server.ask(path)
    assert first.body == disk(root, path).read_bytes() and first.header("content-type") == "text/csv; charset=utf-8"
    tag = str(first.header("etag"))
    assert server.ask(path, If_None_Match=tag).status == 304
    assert server.ask(path, Range="bytes=0-5").body == first.body[:6]
    assert server.ask(path, "HEAD").header("content-length") == str(len(first.body))


def test_names_behind_a_query_are_names_in_the_leaf(server: Running, root: Path) -> None:
    """LSDB lists Npix=3?columns=ra and then asks for Npix=3?columns=ra/<name>."""
    part = one_part(server)
    leaf, name = part.rsplit("/", 1)
    assert server.ask(f"{leaf}?columns=ra%2Cdec/{name}").body == disk(root, part).read_bytes()
    assert links(server, f"{leaf}?columns=ra%2Cdec") == links(server, leaf)
    assert server.ask(f"{leaf}?columns=ra/x{name}").status == 404
    assert server.ask(f"{leaf}?columns=ra/../../{name}").body == disk(root, part).read_bytes()


NOTHING = [
    "/", "/hat", "/hats/sky@0/", "/hats/sky@01/", "/hats/sky@-1/", "/hats/sky@99999999999/", "/hats/sky@/",
    "/hats/sky@1@2/", "/hats/SKY/", "/hats/none/", "/hats/sk/", "/hats/.", "/hats/..", "/hats/../qsky.json",
    "/hats/sky/../wide/", "/hats/%2e%2e/qsky.json", "/hats/sky/%2e%2e/wide/", "/hats/sky/..%2fwide",
    "/hats/sky%2fstar.hats", "/hats/sky/%00", "/hats/sky/star.hats%00", "/hats/sk%79/",
    "/hats/sky/%252e%252e/wide/", "/hats/sky/..%5c..%5cqsky.json", "/hats//sky/", "/hats/sky//star.hats/",
    "/hats/sky/./star.hats/", "/hats/%C3%A4/", "/hats/sky/%ff", "/hats/sky/%", "/hats/sky/~", "/hats/sky/_qsky/",
    "/hats/sky/_qsky/staging/", "/hats/sky/leases/", "/hats/sky/revisions/", "/hats/sky/revisions/000001.json",
    "/hats/qsky.json", "/hats/public/", "/hats/sky/rejects/", f"{GENERATION}/dataset/_delta_log/",
    f"{GENERATION}/dataset/_metadata", f"{GENERATION}/dataset/_delta_log/00000000000000000000.json",
    f"{GENERATION}/skymap.fits", f"{GENERATION}/hats.properties/", "/hats/sky/star.hats/star/g0002/",
    "/hats/sky/star.hats/star/g0000/", "/hats/sky/star.hats/star/g00001/", f"{GENERATION}/dataset/Norder=9/",
    f"{GENERATION}/dataset/Norder=0/Dir=10000/", "/hats/wide/star.hats/",
    "/hats/sky/star.hats/star_overlap/g0002/hats.properties",
]  # fmt: skip


def test_what_is_not_there_is_one_clear_sentence(server: Running) -> None:
    part = one_part(server)
    extra = [f"{part}/", f"{part}x", part.replace("/hats/sky/", "/hats/wide/"), part.replace("/star/", "/visit/")]
    for path in [*NOTHING, *extra]:
        for method in ("GET", "HEAD"):
            answer = server.ask(path, method)
            assert answer.status == 404, path
            assert method == "HEAD" or answer.text == "There is nothing at this address. [no-such-address]\n", path
    old = server.ask("/hats/sky@99/star.hats/")
    assert (old.status, old.text) == (404, "The database sky has no revision 99. [no-such-revision]\n")
    other = server.ask("/hats/sky/", "POST")
    assert other.status == 405 and "GET" in str(other.header("allow")) and other.text.count("\n") == 1


def test_parts_of_a_later_revision_are_not_in_an_older_one(server: Running, root: Path) -> None:
    leaf = one_part(server).rsplit("/", 1)[0]
    now, before = links(server, leaf), links(server, leaf.replace("/sky/", "/sky@3/"))
    assert set(before) < set(now)
    added = (set(now) - set(before)).pop()
    assert server.ask(f"{leaf}/{added}", "HEAD").status == 200
    assert server.ask(f"{leaf.replace('/sky/', '/sky@3/')}/{added}", "HEAD").status == 404
    assert server.ask("/hats/sky@3/star.hats/star/g0001/hats.properties").header("qsky-revision") == "3"


def test_many_at_once_get_the_same(server: Running, root: Path) -> None:
    path = one_part(server)
    whole = disk(root, path).read_bytes()
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: server.ask(path), range(150)))
    assert all(answer.status == 200 and answer.body == whole for answer in answers)


def test_watchers_see_what_it_does(server: Running) -> None:
    path = one_part(server)
    body = server.ask(path).body
    line = server.logged("request", path=path, method="GET", status=200)
    assert line["bytes"] == len(body) and line["client"] == "127.0.0.1" and not line["cut"]
    assert server.ask("/healthz").text == "alive\n" and server.ask("/readyz").text == "ready\n"
    server.ask("/hats/none/")
    metrics = server.ask("/metrics")
    assert str(metrics.header("content-type")).startswith("text/plain")
    assert 'qsky_http_requests_total{method="GET",route="/hats part",status="200"}' in metrics.text
    assert 'qsky_http_requests_total{method="GET",route="/hats/{path:path}",status="404"}' in metrics.text
    assert 'qsky_http_seconds_bucket{le="0.01",route="/hats listing"}' in metrics.text
    sent = re.search(r'qsky_http_sent_bytes_total\{route="/hats part"\} (\S+)', metrics.text)
    assert sent and float(sent[1]) >= len(body)


def test_an_outsider_hears_nothing_of_folders(tmp_path: Path, root: Path) -> None:
    mine = tmp_path / "root"
    shutil.copytree(root, mine)
    with in_a_thread(mine) as server:
        path = one_part(server)
        disk(mine, path).write_bytes(b"short")
        cut = server.ask(path)
        disk(mine, path).unlink()
        gone = server.ask(path)
        for answer in (cut, gone):
            assert answer.status == 500 and answer.text.endswith("[damaged]\n") and str(mine) not in answer.text
        assert "another size" in json.dumps(server.lines) and "is missing" in json.dumps(server.lines)
        assert server.ask("/readyz").status == 200
        shutil.rmtree(mine / "public")
        (mine / "public").write_text("no folder")
        assert server.ask("/healthz").status == 200
        unready = server.ask("/readyz")
        assert (unready.status, unready.text) == (503, "Not ready: the root. [not-ready]\n")


def test_who_began_to_read_goes_on_after_a_compaction(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with qsky.connect(root, chunk_rows_max=2_000) as sky, in_a_thread(root_with_stars(root)) as server:
        path, info = one_part(server), server.ask(f"{GENERATION}/partition_info.csv").body
        load(sky, "sky.star", stars(5, 300, first=90_000), "append", key="id")
        sky.compact("sky")
        assert "star/g0002" in server.ask("/hats/sky/star.hats/collection.properties").text
        assert links(server, "/hats/sky/star.hats/star/") == ["g0002/"]
        assert server.ask(path, "HEAD").status == 200
        late = server.ask(f"{GENERATION}/partition_info.csv")
        assert late.header("qsky-revision") == "2" and late.body == info
        assert server.ask(path.replace("g0001", "g0003"), "HEAD").status == 404
        # What vacuum took is gone for good, and the current revision is not.
        with qsky.connect(root, revisions_kept=1, revisions_kept_days=0, vacuum_grace_seconds=0) as keeper:
            keeper.vacuum("sky")
        assert server.ask(path, "HEAD").status == 404 and server.ask("/hats/sky@1/").status == 404
        new = one_part(server, table="star.hats/star/g0002")
        assert server.ask(new, "HEAD").status == 200


def root_with_stars(root: Path) -> Path:
    with qsky.connect(root, chunk_rows_max=2_000) as sky:
        load(sky, "sky.star", stars(4, 4_000), key="id")
    return root
