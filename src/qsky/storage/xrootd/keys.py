"""Keys of a cluster: the secret its daemons and clients share, a certificate authority, certificates of hosts.

Made by whoever sets a cluster up, or given by the user; every file is readable by its owner alone. The same host
certificates serve XRootD, https and mutual TLS between schedulers and workers. cryptography is imported when needed.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from qsky.errors import QskyError
from qsky.storage.store import fsync_file, fsync_folder, io_errors, make_folders
from qsky.storage.xrootd.config import SSS_USER
from qsky.storage.xrootd.instance import KeyFiles

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

CA: Final = "ca.pem"
CA_KEY: Final = "ca-key.pem"
SSS: Final = "sss.keytab"
_CLOCKS_DIFFER: Final = timedelta(hours=1)


def make_sss_key(folder: Path) -> Path:
    """The shared secret in `<folder>/sss.keytab`; one that is there already stays. Raises not-installed, xrootd-failed."""
    path = folder / SSS
    if path.exists():
        return path
    make_folders(folder)
    with io_errors(SSS), TemporaryDirectory(dir=folder) as aside:  # nobody else may enter that folder
        made = Path(aside) / SSS
        command = ["xrdsssadmin", "-k", SSS_USER, "-u", SSS_USER, "-g", SSS_USER, "add", str(made)]
        try:
            run = subprocess.run(command, check=False, input=b"y\n", capture_output=True)
        except FileNotFoundError:
            raise QskyError(
                "not-installed", "xrdsssadmin is not installed.", hint="On Debian: apt-get install xrootd-server."
            ) from None
        if run.returncode or not made.exists():
            raise QskyError("xrootd-failed", f"No key could be made: {run.stderr.decode(errors='replace').strip()}")
        made.chmod(0o600)
        fsync_file(made)
        made.rename(path)
    fsync_folder(folder)
    return path


def make_authority(folder: Path, days: int) -> tuple[Path, Path]:
    """(certificate, key) of a certificate authority in `folder`; one that is there already stays."""
    certificate, key = folder / CA, folder / CA_KEY
    if not certificate.exists():
        own = _new_key()
        name = _named("Qsky cluster authority")
        _write(key, _key_bytes(own))
        _write(certificate, _signed(name, own, (name, own), days))
    return certificate, key


def make_host_keys(folder: Path, host: str, names: tuple[str, ...], days: int) -> tuple[Path, Path]:
    """(certificate, key) of a host, in `<folder>/<host>.pem`, for all its names and addresses, as server and as client.

    `folder` holds the authority (`make_authority`). One that is there already stays.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    certificate, key = folder / f"{host}.pem", folder / f"{host}-key.pem"
    if not certificate.exists():
        with io_errors(CA_KEY):
            authority = x509.load_pem_x509_certificate((folder / CA).read_bytes())
            signer = load_pem_private_key((folder / CA_KEY).read_bytes(), password=None)
        if not isinstance(signer, EllipticCurvePrivateKey):
            raise QskyError(
                "usage", f"{folder / CA_KEY} is not a key that Qsky made.", hint="Give host certificates too."
            )
        own = _new_key()
        _write(key, _key_bytes(own))
        _write(certificate, _signed(_named(host), own, (authority.subject, signer), days, names))
    return certificate, key


def host_keys(folder: Path, host: str) -> KeyFiles:
    """The files of a host's keys by the names that the functions above give them. Raises no-access if one is missing."""
    found = KeyFiles(folder / SSS, folder / CA, folder / f"{host}.pem", folder / f"{host}-key.pem")
    for path in (found.sss, found.ca, found.certificate, found.key):
        if not path.is_file():
            raise QskyError("no-access", f"The key file {path} is missing.", hint="Make the keys of the cluster first.")
    return found


def _new_key() -> EllipticCurvePrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise QskyError(
            "not-installed", "The package cryptography is not installed.", hint="pip install 'qsky[cluster]'"
        ) from None
    return ec.generate_private_key(ec.SECP256R1())


def _key_bytes(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _named(name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _signed(
    subject: x509.Name,
    own: EllipticCurvePrivateKey,
    signer: tuple[x509.Name, EllipticCurvePrivateKey],
    days: int,
    names: tuple[str, ...] = (),
) -> bytes:
    """A certificate: with `names` of a host, without of the authority itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID

    issuer, key = signer
    now = datetime.now(UTC)
    build = (
        x509.CertificateBuilder(issuer, subject, own.public_key(), x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None if names else 0), critical=True)
        .add_extension(_usage(signs=not names), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if names:
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        spelled = x509.SubjectAlternativeName([_spelled(name) for name in names])
        build = build.add_extension(purposes, critical=False).add_extension(spelled, critical=False)
    return build.sign(key, SHA256()).public_bytes(Encoding.PEM)


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _spelled(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, content: bytes) -> None:
    """A file for its owner's eyes, whole or not there."""
    make_folders(path.parent)
    aside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with io_errors(path.name):
        handle = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(aside, path)
        fsync_folder(path.parent)
