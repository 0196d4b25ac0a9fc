"""Which picture fits which columns: the decision alone, as a table of cases. No row is read and nothing is drawn."""

from __future__ import annotations

import pyarrow as pa
import pytest

from qsky.errors import QskyError
from qsky.output.picture import Picture, Wish, picture_of
from qsky.output.roles import Column, columns_of

FLOAT, WHOLE, TEXT, TIME = pa.float64(), pa.int64(), pa.string(), pa.timestamp("us")
TYPES = {"f": FLOAT, "i": WHOLE, "t": TEXT, "d": TIME, "b": pa.bool_(), "l": pa.list_(FLOAT)}


def columns(text: str) -> tuple[Column, ...]:
    """Columns written as `name:type[:unit[:ucd]]`, a type being a letter of `TYPES`; float64 if none is said."""
    fields = []
    for word in text.split():
        name, kind, unit, ucd = (*word.split(":"), "", "", "")[:4]
        fields.append(pa.field(name, TYPES[kind or "f"], metadata={"unit": unit, "ucd": ucd}))
    return columns_of(pa.schema(fields))


def said(picture: Picture) -> str:
    """A picture in one line: kind, x, and what else it has."""
    parts = {"y": picture.y, "colour": picture.colour, "error": picture.error, "band": picture.band}
    named = [f"{name}={column.name}" for name, column in parts.items() if column is not None]
    order = [] if picture.order is None else [f"order={picture.order}"]
    return " ".join([picture.kind, picture.x.name, *named, *order])


CHOICES = [
    # -- positions
    ("ra dec", "sky ra y=dec"),
    ("id:i ra::deg dec::deg hpmag", "sky ra y=dec colour=hpmag"),
    ("coord_ra::deg:pos.eq.ra;meta.main coord_dec::deg:pos.eq.dec;meta.main ebv", "sky coord_ra y=coord_dec colour=ebv"),
    ("lon::deg:pos.eq.ra lat::deg:pos.eq.dec", "sky lon y=lat"),
    ("RAJ2000 DEJ2000 Vmag", "sky RAJ2000 y=DEJ2000 colour=Vmag"),
    ("ra dec ra_error dec_error parallax", "sky ra y=dec colour=parallax"),
    ("ra dec var_class:t", "sky ra y=dec colour=var_class"),
    ("name:t:: ra dec source_id:i", "sky ra y=dec colour=name"),
    ("name:t::meta.id ra dec", "sky ra y=dec"),
    ("ra::rad dec::rad", "scatter ra y=dec"),
    ("ra mag", "histogram mag"),
    # -- cells
    ("healpix_5:i n:i", "healpix healpix_5 colour=n order=5"),
    ("cell:i n:i", "healpix cell colour=n"),
    ("cell:i flux n:i", "healpix cell colour=n"),
    ("hpx8:i ebv", "healpix hpx8 colour=ebv order=8"),
    ("_healpix_29:i", "healpix _healpix_29 order=29"),
    ("healpix(4,ra,dec):i count(*):i", "healpix healpix(4,ra,dec) colour=count(*) order=4"),
    ("cell:f n:i", "bars cell y=n"),
    ("ra dec cell:i", "sky ra y=dec"),
    ("cell:i ra dec", "healpix cell"),
    # -- times
    ("mjd mag mag_err band:t", "lightcurve mjd y=mag error=mag_err band=band"),
    ("midpointMjdTai::d:time.epoch psfFlux psfFluxErr band:t", "lightcurve midpointMjdTai y=psfFlux error=psfFluxErr band=band"),
    ("objectId:i hjd mag e_mag", "lightcurve hjd y=mag error=e_mag"),
    ("obs:d flux", "lightcurve obs y=flux"),
    ("t::d:time.epoch f:::phot.flux s:::stat.error;phot.flux fid:i", "lightcurve t y=f error=s band=fid"),
    ("mjd ra dec mag", "lightcurve mjd y=mag"),
    ("ra dec mjd mag", "sky ra y=dec colour=mag"),
    ("mjd", "histogram mjd"),
    ("lifetime mag", "scatter lifetime y=mag"),
    # -- categories
    ("var_class:t n:i", "bars var_class y=n"),
    ("band:t flux", "bars band y=flux"),
    ("var_class:t", "bars var_class"),
    ("flag:b", "bars flag"),
    ("class:t n:i mag", "bars class y=n"),
    ("m:f n:i", "bars m y=n"),
    ("n:i m:f", "scatter n y=m"),
    # -- numbers
    ("pmra pmdec", "scatter pmra y=pmdec"),
    ("pmra pmdec parallax", "scatter pmra y=pmdec colour=parallax"),
    ("phot_g_mean_mag::mag bp_rp::mag", "scatter bp_rp y=phot_g_mean_mag"),
    ("b_v hpmag", "scatter b_v y=hpmag"),
    ("a b kind:t", "scatter a y=b colour=kind"),
    ("source_id:i parallax", "histogram parallax"),
    ("plx e_plx", "histogram plx"),
    ("id:i", "histogram id"),
    ("v:l x", "histogram x"),
]  # fmt: skip

WISHES = [
    ("ra dec mag", Wish(x="mag"), "histogram mag"),
    ("ra dec mag", Wish(kind="scatter", x="ra", y="mag"), "scatter ra y=mag colour=None"),
    ("ra dec mag", Wish(kind="histogram"), "histogram mag"),
    ("ra dec mag", Wish(colour="RA"), "sky ra y=dec colour=ra"),
    ("lon lat mag", Wish(kind="sky", x="lon", y="lat"), "sky lon y=lat colour=mag"),
    ("place:i v", Wish(kind="healpix", x="place", order=7), "healpix place colour=v order=7"),
    ("healpix_5:i v w", Wish(colour="w", order=6), "healpix healpix_5 colour=w order=6"),
    ("day v w", Wish(kind="lightcurve", x="day", error="w"), "lightcurve day y=v error=w"),
    ("mjd mag site:t", Wish(band="site"), "lightcurve mjd y=mag band=site"),
    ("mjd mag flux", Wish(y="flux"), "lightcurve mjd y=flux"),
    ("a b c", Wish(x="c", y="a"), "scatter c y=a colour=b"),
    ("hp:f b_v", Wish(x="hp", y="b_v"), "scatter hp y=b_v"),
    ("a b t:t", Wish(x="t", y="b"), "bars t y=b"),
    ("hour:i visits", Wish(kind="bars", x="hour"), "bars hour y=visits"),
]

REFUSED = [
    ("a b", Wish(kind="pie"), "usage", "'pie' is not a kind of picture"),
    ("cell:i", Wish(order=30), "usage", "order 30 does not exist"),
    ("a b", Wish(x="c"), "no-picture", "No column of the answer is called c"),
    ("A a", Wish(x="a", y="B"), "no-picture", "is called B"),
    ("Ab aB", Wish(x="ab"), "no-picture", "More than one column of the answer is called ab"),
    ("a b", Wish(kind="sky"), "no-picture", "needs right ascension and declination"),
    ("a:t", Wish(kind="histogram"), "no-picture", "needs a number or a time"),
    ("a", Wish(kind="scatter"), "no-picture", "needs two numbers"),
    ("a b", Wish(kind="healpix"), "no-picture", "needs a whole number, the cell"),
    ("a", Wish(kind="bars"), "no-picture", "needs a category"),
    ("v:l", Wish(), "no-picture", "No picture fits; the answer has v (other)"),
    ("", Wish(), "no-picture", "the answer has no columns"),
    ("a b", Wish(kind="histogram", x="a", y="b"), "no-picture", "no place for y=b"),
    ("mjd mag s:t", Wish(error="s"), "no-picture", "The error s is no number"),
    ("ra dec v:l", Wish(colour="v"), "no-picture", "neither number nor text"),
]


@pytest.mark.parametrize(("text", "picture"), CHOICES, ids=[text for text, _ in CHOICES])
def test_the_columns_choose(text: str, picture: str) -> None:
    assert said(picture_of(columns(text), Wish())) == picture


@pytest.mark.parametrize(("text", "wish", "picture"), WISHES)
def test_a_wish_is_met(text: str, wish: Wish, picture: str) -> None:
    assert said(picture_of(columns(text), wish)) == picture.removesuffix(" colour=None")


@pytest.mark.parametrize(("text", "wish", "code", "sentence"), REFUSED)
def test_a_wish_that_cannot_be_met_is_an_error(text: str, wish: Wish, code: str, sentence: str) -> None:
    with pytest.raises(QskyError, match=".") as refused:
        picture_of(columns(text), wish)
    assert refused.value.code.name == code and sentence in refused.value.message
    assert refused.value.hint


MAGNITUDES = [
    "mag",
    "hpmag",
    "phot_g_mean_mag",
    "abs_mag",
    "g::mag",
    "i_cModelMag",
    "x:::phot.mag;em.opt.V",
    "MAG_AUTO",
]
NOT_MAGNITUDES = [
    "mag_err",
    "b_v",
    "bp_rp::mag",
    "ebv::mag:phot.color.excess",
    "g_mag-r_mag",
    "image",
    "magnetic:::phys.mag",
]


@pytest.mark.parametrize("text", MAGNITUDES)
def test_magnitudes_are_known(text: str) -> None:
    assert columns(text)[0].is_magnitude


@pytest.mark.parametrize("text", NOT_MAGNITUDES)
def test_others_are_no_magnitudes(text: str) -> None:
    assert not columns(text)[0].is_magnitude
