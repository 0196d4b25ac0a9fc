"""The table of constructs, read from constructs.txt: what each means in each dialect, and the examples that prove it.

A section begins with `#`, the next line names its columns; a line with `*` is a row of the table, its cells between `;;`.
The lines after it are its examples: `=` an expression that gives what MariaDB gives, `!` one that does not (somewhere in
the random table), `-` one that is refused; `a x ==> y` an ADQL expression that gives what MariaDB gives for y, `a-` one
that ADQL refuses; `d` one that gives in the DuckDB dialect what DuckDB gives; `q`, `q-`, `aq-` the same of statements;
`t` the file of tests that proves a row of which MariaDB knows nothing.
The page docs/semantics.md and the tests are made of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

TEXT: Final = Path(__file__).with_name("constructs.txt")
MARKS: Final = ("aq-", "a-", "q-", "a", "d", "q", "t", "=", "!", "-")


@dataclass
class Row:
    cells: list[str]
    examples: list[tuple[str, str]] = field(default_factory=list)

    def marked(self, mark: str) -> list[str]:
        return [text for each, text in self.examples if each == mark]


@dataclass
class Section:
    title: str
    columns: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def sections() -> list[Section]:
    """The whole table. Raises ValueError for a line that means nothing."""
    found: list[Section] = []
    for number, line in enumerate(TEXT.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("# "):
            found.append(Section(line[2:]))
        elif line.startswith("* "):
            found[-1].rows.append(Row(_cells(line[2:])))
        elif line and not found[-1].columns:
            found[-1].columns = _cells(line)
        elif line:
            mark, _, text = line.partition(" ")
            if mark not in MARKS:
                raise ValueError(f"line {number} of {TEXT.name}: {line}")
            found[-1].rows[-1].examples.append((mark, text))
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split(" ;; ")]
