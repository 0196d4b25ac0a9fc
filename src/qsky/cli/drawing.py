"""What `qsky query --plot FILE` does beside answering. `cli.query` calls it; matplotlib is loaded only when it draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qsky.errors import QskyError

if TYPE_CHECKING:
    from qsky.output.picture import Wish
    from qsky.output.plot import Sketch
    from qsky.result import Result

_OPTIONS: Final = ("kind", "x", "y", "colour", "error", "band", "order", "title")


def wish_of(file: Path | None, settings: Sequence[str]) -> Wish | None:
    """The picture that --plot and --plot-with ask for, before anything is read. Raises usage."""
    if file is None:
        if settings:
            raise QskyError("usage", "--plot-with says how to draw, but nothing is drawn.", hint="Pass --plot FILE.")
        return None
    from qsky.output.picture import Wish
    from qsky.output.plot import picture_format

    picture_format(file)
    wished = dict(_setting(text) for text in settings)
    order = wished.pop("order", None)
    if order is not None and not order.isdecimal():
        raise QskyError("usage", f"order={order} is not a HEALPix order.", hint="It lies between 0 and 29.")
    return Wish(**wished, order=None if order is None else int(order))


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or name not in _OPTIONS:
        raise QskyError(
            "usage", f"--plot-with does not know {text!r}.", hint=f"NAME=VALUE, with NAME one of {', '.join(_OPTIONS)}."
        )
    return name, value


def sketch_of(result: Result, wish: Wish) -> Sketch:
    """The picture in the making. Raises what cannot be drawn before the first row is read."""
    from qsky.output.plot import Sketch

    return Sketch(result.schema, wish, result.plot_rows_max)


def drawn(sketch: Sketch, file: Path) -> tuple[str, ...]:
    """Draw the rows that passed and write the file; what the picture does not show, in sentences."""
    from qsky.output.plot import write_picture

    write_picture(sketch.figure(), file)
    return sketch.notes
