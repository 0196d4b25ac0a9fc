"""Where one thread of a worker works: a DuckDB of its own, and the decoded columns that lie on it.

Called by `worker.serve`, from the thread that owns it alone, except `interrupt`. Tables stay registered while the next
fragment reads the same parts, because registering one costs as much as a small fragment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pyarrow as pa

from qsky.duck import Duck
from qsky.fragment import Fragment, Piece
from qsky.worker.execute import decode, execute, execute_shared, held_names
from qsky.worker.loop import Decode, Unit, Work

Columns = Mapping[str, pa.ChunkedArray]  # by their texts
_HELD: Final = "held"


class Bench:
    """One DuckDB, opened when it is first needed. `renewals` of `ready` tell when it must be opened anew."""

    def __init__(self, open_duck: Callable[[], Duck]) -> None:
        self._open_duck = open_duck
        self._duck: Duck | None = None
        self._renewals = 0
        self._units: tuple[Unit, ...] = ()
        self._columns: frozenset[str] = frozenset()

    def ready(self, renewals: int) -> None:
        """Have an instance that was opened since the last renewal."""
        if self._duck is None or self._renewals != renewals:
            self.close()
            self._duck = self._open_duck()
            self._renewals = renewals

    @property
    def duck(self) -> Duck:
        assert self._duck is not None, "ready comes first"
        return self._duck

    def alone(self, fragment: Fragment) -> Piece:
        self.clear()
        return execute(self.duck, fragment)

    def decoded(self, order: Decode) -> dict[str, pa.ChunkedArray]:
        self.clear()
        return decode(self.duck, order)

    def shared(self, fragment: Fragment, work: Work, held: Mapping[Unit, Columns]) -> Piece:
        """The piece, of held columns: all that `work` needs, and perhaps more for those that follow."""
        self._lay(work, held_names(fragment), held)
        return execute_shared(self.duck, fragment, _HELD)

    def _lay(self, work: Work, names: list[str], held: Mapping[Unit, Columns]) -> None:
        """Register the columns of the work's units, unless they lie there."""
        units = tuple(need.unit for need in work.needs)
        texts = [[text for text, _ in need.columns] for need in work.needs]
        alike = all(own == names for own in texts)  # no unit lacks what another has
        if alike and units == self._units and self._columns.issuperset(names):
            return
        self.clear()
        if alike:
            names = sorted(set.intersection(*(set(held[unit]) for unit in units)))
            texts = [names] * len(units)
        tables = [
            pa.table([held[unit][text] for text in own], names=names) for unit, own in zip(units, texts, strict=True)
        ]
        self._units, self._columns = units, frozenset(names if alike else ())
        self.duck.register(_HELD, pa.concat_tables(tables))

    def clear(self) -> None:
        """Let go of what lies there."""
        if self._units:
            self.duck.unregister(_HELD)
        self._units, self._columns = (), frozenset()

    def interrupt(self) -> None:
        """Stop what runs; from any thread."""
        if self._duck is not None:
            self._duck.interrupt()

    def close(self) -> None:
        self.clear()
        if self._duck is not None:
            self._duck.close()
            self._duck = None
