"""What to read: files, folders, patterns, addresses and HATS catalogues become a list of local files of known format.

Called by `ingest.load` first. Addresses are downloaded to scratch; nothing is unpacked or parsed here but names and
first bytes.
"""

from __future__ import annotations

import glob
import gzip
import hashlib
import http.client
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args
from urllib.parse import unquote, urlsplit

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.events import Listener, Progress
from qsky.ingest.source import Format, SourceFile, corrupt
from qsky.storage import hats
from qsky.storage.store import io_errors

_SUFFIXES: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".dat": "csv",
    ".psv": "csv",
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".fits": "fits",
    ".fit": "fits",
    ".fts": "fits",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
}
_FOREIGN: Final = {
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"pk\x03\x04": "a zip archive",
    b"bzh": "packed with bzip2",
    b"\xfd7zxz": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
}
_FIRST_BYTES: Final = 4096
_DOWNLOAD_TRIES: Final = 3
_COPY_BYTES: Final = 1 << 20


def find_sources(
    inputs: Sequence[str],
    scratch: Path,
    settings: Settings,
    listener: Listener,
    *,
    format: str | None = None,  # noqa: A002 -- what the user calls it
) -> list[SourceFile]:
    """The files that `inputs` mean, in their order; those of folders and patterns sorted by name.

    Raises no-input, bad-format, download-failed, corrupt-file, usage.
    """
    wanted = next((known for known in get_args(Format) if known == format), None)
    if format is not None and wanted is None:
        raise QskyError("usage", f"{format!r} is no format Qsky reads.", hint=f"Known: {', '.join(get_args(Format))}.")
    found = [source for text in inputs for source in _sources(text, scratch, settings, listener, wanted)]
    if not found:
        raise QskyError("no-input", "There is nothing to load.", hint="Name at least one file, folder or address.")
    return found


def _sources(
    text: str, scratch: Path, settings: Settings, listener: Listener, wanted: Format | None
) -> Iterator[SourceFile]:
    if text.split("://", 1)[0].lower() in ("http", "https"):
        yield _source(text, _download(text, scratch, settings, listener), scratch, wanted)
        return
    path = Path(text).expanduser()
    if path.is_file():
        yield _source(text, path, scratch, wanted)
    elif path.is_dir():
        yield from _folder(text, path, scratch, wanted)
    else:
        names = sorted(glob.glob(str(path), recursive=True))
        files = [Path(name) for name in names if Path(name).is_file()]
        if not files:
            raise QskyError("no-input", f"There is no file or folder {text}.", hint="Check the name.")
        yield from (_source(str(file), file, scratch, wanted) for file in files)


def _folder(text: str, folder: Path, scratch: Path, wanted: Format | None) -> Iterator[SourceFile]:
    """The data files below a folder; of a HATS catalogue only its leaves."""
    hats_folder = _hats_catalogue(folder)
    if hats_folder is not None:
        yield from _hats_leaves(hats_folder, scratch)
        return
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and _is_data(file.relative_to(folder))]
    found = {file: _format_by_name(file.name) for file in files}
    if wanted is not None:
        files = [file for file in files if found[file] == wanted]
    if not files:
        raise QskyError("no-input", f"The folder {text} holds no file of a format Qsky reads.")
    formats = sorted({str(found[file]) for file in files})
    if len(formats) > 1:
        raise QskyError(
            "bad-format",
            f"The folder {text} holds files of several formats: {', '.join(formats)}. They may be the same rows twice.",
            hint=f"Say which to load: --format {formats[0]}.",
        )
    yield from (_source(str(file), file, scratch, wanted) for file in files)


def _is_data(name: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in name.parts)
    about = name.stem.lower().startswith(("readme", "license", "licence", "copying", "changes"))
    return not hidden and not about and _format_by_name(name.name) is not None


def _hats_catalogue(folder: Path) -> Path | None:
    """The folder of the catalogue proper, if this is one or a collection of some."""
    collection = folder / "collection.properties"
    if collection.is_file():
        primary = hats.properties_of(collection.read_text()).get("hats_primary_table_url")
        if not primary:
            raise QskyError("bad-format", f"The HATS collection {folder} does not name its primary table.")
        return folder / primary
    has_properties = (folder / "hats.properties").is_file() or (folder / "properties").is_file()
    return folder if has_properties and (folder / "dataset").is_dir() else None


def _hats_leaves(folder: Path, scratch: Path) -> Iterator[SourceFile]:
    path = folder / "hats.properties" if (folder / "hats.properties").is_file() else folder / "properties"
    values = hats.properties_of(path.read_text())
    files = [
        file for file in sorted(folder.glob("dataset/Norder=*/**/*")) if file.is_file() and file.name[:1] not in "._"
    ]
    if not files:
        raise QskyError("no-input", f"The HATS catalogue {folder} has no leaf files.")
    healpix = values.get("hats_col_healpix", "_healpix_29")
    drop = tuple({healpix, "_healpix_29", "Norder", "Dir", "Npix"})
    for file in files:
        source = _source(str(file), file, scratch, "parquet")
        yield replace(source, ra=values.get("hats_col_ra", ""), dec=values.get("hats_col_dec", ""), drop=drop)


def _source(name: str, path: Path, scratch: Path, wanted: Format | None) -> SourceFile:
    with io_errors(name):
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(_FIRST_BYTES)
    if size == 0:
        raise QskyError("corrupt-file", f"The file {name} is empty.", hint="Fetch it again or leave it out.")
    compressed = first[:2] == b"\x1f\x8b"
    if compressed:
        first = _first_unpacked(name, path)
    _refuse_foreign(name, first)
    known = wanted or _format_by_bytes(first) or _format_by_name(path.name)
    if known is None:
        raise QskyError(
            "bad-format",
            f"The format of {name} cannot be recognised.",
            hint="Say it with --format csv, parquet, fits or votable.",
        )
    return SourceFile(name, path, known, compressed, size, scratch)


def _refuse_foreign(name: str, first: bytes) -> None:
    """What often comes under the name of a table and is none."""
    what = next((what for begins, what in _FOREIGN.items() if first.lstrip()[:20].lower().startswith(begins)), None)
    if what is not None:
        raise QskyError(
            "bad-format", f"The file {name} is {what}, not a table.", hint="Unpack or fetch the table itself."
        )


def _first_unpacked(name: str, path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as packed:
            return packed.read(_FIRST_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise corrupt(name, f"its gzip data are damaged ({error})") from error


def _format_by_bytes(first: bytes) -> Format | None:
    if first[:4] == b"PAR1":
        return "parquet"
    if first[:9] == b"SIMPLE  =":
        return "fits"
    return "votable" if b"<VOTABLE" in first else None


def _format_by_name(name: str) -> Format | None:
    stem = name.lower().removesuffix(".gz")
    return next((known for suffix, known in _SUFFIXES.items() if stem.endswith(suffix)), None)


def _download(address: str, scratch: Path, settings: Settings, listener: Listener) -> Path:
    """Fetch an address to scratch, trying a few times. Raises download-failed, no-input."""
    name = Path(unquote(urlsplit(address).path)).name or "download"
    folder = scratch / hashlib.sha256(address.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, _DOWNLOAD_TRIES + 1):
        try:
            return _fetch(address, folder / name, settings, listener)
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == _DOWNLOAD_TRIES:
                raise QskyError("download-failed", f"{address} answered {error.code} {error.reason}.") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            if attempt == _DOWNLOAD_TRIES:
                raise QskyError("download-failed", f"{address} could not be fetched: {error}.") from error
        time.sleep(0.2 * attempt)
    raise AssertionError("the last try returns or raises")


def _fetch(address: str, target: Path, settings: Settings, listener: Listener) -> Path:
    with urllib.request.urlopen(address, timeout=settings.http_seconds_max) as response:
        expected = response.headers.get("Content-Length")
        total = int(expected) if expected else None
        done = 0
        with target.open("wb") as file:
            while block := response.read(_COPY_BYTES):
                with io_errors(str(target)):
                    file.write(block)
                done += len(block)
                listener(Progress(f"fetching {target.name}", done, total, "bytes"))
    if total is not None and done != total:
        raise OSError(f"{done} of {total} bytes arrived")
    return target
