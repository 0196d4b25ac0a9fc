"""Fragments and pieces as bytes: a header in JSON, and rows as Arrow's IPC stream. Pure.

Called by `dispatch.dask` on one machine and by `worker.station` on another. What comes back is what was sent: types,
NULLs and the order of rows included. Nothing is unpickled, so bytes from elsewhere can only be a fragment or none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any, Final

import pyarrow as pa

from qsky.errors import CODES, QskyError
from qsky.fragment import Fragment, Input, PartFile, Piece

_LENGTH_BYTES: Final = 4


@dataclass(frozen=True)
class Lot:
    """Rows that are not among the bytes but must be fetched, or were sent before: their size and digest as bytes."""

    bytes: int
    digest: str


def packed(header: Mapping[str, Any], bodies: Sequence[bytes | memoryview | pa.Buffer] = ()) -> bytes:
    """One text of bytes made of a header and several bodies."""
    sizes = [len(memoryview(body)) for body in bodies]
    text = json.dumps({**header, "sizes": sizes}).encode()
    return b"".join([len(text).to_bytes(_LENGTH_BYTES, "little"), text, *bodies])


NOTHING: Final = packed({"none": True})  # the reply of a worker that does not know a token


def unpacked(content: bytes | memoryview) -> tuple[dict[str, Any], list[memoryview]]:
    """The header and the bodies, which are views of the content."""
    view = memoryview(content)
    at = _LENGTH_BYTES + int.from_bytes(view[:_LENGTH_BYTES], "little")
    header = json.loads(bytes(view[_LENGTH_BYTES:at]))
    bodies = []
    for size in header.pop("sizes"):
        bodies.append(view[at : at + size])
        at += size
    return header, bodies


def digest_of(content: bytes | memoryview | pa.Buffer) -> str:
    """Of rows as bytes, to tell whether all have come, in order."""
    return blake2b(memoryview(content), digest_size=16).hexdigest()


def table_bytes(table: pa.Table) -> pa.Buffer:
    """A table as an IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def table_of(content: bytes | memoryview | pa.Buffer) -> pa.Table:
    """The table of an IPC stream, over the same bytes."""
    return pa.ipc.open_stream(pa.py_buffer(content)).read_all()


# -- fragments


def fragment_bytes(fragment: Fragment, given: Mapping[str, Lot], folders: Sequence[str] = ()) -> bytes:
    """A fragment. Rows it is given that are in `given` travel apart; `folders` are what it reads outside a root."""
    here = [(name, table) for name, table in fragment.given if name not in given]
    header = {
        "number": fragment.number,
        "sql": fragment.sql,
        "inputs": [_listed(source) for source in fragment.inputs],
        "chunks": fragment.chunks,
        "bytes": fragment.bytes,
        "interactive": fragment.interactive,
        "alone": fragment.alone,
        "names": [name for name, _ in fragment.given],
        "here": [name for name, _ in here],
        "lots": {name: asdict(lot) for name, lot in given.items()},
        "folders": list(folders),
    }
    return packed(header, [table_bytes(table) for _, table in here])


def fragment_of(content: bytes, fetch: Callable[[Lot], pa.Table]) -> tuple[Fragment, tuple[str, ...]]:
    """The fragment, and the folders outside a root that it reads. `fetch` gives the rows that travelled apart."""
    header, bodies = unpacked(content)
    tables = {name: table_of(body) for name, body in zip(header["here"], bodies, strict=True)}
    tables |= {name: fetch(Lot(**lot)) for name, lot in header["lots"].items()}
    fragment = Fragment(
        header["number"],
        header["sql"],
        tuple(_input(listed) for listed in header["inputs"]),
        header["chunks"],
        header["bytes"],
        header["interactive"],
        tuple((name, tables[name]) for name in header["names"]),
        header["alone"],
    )
    return fragment, tuple(header["folders"])


def _listed(source: Input) -> list[Any]:
    files = [[file.address, file.bytes, file.lacks, file.rows] for file in source.files]
    return [source.name, files, source.columns, source.nan_columns, source.within]


def _input(listed: list[Any]) -> Input:
    name, files, columns, nan_columns, within = listed
    return Input(
        name,
        tuple(PartFile(address, size, tuple(lacks), rows) for address, size, lacks, rows in files),
        tuple((column, kind) for column, kind in columns),
        tuple(nan_columns),
        None if within is None else (within[0], within[1], within[2]),
    )


def with_addresses(fragment: Fragment, spell: Callable[[PartFile], str]) -> Fragment:
    """The fragment with other addresses of its files."""
    inputs = (
        replace(source, files=tuple(replace(file, address=spell(file)) for file in source.files))
        for source in fragment.inputs
    )
    return replace(fragment, inputs=tuple(inputs))


# -- pieces and errors


def piece_header(piece: Piece, apart: Lot | None = None) -> dict[str, Any]:
    """What is said of a piece beside its rows; `apart` if these must be fetched."""
    header = {"number": piece.number, "seconds": piece.seconds, "cpu_seconds": piece.cpu_seconds}
    return {**header, "shared": piece.shared, "lot": None if apart is None else asdict(apart)}


def piece_of(header: Mapping[str, Any], table: pa.Table, *, filed: bool) -> Piece:
    """The piece of a header and its rows."""
    return Piece(header["number"], table, header["seconds"], header["cpu_seconds"], header["shared"], filed)


def error_header(error: QskyError) -> dict[str, Any]:
    """An error in the place of a piece."""
    place = {"line": error.line, "column": error.column}
    return {"error": {"code": error.code.name, "message": error.message, "hint": error.hint, **place}}


def error_of(header: Mapping[str, Any]) -> QskyError | None:
    """The error of a header, if it is one."""
    if "error" not in header:
        return None
    said = dict(header["error"])
    code = said.pop("code")
    return QskyError(code if code in CODES else "internal", said.pop("message"), **said)
