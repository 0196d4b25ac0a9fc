"""Where everything lies under a root: the one place that spells paths. Pure; relative to a database's folder.

<root>/qsky.json                                              says that this is a root, and its format
<root>/public/<database>/revisions/000042.json
                         _qsky/<kind>-<digest>.<suffix>       side files that revisions name
                         _qsky/staging/<load>/                parts of a load that is not settled yet
                         leases/<id>.json
                         <director>.hats/<table>/g0001/dataset/Norder=5/Dir=0/Npix=4711/<load>-<sequence>-<digest>.parquet
                         <table>.table/g0001/dataset/<load>-<sequence>-<digest>.parquet     replicated tables
"""

from __future__ import annotations

import re
from typing import Final

from qsky.catalog.model import Kind, Table
from qsky.errors import QskyError

ROOT_FILE: Final = "qsky.json"
PUBLIC: Final = "public"
REVISIONS: Final = "revisions"
SIDE: Final = "_qsky"
STAGING: Final = "_qsky/staging"
LEASES: Final = "leases"
PART_SUFFIX: Final = ".parquet"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


def checked_name(name: str, what: str) -> str:
    """A database or table name Qsky can use as SQL identifier and folder on any file system, or bad-name."""
    if not _NAME.fullmatch(name) or name.lower().endswith("_overlap"):
        raise QskyError(
            "bad-name",
            f"{name!r} cannot be the name of a {what}.",
            hint="Use a letter, then up to 62 letters, digits or underscores; names ending in _overlap are Qsky's own.",
        )
    return name


def split_name(name: str) -> tuple[str, str]:
    """(database, table) of `database.table`. Raises usage."""
    database, dot, table = name.partition(".")
    if not (database and dot and table) or "." in table:
        raise QskyError("usage", f"{name!r} is not the name of a table.", hint="Write it as database.table.")
    return database, table


def revision_path(number: int) -> str:
    return f"{REVISIONS}/{number:06d}.json"


def staging_path(load: str) -> str:
    return f"{STAGING}/{load}"


def collection_path(director: str) -> str:
    """The HATS collection of a director: its own table, its overlap, its children."""
    return f"{director}.hats"


def table_path(table: Table, *, overlap: bool = False) -> str:
    """The folder of one generation of a table (or of its overlap): a HATS catalogue, or a plain Delta table."""
    if table.kind is Kind.REPLICATED:
        return f"{table.name}.table/g{table.generation:04d}"
    name = f"{table.name}_overlap" if overlap else table.name
    return f"{collection_path(table.family)}/{name}/g{table.generation:04d}"


def dataset_path(table: Table, *, overlap: bool = False) -> str:
    """The folder of the parts, which is also the Delta table."""
    return f"{table_path(table, overlap=overlap)}/dataset"


def leaf_folder(order: int, npix: int) -> str:
    """A leaf's folder under `dataset`, as HATS spells it."""
    return f"Norder={order}/Dir={npix // 10_000 * 10_000}/Npix={npix}"


def part_name(load: str, sequence: int, digest: str) -> str:
    """Unique, never reused, and checkable from itself: `digest` is the start of the file's SHA-256."""
    return f"{load}-{sequence:06d}-{digest}{PART_SUFFIX}"


def load_of(path: str) -> str:
    """The load that wrote a part, from its name."""
    return path.rsplit("/", 1)[-1].split("-", 1)[0]
