"""Which picture fits the columns of an answer: a tuple of rules over pure values. It draws nothing and reads no row.

`output.plot` asks before the first row is read, so that a wish that cannot be met costs nothing. The first rule that
fits wins; of those that look for something particular (cells, positions, times) the one whose column stands first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from qsky.errors import QskyError
from qsky.output.roles import Column

PictureKind = Literal["sky", "healpix", "lightcurve", "bars", "scatter", "histogram"]
KINDS: Final[tuple[str, ...]] = get_args(PictureKind)
_ORDER_MAX: Final = 29


@dataclass(frozen=True)
class Wish:
    """What the user asked for; None is for Qsky to choose. Names are of columns; `order` is of HEALPix cells."""

    kind: str | None = None
    x: str | None = None
    y: str | None = None
    colour: str | None = None
    error: str | None = None
    band: str | None = None
    order: int | None = None
    title: str | None = None


@dataclass(frozen=True)
class Picture:
    """What to draw. In a sky map x and y are right ascension and declination; in a HEALPix map x is the cell."""

    kind: PictureKind
    x: Column
    y: Column | None = None
    colour: Column | None = None
    error: Column | None = None
    band: Column | None = None
    order: int | None = None
    title: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it needs, each once."""
        used = (self.x, self.y, self.colour, self.error, self.band)
        return tuple(dict.fromkeys(column.name for column in used if column is not None))


@dataclass(frozen=True)
class Offer:
    """The columns there are and the wish, as a rule asks for them."""

    columns: tuple[Column, ...]
    wish: Wish

    def pick(
        self, name: str | None, auto: Callable[[Column], bool], allowed: Callable[[Column], bool]
    ) -> Column | None:
        """The column of that name if it is allowed, else the first that offers itself."""
        if name is None:
            return next((column for column in self.columns if auto(column)), None)
        column = self.named(name)
        fits = allowed if self.wish.kind is not None else _either(auto, allowed)
        return column if fits(column) else None

    def named(self, name: str) -> Column:
        """The column of that name, whatever its case if only one fits. Raises no-picture."""
        exact = [column for column in self.columns if column.name == name]
        found = exact or [column for column in self.columns if column.name.lower() == name.lower()]
        if len(found) != 1:
            names = ", ".join(column.name for column in self.columns)
            says = "More than one column of the answer is" if found else "No column of the answer is"
            raise QskyError("no-picture", f"{says} called {name}.", hint=f"There are: {names}.")
        return found[0]

    def third(self, used: Sequence[Column]) -> Column | None:
        """What colours the points: the column wished for, else the first measured one that is not used yet."""
        if self.wish.colour is not None:
            return self.named(self.wish.colour)
        free = [column for column in self.columns if column not in used and not column.is_ra and not column.is_dec]
        value = next((column for column in free if column.is_value), None)
        return value or next((column for column in free if column.kind == "text" and not column.is_id), None)

    def values(self) -> list[Column]:
        """What was measured, without the position if there is more."""
        measured = [column for column in self.columns if column.is_value]
        beside = [column for column in measured if not column.is_ra and not column.is_dec]
        return beside or measured


Rule = Callable[[Offer], Picture | None]


def _either(first: Callable[[Column], bool], second: Callable[[Column], bool]) -> Callable[[Column], bool]:
    return lambda column: first(column) or second(column)


def _is_number(column: Column) -> bool:
    return column.is_number


def _is_axis(column: Column) -> bool:
    """A number or a moment: what an axis can show."""
    return column.kind in ("number", "time")


def _sky(offer: Offer) -> Picture | None:
    """Right ascension and declination; a third column colours the points."""
    wish = offer.wish
    allowed = _is_number if wish.kind == "sky" else _never
    x = offer.pick(wish.x, lambda column: column.is_ra, allowed)
    y = offer.pick(wish.y, lambda column: column.is_dec, allowed)
    if x is None or y is None or x == y:
        return None
    return Picture("sky", x, y, offer.third((x, y)))


def _healpix(offer: Offer) -> Picture | None:
    """A column of cells, and what to paint them with; without that, the number of rows."""
    wish = offer.wish
    allowed = (lambda column: column.is_number and column.whole) if wish.kind == "healpix" else _never
    x = offer.pick(wish.x, lambda column: column.is_cell, allowed)
    if x is None:
        return None
    painted = wish.colour or wish.y
    if painted is not None:
        value: Column | None = offer.named(painted)
        if value is not None and not value.is_number:
            return None
    else:
        free = [column for column in offer.columns if column != x]
        value = next((column for column in free if column.is_count), None) or next(
            (column for column in free if column.is_value and not column.is_ra and not column.is_dec), None
        )
    order = wish.order if wish.order is not None else x.order
    return Picture("healpix", x, colour=value, order=order)


def _lightcurve(offer: Offer) -> Picture | None:
    """A time and what was measured then, with its error and band if there are such columns."""
    wish = offer.wish
    x = offer.pick(wish.x, lambda column: column.is_time, _is_axis if wish.kind == "lightcurve" else _never)
    y = offer.pick(wish.y, lambda column: column in offer.values() and column != x, _is_number)
    if x is None or y is None or x == y:
        return None
    error = offer.named(wish.error) if wish.error else next((c for c in offer.columns if c.is_error_of(y)), None)
    named = wish.band or wish.colour
    band = offer.named(named) if named else next((c for c in offer.columns if c.is_band and c not in (x, y)), None)
    return Picture("lightcurve", x, y, error=error, band=band)


def _bars(offer: Offer) -> Picture | None:
    """A category or a whole number and one number for each; a category alone is counted."""
    wish, values = offer.wish, offer.values()
    counts = [column for column in values if column.is_count]
    if wish.x is None and wish.y is None and wish.kind is None and len(values) > 1 and not counts:
        return None
    x = offer.pick(wish.x, lambda column: column.kind == "text" and not column.is_id, _categories(wish.kind))
    x = x or offer.pick(wish.x, lambda column: column.kind == "text" or column.is_band, _categories(wish.kind))
    if x is None and wish.x is None:
        x = _counted(offer, counts)
    if x is None:
        return None
    free = [column for column in values if column != x]
    y = offer.named(wish.y) if wish.y else next((c for c in counts if c != x), None) or next(iter(free), None)
    if y is not None and not y.is_number:
        return None
    return Picture("bars", x, y)


def _counted(offer: Offer, counts: list[Column]) -> Column | None:
    """The number that was counted by, in an answer of that and its count: a histogram made in SQL."""
    axes = [column for column in offer.columns if _is_axis(column)]
    return axes[0] if len(axes) == 2 and counts == axes[1:] else None


def _scatter(offer: Offer) -> Picture | None:
    """Two numbers; a third colours the points. A colour index goes to x and its magnitude to y."""
    wish, values = offer.wish, offer.values()
    if wish.kind is None and wish.x is not None and wish.y is None:
        return None
    if wish.kind == "scatter" and len(values) < 2:
        values = [column for column in offer.columns if _is_axis(column)]
    x = offer.pick(wish.x, lambda column: column in values and column.name != wish.y, _is_axis)
    y = offer.pick(wish.y, lambda column: column in values and column != x, _is_axis)
    if x is None or y is None:
        return None
    if wish.x is None and wish.y is None and x.is_magnitude and y.is_colour_index:
        x, y = y, x
    return Picture("scatter", x, y, offer.third((x, y)) if wish.colour or not y.is_error else None)


def _histogram(offer: Offer) -> Picture | None:
    """One number."""
    x = offer.pick(offer.wish.x, lambda column: column in offer.values(), _is_axis)
    if x is None and offer.wish.x is None:
        x = next((column for column in offer.columns if _is_axis(column)), None)
    if x is None or (offer.wish.kind is None and offer.wish.y is not None):
        return None
    return Picture("histogram", x)


def _never(column: Column) -> bool:
    return False


def _categories(kind: str | None) -> Callable[[Column], bool]:
    """What bars can stand on: any number if bars were asked for, else text."""
    return lambda column: column.kind == "text" or (kind == "bars" and _is_axis(column))


_PARTICULAR: Final[tuple[Rule, ...]] = (_sky, _healpix, _lightcurve)
_GENERAL: Final[tuple[Rule, ...]] = (_bars, _scatter, _histogram)
_BY_KIND: Final[dict[str, Rule]] = dict(
    zip(KINDS, (_sky, _healpix, _lightcurve, _bars, _scatter, _histogram), strict=True)
)
_NEEDS: Final = {
    "sky": "right ascension and declination in degrees",
    "healpix": "a whole number, the cell",
    "lightcurve": "a time and a number",
    "bars": "a category, and a number for each",
    "scatter": "two numbers",
    "histogram": "a number or a time",
}


def picture_of(columns: Sequence[Column], wish: Wish) -> Picture:
    """The picture that fits the columns and the wish.

    Raises usage for a kind or an order that does not exist; no-picture for a column that does not, and where nothing fits.
    """
    offer = Offer(tuple(columns), wish)
    _check(offer)
    if wish.kind is not None:
        picture = _BY_KIND[wish.kind](offer)
        if picture is None:
            raise _nothing_fits(offer, f"A picture of the kind {wish.kind} needs {_NEEDS[wish.kind]}")
    else:
        particular = [found for rule in _PARTICULAR if (found := rule(offer)) is not None]
        found = min(particular, key=lambda made: offer.columns.index(made.x), default=None)
        general = (made for rule in _GENERAL if (made := rule(offer)) is not None)
        picture = found or next(general, None)
        if picture is None:
            raise _nothing_fits(offer, "No picture fits")
    _check_use(picture, wish)
    return replace(picture, title=wish.title)


def _check(offer: Offer) -> None:
    """Whether the wish names what exists."""
    wish = offer.wish
    if wish.kind is not None and wish.kind not in KINDS:
        raise QskyError("usage", f"{wish.kind!r} is not a kind of picture.", hint=f"Known: {', '.join(KINDS)}.")
    if wish.order is not None and not 0 <= wish.order <= _ORDER_MAX:
        raise QskyError("usage", f"The HEALPix order {wish.order} does not exist.", hint="It lies between 0 and 29.")
    for name in (wish.x, wish.y, wish.colour, wish.error, wish.band):
        if name is not None:
            offer.named(name)
    if wish.error is not None and not offer.named(wish.error).is_number:
        raise QskyError("no-picture", f"The error {wish.error} is no number.", hint="Name a column of standard errors.")
    for name in (wish.colour, wish.band):
        if name is not None and offer.named(name).kind not in ("number", "text"):
            raise QskyError("no-picture", f"{name} is neither number nor text.", hint="Name a column that is.")


def _check_use(picture: Picture, wish: Wish) -> None:
    """Whether the picture shows every column that was wished for."""
    offered = {"y": wish.y, "colour": wish.colour, "error": wish.error, "band": wish.band}
    shown = {name.lower() for name in picture.columns}
    for option, name in offered.items():
        if name is not None and name.lower() not in shown:
            raise QskyError(
                "no-picture",
                f"A picture of the kind {picture.kind} has no place for {option}={name}.",
                hint="Leave it out, or ask for another kind.",
            )


def _nothing_fits(offer: Offer, sentence: str) -> QskyError:
    kinds = ", ".join(f"{column.name} ({'id' if column.is_id else column.kind})" for column in offer.columns)
    hint = f"A picture is one of {', '.join(KINDS)}; x=, y= and colour= name its columns."
    return QskyError("no-picture", f"{sentence}; the answer has {kinds or 'no columns'}.", hint=hint)
