"""The texts that xrootd and cmsd read, made from an `Instance`. Pure; `daemons` writes them.

Inside, root:// demands the shared secret (sss) and gives whoever has it everything. Outside, https on the same port
gives anonymous readers the public parts and nobody anything else. Redirects carry names, because certificates do.
Delays are whole seconds of at least one. There is no third-party copy: one that fails leaves an empty file behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from qsky.config import Settings
from qsky.storage.xrootd.instance import Instance, Role
from qsky.storage.xrootd.names import EXPORT, PUBLIC

SSS_USER: Final = "qsky"


def config_text(instance: Instance, settings: Settings, authdb: str) -> str:
    """The configuration both daemons of an instance read; `authdb` is the path of the file of `authdb_text`."""
    lines = [
        *_cluster(instance, settings),
        *_doors(instance),
        *_security(instance, authdb),
        "if exec xrootd",
        f"xrd.port {instance.port}",
        "xrd.protocol XrdHttp libXrdHttp.so",
        "http.desthttps yes",
        "http.selfhttps2http no",
        "http.listingdeny yes",
        *([f"xrd.report {instance.report} every {settings.xrootd_report_seconds}s all"] if instance.report else []),
        "fi",
    ]
    return "\n".join(lines) + "\n"


def authdb_text() -> str:
    """Who may do what: the holder of the key everything, anybody read and look up public parts."""
    return f"u {SSS_USER} {EXPORT} a\nu * {PUBLIC} rl\n"


def _cluster(instance: Instance, settings: Settings) -> Iterator[str]:
    yield f"all.export {EXPORT}"
    yield f"all.adminpath {instance.folder}"
    yield f"all.role {instance.role}"
    yield from (f"all.manager all {r.host}:{r.cms_port}" for r in instance.redirectors)
    yield "xrd.network dyndns rpipa cache 0"
    yield (
        f"cms.delay startup {settings.xrootd_startup_seconds} lookup {settings.xrootd_lookup_seconds}"
        f" servers {settings.xrootd_servers_min} drop {settings.xrootd_drop_seconds} service 2 suspend 2"
    )
    yield "cms.request delay 1"  # a client that comes while the cmsd is not ready is told to come again in one second
    yield "cms.sched cpu 0 io 0 mem 0 runq 0 pag 0 space 0 fuzz 100"
    yield f"cms.ping {settings.xrootd_ping_seconds}"
    if instance.role is Role.SERVER:
        yield f"oss.localroot {instance.parts}"


def _doors(instance: Instance) -> Iterator[str]:
    for host in instance.admitted:
        yield f"cms.allow host {host}"
        yield f"xrd.allow host {host}"


def _security(instance: Instance, authdb: str) -> Iterator[str]:
    keys = instance.keys
    yield f"xrd.tls {keys.certificate} {keys.key}"
    yield f"xrd.tlsca certfile {keys.ca}"
    yield f"xrootd.tls {'all' if instance.encrypted else 'capable none'}"
    yield "xrootd.seclib libXrdSec.so"
    # Never `-c` here: it would tell every client where the key lies, and who can read the file there would be let in.
    yield f"sec.protocol sss -s {keys.sss}"
    yield "sec.protbind * only sss"
    yield "ofs.authorize 1"
    yield f"acc.authdb {authdb}"
