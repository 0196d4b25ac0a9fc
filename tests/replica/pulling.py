"""A worker that pulls, receives and deletes the same parts for ever, to be killed: `python -m tests.replica.pulling FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from qsky.fragment import ReplicaKind
from tests.replica.stores import Elsewhere, One, order


def main(folder: Path) -> None:
    elsewhere = Elsewhere(folder / "elsewhere")
    one = One(folder, elsewhere=elsewhere)
    names = sorted(str(path.relative_to(elsewhere.folder)) for path in elsewhere.folder.rglob("*.parquet"))
    print("ready", flush=True)
    epoch = 1
    while True:
        epoch += 1
        for at, name in enumerate(names):
            size = (elsewhere.folder / name).stat().st_size
            if at % 2:
                one.replica.receive(name, size, elsewhere.folder / name)
            else:
                one.replica.obey(order(ReplicaKind.PULL, name, size, epoch))
        for name in names:
            size = (elsewhere.folder / name).stat().st_size
            one.replica.obey(order(ReplicaKind.DELETE, name, size, epoch, (("w1", epoch),)))


main(Path(sys.argv[1]))
