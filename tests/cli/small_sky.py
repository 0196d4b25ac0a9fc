"""The small sky of the command line's tests, and what a command of these tests gives back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

STARS = 200


class Said(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str


Qsky = Callable[..., Said]


def stars_csv() -> str:
    """200 stars along a line from pole to pole, the last two 1 arcsec apart."""
    lines = [f"{i},{(i * 37.7) % 360},{-90 + i * 0.9},{10 + i / 100}" for i in range(STARS - 1)]
    last = STARS - 2
    lines.append(f"{STARS - 1},{(last * 37.7) % 360},{-90 + last * 0.9 + 1 / 3600},")
    return "id,ra,dec,mag\n" + "\n".join(lines) + "\n"


def visits_csv() -> str:
    return (
        "star,mjd,band\n" + "\n".join(f"{i},{59000 + n},{'gr'[n % 2]}" for i in range(STARS) for n in range(3)) + "\n"
    )
