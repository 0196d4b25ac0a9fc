"""The bytes of a text table on their way to the parser, and back from a refused record to its line in the file.

Called by `ingest.read_csv`. `RowBytes` hides from the parser what it does not know: comment lines, runs of blanks,
padded quotes, MySQL's escapes. It never joins or drops records, so a record's number leads back to its line.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from qsky.ingest.csv_shape import CsvShape, open_bytes, quote_open, text_lines
from qsky.ingest.source import SourceFile, corrupt

_CHUNK_BYTES: Final = 1 << 22
_COMMENT: Final = re.compile(rb"^[ \t]*#[^\r\n]*(?:\r\n|\n|\r)?", re.MULTILINE)
_RECORD_BYTES_MAX: Final = 1 << 16  # a quoted field longer than this is not followed
_BLANKS: Final = re.compile(rb'("[^"\n]*")|[ \t]+')
_LINE_EDGES: Final = re.compile(rb"^ +| +(?=\r?$)", re.MULTILINE)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_LONE_RETURN: Final = re.compile(rb"\r(?!\n)")
_CONTROL_ESCAPES: Final = {b"\n": b"\\n", b"\t": b"\\t", b"\r": b"\\r"}


class RowBytes(io.RawIOBase):
    """A readable stream of whole lines of data, as plain as the parser wants them."""

    def __init__(self, source: SourceFile, shape: CsvShape) -> None:
        super().__init__()
        self._name = source.name
        self._file = open_bytes(source)
        self._file.seek(shape.start)
        self._plain = _plainers(shape)
        self._backslash = shape.backslash
        self._rest = b""  # read, but its line is not whole yet
        self._ready = memoryview(b"")
        self.tail = b""  # the last bytes handed over: an unterminated quote shows there

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, at least one until the end."""
        while not self._ready and self._fill():
            pass
        size = len(self._ready) if size < 0 else size
        piece = bytes(self._ready[:size])
        self._ready = self._ready[size:]
        self.tail = piece[-64:] or self.tail
        return piece

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _fill(self) -> bool:
        """Read on; False at the end."""
        try:
            chunk = self._file.read(_CHUNK_BYTES)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise corrupt(self._name, f"its gzip data end early or are damaged ({error})") from error
        if not chunk and not self._rest:
            return False
        data = self._rest + chunk
        cut = self._whole_lines(data) if chunk else len(data)
        self._rest, data = data[cut:], data[:cut]
        for plain in self._plain:
            data = plain(data)
        self._ready = memoryview(data)
        return True

    def _whole_lines(self, data: bytes) -> int:
        """How many bytes end with a line; an escaped line end is none."""
        at = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1))
        while self._backslash and at > 0 and data[at - 1 : at] == b"\\":
            at = data.rfind(b"\n", 0, at)
        return at + 1


def _plainers(shape: CsvShape) -> list[Callable[[bytes], bytes]]:
    if shape.backslash:
        return [_without_escaped_ends]
    plainers: list[Callable[[bytes], bytes]] = [_without_comments]
    if shape.whitespace:
        plainers.append(_without_blank_runs)
    if shape.padded:
        delimiter = re.escape(shape.delimiter.encode())
        before = re.compile(b"(^|" + delimiter + b')[ \\t]+(?=")', re.MULTILINE)
        after = re.compile(b'(?<=")[ \\t]+(' + delimiter + b"|\r?$)", re.MULTILINE)
        plainers.append(lambda data: after.sub(rb"\1", before.sub(rb"\1", data)))
    return plainers


def _without_comments(data: bytes) -> bytes:
    if b"#" not in data or not _COMMENT.search(data):
        return data
    if b'"' not in data:
        return _COMMENT.sub(b"", data)
    kept, record = [], b""
    for line in data.splitlines(keepends=True):
        if not record and line.lstrip(b" \t").startswith(b"#"):
            continue
        kept.append(line)
        record += line
        if b'"' not in record or len(record) > _RECORD_BYTES_MAX or not quote_open(record):
            record = b""
    return b"".join(kept)


def _without_blank_runs(data: bytes) -> bytes:
    return _LINE_EDGES.sub(b"", _BLANKS.sub(lambda match: match[1] or b" ", data))


def _without_escaped_ends(data: bytes) -> bytes:
    """MySQL writes a line end inside a field as backslash and line end; make them two letters on the same line."""
    if b"\\\n" in data or b"\\\t" in data or b"\\\r" in data:
        data = _ESCAPED.sub(lambda match: _CONTROL_ESCAPES.get(match[1], match[0]), data)
    # MySQL leaves these as they are; to the parser they would end a line
    return _LONE_RETURN.sub(rb"\\r", data) if b"\r" in data else data


class LineFinder:
    """From record numbers to (line number, text), walking the file once, forwards, only as far as asked.

    Used only when rows are refused: it costs a second pass over the file up to the last of them.
    """

    def __init__(self, source: SourceFile, shape: CsvShape) -> None:
        self._lines = text_lines(source, shape)
        self._shape = shape
        self._records = self._walk()
        self._number = 0  # of the record last taken

    def close(self) -> None:
        self._lines.close()

    def find(self, numbers: Sequence[int]) -> list[tuple[int, str]]:
        """`numbers` count records from 1, ascend, and lie past those asked for before."""
        found = []
        for number in numbers:
            place = (0, "")
            while self._number < number:
                self._number += 1
                place = next(self._records, (0, ""))
            found.append(place)
        return found

    def _walk(self) -> Iterator[tuple[int, str]]:
        """Records as the parser counts them: no comments, no blank lines, line ends inside quotes kept."""
        shape = self._shape
        quoted = re.compile(f'(^|{re.escape(shape.delimiter)})[ \\t]*"(?:[^"]|"")*"')
        unclosed = re.compile(
            f'(^|{re.escape(shape.delimiter)})[ \\t]*"' if shape.padded else f'(^|{re.escape(shape.delimiter)})"'
        )
        record, start = "", shape.line
        for line, text in enumerate(self._lines, shape.line):
            if not record:
                start = line
                if self._skipped(text):
                    continue
            record += text
            if shape.backslash:
                ended = not _ends_escaped(record)
            else:
                ended = '"' not in record or not unclosed.search(quoted.sub(r"\1", record))
            if ended:
                yield start, record.rstrip("\n")
                record = ""
        if record:
            yield start, record.rstrip("\n")

    def _skipped(self, text: str) -> bool:
        if self._shape.backslash:
            return text == "\n"
        if self._shape.whitespace and not text.strip():
            return True
        return text == "\n" or text.lstrip(" \t").startswith("#")


def _ends_escaped(record: str) -> bool:
    body = record[:-1] if record.endswith("\n") else record
    return record.endswith("\n") and (len(body) - len(body.rstrip("\\"))) % 2 == 1
