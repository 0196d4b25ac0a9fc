"""The Qserv case01 catalogue, loaded into Qsky and, whole, into MariaDB."""

from __future__ import annotations

from tests.mariadb import mariadb

__all__ = ["mariadb"]
