"""Positions as read to degrees: by hand, and against astropy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import Angle, Latitude, Longitude
from hypothesis import given
from hypothesis import strategies as st

from qsky.ingest.positions import Axis, looks_sexagesimal, to_degrees, unit_of
from qsky.ingest.source import Unit


def degrees(values: list[object], unit: Unit, axis: Axis) -> list[float | None]:
    made: list[float | None] = to_degrees(pa.array(values), unit, axis, "x", required=False).array.to_pylist()
    return made


@pytest.mark.parametrize(
    ("given_ra", "wanted"),
    [(360.0, 0.0), (-1.0, 359.0), (-1e-20, 0.0), (-0.0, 0.0), (370.5, 10.5), (359.9999, 359.9999), (None, None)],
)
def test_right_ascension_is_wrapped(given_ra: float | None, wanted: float | None) -> None:
    assert degrees([given_ra, 1.0], "deg", "ra") == [wanted, 1.0]


@given(st.lists(st.floats(-360, 720), min_size=1, max_size=20))
def test_right_ascension_lies_in_a_turn(values: list[float]) -> None:
    made = to_degrees(pa.array(values), "deg", "ra", "x", required=True)
    found = np.array(made.array)
    assert not made.bad.any()
    assert (found >= 0).all()
    assert (found < 360).all()
    assert not np.signbit(found).any()
    turned = np.abs(found - np.array(values))
    assert np.allclose(np.minimum(turned % 360, 360 - turned % 360), 0, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "axis", "wanted"),
    [
        ("00:08:27.05", "ra", "00:08:27.05"),
        ("00 01 16.37", "ra", "00:01:16.37"),
        ("5h34m31.94s", "ra", "05:34:31.94"),
        ("05:40:59", "ra", "05:40:59"),
        ("23:59:59.9999", "ra", "23:59:59.9999"),
        ("12 30.5", "ra", "12:30:30"),
        ("24:00:00", "ra", "00:00:00"),
        ("+27:43:03.6", "dec", "27:43:03.6"),
        ("-00:24:54.8", "dec", "-00:24:54.8"),
        ("−00 24 54.8", "dec", "-00:24:54.8"),
        (" +31d12m43s ", "dec", "31:12:43"),
        ("-05°23'28\"", "dec", "-05:23:28"),
        ("-90:00:00", "dec", "-90:00:00"),
    ],
)
def test_sexagesimal(text: str, axis: Axis, wanted: str) -> None:
    expected = Longitude(wanted, unit="hourangle") if axis == "ra" else Latitude(Angle(wanted, unit="deg"))
    assert degrees([text], "sexagesimal", axis) == pytest.approx([expected.deg], abs=1e-12)


@pytest.mark.parametrize("text", ["12.5", "abc", "1:2:3:4", "12:60:00", "12:00:60", "+-1:2:3", "1:2:x"])
def test_not_sexagesimal(text: str) -> None:
    made = to_degrees(pa.array([text, "1:2:3"]), "sexagesimal", "dec", "x", required=False)
    assert made.bad.tolist() == [True, False]
    assert made.array.to_pylist()[0] is None


def test_units() -> None:
    assert degrees([0.0, np.pi, -np.pi / 2], "rad", "ra") == pytest.approx([0, 180, 270])
    assert degrees([np.pi / 2, -np.pi / 2], "rad", "dec") == [90.0, -90.0]
    assert degrees([1, 23], "hours", "ra") == [15.0, 345.0]
    assert degrees(["1.5", " +2 "], "deg", "dec") == [1.5, 2.0]
    assert degrees([b"1.5", None], "deg", "dec") == [1.5, None]
    assert degrees([1, 2], "deg", "dec") == [1.0, 2.0]


def test_units_by_name() -> None:
    assert [unit_of(name) for name in ("deg", "Degrees", "rad", "hourangle", '"h:m:s"', "mas", "")] == [
        "deg",
        "deg",
        "rad",
        "hours",
        "sexagesimal",
        "",
        "",
    ]


def test_null_is_bad_only_where_a_position_is_required() -> None:
    values = pa.array([None, float("nan"), float("inf"), 91.0, 1.0])
    assert to_degrees(values, "deg", "dec", "x", required=True).bad.tolist() == [True, True, True, True, False]
    free = to_degrees(values, "deg", "dec", "x", required=False)
    assert free.bad.tolist() == [False, False, True, True, False]
    assert free.array.to_pylist() == [None, None, None, None, 1.0]


def test_looks() -> None:
    assert looks_sexagesimal(pa.array(["00:01:02", None, "x", "1 2 3"])) == "00:01:02"
    assert looks_sexagesimal(pa.array(["1.5", "2"])) == ""
    assert looks_sexagesimal(pa.array([None], pa.string())) == ""
