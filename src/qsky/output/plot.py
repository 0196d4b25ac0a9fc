"""A picture of an answer in the making: batches in, a matplotlib Figure out. `Result.plot` and the command line call it.

The wish is judged before the first row is read. Rows pass through; what is held is the picture's own columns, at most
`rows_max` of them: beyond that a random sample (the same every time), or for HEALPix cells the sums of coarser ones.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from qsky.errors import QskyError
from qsky.output.cell_tally import CellTally
from qsky.output.formats import appearing
from qsky.output.picture import Picture, Wish, picture_of
from qsky.output.roles import columns_of
from qsky.output.sample import Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE_FORMATS: Final = ("png", "pdf", "svg", "jpg", "jpeg", "webp")


class Sketch:
    """A picture that rows are added to until it is drawn."""

    def __init__(self, schema: pa.Schema, wish: Wish, rows_max: int | None = None) -> None:
        """Raises not-installed without matplotlib; usage and no-picture for a wish that cannot be met."""
        if importlib.util.find_spec("matplotlib") is None:
            raise QskyError(
                "not-installed", "Pictures need matplotlib, which is not installed.", hint="pip install 'qsky[plot]'"
            )
        self.picture: Picture = picture_of(columns_of(schema), wish)
        self.notes: tuple[str, ...] = ()
        places = [schema.names.index(name) for name in self.picture.columns]
        self._places = places
        self._sample = Sample(pa.schema([schema.field(place) for place in places]), rows_max)
        self._tally = CellTally(self.picture, rows_max) if self.picture.kind == "healpix" else None

    def add(self, batch: pa.RecordBatch) -> None:
        """Take what the picture needs of some rows."""
        (self._tally or self._sample).add(batch.select(self._places))

    def figure(self) -> Figure:
        """The picture of the rows that came. `notes` then says in sentences what it does not show. Raises no-picture."""
        from qsky.output.draw import draw, draw_cells

        if self._tally is not None:
            figure, self.notes = draw_cells(self.picture, self._tally.cells())
        else:
            figure, self.notes = draw(self.picture, self._sample.rows())
        return figure


def write_picture(figure: Figure, file: Path) -> None:
    """Write a picture to a file whose name tells the format. Raises what `picture_format` raises; disk-full, no-access."""
    name = picture_format(file)
    with appearing(file) as sink:
        figure.savefig(sink, format=name)


def picture_format(file: Path) -> str:
    """The format that a file's name asks for. Raises usage."""
    name = file.suffix.lower().lstrip(".")
    if name not in PICTURE_FORMATS:
        raise QskyError(
            "usage", f"The name {file.name} tells no format of pictures.", hint=f"Known: {', '.join(PICTURE_FORMATS)}."
        )
    return name
