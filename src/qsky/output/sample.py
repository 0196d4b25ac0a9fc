"""At most so many rows of a stream, every row as likely as any other, and the same rows every time.

Each row draws a number from one seed; when too many are held, the bar is halved and rows above it go. `output.plot`
holds the columns of a picture so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_SEED: Final = 20_170_401


@dataclass(frozen=True)
class Rows:
    """The rows held, and of how many they are the sample."""

    table: pa.Table
    total: int

    @property
    def weight(self) -> float:
        """How many rows of the answer each of these stands for."""
        return self.total / self.table.num_rows if self.table.num_rows else 1.0


class Sample:
    """The sample in the making."""

    def __init__(self, schema: pa.Schema, rows_max: int | None) -> None:
        self._schema = schema
        self._rows_max = rows_max
        self._random = np.random.default_rng(_SEED)
        self._bar = 1.0
        self._held: list[tuple[pa.RecordBatch, NDArray[np.float64]]] = []
        self._held_rows = 0
        self._total = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take some rows."""
        self._total += batch.num_rows
        self._keep(batch, self._random.random(batch.num_rows))
        while self._rows_max is not None and self._held_rows > self._rows_max:
            self._bar /= 2
            held, self._held, self._held_rows = self._held, [], 0
            for older, drawn in held:
                self._keep(older, drawn)

    def rows(self) -> Rows:
        """What is held now."""
        return Rows(pa.Table.from_batches([batch for batch, _ in self._held], schema=self._schema), self._total)

    def _keep(self, batch: pa.RecordBatch, drawn: NDArray[np.float64]) -> None:
        if self._bar < 1:
            below = drawn < self._bar
            batch, drawn = batch.filter(pa.array(below)), drawn[below]
        self._held.append((batch, drawn))
        self._held_rows += batch.num_rows
