"""The `qsky` command: its options, how its commands are found, and how errors leave it.

Called by `cli.entry`. Exit status 0 done, 1 failed, 2 wrong usage, 130 stopped. An error is one sentence, a code and a
hint; a traceback only with --debug. Nothing heavy is imported before a command runs, so that `qsky --help` is quick.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from typer.exceptions import TyperException

from qsky.cli import catalogue, cluster, loading, query, serving, upkeep
from qsky.cli.interrupt import EXIT_STATUS
from qsky.cli.terminal import Terminal
from qsky.errors import QskyError
from qsky.version import VERSION

# Options that may stand before or after the command's name.
_EVERYWHERE: Final = {"--root": True, "--quiet": False, "--debug": False}

app = typer.Typer(
    name="qsky",
    help="SQL for the whole sky. --root, --quiet and --debug may also stand after the command.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"qsky {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    root: Annotated[Path, typer.Option(envvar="QSKY_ROOT", help="The folder that holds the databases.")] = Path(
        "qsky-data"
    ),
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but answers and errors.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """What every command needs to know."""
    context.obj = Terminal(root, quiet, debug)


for _module in (loading, query, catalogue, upkeep, serving, cluster):
    for _name, _command in _module.COMMANDS.items():
        app.command(_name)(_command)
app.add_typer(cluster.cluster, name="cluster")


def hoisted(arguments: list[str]) -> list[str]:
    """The arguments with the options that belong to every command moved to the front."""
    front, rest = [], []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument.split("=", 1)[0] in _EVERYWHERE:
            front.append(argument)
            if _EVERYWHERE.get(argument):
                front += [value for value in [next(waiting, None)] if value is not None]
        else:
            rest.append(argument)
    return front + rest


def run(arguments: list[str]) -> int:
    """Run one command; its exit status. Errors are told, not raised, unless --debug asks for them."""
    arguments = hoisted(arguments) or ["--help"]
    try:
        return app(arguments, prog_name="qsky", standalone_mode=False) or 0
    except BrokenPipeError:
        raise
    except Exception as error:
        if "--debug" in arguments:
            raise
        return report(error)


def report(error: Exception) -> int:
    """Tell the user what went wrong; the exit status."""
    if isinstance(error, TyperException):
        known = QskyError("usage", error.format_message(), hint="See `qsky --help`.")
    elif isinstance(error, QskyError):
        known = error
        if known.code.name == "cancelled":
            return EXIT_STATUS
    else:
        known = _unknown(error)
    print(f"qsky: {known}", file=sys.stderr)
    return known.exit_status


def _unknown(error: Exception) -> QskyError:
    if isinstance(error, MemoryError):
        return QskyError("limit-memory", "There is not enough memory.", hint="Set QSKY_MEMORY_BYTES_MAX lower.")
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    return QskyError("internal", f"Qsky failed: {what}.", hint="This is a defect; --debug shows where.")
