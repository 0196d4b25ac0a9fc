"""Every way Qsky can say no.

One class, one table of codes. An error is one sentence for the user (`message`), a `code` that stays the same
across versions, a `hint` that says what to do next, and, for SQL, the place in the text. `CODES` is the list that
`docs/errors.md` is checked against. Nothing below this module; everything may import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

Family = Literal["usage", "data", "query", "limit", "conflict", "storage", "cluster", "cancelled", "internal"]


@dataclass(frozen=True)
class Code:
    """One kind of error: its stable name, its family (which decides the exit status) and what it means."""

    name: str
    family: Family
    about: str


_CODES: Final = (
    # -- usage: the command or call is off; nothing was started
    Code("usage", "usage", "The command or call does not fit: an option is missing, unknown or contradicts another."),
    Code("no-such-database", "usage", "No database of that name in this root."),
    Code("no-such-table", "usage", "No table of that name in the database."),
    Code("no-such-revision", "usage", "That revision was never published, or was vacuumed away."),
    Code("bad-name", "usage", "A database or table name Qsky cannot use."),
    Code("bad-setting", "usage", "A setting has a value outside its bounds."),
    Code("no-picture", "usage", "No picture, or not the one asked for, can be drawn of the columns of the answer."),
    Code(
        "bad-arrangement", "usage", "What a cluster is made of could not keep its data consistent; it does not start."
    ),
    Code("not-installed", "usage", "An optional package is needed for this and is not installed."),
    Code("no-such-address", "usage", "A server has nothing at that address."),
    Code("no-port", "usage", "The address and port to serve at are taken, not allowed, or not of this machine."),
    # -- data: the input cannot be loaded as it is; the old revision is untouched
    Code("no-input", "data", "A source file, folder or address does not exist or holds nothing to load."),
    Code("bad-format", "data", "The format of a source cannot be recognised or is not supported."),
    Code("corrupt-file", "data", "A source file is truncated or damaged."),
    Code("download-failed", "data", "A source address did not deliver the file."),
    Code("no-such-column", "data", "A column named in the command is not in the source."),
    Code("bad-columns", "data", "The columns of a source cannot be stored: duplicate or reserved names, odd types."),
    Code("too-many-rejects", "data", "More rows were refused than --max-rejects allows."),
    Code("duplicate-keys", "data", "A director key occurs more than once."),
    Code("type-change", "data", "A column would change its type; appended data must fit the table."),
    Code("family-mismatch", "data", "The load contradicts what the table is: kind, key, position or director differ."),
    Code("empty-load", "data", "Nothing was left to load."),
    # -- query: the SQL cannot be answered as it is
    Code("syntax", "query", "The text is not valid SQL of the chosen dialect."),
    Code("unknown-name", "query", "A database, table, column or function in the query does not exist."),
    Code("ambiguous-name", "query", "A column name fits more than one table of the query."),
    Code("type-mismatch", "query", "An operator or function got a value of a type it does not take."),
    Code("bad-argument", "query", "A function got a wrong number of arguments or a value outside its range."),
    Code("bad-region", "query", "A region of the sky is not one: a negative radius, a latitude beyond the poles, ..."),
    Code("bad-query", "query", "The query contradicts itself: an aggregate in WHERE, a column not grouped, ..."),
    Code("not-supported", "query", "Qsky cannot answer this kind of query yet, and says so rather than guess."),
    Code("query-failed", "query", "A value made the query fail while it ran: an overflow, a bad cast, ..."),
    # -- limit: a named setting was reached
    Code("limit-text", "limit", "The query text is longer or deeper than the settings allow."),
    Code("limit-bytes", "limit", "The query would read more bytes than query_bytes_max; it was not started."),
    Code("limit-gather", "limit", "The query would collect more bytes in one place than gather_bytes_max."),
    Code("limit-time", "limit", "The query ran longer than query_seconds_max."),
    Code("limit-memory", "limit", "The query or load needs more memory than memory_bytes_max."),
    Code("limit-attempts", "limit", "A unit of a load was lost on load_unit_attempts_max workers, one after another."),
    Code("limit-source", "limit", "A source is larger than a reader that holds it whole may take."),
    Code("limit-cache", "limit", "The parts in use at once are larger than cache_bytes_max."),
    Code("limit-requests", "limit", "The server, or one client of it, has as many requests at work as settings allow."),
    # -- conflict: somebody else was first
    Code("load-conflict", "conflict", "Another load published a change of the same tables first; nothing was lost."),
    Code("foreign-commit", "conflict", "Another program wrote to a Delta log of Qsky; `verify` must look at it first."),
    Code("order-refused", "conflict", "An order about a part is of a keeper that was replaced, or is not safe."),
    Code("part-in-use", "conflict", "A part cannot be deleted while a query reads it."),
    # -- storage
    Code("disk-full", "storage", "The disk is full; the old revision is untouched."),
    Code("no-access", "storage", "A file or folder cannot be read or written by this user."),
    Code("not-a-root", "storage", "The folder is not a Qsky root, or is of a format this version does not know."),
    Code("damaged", "storage", "A file of a published revision is missing or damaged; see `qsky verify`."),
    Code(
        "replicas-missing", "storage", "New parts could not be given their number of replicas; nothing was published."
    ),
    Code("read-only", "storage", "The table is attached or the root is read-only."),
    # -- cluster: machines that are not there
    Code("no-cluster", "cluster", "The scheduler, or any worker, was out of reach for cluster_wait_seconds."),
    Code("worker-ended", "cluster", "A fragment ended fragment_ended_max worker processes that ran it."),
    Code("worker-lost", "cluster", "A fragment was lost with its worker fragment_losses_max times."),
    Code("too-few-workers", "cluster", "A load could not give each part its copies, because workers are missing."),
    Code("insecure", "cluster", "A scheduler or worker was to be reached without TLS."),
    Code(
        "part-unreachable",
        "storage",
        "No good copy of a part could be read from any machine; the answer would lack it.",
    ),
    Code("xrootd-failed", "storage", "A daemon of XRootD did not start, ended, or could not be told of a part."),
    Code("not-ready", "storage", "The server does not answer yet, or not now: something it needs does not."),
    # -- others
    Code("cancelled", "cancelled", "Stopped on request."),
    Code("internal", "internal", "A defect in Qsky: please report it."),
)

CODES: Final[dict[str, Code]] = {code.name: code for code in _CODES}


class QskyError(Exception):
    """An error meant for the user: one sentence, a code from `CODES`, a hint, and the place in the SQL if there is one.

    `line` and `column` count from 1.
    """

    def __init__(
        self, code: str, message: str, *, hint: str = "", line: int | None = None, column: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = CODES[code]
        self.message = message
        self.hint = hint
        self.line = line
        self.column = column

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes."""
        again = partial(QskyError, hint=self.hint, line=self.line, column=self.column)
        return again, (self.code.name, self.message)

    @property
    def exit_status(self) -> int:
        """0 done, 1 failed, 2 wrong usage."""
        return 2 if self.code.family == "usage" else 1

    def __str__(self) -> str:
        place = f" (line {self.line}, column {self.column})" if self.line is not None else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{self.message}{place} [{self.code.name}]{hint}"
