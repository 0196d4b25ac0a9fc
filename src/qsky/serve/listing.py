"""A folder as a page: links that browsers follow and that HATS readers, which list by links, resolve. Pure.

fsspec takes for a name whatever stands in `href` of an `<a>` and every address in the text, so there is no other link
than to what the folder holds, and no address; "../" it ignores.
"""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from qsky.serve.hats_tree import Entry


def page(title: str, entries: tuple[Entry, ...], *, base: str, above: bool, note: str = "") -> str:
    """The page. `base` is what links are relative to, "" where the address ends with "/"; `above`: a link up."""
    relative = f'<base href="{_href(base)}">' if base else ""
    lines = [_line(entry) for entry in entries]
    up = ['<li><a href="../">../</a></li>'] if above else []
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>{relative}</head>',
            f"<body><h1>{escape(title)}</h1>{f'<p>{escape(note)}</p>' if note else ''}",
            "<ul>",
            *up,
            *lines,
            "</ul></body></html>\n",
        ]
    )


def _line(entry: Entry) -> str:
    facts = [f"{entry.bytes:,} bytes"] if entry.bytes is not None else []
    facts += [f"{entry.rows:,} rows"] if entry.rows is not None else []
    return f'<li><a href="{_href(entry.name)}">{escape(entry.name)}</a> {", ".join(facts)}</li>'


def _href(name: str) -> str:
    # As HATS spells folders: readers compare names before and after decoding.
    return quote(name, safe="/=@")
