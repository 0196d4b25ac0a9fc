"""What a text table looks like: delimiter, header, quotes, comments, found from its first megabytes.

Called by `ingest.read_csv`. Deterministic rules instead of guesses: the first line that is no comment is the header
unless the user named the columns. Types are no business of this module (see `csv_types`).
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final

from qsky.errors import QskyError
from qsky.ingest.conform import NUMBER
from qsky.ingest.mysql_ddl import read_ddl
from qsky.ingest.source import ReadOptions, SourceFile, corrupt

DELIMITERS: Final = (",", "\t", ";", "|")
WHITESPACE: Final = " "
_HEAD_BYTES: Final = 1 << 20
_RECORDS_LOOKED_AT: Final = 200
_NUMBER: Final = re.compile(NUMBER)
_PADDED_QUOTE: Final = r'(^|{d})[ \t]+"'


@dataclass(frozen=True)
class CsvShape:
    """How to read one text table.

    `start` is the byte (after unpacking) where the data begin, `line` its line number. `padded`: blanks stand between
    delimiter and quote. `backslash`: fields are escaped as MySQL dumps them, and there are no quotes.
    """

    names: tuple[str, ...]
    delimiter: str
    start: int
    line: int
    padded: bool = False
    backslash: bool = False
    encoding: str = "utf-8"

    @property
    def whitespace(self) -> bool:
        return self.delimiter == WHITESPACE


@dataclass(frozen=True)
class _Record:
    """One record of the head: its text, where it begins, where the next begins."""

    text: str
    start: int
    line: int
    end: int
    end_line: int


def open_bytes(source: SourceFile) -> IO[bytes] | gzip.GzipFile:
    """The file's bytes without its gzip layer."""
    if source.compressed:
        return gzip.open(source.path, "rb")
    return source.path.open("rb")


def find_shape(source: SourceFile, options: ReadOptions) -> CsvShape:
    """Raises bad-format for what is no text, bad-columns if there is no header, corrupt-file, no-input if empty."""
    head = _head(source)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or (options.encoding == "utf-8" and b"\x00" in head[:4096]):
        raise QskyError(
            "bad-format",
            f"The file {source.name} is not UTF-8 text.",
            hint="If it is a table in another encoding, convert it to UTF-8 first.",
        )
    backslash = options.ddl is not None or re.search(rb"(^|\t|\n)\\N(\t|\r?\n|$)", head) is not None
    comments, records = _split_dump(head) if backslash else _split_head(head, options.encoding)
    if not records:
        raise QskyError(
            "no-input", f"The file {source.name} holds no rows and no header.", hint="Check how it was made."
        )
    texts = [record.text for record in records]
    delimiter = "\t" if backslash and options.delimiter is None else _delimiter(texts, options)
    first = fields_of(texts[0], delimiter, backslash)
    names, header = _names(source, options, first, comments, delimiter)
    begin = records[0]
    return CsvShape(
        names=tuple(name.strip() or f"column_{at}" for at, name in enumerate(names, 1)),
        delimiter=delimiter,
        start=begin.end if header else begin.start,
        line=begin.end_line if header else begin.line,
        padded=any(re.search(_PADDED_QUOTE.format(d=re.escape(delimiter)), text) for text in texts),
        backslash=backslash,
        encoding=options.encoding,
    )


def fields_of(text: str, delimiter: str, backslash: bool) -> list[str]:
    """The fields of one record, quotes and padding taken off."""
    if delimiter == WHITESPACE:
        return next(csv.reader([" ".join(text.split())], delimiter=" "), [])
    if backslash:
        return re.split(rf"(?<!\\){re.escape(delimiter)}", text)
    try:
        return [field.strip() for field in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return text.split(delimiter)


def _head(source: SourceFile) -> bytes:
    try:
        with open_bytes(source) as file:
            return file.read(_HEAD_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise corrupt(source.name, f"its gzip data end early or are damaged ({error})") from error


def _split_head(head: bytes, encoding: str) -> tuple[list[str], list[_Record]]:
    """The comment lines before the first record, and the first records; one that is cut off by the end is left out."""
    at = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    comments: list[str] = []
    records: list[_Record] = []
    pending, pending_start, pending_line, line = b"", at, 1, 1
    for raw in _lines(head, at):
        if not pending:
            pending_start, pending_line = at, line
        at += len(raw)
        line += 1
        if not pending and raw.lstrip().startswith(b"#"):
            if not records:
                comments.append(raw.decode(encoding, "replace").strip())
            continue
        pending += raw
        if not pending.strip():
            pending = b""
            continue
        if quote_open(pending) and len(pending) < _HEAD_BYTES // 2:
            continue
        text = pending.decode(encoding, "replace").strip("\r\n")
        records.append(_Record(text, pending_start, pending_line, at, line))
        pending = b""
        if len(records) == _RECORDS_LOOKED_AT:
            break
    cut = len(head) == _HEAD_BYTES and len(records) > 1 and records[-1].end == len(head)
    return comments, records[:-1] if cut else records


def _split_dump(head: bytes) -> tuple[list[str], list[_Record]]:
    """The first records of what MySQL dumped: no comments, no quotes, a line end may be escaped."""
    records: list[_Record] = []
    at, line = 0, 1
    for match in re.finditer(rb"((?:[^\\\n]|\\.)*)(?:\n|$)", head, re.DOTALL):
        if not match[0] or len(records) == _RECORDS_LOOKED_AT:
            break
        ends = line + match[0].count(b"\n")
        if match[1]:
            records.append(_Record(match[1].decode("utf-8", "replace"), at, line, match.end(), ends))
        at, line = match.end(), ends
    return [], records


def _lines(head: bytes, start: int) -> Iterator[bytes]:
    """Lines with their ends: \\n, \\r\\n, or the lone \\r of old files."""
    for match in re.finditer(rb"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+$", head[start:]):
        yield match[0]


def quote_open(record: bytes) -> bool:
    """Whether a quoted field at a field's start has not ended yet, whatever the delimiter."""
    rest = re.sub(rb'(^|[,\t;|\s])"(?:[^"]|"")*"', rb"\1", record)
    return re.search(rb'(^|[,\t;|])[ \t]*"', rest) is not None


def _delimiter(texts: Sequence[str], options: ReadOptions) -> str:
    """The user's, else the one by which most records have as many fields as the first; blanks only if none does."""
    if options.delimiter is not None:
        given = {"\\t": "\t", "tab": "\t", "space": WHITESPACE}.get(options.delimiter, options.delimiter)
        if len(given) != 1:
            raise QskyError("usage", f"The delimiter {given!r} is not one character.")
        return given
    best, best_score = ",", (0.0, 1)
    for delimiter in DELIMITERS:
        counts = [len(fields_of(text, delimiter, False)) for text in texts]
        if counts[0] > 1:
            score = (sum(count == counts[0] for count in counts) / len(counts), counts[0])
            best, best_score = (delimiter, score) if score > best_score else (best, best_score)
    if best_score[1] > 1:
        return best
    counts = [len(text.split()) for text in texts]
    return WHITESPACE if counts[0] > 1 and len(counts) > 1 and len(set(counts)) == 1 else ","


def _names(
    source: SourceFile, options: ReadOptions, first: list[str], comments: list[str], delimiter: str
) -> tuple[list[str], bool]:
    """The columns' names, and whether the first record is the header that gave them."""
    given = options.columns or (tuple(column.name for column in read_ddl(options.ddl)) if options.ddl else ())
    if given:
        if [name.strip().casefold() for name in first] == [name.casefold() for name in given]:
            return list(given), True
        if len(given) != len(first):
            raise QskyError(
                "bad-columns",
                f"The file {source.name} has {len(first)} columns, but {len(given)} names were given.",
                hint="Give one --column NAME for each, in the order of the file.",
            )
        return list(given), False
    numbers = [_NUMBER.match(name.strip()) is not None for name in first if name.strip()]
    if not any(numbers):
        return first, True
    commented = fields_of(comments[-1].lstrip("#").strip(), delimiter, False) if comments else []
    if len(commented) == len(first) and not any(_NUMBER.match(name.strip()) for name in commented):
        return commented, False
    if all(numbers):
        raise QskyError(
            "bad-columns",
            f"The file {source.name} has no header: its first line is {', '.join(first[:4])}{', ...' * (len(first) > 4)}.",
            hint="Name its columns, one --column NAME for each.",
        )
    return first, True


def text_lines(source: SourceFile, shape: CsvShape) -> IO[str]:
    """The file as text from its first data line on; lines end as they do in the file."""
    file = open_bytes(source)
    file.seek(shape.start)
    return io.TextIOWrapper(file, encoding=shape.encoding, errors="replace", newline="\n" if shape.backslash else None)
