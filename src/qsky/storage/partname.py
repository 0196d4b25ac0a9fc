"""Names of parts, as every machine spells them: relative to the root, checkable from themselves. Pure.

Called wherever a part is known by its name alone, also where no catalogue may be known (workers).
"""

from __future__ import annotations

import re
from typing import Final

from qsky.errors import QskyError

_PART: Final = re.compile(r"(?:public|private)(?:/[A-Za-z0-9_.=\-]+)+-[0-9a-f]{16}\.parquet")


def checked_part(name: str) -> str:
    """The name if it can be that of a part: it stays inside the folder it is put under. Raises bad-name."""
    if not _PART.fullmatch(name) or "/." in name:
        raise QskyError("bad-name", f"{name!r} is not the name of a part.")
    return name


def digest_of(path: str) -> str:
    """The digest in a part's or side file's name."""
    return path.rsplit("-", 1)[-1].split(".", 1)[0]
