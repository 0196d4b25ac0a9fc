"""Felis YAML: what a schema says of columns beside their names. Read with PyYAML alone. Called by `ingest.read`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from qsky.catalog.model import Column
from qsky.errors import QskyError

_TYPES: Final = {
    "boolean": "BOOLEAN",
    "byte": "TINYINT",
    "short": "SMALLINT",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "char": "VARCHAR",
    "string": "VARCHAR",
    "unicode": "VARCHAR",
    "text": "VARCHAR",
    "binary": "BLOB",
    "timestamp": "TIMESTAMP",
}


def felis_columns(path: Path, table: str) -> dict[str, Column]:
    """The columns of one table of a schema by lower-case name; `table` "" takes the only one.

    Raises no-input, corrupt-file, no-such-table.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise QskyError("no-input", f"There is no Felis file {path}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise QskyError("corrupt-file", f"The Felis file {path} is not YAML: {error}.") from error
    tables = document.get("tables") if isinstance(document, Mapping) else None
    if not isinstance(tables, list):
        raise QskyError("corrupt-file", f"The Felis file {path} has no tables.")
    chosen = _chosen(path, tables, table)
    return {str(c["name"]).lower(): _column(c) for c in chosen.get("columns", ())}


def _chosen(path: Path, tables: list[Any], table: str) -> Mapping[str, Any]:
    found = [t for t in tables if str(t.get("name", "")).lower() == table.lower()] if table else tables
    if len(found) != 1:
        names = ", ".join(str(t.get("name")) for t in tables[:20])
        what = f"has no table {table}" if table else "has several tables; say which"
        raise QskyError("no-such-table", f"The Felis file {path} {what}.", hint=f"It has {names}.")
    chosen: Mapping[str, Any] = found[0]
    return chosen


def _column(values: Mapping[str, Any]) -> Column:
    unit = values.get("ivoa:unit") or values.get("fits:tunit") or ""
    return Column(
        name=str(values["name"]),
        type=_TYPES.get(str(values.get("datatype", "")), ""),
        unit=str(unit),
        ucd=str(values.get("ivoa:ucd", "")),
        description=str(values.get("description", "")).strip(),
    )
