"""Which columns of which parts a fragment needs: the fragment as the loop sees it.

Called by `worker.serve`. Pure. A fragment can share what is decoded if it reads one input and is given nothing: with
several, DuckDB would choose the order of joins by what it knows of the files, and sums could differ in the last bit from
one run to the next.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from qsky.fragment import Fragment, Input, PartFile
from qsky.worker.execute import column_text, used_columns
from qsky.worker.loop import Need, Unit, Work

_TYPE_BYTES: Final = {"BOOLEAN": 1, "TINYINT": 1, "SMALLINT": 2, "INTEGER": 4, "FLOAT": 4, "DATE": 4, "VARCHAR": 40}
_OTHER_BYTES: Final = 8
# What a decoded column takes of a file whose rows are not known, as a part of the file's bytes.
_UNKNOWN_SHARE: Final = 0.2


def work_of(number: int, owner: Hashable, fragment: Fragment) -> Work:
    """The work a fragment is. `owner` stands for its query."""
    needs = () if fragment.interactive or fragment.alone else _needs(fragment)
    return Work(number, owner, fragment.bytes, needs, fragment.interactive)


def _needs(fragment: Fragment) -> tuple[Need, ...]:
    if len(fragment.inputs) != 1 or fragment.given:
        return ()
    source = fragment.inputs[0]
    if len({file.address for file in source.files}) < len(source.files):
        return ()
    used = used_columns(fragment, source)
    return tuple(
        Need(Unit(file.address, source.within), tuple(_column(column, source, file) for column in used))
        for file in source.files
    )


def _column(column: tuple[str, str], source: Input, file: PartFile) -> tuple[str, int]:
    name, kind = column
    width = _TYPE_BYTES.get(kind, _OTHER_BYTES)
    size = file.rows * width if file.rows else int(file.bytes * _UNKNOWN_SHARE)
    return column_text(name, kind, source, file.lacks), size
