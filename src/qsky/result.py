"""An answer: a schema and a stream of Arrow batches, with what is known about them. Never Python tuples inside.

A `Result` is read once as a stream (`batches`), or held whole by the first call that needs it whole (`arrow`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

import pyarrow as pa

from qsky.events import LoadReport
from qsky.output.grid import html_grid, text_grid

if TYPE_CHECKING:
    import pandas
    import polars
    from astropy.table import Table as AstropyTable
    from matplotlib.figure import Figure

_ROWS_SHOWN: Final = 10


@dataclass(frozen=True)
class Facts:
    """What it took: chunks read of all, bytes of parts named, seconds, the revision of each database.

    `explain` gives the plan's text when somebody asks for it.
    """

    chunks_read: int = 0
    chunks_total: int = 0
    bytes_named: int = 0
    seconds: float = 0.0
    revisions: tuple[tuple[str, int], ...] = ()
    explain: Callable[[], str] = str


class SaveOptions(TypedDict, total=False):
    """What a saved answer becomes, in the words of `qsky load`; nothing said is a small table, whole everywhere.

    `key`, `ra` and `dec` name columns; `child_of` is a director of the same database.
    """

    director: bool
    child_of: str
    replicated: bool
    key: str
    ra: str
    dec: str
    overlap_arcsec: float | None
    allow_duplicate_keys: bool
    append: bool
    replace: bool
    description: str


class Result:
    """The answer to one query. Field metadata of the schema holds `unit`, `ucd` and `description` as bytes."""

    def __init__(
        self,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
        facts: Facts | None = None,
        *,
        plot_rows_max: int | None = None,
    ) -> None:
        """`plot_rows_max` is the setting of that name; None is no limit.

        `saver`, set by who has somewhere to save to, does what `save` says.
        """
        self.schema = schema
        self.plot_rows_max = plot_rows_max
        self.facts = facts or Facts()
        self._batches: Iterator[pa.RecordBatch] | None = batches
        self._table: pa.Table | None = None
        self.saver: Callable[[Result, str, SaveOptions], LoadReport] | None = None

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows as a stream; the second call gives the held table, or nothing is left to give."""
        if self._table is not None:
            yield from self._table.to_batches()
        elif self._batches is not None:
            batches, self._batches = self._batches, None
            yield from batches
        else:
            raise ValueError("this result was already read as a stream")

    def arrow(self) -> pa.Table:
        """The rows as one Arrow table."""
        if self._table is None:
            self._table = pa.Table.from_batches(self.batches(), schema=self.schema)
        return self._table

    def save(self, name: str, **role: Unpack[SaveOptions]) -> LoadReport:
        """Make the rows a table, `database.table`, in one revision; an answer not held yet is read as a stream.

        Raises what a load raises, and then the database is as it was; bad-columns for columns no table can have.
        """
        if self.saver is None:
            raise ValueError("this result belongs to no root that it could be saved in")
        return self.saver(self, name, role)

    def __len__(self) -> int:
        return int(self.arrow().num_rows)

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas frame; integers with NULL stay integers, as pandas' nullable Int64."""
        from qsky.output.pandas_frame import pandas_frame

        return pandas_frame(self.arrow())

    def to_polars(self) -> polars.DataFrame:
        import polars

        frame = polars.from_arrow(self.arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def to_astropy(self) -> AstropyTable:
        """An astropy Table with units and descriptions; NULLs are masked."""
        from qsky.output.astropy_table import astropy_table

        return astropy_table(self.arrow())

    def plot(
        self,
        kind: str | None = None,
        *,
        x: str | None = None,
        y: str | None = None,
        colour: str | None = None,
        error: str | None = None,
        band: str | None = None,
        order: int | None = None,
        title: str | None = None,
    ) -> Figure:
        """A matplotlib figure of the rows: the picture that fits the columns, or the one asked for.

        `kind` is sky, healpix, lightcurve, bars, scatter or histogram; `x`, `y`, `colour`, `error` and `band` are names of
        columns; `order` is that of HEALPix cells (NESTED). An answer of more than `plot_rows_max` rows is read as a stream
        and drawn from a sample, or from coarser cells, which the picture says; a smaller one can be used again.

        Raises not-installed without matplotlib; usage and no-picture for what cannot be drawn.
        """
        from qsky.output.picture import Wish
        from qsky.output.plot import Sketch

        wish = Wish(kind, x, y, colour, error, band, order, title)
        sketch = Sketch(self.schema, wish, self.plot_rows_max)
        for batch in self._passing(self.plot_rows_max):
            sketch.add(batch)
        return sketch.figure()

    def _passing(self, rows_max: int | None) -> Iterator[pa.RecordBatch]:
        """The rows as a stream, held on the way if they turn out to be no more than `rows_max`."""
        held: list[pa.RecordBatch] | None = [] if self._table is None else None
        rows = 0
        for batch in self.batches():
            rows += batch.num_rows
            if held is not None:
                held.append(batch)
                held = held if rows_max is None or rows <= rows_max else None
            yield batch
        if held is not None:
            self._table = pa.Table.from_batches(held, schema=self.schema)

    def __repr__(self) -> str:
        if self._table is None and self._batches is None:
            return f"<Result of {len(self.schema)} columns, read as a stream>"
        return f"{text_grid(self.arrow(), _ROWS_SHOWN)}\n{len(self):,} rows"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_grid(self.arrow(), _ROWS_SHOWN)

    def explain(self) -> str:
        """The plan, and why it is so."""
        return self.facts.explain()

    def scalar(self) -> Any:
        """The one value of a one-row, one-column answer."""
        table = self.arrow()
        if table.num_rows != 1 or table.num_columns != 1:
            raise ValueError(f"the answer has {table.num_rows} rows and {table.num_columns} columns, not one value")
        return table.column(0)[0].as_py()
