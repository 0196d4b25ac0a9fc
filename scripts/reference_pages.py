"""Writes the pages of docs/ that are made from the code and the tests. `make docs` runs it; a test compares."""

from __future__ import annotations

import sys
from dataclasses import fields
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from typer.testing import CliRunner

from qsky.cli.app import app
from qsky.config import Settings
from qsky.errors import CODES

DOCS = Path(__file__).resolve().parents[1] / "docs"

_FAMILIES = {
    "usage": "The command or call is off; nothing was started. Exit status 2.",
    "data": "The input cannot be loaded as it is; the old revision is untouched.",
    "query": "The SQL cannot be answered as it is.",
    "limit": "A named setting was reached (see [settings](settings.md)).",
    "conflict": "Somebody else was first.",
    "storage": "The disk, a file, or the folder is not as it should be.",
    "cluster": "A machine of a cluster is not there, or not as it should be.",
    "cancelled": "Stopped on request. Exit status 130 on the command line.",
    "internal": "A defect. Please report it with what `--debug` shows.",
}


def errors_page() -> str:
    """Every error code by family."""
    lines = [
        "# Errors",
        "",
        "An error is one sentence, a code that stays the same across versions, a hint, and for SQL the place in the",
        "text. In Python it is `qsky.QskyError` with `code`, `message`, `hint`, `line` and `column`; on the command",
        "line it is printed without a traceback (`--debug` shows one), and the exit status is 1, or 2 for wrong usage.",
        "This page is made from `src/qsky/errors.py` by `make docs`.",
    ]
    for family, about in _FAMILIES.items():
        lines += ["", f"## {family}", "", about, "", "| code | meaning |", "|---|---|"]
        lines += [f"| `{code.name}` | {code.about} |" for code in CODES.values() if code.family == family]
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """Every setting with its default and bounds."""
    lines = [
        "# Settings",
        "",
        "Every limit, size and timeout has a name. A setting is read from the environment variable `QSKY_` and its",
        "name in capitals (`QSKY_THREADS=4`), or given in Python: `qsky.connect(root, threads=4)`. The defaults suit",
        "a laptop.",
        "This page is made from `src/qsky/config.py` by `make docs`.",
        "",
        "| setting | default | from | to | what it is |",
        "|---|---|---|---|---|",
    ]
    for spec in fields(Settings):
        low, high = spec.metadata["low"], spec.metadata["high"]
        lines.append(f"| `{spec.name}` | {spec.default:,} | {low:,} | {high:,} | {spec.metadata['about']} |")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Every command with its options, as `--help` shows it."""
    lines = [
        "# Commands",
        "",
        "The root is given by `--root`, else by `QSKY_ROOT`, else it is `./qsky-data`. Exit status: 0 done, 1 failed,",
        "2 wrong usage, 130 stopped by Ctrl-C. This page is made from the commands' own `--help` by `make docs`.",
    ]
    for name in ("", *(command.name or "" for command in app.registered_commands)):
        lines += ["", f"## qsky {name}".rstrip(), "", "```text", _help(name), "```"]
    return "\n".join(lines) + "\n"


def _help(name: str) -> str:
    """What `qsky NAME --help` prints, 100 letters wide wherever it is run."""
    run = CliRunner().invoke(
        app, [*name.split(), "--help"], prog_name="qsky", terminal_width=100, env={"QSKY_ROOT": ""}
    )
    return "\n".join(line.rstrip() for line in run.output.strip().splitlines())


def semantics_page() -> str:
    """What each construct means in each dialect, from the table that the tests run."""
    lines = [
        "# What SQL means in Qsky",
        "",
        "Qsky reads three languages: MySQL (`--lang mysql`, the default), ADQL 2.1 (`--lang adql`) and DuckDB's SQL",
        "(`--lang duckdb`). Each text becomes one typed query, and that is printed as SQL for DuckDB, node by node. These",
        "tables say what each construct means. **As MySQL**, **as DuckDB** and **as ADQL** mean: the same rows as there.",
        "**Own** is a rule of Qsky's, given in full. **Refused** is an error that names the construct and its place. What is",
        "in no table is refused.",
        "",
        "Every row is a test: `tests/semantics/constructs.txt` has it with its examples, which are run over a table of random",
        "values in Qsky, in MariaDB and in DuckDB. This page is made from that file by `make docs`.",
    ]
    for section in constructs().sections():
        lines += [
            "",
            f"## {section.title}",
            "",
            f"| {' | '.join(section.columns)} |",
            "|---" * len(section.columns) + "|",
        ]
        lines += [f"| {' | '.join(row.cells)} |" for row in section.rows]
    return "\n".join(lines) + "\n"


def constructs() -> ModuleType:
    """The module that reads the table, which lies beside the tests."""
    spec = spec_from_file_location("constructs", DOCS.parent / "tests" / "semantics" / "constructs.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


PAGES = {
    "errors.md": errors_page,
    "settings.md": settings_page,
    "commands.md": commands_page,
    "semantics.md": semantics_page,
}


def main() -> None:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
