"""Every limit, size and timeout by name. Read once from the environment (`QSKY_<NAME>`), then passed down as a value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from qsky.errors import QskyError

GIB = 1 << 30
MIB = 1 << 20
_PERMIT_BYTES_LEAST = 128 * MIB


def setting(default: int | float, about: str, low: float, high: float) -> Any:
    """One documented, bounded setting."""
    return field(default=default, metadata={"about": about, "low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """The settings of one process; defaults suit a laptop. `docs/settings.md` is checked against the fields."""

    threads: int = setting(0, "Threads for loads and queries; 0 means one per core.", 0, 1024)
    memory_bytes_max: int = setting(
        2 * GIB, "Memory for the queries of one process, divided among threads.", 128 * MIB, 1 << 50
    )
    interactive_threads: int = setting(1, "Threads more that run fragments of interactive queries alone.", 1, 64)
    scan_sharers_min: int = setting(
        3, "Queries that must wait for the same parts before these are decoded once for all.", 2, 1 << 20
    )
    spill_bytes_max: int = setting(
        16 * GIB,
        "Bytes that queries of one process may spill to the temporary folder, divided among threads.",
        0,
        1 << 50,
    )
    # -- disk format
    chunk_rows_max: int = setting(
        1_000_000, "Director rows above which a chunk is split when a tiling is made.", 1, 1 << 40
    )
    chunk_bytes_max: int = setting(
        4 * GIB, "Bytes of a director and its children above which a chunk is split.", 1024, 1 << 50
    )
    tiling_order_max: int = setting(10, "Deepest HEALPix order of a chunk.", 0, 13)
    row_group_rows: int = setting(65_536, "Rows in a Parquet row group.", 1, 1 << 30)
    part_bytes_max: int = setting(512 * MIB, "Size above which a part is cut in two.", 4096, 1 << 40)
    overlap_arcsec: float = setting(
        60.0, "Overlap stored around each chunk when a director is first loaded.", 0, 36_000
    )
    index_segment_bytes_max: int = setting(
        GIB, "Size above which a director-index segment is cut by key range.", 4096, 1 << 40
    )
    # -- loading
    load_batch_rows: int = setting(500_000, "Rows read, checked and sorted at a time by a load.", 16, 1 << 30)
    load_memory_bytes_max: int = setting(GIB, "Memory a load aims to stay below in its own buffers.", 16 * MIB, 1 << 50)
    rejects_max: int = setting(0, "Rows a load may refuse before it gives up (--max-rejects).", 0, 1 << 60)
    rejects_shown: int = setting(5, "Refused rows and duplicate keys quoted in a message.", 0, 1000)
    votable_bytes_max: int = setting(GIB, "Largest VOTable read; it is held in memory whole.", 1024, 1 << 50)
    http_seconds_max: float = setting(600.0, "Seconds a download may stay silent before it fails.", 0.1, 1e6)
    load_unit_bytes_target: int = setting(
        256 * MIB, "Bytes of sources, or of rows, in one unit of a load that is spread over workers.", 16, 1 << 50
    )
    load_unit_attempts_max: int = setting(3, "Times a unit of a load is tried, each time on another worker.", 1, 100)
    load_unit_seconds_max: float = setting(
        0.0, "Seconds after which a unit of a load is tried on a second worker, too; 0 means never.", 0, 1e6
    )
    placement_order: int = setting(
        3, "HEALPix order of the smallest patch of sky whose parts lie together on a worker.", 0, 8
    )
    # -- history
    revisions_kept: int = setting(10, "Revisions vacuum always keeps.", 1, 1 << 30)
    revisions_kept_days: float = setting(7.0, "Days for which vacuum keeps every revision.", 0, 1e6)
    vacuum_grace_seconds: float = setting(86_400.0, "Age below which vacuum deletes nothing.", 0, 1e9)
    lease_seconds: float = setting(300.0, "Seconds after which a lease that was not renewed is dead.", 1, 1e6)
    publish_attempts_max: int = setting(
        20, "Times a load rebases on loads of other tables before it gives up.", 1, 10_000
    )
    # -- queries
    sql_bytes_max: int = setting(MIB, "Longest query text.", 16, 1 << 30)
    sql_depth_max: int = setting(200, "Deepest nesting of a query.", 4, 1000)
    sql_tokens_max: int = setting(
        100_000, "Words, numbers and signs of a query; a list of n values has 2n.", 16, 1 << 30
    )
    sql_columns_max: int = setting(10_000, "Columns one SELECT of a query may show.", 1, 1 << 20)
    sql_tables_max: int = setting(61, "Tables a query may name, each as often as it is named.", 1, 10_000)
    sql_constant_bytes_max: int = setting(64 << 10, "Longest text constant of a query.", 16, 1 << 24)
    fragment_bytes_target: int = setting(128 * MIB, "Bytes of parts batched into one fragment of a scan.", 1, 1 << 40)
    first_rows_bytes_target: int = setting(
        16 * MIB, "Bytes of the first chunk read at a time where its rows are the first of the answer.", 1, 1 << 40
    )
    fragment_chunks_max: int = setting(64, "Chunks batched into one fragment.", 1, 1 << 20)
    interactive_chunks_max: int = setting(4, "A query of at most this many chunks is interactive.", 0, 1 << 20)
    gather_bytes_max: int = setting(512 * MIB, "Bytes a query may collect in one place.", 1024, 1 << 50)
    query_seconds_max: float = setting(
        0.0, "Seconds a query may take, from its text to the last row; 0 means no limit.", 0, 1e9
    )
    query_bytes_max: int = setting(
        0, "Bytes of parts a query may be estimated to read, or it is not started; 0 means no limit.", 0, 1 << 60
    )
    plans_cached: int = setting(256, "Plans kept by text and revision.", 0, 1 << 20)
    plot_rows_max: int = setting(
        1_000_000, "Rows of an answer a picture holds; of more it shows a sample, or coarser cells.", 100, 1 << 30
    )
    fragment_attempts_max: int = setting(3, "Times a failed fragment is tried.", 1, 100)

    def __post_init__(self) -> None:
        for spec in fields(self):
            value = getattr(self, spec.name)
            low, high = spec.metadata["low"], spec.metadata["high"]
            if not low <= value <= high:
                raise QskyError(
                    "bad-setting", f"The setting {spec.name} is {value}; it must lie between {low} and {high}."
                )

    @property
    def cores(self) -> int:
        """Threads to use: the setting, or what this process may run on."""
        return self.threads or len(os.sched_getaffinity(0))

    @property
    def permits(self) -> int:
        """Fragments of scans that run at once: one per core, as long as each has memory to work with."""
        return max(1, min(self.cores, self.memory_bytes_max // 2 // _PERMIT_BYTES_LEAST))

    @property
    def permit_bytes_max(self) -> int:
        """Memory of each DuckDB under the line: half of all in equal parts."""
        return max(self.memory_bytes_max // 2 // (self.permits + self.interactive_threads), 32 * MIB)

    @property
    def piece_bytes_held_max(self) -> int:
        """Bytes of a piece that wait in memory; as many wait as are worked on, and more lie in a file."""
        return self.memory_bytes_max // 4 // (2 * (self.permits + self.interactive_threads))

    @property
    def decoded_bytes_max(self) -> int:
        """Memory for columns that are decoded once for several scans."""
        return self.memory_bytes_max // 4

    @property
    def merge_bytes_max(self) -> int:
        """Memory of the DuckDB that merges when one query does."""
        return self.memory_bytes_max // 4

    def with_changes(self, **changes: Any) -> Settings:
        """The same settings with some replaced."""
        return replace(self, **changes)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from `QSKY_<NAME>` variables; unknown ones that look like settings are refused.

    Raises bad-setting.
    """
    environment = os.environ if environment is None else environment
    found: dict[str, Any] = {}
    for spec in fields(Settings):
        text = environment.get(f"QSKY_{spec.name.upper()}")
        if text is None:
            continue
        try:
            found[spec.name] = type(spec.default)(float(text)) if isinstance(spec.default, int) else float(text)
        except (ValueError, OverflowError):
            raise QskyError("bad-setting", f"QSKY_{spec.name.upper()} is {text!r}, which is not a number.") from None
    return Settings(**found)
