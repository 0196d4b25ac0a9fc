"""`qsky query` and `qsky explain`: ask, and write the answer where it is wanted, in the format that is wanted."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qsky.cli.drawing import drawn, sketch_of, wish_of
from qsky.cli.loading import report_lines
from qsky.cli.role import (
    AllowDuplicateKeys,
    Append,
    ChildOf,
    Dec,
    Description,
    Director,
    Key,
    Overlap,
    Ra,
    Replace,
    Replicated,
)
from qsky.cli.terminal import Terminal, counted, width
from qsky.errors import QskyError

if TYPE_CHECKING:
    import pyarrow as pa

    from qsky.output.picture import Wish
    from qsky.output.plot import Sketch
    from qsky.result import Result, SaveOptions

_ROWS_SHOWN: Final = 100


class Lang(StrEnum):
    """The dialects a query can be written in."""

    MYSQL = "mysql"
    ADQL = "adql"
    DUCKDB = "duckdb"


class Format(StrEnum):
    """The formats of answers; output.formats writes all but `table`."""

    TABLE = "table"
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    VOTABLE = "votable"
    FITS = "fits"
    PARQUET = "parquet"
    ARROW = "arrow"


Text = Annotated[str, typer.Argument(metavar="SQL", help="One SELECT, or - to read it from stdin.")]
LangOption = Annotated[Lang, typer.Option(help="The dialect of the text.")]
DatabaseOption = Annotated[str | None, typer.Option(help="Where table names without a database are looked up.")]


def query(
    context: typer.Context,
    sql: Text,
    lang: LangOption = Lang.MYSQL,
    database: DatabaseOption = None,
    format: Annotated[  # noqa: A002 - the option's name
        Format | None, typer.Option(help="How to write the answer; default: by the name of FILE, else table.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the answer to a file.")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows that the format table shows.")] = _ROWS_SHOWN,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the answer: a .png, .pdf or .svg. Needs qsky[plot].")
    ] = None,
    plot_with: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="How to draw it: kind, x, y, colour, error, band, order or title."),
    ] = None,
    into: Annotated[
        str | None, typer.Option(metavar="DB.TABLE", help="Make the answer a table; the options below say which.")
    ] = None,
    director: Director = False,
    child_of: ChildOf = None,
    replicated: Replicated = False,
    key: Key = "",
    ra: Ra = "",
    dec: Dec = "",
    overlap: Overlap = None,
    append: Append = False,
    replace: Replace = False,
    allow_duplicate_keys: AllowDuplicateKeys = False,
    description: Description = "",
) -> None:
    """Answer a SELECT."""
    question = _Question(_text(sql), lang.value, database)
    role: SaveOptions = {
        "director": director,
        "child_of": child_of or "",
        "replicated": replicated,
        "key": key,
        "ra": ra,
        "dec": dec,
        "append": append,
        "replace": replace,
        "allow_duplicate_keys": allow_duplicate_keys,
        "description": description,
    }
    said = any(role.values()) or overlap is not None
    shown = format or output or plot or plot_with
    if into is not None and shown:
        raise QskyError("usage", "An answer is saved with --into, or written or drawn, not both.")
    if into is not None:
        _save(context.obj, question, into, {**role, "overlap_arcsec": overlap})
    elif said:
        raise QskyError("usage", "The options of a table need its name.", hint="Pass --into DB.TABLE.")
    else:
        wish = wish_of(plot, plot_with or [])
        _answer(context.obj, question, _Wanted(format, _format(format, output), output, rows, plot, wish))


def explain(
    context: typer.Context,
    sql: Text,
    lang: LangOption = Lang.MYSQL,
    database: DatabaseOption = None,
    analyze: Annotated[bool, typer.Option("--analyze", help="Answer it, and say what that took.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")] = False,
) -> None:
    """Show how a SELECT would be answered, and why."""
    terminal: Terminal = context.obj
    text = _text(sql)
    with terminal.sky() as sky:
        if as_json:
            print(json.dumps(sky.explained(text, lang=lang.value, database=database, analyze=analyze), indent=2))
        else:
            print(sky.explain(text, lang=lang.value, database=database, analyze=analyze))


COMMANDS: Final = {"query": query, "explain": explain}


@dataclass(frozen=True)
class _Question:
    text: str
    lang: str
    database: str | None


@dataclass(frozen=True)
class _Wanted:
    """How the answer is to be shown: `said` is the format asked for, `format` the one that is written."""

    said: Format | None
    format: Format
    output: Path | None
    rows: int
    plot: Path | None
    wish: Wish | None


def _save(terminal: Terminal, question: _Question, into: str, role: SaveOptions) -> None:
    with terminal.working() as sky:
        report = sky.save(question.text, into, lang=question.lang, database=question.database, **role)
    for line in report_lines(report):
        terminal.say(line)


def _answer(terminal: Terminal, question: _Question, wanted: _Wanted) -> None:
    """Write, show or draw the answer."""
    with terminal.sky() as sky, terminal.asking() as watched:
        result = sky.sql(question.text, lang=question.lang, database=question.database, progress=watched.listener)
        answered = time.perf_counter()
        sketch = None if wanted.wish is None else sketch_of(result, wanted.wish)
        answer = _Counted(result, sketch)
        if wanted.format is not Format.TABLE:
            if wanted.output is None and sys.stdout.isatty():
                watched.stop()  # rows come to the same terminal now
            _write(wanted.format, answer, wanted.output)
        else:
            if sketch is None or wanted.said is not None or wanted.output is not None:
                result.arrow()
                watched.stop()
                _show(result, wanted.rows, wanted.output)
            answer.read()
        # The engine's own time and that of the rest of the stream; not what Python takes to start.
        seconds = result.facts.seconds + time.perf_counter() - answered
        notes = () if sketch is None or wanted.plot is None else drawn(sketch, wanted.plot)
    for note in notes:
        terminal.say(note)
    terminal.say(_summary(result, answer.rows, seconds))


class _Counted:
    """The batches of a result, counting rows as they pass, and showing them to a picture if one is wanted."""

    def __init__(self, result: Result, sketch: Sketch | None) -> None:
        self.schema = result.schema
        self.rows = 0
        self._result = result
        self._sketch = sketch

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._result.batches():
            self.rows += batch.num_rows
            if self._sketch is not None:
                self._sketch.add(batch)
            yield batch

    def read(self) -> None:
        """Let all batches pass."""
        deque(self, maxlen=0)


def _text(sql: str) -> str:
    return sys.stdin.read() if sql == "-" else sql


def _format(wanted: Format | None, output: Path | None) -> Format:
    """The format asked for, else the one the file's name asks for. Raises usage."""
    if wanted is None and output is not None:
        from qsky.output.formats import format_of

        named = format_of(output)
        if named is None:
            raise QskyError("usage", f"The name {output.name} does not tell a format.", hint="Pass --format.")
        return Format(named)
    chosen = wanted or Format.TABLE
    if output is None and chosen in (Format.FITS, Format.PARQUET, Format.ARROW) and sys.stdout.isatty():
        raise QskyError("usage", f"{chosen.value} is not for a terminal.", hint="Pass -o FILE.")
    return chosen


def _show(result: Result, rows_max: int, output: Path | None) -> None:
    from qsky.output.grid import text_grid

    if output is not None:
        output.write_text(text_grid(result.arrow(), len(result)) + "\n", encoding="utf-8")
    else:
        print(text_grid(result.arrow(), rows_max, width()))


def _write(chosen: Format, answer: _Counted, output: Path | None) -> None:
    from qsky.output.formats import write, write_file

    if output is None:
        write(chosen.value, answer.schema, answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        write_file(chosen.value, answer.schema, answer, output)


def _summary(result: Result, rows: int, seconds: float) -> str:
    facts = result.facts
    read = f", {facts.chunks_read:,} of {counted(facts.chunks_total, 'chunk')}" if facts.chunks_total else ""
    revisions = "".join(f", {database}@{number}" for database, number in facts.revisions)
    return f"{counted(rows, 'row')} in {seconds:.3f} s{read}{revisions}"
