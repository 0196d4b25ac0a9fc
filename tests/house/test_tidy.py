"""The house rules that a machine can check: sizes, docstrings, names, leftovers. A rule that matters is a test."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 400
# Tables of cases may run longer.
TEST_FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
BANNED_NAMES = {"utils", "util", "common", "base", "core", "manager", "helper", "helpers", "misc"}
# The one face of the package and the one entry of the command line; every other floor's `__init__` is empty.
FACES = {"src/qsky/__init__.py", "src/qsky/cli/__init__.py"}
# Spelled in two halves so that this file does not find itself.
LEFTOVERS = re.compile("|".join(first + second for first, second in [("TO", "DO"), ("FIX", "ME"), ("XX", "X:")]))
MACHINE = re.compile("|".join(["/wo" + "rk/", "/opt" + "/", "/home" + "/", "/ro" + "ot/", "file:" + "///[a-z]"]))
HARDLY_USED = {"main", "silent"}


@cache
def tracked(pattern: str = "") -> tuple[Path, ...]:
    """Files of the repository, committed or about to be."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    return tuple(REPOSITORY / name for name in names if name.endswith(pattern) and (REPOSITORY / name).is_file())


def name_of(file: Path) -> str:
    return file.relative_to(REPOSITORY).as_posix()


def sources() -> tuple[Path, ...]:
    return tuple(file for file in tracked(".py") if name_of(file).startswith("src/"))


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def texts() -> list[tuple[str, str]]:
    """Every text file of the repository: (name, content)."""
    found = []
    for file in tracked():
        try:
            found.append((name_of(file), file.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def test_files_are_short() -> None:
    lengths = {name_of(file): len(file.read_text(encoding="utf-8").splitlines()) for file in tracked(".py")}
    most = {name: TEST_FILE_LINES_MAX if name.startswith("tests/") else FILE_LINES_MAX for name in lengths}
    assert {name: lines for name, lines in lengths.items() if lines > most[name]} == {}


def test_functions_are_short() -> None:
    long = {}
    for file in tracked(".py"):
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long[f"{name_of(file)}:{node.name}"] = lines
    assert long == {}


def test_modules_say_what_they_are() -> None:
    silent = [name_of(file) for file in tracked(".py") if file.stat().st_size and not ast.get_docstring(tree_of(file))]
    assert not silent, "\n".join(silent)


def test_floors_have_empty_init_files() -> None:
    filled = {name_of(file) for file in sources() if file.name == "__init__.py" and file.stat().st_size}
    assert filled <= FACES


def test_no_names_that_say_nothing() -> None:
    named = [name_of(file) for file in tracked(".py") if BANNED_NAMES & {file.stem, *file.parent.parts}]
    assert not named, "\n".join(named)


def test_no_leftovers() -> None:
    assert [name for name, text in texts() if LEFTOVERS.search(text)] == []


def test_no_path_of_a_machine() -> None:
    assert [name for name, text in texts() if MACHINE.search(text)] == []


def test_no_module_is_dead() -> None:
    """Every module is imported by another one, or is a face."""
    modules = {name_of(f).removeprefix("src/").removesuffix(".py").replace("/", "."): f for f in sources()}
    imported = {target for file in sources() for target in _imports(tree_of(file))}
    dead = [
        name
        for name in modules
        if name not in imported and not name.endswith("__init__") and not name.endswith("__main__")
    ]
    assert not dead, "\n".join(dead)


def _imports(tree: ast.Module) -> set[str]:
    targets = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            targets |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return targets


def test_no_top_level_name_is_dead() -> None:
    """What nobody in the package mentions a second time is not needed by it."""
    whole = "\n".join(file.read_text(encoding="utf-8") for file in sources())
    counts: dict[str, int] = {}
    for word in re.findall(r"\w+", whole):
        counts[word] = counts.get(word, 0) + 1
    dead = []
    for file in sources():
        for node in tree_of(file).body:
            named = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.decorator_list
            if named and counts[node.name] < 2 and node.name not in HARDLY_USED and not node.name.startswith("__"):
                dead.append(f"{name_of(file)}:{node.name}")
    assert not dead, "\n".join(dead)


@pytest.mark.parametrize("name", ["requirements/lock.txt", "requirements/lock-dev.txt"])
def test_locks_hold_hashes_and_no_addresses(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    assert not re.search(r"://|--index|--extra-index|--find-links|\s@\s", text)
    pinned = re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE)
    assert "duckdb" in pinned and text.count("--hash=sha256:") >= len(pinned)
    assert not {"torch", "healpy"} & set(pinned)


def test_the_light_install_is_light() -> None:
    """Cluster, operator and test parts are extras."""
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (REPOSITORY / "requirements/lock.txt").read_text(), re.MULTILINE))
    assert not pinned & {"distributed", "dask", "kopf", "lightkube", "matplotlib", "psycopg", "lsdb", "hats", "pandas"}
