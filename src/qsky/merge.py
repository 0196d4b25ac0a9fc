"""Above the line: one SQL statement over the collected pieces, on a DuckDB of its own, that makes the answer of them.

Called by `engine`. Single-threaded, so that floating sums are folded in the order of the pieces. Pieces beyond a share
of the memory are put into DuckDB's own tables, which spill to disk. It reads no file of a catalogue.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from queue import Empty, Full, Queue
from time import monotonic, perf_counter, thread_time
from typing import Any, Final

import pyarrow as pa

from qsky.duck import Duck, quoted
from qsky.errors import QskyError
from qsky.words import only_known_words


class Collected:
    """The pieces of one scan in their order. Small ones stay Arrow tables, many bytes go to a table of DuckDB."""

    def __init__(self, duck: Duck, name: str, schema: pa.Schema, held_bytes_max: int) -> None:
        self.name = name
        self._duck = duck
        self._schema = schema
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._held_bytes_max = held_bytes_max
        self.spilled = False
        self.bytes = 0

    def add(self, piece: pa.Table) -> None:
        """Take the next piece, of the scan's columns."""
        self._held.append(piece.cast(self._schema) if piece.schema != self._schema else piece)
        self._held_bytes += piece.nbytes
        self.bytes += piece.nbytes
        if self._held_bytes > self._held_bytes_max:
            self._spill()

    def _spill(self) -> None:
        incoming = f"{self.name}_incoming"
        verb = f"INSERT INTO {quoted(self.name)}" if self.spilled else f"CREATE TEMP TABLE {quoted(self.name)} AS"
        self._duck.execute(f"{verb} SELECT * FROM {quoted(incoming)}", {incoming: self._table()})
        self.spilled, self._held, self._held_bytes = True, [], 0

    def _table(self) -> pa.Table:
        return pa.concat_tables(self._held) if self._held else self._schema.empty_table()

    def finish(self) -> Mapping[str, pa.Table]:
        """What the merge SQL must be given under this name: the Arrow table, or nothing if DuckDB has it."""
        if self.spilled:
            if self._held:
                self._spill()
            return {}
        return {self.name: self._table()}


# Beside the query that merges with all the memory, others do with this part of it each, and spill.
_SMALL_SHARE: Final = 4
# With less DuckDB cannot even spill.
_SMALL_BYTES_LEAST: Final = 32 << 20


class Above:
    """The instances that merge, each lent to one query at a time and kept for the next.

    One has all the memory for merging. Queries that come while it is lent get smaller ones, because none can wait for
    another: whoever reads two answers by turns would wait for himself.
    """

    def __init__(self, open_duck: Callable[[int], Duck], memory_bytes: int) -> None:
        """`open_duck` opens an instance of so many bytes."""
        self._open_duck = open_duck
        self._memory_bytes = memory_bytes
        self._free: dict[bool, list[Duck]] = {True: [], False: []}  # by whether it is the large one
        self._large_lent = False
        self._lock = threading.Lock()

    @contextmanager
    def lent(self) -> Iterator[Lent]:
        """An instance for one query. One that was left in the middle of work is thrown away."""
        with self._lock:
            large, self._large_lent = not self._large_lent, True
            duck = self._free[large].pop() if self._free[large] else None
        try:
            yield from self._lend(duck, large)
        finally:
            with self._lock:
                self._large_lent = self._large_lent and not large

    def _lend(self, duck: Duck | None, large: bool) -> Iterator[Lent]:
        small_bytes = min(max(self._memory_bytes // _SMALL_SHARE, _SMALL_BYTES_LEAST), self._memory_bytes)
        memory_bytes = self._memory_bytes if large else small_bytes
        lent = Lent(duck or _opened_aside(self._open_duck, memory_bytes), memory_bytes // 2)
        try:
            yield lent
        finally:
            if lent.clean:
                with self._lock:
                    self._free[large].append(lent.duck)
            else:
                lent.duck.close()

    def close(self) -> None:
        with self._lock:
            ducks = [*self._free[True], *self._free[False]]
            self._free = {True: [], False: []}
        for duck in ducks:
            duck.close()


def _opened_aside(open_duck: Callable[[int], Duck], memory_bytes: int) -> Duck:
    """A new instance, opened by a thread: a Ctrl-C that comes while DuckDB calls back into Python gets lost there."""
    outbox: Queue[Duck | BaseException] = Queue(1)

    def work() -> None:
        try:
            outbox.put(open_duck(memory_bytes))
        except BaseException as error:
            outbox.put(error)

    threading.Thread(target=work, name="qsky-open", daemon=True).start()
    opened = outbox.get()
    if isinstance(opened, BaseException):
        raise opened
    return opened


_END: Final = None
_STREAM_BATCHES: Final = 4
_INTERRUPT_SECONDS: Final = 0.01


class Lent:
    """One instance while one query has it."""

    def __init__(self, duck: Duck, held_bytes_max: int) -> None:
        """`held_bytes_max` is what the pieces of each scan may take as Arrow tables."""
        self.duck = duck
        self._held_bytes_max = held_bytes_max
        self._collected: list[Collected] = []
        self._busy = False
        self.seconds = 0.0  # of merging, without waiting for who takes the answer
        self.cpu_seconds = 0.0

    @property
    def spilled(self) -> tuple[str, ...]:
        """Names of the scans whose pieces were too much for Arrow tables and went to DuckDB, which spills."""
        return tuple(each.name for each in self._collected if each.spilled)

    @property
    def clean(self) -> bool:
        """Whether the instance is as it was before: nothing running, nothing left in it."""
        return not self._busy and not self.spilled

    def collect(self, name: str, schema: pa.Schema) -> Collected:
        """A place for the pieces that merge SQL calls `name`; what is too much for Arrow tables goes to DuckDB."""
        self._collected.append(Collected(self.duck, name, schema, self._held_bytes_max))
        return self._collected[-1]

    def stream(
        self, sql: str, rows: int, ends: float | None, given: Mapping[str, pa.Table] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The answer in batches of at most `rows`, made a few ahead by a thread, so that Ctrl-C is heard at once.

        `given` are tables the SQL names besides the collected pieces.
        `ends` is when to give up, on the monotonic clock. Raises limit-time, cancelled, limit-memory, query-failed.
        """
        sql = only_known_words(sql)
        self._busy = True
        outbox: Queue[pa.RecordBatch | Exception | None] = Queue(_STREAM_BATCHES)
        stopped = threading.Event()
        work = threading.Thread(target=self._work, args=(sql, rows, outbox, stopped, given or {}), daemon=True)
        work.start()
        try:
            while (batch := _next(outbox, ends)) is not _END:
                if isinstance(batch, Exception):
                    raise batch
                yield batch
            self._busy = False
        finally:
            stopped.set()
            while work.is_alive():
                self.duck.interrupt()
                work.join(_INTERRUPT_SECONDS)

    def _work(
        self,
        sql: str,
        rows: int,
        outbox: Queue[pa.RecordBatch | Exception | None],
        stopped: threading.Event,
        given: Mapping[str, pa.Table],
    ) -> None:
        last: Exception | None = _END
        began, waited = perf_counter(), 0.0
        try:
            inputs = {name: table for each in self._collected for name, table in each.finish().items()}
            inputs.update(given)
            with self.duck.reader(sql, rows=rows, inputs=inputs) as batches:
                for batch in batches:
                    ready = perf_counter()
                    wanted = _put(outbox, batch, stopped)
                    waited += perf_counter() - ready
                    if not wanted:
                        break
        except Exception as error:
            last = error
        self.seconds, self.cpu_seconds = perf_counter() - began - waited, thread_time()
        _put(outbox, last, stopped)


def _put(outbox: Queue[Any], item: object, stopped: threading.Event) -> bool:
    """Wait for room; False if nobody wants anything any more."""
    while not stopped.is_set():
        try:
            outbox.put(item, timeout=0.1)
            return True
        except Full:
            continue
    return False


def _next(outbox: Queue[Any], ends: float | None) -> Any:
    while True:
        try:
            return outbox.get(timeout=1.0 if ends is None else min(1.0, max(0.001, ends - monotonic())))
        except Empty:
            if ends is not None and monotonic() >= ends:
                hint = "Ask for less, or raise QSKY_QUERY_SECONDS_MAX."
                raise QskyError("limit-time", "The query ran longer than it may.", hint=hint) from None
