"""Column names and types out of a MySQL `CREATE TABLE`, as `mysqldump -T` and Qserv's data sets have it beside the data.

Called by `read_csv`. Reads names and types only: keys, defaults and engines are ignored.
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
_BYTES: Final = ("blob", "tinyblob", "mediumblob", "longblob", "binary", "varbinary", "bit")


def read_ddl(path: Path) -> tuple[Column, ...]:
    """The columns in order. Raises no-input, bad-format if there is no CREATE TABLE."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise QskyError("no-input", f"The schema {path} cannot be read: {error.strerror}.") from error
    _, found, body = text.partition("CREATE TABLE")
    columns = [match for line in body.splitlines()[1:] if (match := _COLUMN.match(line))]
    if not found or not columns:
        raise QskyError("bad-format", f"The schema {path} holds no CREATE TABLE with columns.")
    return tuple(Column(match["name"].replace("``", "`"), _type(match)) for match in columns)


def _type(match: re.Match[str]) -> str:
    name = match["type"].lower()
    if name in ("decimal", "numeric"):
        size = [int(part) for part in (match["size"] or "10,0").split(",")]
        return f"DECIMAL({size[0]},{size[1] if len(size) > 1 else 0})"
    if name in _TYPES:
        return _TYPES[name]["unsigned" in match["rest"].lower()]
    return "BLOB" if name in _BYTES else "VARCHAR"
