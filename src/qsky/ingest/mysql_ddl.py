"""Columns out of a MySQL `CREATE TABLE`, as `mysqldump -T` and Qserv's data sets have it beside the data.

Called by `read_csv`. Reads names, types and whether case counts: keys, defaults and engines are ignored.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from qsky.catalog.model import Column
from qsky.errors import QskyError

_COLUMN: Final = re.compile(r"^\s*`(?P<name>(?:[^`]|``)+)`\s+(?P<type>\w+)(?:\((?P<size>[^)]*)\))?(?P<rest>[^,]*)")
_TYPES: Final = {
    "tinyint": ("TINYINT", "SMALLINT"),
    "smallint": ("SMALLINT", "INTEGER"),
    "mediumint": ("INTEGER", "INTEGER"),
    "int": ("INTEGER", "BIGINT"),
    "integer": ("INTEGER", "BIGINT"),
    "bigint": ("BIGINT", "HUGEINT"),
    "float": ("FLOAT", "FLOAT"),
    "double": ("DOUBLE", "DOUBLE"),
    "real": ("DOUBLE", "DOUBLE"),
    "bool": ("BOOLEAN", "BOOLEAN"),
    "boolean": ("BOOLEAN", "BOOLEAN"),
    "date": ("DATE", "DATE"),
    "datetime": ("TIMESTAMP", "TIMESTAMP"),
    "timestamp": ("TIMESTAMP", "TIMESTAMP"),
}
_COLLATE: Final = re.compile(r"\bCOLLATE\b\s*=?\s*(\w+)", re.IGNORECASE)
_BYTES: Final = ("blob", "tinyblob", "mediumblob", "longblob", "binary", "varbinary", "bit")


def read_ddl(path: Path) -> tuple[Column, ...]:
    """The columns in order; texts are `ci` unless their collation, or that of the table, tells cases apart.

    Raises no-input, bad-format if there is no CREATE TABLE.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise QskyError("no-input", f"The schema {path} cannot be read: {error.strerror}.") from error
    _, found, body = text.partition("CREATE TABLE")
    lines = body.splitlines()[1:]
    columns = [match for line in lines if (match := _COLUMN.match(line))]
    if not found or not columns:
        raise QskyError("bad-format", f"The schema {path} holds no CREATE TABLE with columns.")
    table_says = next((said[1] for line in lines if line.startswith(")") and (said := _COLLATE.search(line))), "")
    return tuple(_column(match, table_says) for match in columns)


def _column(match: re.Match[str], table_says: str) -> Column:
    kind = _type(match)
    own = _COLLATE.search(match["rest"])
    spoken = (own[1] if own else table_says).lower()
    folded = kind == "VARCHAR" and not spoken.endswith(("_bin", "_cs"))  # what MySQL assumes is _ci
    return Column(match["name"].replace("``", "`"), kind, collation="ci" if folded else "")


def _type(match: re.Match[str]) -> str:
    name = match["type"].lower()
    if name in ("decimal", "numeric"):
        size = [int(part) for part in (match["size"] or "10,0").split(",")]
        return f"DECIMAL({size[0]},{size[1] if len(size) > 1 else 0})"
    if name in _TYPES:
        return _TYPES[name]["unsigned" in match["rest"].lower()]
    return "BLOB" if name in _BYTES else "VARCHAR"
