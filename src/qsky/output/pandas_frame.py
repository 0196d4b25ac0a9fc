"""Arrow tables as pandas frames. `Result.to_pandas` calls this.

It must never turn an integer into a float to make room for a NULL, as pandas does by itself: that corrupts 64-bit ids
without a word.
"""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


def pandas_frame(table: pa.Table) -> pd.DataFrame:
    """A frame of the same columns. Integer columns with NULL are pandas' nullable ones (Int64), the others plain."""
    frame = table.to_pandas(integer_object_nulls=True)
    for place, column in enumerate(table.columns):
        if pa.types.is_integer(column.type) and column.null_count:
            frame.isetitem(place, _integers(column))
    return frame


def _integers(column: pa.ChunkedArray) -> pd.arrays.IntegerArray:
    return pd.arrays.IntegerArray(column.fill_null(0).to_numpy(), pc.is_null(column).to_numpy())
