"""A result: read once as a stream or held whole, shown in a notebook, handed on in every form."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from qsky.result import Facts, Result


def result() -> Result:
    table = pa.table({"id": [1, 2, None], "name": ["a", None, "c"]})
    return Result(table.schema, iter(table.to_batches(max_chunksize=2)), Facts(explain=lambda: "why"))


def test_a_stream_is_read_once() -> None:
    answer = result()
    assert [batch.num_rows for batch in answer.batches()] == [2, 1]
    assert repr(answer) == "<Result of 2 columns, read as a stream>"
    with pytest.raises(ValueError, match="already read"):
        list(answer.batches())


def test_a_held_answer_is_read_many_times() -> None:
    answer = result()
    assert len(answer) == 3
    assert answer.arrow() is answer.arrow()
    assert sum(batch.num_rows for batch in answer.batches()) == 3


def test_a_notebook_shows_the_first_rows() -> None:
    answer = result()
    assert repr(answer).splitlines()[-1] == "3 rows"
    assert "<th>id<br>" in answer._repr_html_() and "3 rows" in answer._repr_html_()
    assert len(answer) == 3


def test_every_form_has_the_same_rows() -> None:
    answer = result()
    assert isinstance(answer.to_pandas(), pd.DataFrame) and answer.to_pandas()["name"].tolist()[0] == "a"
    assert isinstance(answer.to_polars(), pl.DataFrame) and answer.to_polars()["id"].to_list() == [1, 2, None]
    assert answer.to_astropy()["id"].tolist() == [1, 2, None]
    assert answer.explain() == "why"


def test_a_scalar_is_one_value() -> None:
    table = pa.table({"n": [42]})
    assert Result(table.schema, iter(table.to_batches())).scalar() == 42
    with pytest.raises(ValueError, match="3 rows and 2 columns"):
        result().scalar()
