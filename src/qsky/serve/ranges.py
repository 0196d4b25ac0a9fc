"""Which bytes of a file a request wants, by RFC 9110: Range, If-Range, If-None-Match. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Longer numbers are no places in any file, and Python refuses to read very long ones.
_ONE_RANGE: Final = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Wanted:
    """The half-open span of bytes to send and the status to say so; 304 and 416 send none."""

    status: int
    start: int
    end: int


def wanted(headers: Mapping[str, str], size: int, etag: str) -> Wanted:
    """What a GET or HEAD with these headers wants of a file of `size` bytes. `etag` is strong, with its quotes.

    Of several ranges, and of what is no range, the whole file is sent, as the standard allows.
    """
    if _matches(headers.get("if-none-match", ""), etag):
        return Wanted(304, 0, 0)
    whole = Wanted(200, 0, size)
    asked = _ONE_RANGE.fullmatch(headers.get("range", "").strip())
    if asked is None or headers.get("if-range", etag).strip() != etag:
        return whole
    first, last = asked[1], asked[2]
    if not first and not last:
        return whole
    if not first:  # the last so many bytes
        start, end = max(size - int(last), 0), size
        return Wanted(206, start, end) if int(last) and size else Wanted(416, 0, 0)
    start, end = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return whole
    return Wanted(206, start, end) if start < size else Wanted(416, 0, 0)


def _matches(listed: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in listed.split(",")]
    return etag in tags or "*" in tags
