"""What needs no daemon: names, texts of configurations, keys, summaries."""

from __future__ import annotations

import ssl
import stat
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID
from prometheus_client import CollectorRegistry

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.storage.xrootd.config import authdb_text, config_text
from qsky.storage.xrootd.instance import Instance, KeyFiles, Redirector, Role, access_to
from qsky.storage.xrootd.keys import host_keys, make_authority, make_host_keys
from qsky.storage.xrootd.names import lfn
from qsky.storage.xrootd.publish import publish
from qsky.storage.xrootd.reports import Receiver, summary_of

PART = "public/dr1/object.hats/object/g0001/dataset/Norder=5/Dir=0/Npix=4711/ab12-000001-0123456789abcdef.parquet"
KEYS = KeyFiles(Path("/k/sss.keytab"), Path("/k/ca.pem"), Path("/k/w0.pem"), Path("/k/w0-key.pem"))
REDIRECTORS = (Redirector("rdr0", 1094, 1213), Redirector("rdr1", 1095, 1214))
SERVER = Instance("w0", Role.SERVER, "host0", 1096, REDIRECTORS, Path("/d/xrootd"), KEYS, Path("/d/parts"))


def test_names_of_parts_are_their_lfn() -> None:
    assert lfn(PART) == f"/qsky/{PART}"


@pytest.mark.parametrize(
    "name",
    ["", "/public/a.parquet", "public/../private/a.parquet", "public/a b.parquet", "public/a.json", "other/a.parquet",
     "public/a.parquet\nnewfn /qsky/b", "public//a.parquet", "public/.x/a.parquet", "public/a.parquet?x=1"],
)  # fmt: skip
def test_what_is_no_part_has_no_lfn(name: str) -> None:
    with pytest.raises(QskyError, match="not the name of a part"):
        lfn(name)


def test_a_server_knows_all_redirectors_and_where_its_parts_lie() -> None:
    text = config_text(SERVER, Settings(), "/d/xrootd/authdb").splitlines()
    assert "all.role server" in text
    assert [line for line in text if line.startswith("all.manager")] == [
        "all.manager all rdr0:1213",
        "all.manager all rdr1:1214",
    ]
    assert "oss.localroot /d/parts" in text
    assert "xrd.port 1096" in text
    assert "xrd.network dyndns rpipa cache 0" in text
    assert "xrootd.tls all" in text


def test_the_place_of_the_key_is_told_to_nobody() -> None:
    text = config_text(SERVER, Settings(), "/d/xrootd/authdb")
    assert "sec.protocol sss -s /k/sss.keytab\n" in text
    assert " -c " not in text
    assert "tpc" not in text


def test_a_redirector_knows_itself_alone() -> None:
    own = replace(SERVER, role=Role.REDIRECTOR, host="rdr0", port=1094, redirectors=REDIRECTORS[:1], parts=None)
    text = config_text(own, Settings(xrootd_servers_min=2), "/a")
    assert "all.role manager\nall.manager all rdr0:1213\n" in text
    assert "servers 2" in text
    assert "oss.localroot" not in text
    with pytest.raises(QskyError, match="only redirector"):
        replace(own, redirectors=REDIRECTORS)


def test_who_may_connect_and_who_hears_of_it() -> None:
    text = config_text(
        replace(SERVER, admitted=("localhost", "10.0.*"), report="m:9931", encrypted=False), Settings(), "/a"
    )
    assert "cms.allow host localhost\nxrd.allow host localhost\ncms.allow host 10.0.*\n" in text
    assert "xrd.report m:9931 every 5s all" in text
    assert "xrootd.tls capable none" in text


def test_strangers_read_what_is_public_and_nothing_else() -> None:
    assert authdb_text() == "u qsky /qsky a\nu * /qsky/public rl\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"folder": Path("/" + "long" * 25)}, "too long a name"),
        ({"parts": None}, "folder of parts"),
        ({"redirectors": ()}, "no redirector"),
    ],
)
def test_what_cannot_work_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(QskyError, match=words):
        replace(SERVER, **change)  # type: ignore[arg-type]


def test_access_follows_from_an_instance() -> None:
    assert access_to(SERVER).redirectors == REDIRECTORS
    assert access_to(SERVER).scheme == "roots"
    assert access_to(replace(SERVER, encrypted=False)).scheme == "root"


def test_host_certificates_are_signed_and_for_both_ends(tmp_path: Path) -> None:
    ca_file, _ = make_authority(tmp_path, 30)
    certificate, key = make_host_keys(tmp_path, "w0", ("w0", "localhost", "127.0.3.4"), 30)
    made = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["w0", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.3.4")]
    purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(purposes) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    signer = x509.load_pem_x509_certificate(ca_file.read_bytes()).public_key()
    assert isinstance(signer, EllipticCurvePublicKey) and made.signature_hash_algorithm is not None
    signer.verify(made.signature, made.tbs_certificate_bytes, ECDSA(made.signature_hash_algorithm))
    ssl.create_default_context(cafile=str(ca_file)).load_cert_chain(certificate, key)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_keys_that_are_there_stay(tmp_path: Path) -> None:
    for _ in range(2):
        make_authority(tmp_path, 30)
        make_host_keys(tmp_path, "w0", ("w0",), 30)
        (tmp_path / "seen").write_bytes((tmp_path / "ca.pem").read_bytes() + (tmp_path / "w0.pem").read_bytes())
    assert (tmp_path / "seen").read_bytes() == (tmp_path / "ca.pem").read_bytes() + (tmp_path / "w0.pem").read_bytes()


def test_missing_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(QskyError, match=r"sss\.keytab is missing"):
        host_keys(tmp_path, "w0")


def test_a_cmsd_that_is_not_there_cannot_be_told(tmp_path: Path) -> None:
    with pytest.raises(QskyError, match="could not be told") as caught:
        publish(replace(SERVER, folder=tmp_path), PART, Settings())
    assert caught.value.code.name == "xrootd-failed"


SUMMARY = (
    b'<statistics tod="1" ver="v5.5.3" src="vm:1096" tos="77" pgm="xrootd" ins="w0" pid="9"><stats id="info"><host>vm</host>'
    b'<port>1096</port><name>w0</name></stats><stats id="link"><num>2</num><tot>11</tot></stats></statistics>\n\0'
)


def test_a_summary_becomes_values() -> None:
    summary = summary_of(SUMMARY)
    assert summary is not None
    assert (summary.instance, summary.program, summary.host, summary.port, summary.started) == (
        "w0",
        "xrootd",
        "vm",
        1096,
        77,
    )
    assert (summary.figure("links"), summary.figure("links_total"), summary.figure("reads_total")) == (2, 11, 0)


@pytest.mark.parametrize(
    "datagram", [b"", b"<a", b"\xff\xfe", b"<!DOCTYPE a><statistics/>", b"<statistics/>", SUMMARY[:99]]
)
def test_what_is_no_summary_is_dropped(datagram: bytes) -> None:
    assert summary_of(datagram) is None


def test_no_more_daemons_are_remembered_than_the_setting_says() -> None:
    receiver = Receiver("127.0.0.1", Settings(xrootd_reporters_max=1), CollectorRegistry())
    try:
        for name in (b"w0", b"w1"):
            summary = summary_of(SUMMARY.replace(b"w0", name))
            assert summary is not None
            receiver.hear(summary)
        assert [summary.instance for summary in receiver.latest()] == ["w0"]
    finally:
        receiver.close()
