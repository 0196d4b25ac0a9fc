"""What a query knows of its session: NOW() and its like, DATABASE(), USER(), put in once per query. Pure.

bind leaves them as calls without arguments, so that a bound query can be kept; the engine replaces them before planning,
and plans of such queries are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from qsky.sql.query import Call, Expression, Literal_
from qsky.sql.rewrite import rewritten

SESSION_VALUES: Final[Mapping[str, str]] = {
    "NOW": "TIMESTAMP",
    "TODAY": "DATE",
    "CLOCK": "VARCHAR",
    "DATABASE": "VARCHAR",
    "USER": "VARCHAR",
}

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


def in_session(query: T, session: Session) -> T:
    """The query with its session's values as constants; the same object if it asks for none of them."""
    known = session.values()

    def change(part: Expression) -> Expression | None:
        if not isinstance(part, Call) or part.function not in SESSION_VALUES:
            return None
        return Literal_(type=part.type, value=known[part.function])

    return rewritten(query, change)
