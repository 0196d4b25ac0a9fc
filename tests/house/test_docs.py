"""The documentation is true: pages made from the code are current, links lead somewhere, every example runs.

A `console` block is run in a folder of the document's own, in the order of the text. What it shows must be among the
lines that come out, in that order; times, sizes and dates may differ. A `python` block is a doctest in the same folder.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(REPOSITORY.glob("*.md")) + sorted((REPOSITORY / "docs").rglob("*.md"))
CHANGING = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+|[\d.,]+ (?:rows/s|[kMGT]?B|m?s)\b|[\d.,]+(?= rows in )")


def names(document: Path) -> str:
    return document.relative_to(REPOSITORY).as_posix()


def blocks(document: Path, language: str) -> list[str]:
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def reference_pages() -> ModuleType:
    spec = spec_from_file_location("reference_pages", REPOSITORY / "scripts" / "reference_pages.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["errors.md", "settings.md", "commands.md", "semantics.md"])
def test_pages_made_from_the_code_are_current(name: str) -> None:
    written = (REPOSITORY / "docs" / name).read_text(encoding="utf-8")
    assert written == reference_pages().PAGES[name](), "run `make docs`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(file.name[:4]) for file in (REPOSITORY / "docs" / "decisions").glob("*.md"))
    assert numbers == list(range(len(numbers)))


@pytest.mark.slow
@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d, "console") or blocks(d, "python")], ids=names)
def test_examples_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for block in blocks(document, "console"):
        for command, shown in commands_of(block):
            run = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert_shown(command, shown, run.stdout)
    for block in blocks(document, "python"):
        test = doctest.DocTestParser().get_doctest(block, {}, names(document), None, 0)
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        messages: list[str] = []
        runner.run(test, out=messages.append)
        assert not messages, "".join(messages)


def commands_of(block: str) -> list[tuple[str, list[str]]]:
    """The commands of a block, continuation lines joined, each with the lines shown after it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found


def assert_shown(command: str, shown: list[str], output: str) -> None:
    """Every shown line comes out, in this order, but for what changes from run to run."""
    came = iter(steady(line) for line in output.splitlines())
    for line in shown:
        assert any(steady(line) == other for other in came), f"$ {command}\nshows {line!r}, but what came was\n{output}"


def steady(line: str) -> str:
    return CHANGING.sub("#", " ".join(line.split()))
