"""Numbers as SQL, for what the planner itself puts around printed expressions. Pure."""

from __future__ import annotations


def number_text(value: float) -> str:
    """A DOUBLE; without an exponent DuckDB would read a DECIMAL."""
    text = repr(float(value))
    return text if "e" in text else f"{text}e0"
