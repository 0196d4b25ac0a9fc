"""What a query knows of its session: NOW() and its like, DATABASE(), USER(), put in once per query. Pure.

bind leaves them as calls without arguments, so that a bound query can be kept; the engine replaces them before planning,
and plans of such queries are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVar

from qsky.sql.query import Call, Literal_

SESSION_VALUES: Final[Mapping[str, str]] = {
    "NOW": "TIMESTAMP",
    "TODAY": "DATE",
    "CLOCK": "VARCHAR",
    "DATABASE": "VARCHAR",
    "USER": "VARCHAR",
}
_OF_QUERIES: Final = "qsky.sql."

T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """The moment of a query (UTC, without a zone), the database where bare table names are looked up, and the user."""

    now: datetime
    database: str | None = None
    user: str = "qsky"

    def values(self) -> dict[str, Any]:
        now = self.now.replace(microsecond=0)
        clock = now.strftime("%H:%M:%S")
        return {"NOW": now, "TODAY": now.date(), "CLOCK": clock, "DATABASE": self.database, "USER": self.user}


def asks_session(query: Any) -> bool:
    """Whether a bound query has anything that differs from one session or moment to the next."""
    if isinstance(query, Call) and query.function in SESSION_VALUES:
        return True
    return any(asks_session(part) for part in _parts(query))


def in_session(query: T, session: Session) -> T:
    """The query with its session's values as constants."""
    made: T = _replaced(query, session.values())
    return made


def _parts(value: Any) -> list[Any]:
    if isinstance(value, tuple):
        return list(value)
    if is_dataclass(value) and type(value).__module__.startswith(_OF_QUERIES):
        return [getattr(value, spec.name) for spec in fields(value)]
    return []


def _replaced(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, Call) and value.function in SESSION_VALUES:
        return Literal_(type=value.type, value=known[value.function])
    if isinstance(value, tuple):
        return tuple(_replaced(part, known) for part in value) if asks_session(value) else value
    if not asks_session(value):
        return value
    changed = {spec.name: _replaced(getattr(value, spec.name), known) for spec in fields(value)}
    return replace(value, **changed)
