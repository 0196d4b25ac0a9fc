"""What a cluster on one machine is, as values and files; no daemon is started here."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.fragment import Outcome, ReplicaKind, ReplicaOrder
from qsky.site.lease import LEASE, SiteLease
from qsky.site.lifecycle import drain, start, stop
from qsky.site.make import Wish, make_site
from qsky.site.model import Site, Storage, read_site, site_of, site_path, site_text
from qsky.site.processes import Known, end, family, kill, known, note, started_at
from qsky.site.status import is_up, state_of
from qsky.site.supervisor import command_of, off_file, run_folder
from qsky.site.works import Deliver, Obey, Tell, Works
from qsky.storage.store import DIGEST_LETTERS
from qsky.storage.xrootd.keys import host_keys
from qsky.worker.replica import Replica

SETTINGS = Settings(stop_seconds_max=2.0)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path, Wish(3, 2, 2), SETTINGS, {"QSKY_THREADS": "2", "HOME": "/"})


def test_a_site_is_what_its_file_says(site: Site) -> None:
    assert read_site(Path(site.root)) == site
    assert site.settings == {"QSKY_THREADS": "2"}
    ports = [site.scheduler_port, *(node.port for node in site.workers), *(node.data_port for node in site.workers)]
    assert len({*ports, *(node.cms_port for node in site.redirectors)}) == 9
    assert site.names() == ("scheduler", "r0", "r1", "w0", "w1", "w2", "keeper")
    for key in (Path(site.folder) / "keys").iterdir():
        assert key.stat().st_mode & 0o077 == 0, key


def test_a_root_without_a_cluster(tmp_path: Path) -> None:
    assert read_site(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "{}", '{"format": 2}', "[]"])
def test_a_file_that_describes_no_cluster(tmp_path: Path, text: str) -> None:
    site_path(tmp_path).parent.mkdir()
    site_path(tmp_path).write_text(text)
    with pytest.raises(QskyError) as caught:
        read_site(tmp_path)
    assert caught.value.code.name == "damaged"


@pytest.mark.parametrize(
    "wish", [Wish(0), Wish(65), Wish(2, 0), Wish(2, 1, 3), Wish(2, 1, 0)], ids=["none", "many", "no", "copies", "zero"]
)
def test_wishes_that_cannot_be(tmp_path: Path, wish: Wish) -> None:
    with pytest.raises(QskyError) as caught:
        make_site(tmp_path, wish, SETTINGS, {})
    assert caught.value.code.name == "usage"
    assert read_site(tmp_path) is None


def test_keys_stay_when_a_site_is_made_again(site: Site) -> None:
    before = (Path(site.folder) / "keys" / "ca.pem").read_bytes()
    make_site(Path(site.root), Wish(2), SETTINGS, {})
    assert (Path(site.folder) / "keys" / "ca.pem").read_bytes() == before


def test_site_text_is_read_back(site: Site) -> None:
    shared = site_of(site_text(site).replace('"replicated"', '"shared"'), "here")
    assert shared.storage is Storage.SHARED


def test_names_that_are_not_there(site: Site) -> None:
    for ask in (lambda: site.worker("w9"), lambda: site.redirector("w0"), lambda: start(site, "x")):
        with pytest.raises(QskyError) as caught:
            ask()
        assert caught.value.code.name == "usage"
    with pytest.raises(QskyError):
        drain(site, "r0", True)


def test_commands_are_those_of_containers(site: Site) -> None:
    assert command_of(site, "w1")[-2:] == ["worker", "w1"]
    assert command_of(site, "r0")[-2:] == ["redirector", "r0"]
    assert command_of(site, "keeper")[-1] == "keeper"


def test_machines_of_their_own(tmp_path: Path) -> None:
    site = make_site(tmp_path, Wish(3, hosts={"w2": "127.0.0.2"}), SETTINGS, {})
    assert site.hosts() == ("localhost", "127.0.0.2")
    assert site.names_at("localhost") == ("scheduler", "r0", "w0", "w1", "keeper")
    assert site.names_at("127.0.0.2") == ("w2",)
    for host in site.hosts():
        assert host_keys(site.keys, host).certificate.is_file()
    with pytest.raises(QskyError) as caught:
        make_site(tmp_path / "other", Wish(3, hosts={"w2": "no-such-machine.invalid"}), SETTINGS, {})
    assert caught.value.code.name == "bad-arrangement"


# -- processes


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    process = subprocess.Popen([sys.executable, "-c", code])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_known_by_number_and_start(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    one = Known("w0", sleeper.pid, started_at(sleeper.pid))
    note(tmp_path, one)
    assert known(tmp_path, "w0") == one
    note(tmp_path, Known("w0", sleeper.pid, one.started - 100))
    assert known(tmp_path, "w0") is None, "the number belongs to another process by now"
    assert known(tmp_path, "w1") is None
    (tmp_path / "w1.json").write_text("{")
    assert known(tmp_path, "w1") is None


@pytest.mark.parametrize("way", [lambda ones: end(ones, 5), kill], ids=["asked", "killed"])
def test_a_process_is_ended_with_what_it_started(way: object, sleeper: subprocess.Popen[bytes]) -> None:
    one = Known("w0", sleeper.pid, started_at(sleeper.pid))
    until = time.monotonic() + 90
    while len(family(one)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    ones = family(one)
    assert len(ones) == 2
    way(ones)  # type: ignore[operator]
    sleeper.wait(60)
    assert [each for each in ones if started_at(each.pid) == each.started] == []


def test_what_is_stopped_stays_off(site: Site, sleeper: subprocess.Popen[bytes]) -> None:
    note(run_folder(site), Known("w1", sleeper.pid, started_at(sleeper.pid)))
    assert stop(site, "w1", SETTINGS, at_once=True)
    assert off_file(site, "w1").exists()
    assert not stop(site, "w1", SETTINGS, at_once=False)
    sleeper.wait(60)
    start(site, "w1")
    assert not off_file(site, "w1").exists()


def test_daemons_that_outlived_their_worker_are_ended(site: Site) -> None:
    folder = site.daemons("w1")
    folder.mkdir(parents=True)
    left = subprocess.Popen(["sleep", "60"])
    daemon = subprocess.Popen(["bash", "-c", f"exec -a xrootd tail -f /dev/null -- -c {folder / 'xrootd.cfg'}"])
    try:
        (folder / "cmsd.pid").write_text(f"{left.pid}\n")  # a number that was used again
        (folder / "xrootd.pid").write_text(f"{daemon.pid}\n")
        until = time.monotonic() + 30
        while b"xrootd.cfg" not in Path(f"/proc/{daemon.pid}/cmdline").read_bytes() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)
        assert not stop(site, "w1", SETTINGS, at_once=True)
        assert daemon.wait(10) != 0
        assert left.poll() is None
    finally:
        left.kill()
        left.wait()


def test_a_cluster_that_is_down(site: Site) -> None:
    assert not is_up(site)
    state = state_of(site, None)
    assert [process.pid for process in state.processes] == [None] * 8
    assert state.copies == {} and state.keeper == {}


# -- the lease


HOLDER = """
import sys, time
from pathlib import Path
from qsky.site.lease import SiteLease
lease = SiteLease(Path(sys.argv[1]))
print(lease.acquire(), flush=True)
time.sleep(60)
"""


def test_one_holder_at_a_time_and_epochs_that_grow(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None and other.stdout.readline() == "1\n"
            mine = SiteLease(tmp_path)
            assert mine.acquire() is None
        finally:
            other.kill()
    assert mine.acquire() == 2, "the lock went with the process"
    mine.release()
    assert mine.acquire() == 3
    mine.release()


# -- works


def fetch_nothing(name: str, size: int, digest: str, into: Path) -> None:
    raise QskyError("part-unreachable", f"Nobody has {name}.")


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    def silent(*_: object) -> None: ...

    replica = Replica("w0", tmp_path / "w0", fetch_nothing, SETTINGS, publish=silent, retract=silent, on_bad=silent)
    yield Works(replica)
    replica.close()


def part_of(content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()[:DIGEST_LETTERS]
    return (
        f"public/sky/a.hats/a/g0001/dataset/Norder=0/Dir=0/Npix=1/20260101T000000x0123456789ab-000001-{digest}.parquet"
    )


def test_a_part_comes_in_blocks(works: Works) -> None:
    content = os.urandom(10_000)
    name = part_of(content)
    before = works.tell(Tell())
    assert works.deliver(Deliver(name, 0, content[:4000], len(content))) == 4000
    assert works.tell(Tell()).parts == {}
    assert works.deliver(Deliver(name, 0, content[:6000], len(content))) == 6000, "sent again from the start"
    assert works.deliver(Deliver(name, 6000, content[6000:], len(content))) == 10_000
    after = works.tell(Tell())
    assert after.parts == {name: 10_000}
    assert after.serial > before.serial and after.process == before.process


def test_a_block_that_follows_on_nothing_is_refused(works: Works) -> None:
    """The worker has been started again meanwhile."""
    content = os.urandom(1000)
    with pytest.raises(QskyError) as caught:
        works.deliver(Deliver(part_of(content), 500, content[500:], 1000))
    assert caught.value.code.name == "order-refused"


def test_nothing_is_left_of_a_block_that_could_not_be_written(works: Works) -> None:
    content = os.urandom(1000)
    name = part_of(content)
    aside = works._replica.folder.unnamed(name)
    before, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
    try:
        with pytest.raises(QskyError) as caught:
            works.deliver(Deliver(name, 0, content, 1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.code.name == "disk-full"
    assert not aside.exists()


def test_a_part_that_came_wrong_is_refused(works: Works) -> None:
    content = os.urandom(1000)
    with pytest.raises(QskyError) as caught:
        works.deliver(Deliver(part_of(content), 0, content[:-1] + b"x", 1000))
    assert caught.value.code.name == "damaged"
    assert works.tell(Tell()).parts == {}


def test_orders_of_others_and_of_the_past_are_refused(works: Works) -> None:
    content = os.urandom(1000)
    name = part_of(content)
    works.deliver(Deliver(name, 0, content, 1000))
    process = works.tell(Tell()).process
    verify = ReplicaOrder(ReplicaKind.VERIFY, name, 1000, LEASE, 5)
    assert works.obey(Obey(verify, 7, process)).report.outcome is Outcome.DONE
    late = Obey(verify, 6, process)
    past = Obey(verify, 8, process - 1)
    stranger = Obey(ReplicaOrder(ReplicaKind.DELETE, name, 1000, "other", 9, (("w1", 9),)), 9, process)
    for work in (late, past, stranger):
        with pytest.raises(QskyError) as caught:
            works.obey(work)
        assert caught.value.code.name == "order-refused"
    old = ReplicaOrder(ReplicaKind.DELETE, name, 1000, LEASE, 4, (("w1", 4),))
    with pytest.raises(QskyError):
        works.obey(Obey(old, 9, process))
    unsure = ReplicaOrder(ReplicaKind.DELETE, name, 1000, LEASE, 5)
    assert works.obey(Obey(unsure, 9, process)).report.outcome is Outcome.REFUSED
    assert works.tell(Tell()).parts == {name: 1000}
