"""What running a query really took, as sums: made while it runs, shown beside the plan's estimates.

Filled by `asking`, read by `plan.explain`. Values; no clock and no plan of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ScanRun:
    """One scan, as far as its pieces were used.

    `shared` counts fragments that ran on columns decoded once for several queries, `retries` attempts beyond the first.
    `bytes_read` are those of the part files the fragments named, `bytes` those of the pieces in Arrow. `seconds` and
    `cpu_seconds` are sums over fragments, which run at the same time; decoding for several queries is nobody's.
    """

    name: str
    fragments: int = 0
    chunks: int = 0
    shared: int = 0
    retries: int = 0
    rows: int = 0
    bytes: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    spilled: bool = False


@dataclass
class StageRun:
    """One plan: its scans, and the merge above the line. `seconds` is from its start to its last row, by the wall."""

    scans: list[ScanRun] = field(default_factory=list)
    seconds: float = 0.0
    merge_seconds: float = 0.0
    merge_cpu_seconds: float = 0.0
    rows: int = 0
