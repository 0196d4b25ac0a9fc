"""HATS side files, so that LSDB and every other HATS reader opens a table where it lies; and reading foreign ones.

Texts and bytes in, texts and bytes out: the key=value properties, `partition_info.csv`, `_common_metadata`, an ASCII
MOC. Facts of the format: HATS 1.0, leaf directories (`hats_npix_suffix=/`), all files of a leaf directory are one unit.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}
RELEASE: Final = {"hats_release_date": "2025-08-22", "hats_version": "v1.0"}


def properties_text(values: Mapping[str, object], comment: str) -> str:
    """Key=value lines; backslashes, spaces at the ends and non-Latin letters escaped as Java's properties are."""
    lines = [f"#{comment}"]
    lines += [f"{key}={_escaped(str(value))}" for key, value in values.items() if value not in (None, "")]
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    ends = len(value) - len(value.lstrip(" ")), len(value.rstrip(" "))
    # Java counts in UTF-16, so a letter beyond its first plane is two escapes.
    return "".join(
        letter.replace("\\", "\\\\") if 32 <= ord(letter) < 127 and ends[0] <= at < ends[1] else _in_utf16(letter)
        for at, letter in enumerate(value)
    )


def _in_utf16(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _unescaped(value: str) -> str:
    def plain(found: re.Match[str]) -> str:
        code = found[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _CONTROLS.get(code, code)

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", plain, value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def properties_of(text: str) -> dict[str, str]:
    """The pairs of a properties file; later ones win."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and stripped[0] not in "#!" and "=" in stripped:
            key, _, value = stripped.partition("=")
            found[key.strip()] = _unescaped(value.strip())
    return found


def partition_info(leaves: Iterable[tuple[int, int]]) -> str:
    """`partition_info.csv`: one line per leaf that has a part, in NESTED order."""
    return "Norder,Npix\n" + "".join(f"{order},{npix}\n" for order, npix in leaves)


def leaves_of(text: str) -> list[tuple[int, int]]:
    """The (order, npix) of a `partition_info.csv`; other columns are ignored."""
    lines = text.strip().splitlines()
    header = [name.strip() for name in lines[0].split(",")]
    order_at, npix_at = header.index("Norder"), header.index("Npix")
    split = (line.split(",") for line in lines[1:])
    return [(int(cells[order_at]), int(cells[npix_at])) for cells in split]


def moc_text(leaves: Iterable[tuple[int, int]]) -> str:
    """An ASCII MOC of the leaves (IVOA MOC 2.0, section 4.3.2)."""
    by_order: dict[int, list[int]] = {}
    for order, npix in leaves:
        by_order.setdefault(order, []).append(npix)
    return " ".join(f"{order}/{' '.join(map(str, sorted(cells)))}" for order, cells in sorted(by_order.items())) + "\n"


def common_metadata(schema: pa.Schema) -> bytes:
    """`_common_metadata`: a Parquet file of the schema and no rows."""
    sink = io.BytesIO()
    pq.write_metadata(schema, sink)
    return sink.getvalue()
