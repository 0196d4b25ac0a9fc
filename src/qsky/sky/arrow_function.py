"""What a function is that DuckDB calls with Arrow arrays. `sky.functions` lists them; the engine registers them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ArrowFunction:
    """A vectorised function for `Duck.register_function`: types are DuckDB's names; it meets NULLs too."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    result: str
