"""The one door to DuckDB: connections that are locked down, run finished SQL over files and Arrow, and can be stopped.

Callers give SQL that they printed themselves; nothing a user typed reaches this module as text.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import duckdb
import pyarrow as pa

from qsky.errors import QskyError
from qsky.spool import Spooled, spooled

_DISK_FULL: Final = "No space left"

# What a locked instance has no use for; said once more than the lock needs, so that no text finds one half open.
_LOCKS: Final = (
    "SET allow_persistent_secrets=false",
    "SET allow_community_extensions=false",
    "SET allow_extension_repositories='forbidden'",
)
# Functions that DuckDB calls by itself where FROM names a file instead of a table.
_FILES_BY_NAME: Final = ("parquet_scan", "read_csv_auto", "read_json_auto", "read_duckdb", "sniff_csv")
_CLOSED: Final = "SELECT error('Permission Error: files are not read by name')"
_ANSWER_ROWS: Final = 100_000
_PLANNED_WRONGLY: Final = "INTERNAL Error: "
# What DuckDB makes of a Ctrl-C it meets while Python's main thread is inside it.
_PRESSED: Final = "Query interrupted"

# A sentence of ours that SQL has DuckDB cast to a number or truth value in order to fail (sql.signature).
_REFUSED_BY_CAST: Final = re.compile(r"Could not convert string '(A text would be [^']*)' to ")

# `execute` copies the rows once more, as this says; `sql`, which it recommends, binds every text twice, and for a small
# cone that costs a third of the whole answer.
warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)


def _locks(folders: Sequence[str]) -> list[str]:
    """What leaves an instance nothing but the folders."""
    allowed = ", ".join(text_literal(folder) for folder in folders)
    closed = [f"CREATE MACRO {name}(file) AS TABLE {_CLOSED}" for name in _FILES_BY_NAME]
    walls = [f"SET allowed_directories=[{allowed}]", "SET enable_external_access=false"]
    return [*_LOCKS, *closed, *walls, "SET lock_configuration=true"]


class Duck:
    """One DuckDB instance of its own. Not for two threads at once, except `interrupt`, which any thread may call."""

    def __init__(
        self,
        *,
        threads: int = 1,
        memory_bytes: int | None = None,
        temp_dir: Path | None = None,
        folders: Sequence[str] | None = None,
        macros: Sequence[str] = (),
        footers_kept: bool = False,
        same_plan: bool = False,
        spill_bytes_max: int | None = None,
        answer_bytes_max: int | None = None,
        held_bytes_max: int | None = None,
        whole_rows: bool = False,
    ) -> None:
        """`folders` None leaves the file system open (loads); a list allows just those and locks the instance.

        `spill_bytes_max` bounds what it writes to `temp_dir`, `answer_bytes_max` an answer that is taken whole, and
        `held_bytes_max` what of it is held in memory before it goes to a file.

        `footers_kept` keeps what Parquet footers say for the next query, within the memory: for files that are few,
        never change and are asked for again. `same_plan` makes DuckDB plan without what it knows of the values, so that
        rows from files and the same rows from Arrow are summed and grouped in the same order; it also stops it from
        believing that a column without NaN in its Parquet statistics, which never mention NaN, has none. `whole_rows`
        keeps columns that nobody uses: dear, and only for what DuckDB otherwise plans wrongly.
        """
        again = partial(
            Duck,
            threads=threads,
            memory_bytes=memory_bytes,
            temp_dir=temp_dir,
            folders=folders,
            macros=macros,
            same_plan=same_plan,
            spill_bytes_max=spill_bytes_max,
            answer_bytes_max=answer_bytes_max,
            held_bytes_max=held_bytes_max,
            whole_rows=True,
        )
        self._again: Callable[[], Duck] | None = None if whole_rows else again
        self._second: Duck | None = None  # made by it when first needed
        self._taught: list[Callable[[Duck], None]] = []  # what has been registered here, for the second
        config: dict[str, Any] = {"threads": threads, "autoinstall_known_extensions": False}
        config["autoload_known_extensions"] = False
        if memory_bytes is not None:
            config["memory_limit"] = f"{memory_bytes >> 20}MiB"
        self._connection = duckdb.connect(config=config)
        self._answer_bytes_max = answer_bytes_max
        self._held_bytes_max = held_bytes_max
        statements = ["SET enable_progress_bar=false", "SET python_enable_replacements=false", "SET TimeZone='UTC'"]
        left_out = ["statistics_propagation"] * same_plan + ["unused_columns"] * whole_rows
        if left_out:
            statements.append(f"SET disabled_optimizers='{','.join(left_out)}'")
        if footers_kept:
            statements.append("SET parquet_metadata_cache=true")
        if temp_dir is not None:
            statements.append(f"SET temp_directory={text_literal(str(temp_dir))}")
        if spill_bytes_max is not None:
            statements.append(f"SET max_temp_directory_size='{spill_bytes_max >> 20}MiB'")
        statements += macros
        if folders is not None:
            statements += _locks(folders)
        try:
            for statement in statements:
                self.execute(statement)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Duck:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def execute(self, sql: str, inputs: Mapping[str, Any] | None = None) -> None:
        """Run a statement for its effect; `inputs` as in `answer`."""
        with self._registered(inputs or {}), self._mapped():
            self._connection.execute(sql)

    def answer(self, sql: str, inputs: Mapping[str, Any] | None = None) -> Spooled:
        """The whole answer, in a file if it is large; `inputs` are Arrow tables the SQL names."""
        try:
            return self._answer(sql, inputs)
        except QskyError as error:
            if self._again is None or _PLANNED_WRONGLY not in error.message:
                raise
        return self._whole_rows()._answer(sql, inputs)

    def _whole_rows(self) -> Duck:
        """The instance for what DuckDB 2.0 plans wrongly here: it loses columns around sub-queries in the ON of a join."""
        assert self._again is not None
        if self._second is None:
            second = self._again()
            for teach in self._taught:
                teach(second)
            self._second = second
        return self._second

    def _answer(self, sql: str, inputs: Mapping[str, Any] | None) -> Spooled:
        with self._registered(inputs or {}), self._mapped():
            reader = self._connection.execute(sql).to_arrow_reader(_ANSWER_ROWS)
            return spooled(reader.schema, self._bounded(reader), self._held_bytes_max)

    def _bounded(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches, as long as they are not too much to be held at once."""
        held = 0
        for batch in batches:
            held += batch.nbytes
            if self._answer_bytes_max is not None and held > self._answer_bytes_max:
                raise too_large(self._answer_bytes_max)
            yield batch

    def arrow_in_batches(self, sql: str, rows: int) -> pa.Table:
        """The whole answer in batches of at most `rows`: for many rows half as dear as `answer`, which copies them."""
        with self._mapped():
            reader = self._connection.sql(sql).to_arrow_reader(rows)
            return pa.Table.from_batches(self._bounded(reader), schema=reader.schema)

    def register(self, name: str, table: pa.Table) -> None:
        """Let SQL name an Arrow table until `unregister`."""
        self._connection.register(name, table)

    def unregister(self, name: str) -> None:
        self._connection.unregister(name)

    @contextmanager
    def reader(
        self, sql: str, *, rows: int = 100_000, inputs: Mapping[str, Any] | None = None
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        """The answer as batches of at most `rows`, made as they are taken; closed with the block."""
        with self._registered(inputs or {}), self._mapped():
            reader = self._connection.sql(sql).to_arrow_reader(rows)
            try:
                yield self._batches(reader)
            finally:
                reader.close()

    def _batches(self, reader: Any) -> Iterator[pa.RecordBatch]:
        while True:
            with self._mapped():
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
            yield batch

    @contextmanager
    def _registered(self, inputs: Mapping[str, Any]) -> Iterator[None]:
        for name, value in inputs.items():
            self._connection.register(name, value)
        try:
            yield
        finally:
            for name in inputs:
                self._connection.unregister(name)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """DuckDB's errors as ours."""
        try:
            yield
        except duckdb.Error as error:
            raise as_qsky_error(error) from error
        except pa.ArrowException as error:
            raise as_qsky_error(error) from error
        except RuntimeError as error:
            if str(error) == _PRESSED:
                raise KeyboardInterrupt from error
            raise

    def interrupt(self) -> None:
        """Stop what is running; it raises `cancelled` in its own thread. Harmless when nothing runs."""
        self._connection.interrupt()
        if self._second is not None:
            self._second.interrupt()

    def register_function(self, name: str, function: Callable[..., Any], arguments: Sequence[str], result: str) -> None:
        """A vectorised Arrow function, which meets NULLs too; types are DuckDB names."""
        self._taught.append(lambda other: other.register_function(name, function, arguments, result))
        self._connection.create_function(name, function, list(arguments), result, type="arrow", null_handling="special")

    def register_files(self, files: Any) -> None:
        """An fsspec file system with positional reads (see storage.objects); its protocol can then be named in SQL."""
        self._taught.append(lambda other: other.register_files(files))
        self._connection.register_filesystem(files)

    def close(self) -> None:
        if self._second is not None:
            self._second.close()
        self._connection.close()


def as_qsky_error(error: Exception) -> QskyError:
    """The error of ours that an error of DuckDB or Arrow means; the first line of its text is kept."""
    text = _telling_line(error)
    if isinstance(error, duckdb.InterruptException) or "INTERRUPT" in text or "Interrupted" in text:
        return QskyError("cancelled", "The query was stopped.")
    if isinstance(error, duckdb.OutOfMemoryException) and _DISK_FULL not in text:
        return QskyError(
            "limit-memory",
            f"The work needs more memory than it may have: {text}",
            hint="Raise QSKY_MEMORY_BYTES_MAX, or ask for fewer columns or groups.",
        )
    if _DISK_FULL in text:
        return QskyError("disk-full", f"The disk is full: {text}")
    if "could not be read" in text or "FileNotFoundError" in text:
        return QskyError("download-failed", f"A file of an attached catalogue is out of reach: {text}")
    if isinstance(error, duckdb.IOException):
        return QskyError("damaged", f"A file cannot be read: {text}", hint="Run `qsky verify` on the database.")
    if text.startswith(_PLANNED_WRONGLY):
        return QskyError(
            "query-failed",
            f"DuckDB, which runs the query, cannot plan it: {text}",
            hint="Write sub-queries in the ON of a join as tables in FROM.",
        )
    refused = _REFUSED_BY_CAST.search(text)
    return QskyError("query-failed", refused[1] if refused else text)


def too_large(bytes_max: int) -> QskyError:
    """The error of an answer, or a part of one, that must be held whole and is too large for that."""
    return QskyError(
        "limit-memory",
        f"A piece of the answer is larger than {bytes_max >> 20:,} MiB.",
        hint="Ask for fewer rows or columns, or raise QSKY_MEMORY_BYTES_MAX.",
    )


def _telling_line(error: Exception) -> str:
    """The first line; of a traceback of our own file system, which DuckDB hands on as text, what was raised."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if not any(line.startswith("Traceback") for line in lines[:2]):
        return lines[0].strip()
    started = next(place for place, line in enumerate(lines) if line.startswith("Traceback"))
    return next((line.strip() for line in lines[started + 1 :] if not line.startswith(" ")), lines[-1].strip())


def text_literal(text: str) -> str:
    """A string as SQL."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """An identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'
