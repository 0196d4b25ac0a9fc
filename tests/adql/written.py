"""The queries beside this file, read: blocks of `adql>` and what must come of it, `duck>` or `refused>`.

A block ends at an empty line, a line of four blanks continues the one before, `# ` begins the name of a construct.
`refused>` is `code line:column part of the sentence`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Written:
    """One query: `expected` is DuckDB's SQL for the oracle, or what the refusal says."""

    construct: str
    adql: str
    expected: str
    names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.construct}: {' '.join(self.adql.split())[:70]}"


def accepted() -> list[Written]:
    return [each for path in sorted(FOLDER.glob("accepted/*.txt")) for each in _read(path, "duck")]


def refused() -> list[Written]:
    return [each for path in sorted(FOLDER.glob("refused/*.txt")) for each in _read(path, "refused")]


def _read(path: Path, kind: str) -> Iterator[Written]:
    construct = path.stem
    for block in path.read_text("utf-8").split("\n\n"):
        parts: dict[str, str] = {}
        word = ""
        for line in block.splitlines():
            if line.startswith("# "):
                construct = line[2:]
            elif line.startswith("    "):
                parts[word] += "\n" + line[4:]
            elif line:
                word, _, text = line.partition("> ")
                assert word in ("adql", kind, "names") and word not in parts, f"{path.name}: {line}"
                parts[word] = text
        if parts:
            names = tuple(name.strip() for name in parts.get("names", "").split(" | ") if name)
            yield Written(construct, parts["adql"], parts[kind], names)
