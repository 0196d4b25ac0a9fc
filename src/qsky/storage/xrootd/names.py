"""What XRootD calls a part: `/qsky/` and the part's own name. Pure.

Names are immutable here: parts have names that are never used again. Side files (revisions, logs, properties) change,
so they have no name in XRootD and must never get one.
"""

from __future__ import annotations

import re
from typing import Final

from qsky.errors import QskyError

EXPORT: Final = "/qsky"
PUBLIC: Final = f"{EXPORT}/public"
PROBES: Final = f"{EXPORT}/probes"  # empty files, one of each server, by which it is seen whether redirectors find it
_PART: Final = re.compile(r"(?:public|private)(?:/[A-Za-z0-9_.=\-]+)+\.parquet")


def lfn(part: str) -> str:
    """XRootD's name of a part, `public/<db>/...parquet`. Raises bad-name for what cannot be the name of a part."""
    if not _PART.fullmatch(part) or "/." in part:
        raise QskyError("bad-name", f"{part!r} is not the name of a part.")
    return f"{EXPORT}/{part}"
