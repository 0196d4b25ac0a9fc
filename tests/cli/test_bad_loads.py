"""Loads that go wrong, or nearly, one row per case: the command, what it says, and what a query finds afterwards.

Each case starts from three stars and three visits at revision 2. After an error that revision is current, its rows are
whole, and nothing is left of the load but the list of the rows it refused. Single files are in ingest/test_bad_input.py.
"""

from __future__ import annotations

import resource
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import qsky as product
from qsky.ingest import publish as publishing
from tests.cli.small_sky import Qsky

STARS = "id,ra,dec\n1,10,10\n2,20,-20\n3,30,30\n"
VISITS = "star,mjd\n1,59000\n1,59001\n2,59002\n"
STAR = "--into sky.star --director --key id --ra ra --dec dec"
NEW = "--into sky.new --director --key id --ra ra --dec dec"
VISIT = "--into sky.visit --child-of sky.star --key star"
ALL = "SELECT id, mjd FROM sky.star LEFT JOIN sky.visit ON star.id = visit.star ORDER BY id, mjd"


@dataclass(frozen=True)
class Case:
    """`content` is loaded with `options`; `says` are parts of what is said. Of an accepted load, `sql` finds `rows`."""

    id: str
    content: str
    options: str
    says: tuple[str, ...]
    sql: str = ""
    rows: str = ""


# fmt: off
CASES = [
    # -- positions and fields
    Case("rows of all kinds are refused", "id,ra,dec\n4,,1\n5,nan,1\n6,inf,1\n7,1,90.5\n,1,1\n10,1,1\n", NEW,
         ("qsky: 5 rows were refused, more than the 0 that are allowed: ", "bad.csv line 2: ra is NULL; ",
          "line 3: ra is nan; ", "line 4: ra is inf; ", "line 5: dec is 90.5, outside [-90, 90]; ",
          "line 6: the key id is NULL; ",
          " quotes them. [too-many-rejects] Mend the rows, ", "with --max-rejects 5.\n")),
    Case("as many as allowed", "id,ra,dec\n4,,1\n5,360,1\n6,-10,91\n7,-10,1\n", NEW + " --max-rejects 2",
         ("sky.new: 2 rows in ", "refused: 2 rows, see "), "SELECT id, ra FROM sky.new ORDER BY id", "5,0\n7,350\n"),
    Case("one more than allowed", "id,ra,dec\n4,,1\n5,1,91\n6,1,1\n", NEW + " --max-rejects 1",
         ("qsky: 2 rows were refused, more than the 1 that are allowed: ",)),
    Case("nothing but refused rows", "id,ra,dec\n4,,1\n", NEW + " --max-rejects 9",
         ("qsky: There are no rows to load into sky.new. [empty-load] ",)),
    Case("sentinels", "id,ra,dec,mag\n4,1,1,-999\n5,1,2,-999.0\n6,1,3,-99\n", NEW + " --null -999",
         ("sky.new: 3 rows",), "SELECT id FROM sky.new WHERE mag IS NULL ORDER BY id", "4\n5\n"),
    Case("NaN is counted", "id,ra,dec,mag\n4,1,1,nan\n5,1,2,7\n", NEW, ("NaN became NULL: 1 in mag",),
         "SELECT id FROM sky.new WHERE mag IS NULL", "4\n"),
    # -- keys
    Case("a key twice in a file", "id,ra,dec\n7,1,1\n8,1,1\n7,200,1\n", NEW,
         ("qsky: The key id of the director new is not unique; 1 row repeats a key: 7. [duplicate-keys] "
          "Load each key once, or pass --allow-duplicate-keys",)),
    Case("a text key twice", "id,ra,dec\nHD 1,1,1\nHD 2,1,1\nHD 2,2,2\n", NEW, ("1 row repeats a key: HD 2.",)),
    Case("a key that is there", "id,ra,dec\n3,30,30\n2,1,1\n9,1,1\n", "--into sky.star --append",
         ("The key id of the director star is not unique; 2 rows or more repeat a key: 2, 3.",)),
    Case("keys may repeat", "id,ra,dec\n7,1,1\n7,200,1\n", NEW + " --allow-duplicate-keys", ("sky.new: 2 rows",),
         "SELECT ra FROM sky.new WHERE id = 7 ORDER BY ra", "1\n200\n"),
    Case("a key that children use", "id,ra,dec\n1,200,-60\n", "--into sky.star --append --allow-duplicate-keys",
         ("Keys of star would lie in several chunks while other tables are placed by them. [duplicate-keys] ",)),
    Case("a child without key", "star,mjd\n1,2\n,3\n", "--into sky.visit --append", ("line 3: the key star is NULL",)),
    Case("a child's key of another kind", "star,mjd\none,2\ntwo,3\n", VISIT.replace("visit", "other"),
         ("qsky: The keys are string and cannot all be keys of star, which are BIGINT: ", "[family-mismatch] ")),
    Case("orphans wait", "star,mjd\n3,1\n77,2\n78,3\n", "--into sky.visit --append",
         ("2 rows of visit wait for their director; they are stored and counted.",
          "waiting for their director: 2 rows"), "SELECT COUNT(*) FROM sky.visit", "6\n"),
    # -- columns
    Case("odd names", "id,ra,dec,V-Mag,μ,select,MiXed,a b\n4,1,2,3.5,4.5,5,6,7\n", NEW, ("sky.new: 1 row",),
         "SELECT `V-Mag`, μ, `select`, mixed, `a b` FROM sky.new WHERE `V-Mag` > 3", "3.5,4.5,5,6,7\n"),
    Case("another type than before", "id,ra,dec\nx,1,1\ny,1,1\n", "--into sky.star --append",
         ("qsky: The column id of star is BIGINT; the new rows have VARCHAR. [type-change] ",)),
    # -- tables
    Case("the table exists", STARS, STAR, ("qsky: The table sky.star exists already. [family-mismatch] Pass --append",)),
    Case("a director under its children", STARS, STAR + " --replace",
         ("qsky: sky.star is the director of visit; it cannot be replaced while they exist. ",)),
    Case("no such director", VISITS, "--into sky.new --child-of sky.galaxy --key star",
         ("qsky: There is no director sky.galaxy. [no-such-table] Load it first.",)),
    Case("nothing to append to", STARS, "--into sky.new --append --director",
         ("qsky: There is no table sky.new to append to. [no-such-table] Load it without --append.",)),
    Case("a name that cannot be", STARS, NEW.replace("sky.new", "sky.a/b"), ("[bad-name]",)),
]
# fmt: on


@pytest.fixture
def sky(qsky: Qsky, tmp_path: Path) -> Qsky:
    for content, options in ((STARS, STAR), (VISITS, VISIT)):
        assert load(qsky, tmp_path, content, options)[0] == 0
    return qsky


def load(qsky: Qsky, folder: Path, content: str, options: str) -> tuple[int, str]:
    """The exit status and what was said."""
    (folder / "bad.csv").write_text(content)
    said = qsky("load", "bad.csv", *shlex.split(options))
    assert said.out == ""
    return said.status, said.err


def answer(qsky: Qsky, sql: str) -> str:
    """The rows without their header."""
    said = qsky("query", "--quiet", "--format", "csv", sql)
    assert said.status == 0, said.err
    return said.out.partition("\n")[2]


def assert_as_it_was(qsky: Qsky, folder: Path) -> None:
    """Revision 2 answers, and of the load that failed nothing is left that vacuum would have to wait for."""
    assert answer(qsky, ALL) == "1,59000\n1,59001\n2,59002\n3,\n"
    assert product.connect(folder / "qsky-data").revision("sky").number == 2
    assert qsky("verify", "sky").status == 0
    assert not list((folder / "qsky-data").rglob("leases/*")) and not list((folder / "qsky-data").rglob("*.new"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_bad_loads(case: Case, sky: Qsky, tmp_path: Path) -> None:
    status, said = load(sky, tmp_path, case.content, case.options)
    for part in case.says:
        assert part in said
    if case.sql:
        assert (status, answer(sky, case.sql)) == (0, case.rows)
    else:
        assert status in (1, 2) and "Traceback" not in said
        assert_as_it_was(sky, tmp_path)


def test_refused_rows_are_listed(sky: Qsky, tmp_path: Path) -> None:
    load(sky, tmp_path, "id,ra,dec\n4,,1\n5,1,1\n6,1,99\n", NEW + " --max-rejects 2")
    listed = next((tmp_path / "qsky-data" / "rejects").glob("sky.new-*.csv")).read_text().splitlines()
    assert listed == [
        "file,line,reason,text",
        'bad.csv,2,ra is NULL,"4,,1"',
        'bad.csv,4,"dec is 99, outside [-90, 90]","6,1,99"',
    ]


def test_orphans_are_placed_when_their_director_arrives(sky: Qsky, tmp_path: Path) -> None:
    joined = "SELECT COUNT(*) FROM sky.star JOIN sky.visit ON star.id = visit.star"
    load(sky, tmp_path, "star,mjd\n77,2\n77,3\n78,3\n", "--into sky.visit --append")
    assert answer(sky, joined) == "3\n"
    status, said = load(sky, tmp_path, "id,ra,dec\n77,100,-5\n", "--into sky.star --append")
    assert status == 0 and "placed, for their director came: 2 rows" in said
    assert answer(sky, joined) == "5\n"


def test_two_loads_at_once(sky: Qsky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one publishes while this one is about to."""
    publish = publishing.publish

    def beaten(*arguments: object) -> object:
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        assert load(sky, tmp_path, "id,ra,dec\n5,1,1\n", "--into sky.star --append")[0] == 0
        return publish(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("qsky.ingest.load.publish", beaten)
    status, said = load(sky, tmp_path, "id,ra,dec\n4,1,1\n", "--into sky.star --append")
    assert status == 1
    assert said == (
        "qsky: Another append of sky.star was published first, as revision 3; this one was not published and nothing "
        "of it is visible. [load-conflict] Run it again: it will stand on the newer revision.\n"
    )
    assert answer(sky, "SELECT id FROM sky.star ORDER BY id") == "1\n2\n3\n5\n"
    assert load(sky, tmp_path, "id,ra,dec\n4,1,1\n", "--into sky.star --append")[0] == 0
    assert answer(sky, "SELECT COUNT(*) FROM sky.star") == "5\n"


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """What every system has in place of a full disk; real ones are in ingest/test_faults.py."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_files_that_may_not_grow(sky: Qsky, tmp_path: Path) -> None:
    rows = "id,ra,dec\n" + "".join(f"{n},{n % 360},{n % 90}\n" for n in range(10, 5000))
    (tmp_path / "bad.csv").write_text(rows)
    with files_of_at_most(20_000):
        said = sky("load", "bad.csv", "--into", "sky.star", "--append")
    assert said.status == 1 and "[disk-full]" in said.err and "nothing was published" in said.err
    assert_as_it_was(sky, tmp_path)


def test_a_damaged_file_in_a_folder_of_good_ones(sky: Qsky, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "a.csv").write_text("id,ra,dec\n4,1,1\n")
    (tmp_path / "many" / "b.csv.gz").write_bytes(b"\x1f\x8b" + b"garbage" * 9)
    said = sky("load", "many", "--into", "sky.star", "--append")
    assert said.status == 1
    assert "qsky: The file many/b.csv.gz cannot be read: its gzip data are damaged" in said.err
    assert_as_it_was(sky, tmp_path)
