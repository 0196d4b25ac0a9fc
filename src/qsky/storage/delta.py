"""The one door to Delta Lake: each dataset folder is a Delta table whose log follows the revisions, commit by commit.

A commit goes to exactly the version a revision names. Who finds it there already, with the same load in it, has
nothing to do; a version written by somebody else is a foreign commit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions

from qsky.errors import QskyError
from qsky.storage.store import fsync_file, fsync_folder

_LOAD: Final = "qsky.load"
_REVISION: Final = "qsky.revision"
_CONFIGURATION: Final = {"delta.enableExpiredLogCleanup": "false"}
_HOOKS: Final = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
_PARTITION_FIELDS: Final = (("Norder", pa.int32()), ("Dir", pa.int64()), ("Npix", pa.int64()))


@dataclass(frozen=True)
class Added:
    """One part for the log: its path under the dataset folder, its leaf (None in replicated tables) and statistics."""

    path: str
    bytes: int
    rows: int
    leaf: tuple[int, int] | None
    minimum: dict[str, int]
    maximum: dict[str, int]


def newest_version(dataset: Path) -> int:
    """The highest version in a log, -1 if there is no log; by names alone."""
    try:
        names = [entry.name for entry in (dataset / "_delta_log").iterdir()]
    except FileNotFoundError:
        return -1
    return max((int(name[:20]) for name in names if name[:20].isdigit() and name.endswith(".json")), default=-1)


def is_leftover(name: str) -> bool:
    """Whether a file is what a dead process left of a commit: written beside its name and not linked to it."""
    folder, _, file = name.rpartition("/")
    return folder.endswith("/_delta_log") and ("#" in file or file.startswith("_commit_"))


def load_at(dataset: Path, version: int) -> str | None:
    """The load that a version belongs to; None if the version is not there, "" if it is nobody's of ours."""
    try:
        lines = _entry(dataset, version).read_text().splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        info = json.loads(line).get("commitInfo")
        if info is not None:
            return str(info.get(_LOAD, ""))
    return ""


def commit(
    dataset: Path,
    version: int,
    schema: pa.Schema,
    added: Sequence[Added],
    *,
    partitioned: bool,
    revision: int,
    load: str,
    when_ms: int,
) -> None:
    """Make `version` of the log add the parts; version 0 makes the table. Nothing happens if this load did it already.

    Raises foreign-commit if the version is somebody else's.
    """
    written = load_at(dataset, version)
    if written is not None:
        _refuse_foreign(dataset, version, written, load)
        return
    _refuse_gap(dataset, version)
    properties = _properties(load, revision)
    actions = [_action(part, when_ms) for part in added]
    fields = [pa.field(name, kind) for name, kind in _PARTITION_FIELDS] if partitioned else []
    full_schema = Schema.from_arrow(pa.schema([pa.field(f.name, f.type) for f in schema] + fields))
    names = [field.name for field in fields]
    try:
        if version == 0:
            dataset.mkdir(parents=True, exist_ok=True)
            create_table_with_add_actions(
                str(dataset), full_schema, actions, partition_by=names, configuration=_CONFIGURATION,
                commit_properties=properties, post_commithook_properties=_HOOKS,
            )  # fmt: skip
        else:
            table = _with_columns(dataset, version - 1, full_schema, load, revision)
            table.create_write_transaction(
                actions, "append", full_schema, partition_by=names,
                commit_properties=properties, post_commithook_properties=_HOOKS,
            )  # fmt: skip
    except (CommitFailedError, DeltaError) as error:
        written = load_at(dataset, version)
        if written is None:
            raise QskyError("damaged", f"The Delta log of {dataset.parent} cannot be written: {error}.") from error
        _refuse_foreign(dataset, version, written, load)
    # Staged parts are let go of when this returns, so what it wrote must outlive the power.
    fsync_file(_entry(dataset, version))
    fsync_folder(dataset / "_delta_log")
    fsync_folder(dataset)


def _entry(dataset: Path, version: int) -> Path:
    return dataset / "_delta_log" / f"{version:020d}.json"


def _refuse_gap(dataset: Path, version: int) -> None:
    """A log that lost versions is not ours any more: nothing can be added to it."""
    if version > 0 and newest_version(dataset) < max(0, version - 2):
        raise QskyError(
            "foreign-commit",
            f"The Delta log in {dataset} has lost versions; another program removed them.",
            hint="Qsky's own answers are not affected. `qsky compact` makes a new one.",
        )


def _properties(load: str, revision: int) -> CommitProperties:
    return CommitProperties(custom_metadata={_LOAD: load, _REVISION: str(revision)}, max_commit_retries=0)


def _with_columns(dataset: Path, version: int, schema: Schema, load: str, revision: int) -> DeltaTable:
    """The table at `version`, which this call makes if it is the one that adds new columns."""
    if newest_version(dataset) >= version:
        return DeltaTable(str(dataset), version=version)
    table = DeltaTable(str(dataset), version=version - 1)
    have = {field.name for field in table.schema().fields}
    new = [field for field in schema.fields if field.name not in have]
    table.alter.add_columns(new, commit_properties=_properties(load, revision), post_commithook_properties=_HOOKS)
    return DeltaTable(str(dataset), version=version)


def _refuse_foreign(dataset: Path, version: int, written: str, load: str) -> None:
    if written != load:
        raise QskyError(
            "foreign-commit",
            f"Version {version} of the Delta log in {dataset} was written by another program.",
            hint="Run `qsky verify` on the database; Qsky's own answers are not affected.",
        )


def _action(part: Added, when_ms: int) -> AddAction:
    values: dict[str, str | None] = {}
    if part.leaf is not None:
        order, npix = part.leaf
        values = {"Norder": str(order), "Dir": str(npix // 10_000 * 10_000), "Npix": str(npix)}
    stats: dict[str, Any] = {
        "numRecords": part.rows,
        "minValues": part.minimum,
        "maxValues": part.maximum,
        "nullCount": {},
    }
    return AddAction(part.path, part.bytes, values, when_ms, True, json.dumps(stats))


def files_at(dataset: Path, version: int) -> dict[str, tuple[int, int]]:
    """What a version holds: path under the dataset folder to (bytes, rows). Raises damaged."""
    try:
        table = pa.table(DeltaTable(str(dataset), version=version).get_add_actions(flatten=True))
    except DeltaError as error:
        raise QskyError("damaged", f"The Delta log in {dataset} cannot be read: {error}.") from error
    columns = (table[name].to_pylist() for name in ("path", "size_bytes", "num_records"))
    return {path: (size, rows) for path, size, rows in zip(*columns, strict=True)}


def describe(dataset: Path, first: int, last: int) -> str:
    """What versions did, in words: the operation and engine each names."""
    told = []
    for version in range(first, last + 1):
        try:
            lines = _entry(dataset, version).read_text().splitlines()
        except FileNotFoundError:
            continue
        info: dict[str, Any] = next((json.loads(line)["commitInfo"] for line in lines if "commitInfo" in line), {})
        engine = info.get("engineInfo") or info.get("clientVersion") or "an unknown program"
        told.append(f"version {version}: {info.get('operation', 'a change')} by {engine}")
    return "; ".join(told)
