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
    # -- XRootD
    xrootd_connect_seconds_max: int = setting(3, "Seconds to try to connect to an XRootD server.", 1, 3600)
    xrootd_answer_seconds_max: int = setting(
        10, "Seconds an XRootD server may take to answer one request, such as a block of a part.", 1, 3600
    )
    xrootd_fetch_seconds_max: float = setting(
        600.0, "Seconds the fetch of one part from other machines may take, all attempts together.", 1, 1e6
    )
    xrootd_rounds_max: int = setting(4, "Times all holders of a part are tried before it cannot be read.", 1, 100)
    xrootd_retry_seconds: float = setting(
        0.5, "Pause before holders of a part are looked for again; twice as long each time.", 0, 3600
    )
    xrootd_block_bytes: int = setting(8 * MIB, "Bytes of a part read from another machine at a time.", 4096, GIB)
    xrootd_location_seconds: float = setting(60.0, "Seconds for which it is remembered who holds a part.", 0, 1e6)
    xrootd_locations_max: int = setting(200_000, "Parts of which it is remembered who holds them.", 0, 1 << 30)
    xrootd_avoid_seconds: float = setting(
        30.0, "Seconds for which servers that failed are tried after all others.", 0, 1e6
    )
    xrootd_notice_seconds_max: float = setting(
        2.0, "Seconds the cmsd of a host may take to hear of a new or deleted part.", 0.01, 3600
    )
    xrootd_ready_seconds_max: float = setting(
        60.0, "Seconds until daemons of XRootD must have found their cluster.", 0.1, 3600
    )
    xrootd_restart_seconds_min: float = setting(
        1.0, "Seconds between two starts of a daemon that ended; twice as long each time.", 0.01, 3600
    )
    xrootd_restart_seconds_max: float = setting(
        60.0, "Longest time between two starts of a daemon that ends again and again.", 0.01, 86_400
    )
    xrootd_stop_seconds_max: float = setting(5.0, "Seconds a daemon may take to end before it is killed.", 0, 3600)
    xrootd_log_bytes_max: int = setting(64 * MIB, "Bytes of old logs kept of each daemon.", 4096, 1 << 40)
    xrootd_lookup_seconds: int = setting(
        1, "Seconds a redirector waits for servers to say that they hold a part.", 1, 60
    )
    xrootd_startup_seconds: int = setting(
        3, "Seconds for which a new redirector hears servers before it answers.", 1, 600
    )
    xrootd_servers_min: int = setting(1, "Servers that must have logged in before a redirector answers.", 1, 64)
    xrootd_drop_seconds: int = setting(60, "Seconds after which a redirector forgets a server that is gone.", 1, 86_400)
    xrootd_ping_seconds: int = setting(
        10, "Seconds between two questions of a redirector whether a server lives.", 1, 3600
    )
    xrootd_report_seconds: int = setting(5, "Seconds between two summaries of an XRootD daemon.", 1, 3600)
    xrootd_report_bytes_max: int = setting(65_536, "Longest summary of an XRootD daemon that is read.", 1024, 65_536)
    xrootd_reporters_max: int = setting(4096, "XRootD daemons whose summaries are kept.", 1, 1 << 20)
    certificate_days: int = setting(365, "Days for which certificates that Qsky makes are valid.", 1, 36_500)
    load_unit_bytes_target: int = setting(
        256 * MIB, "Bytes of sources, or of rows, in one unit of a load that is spread over workers.", 16, 1 << 50
    )
    load_unit_attempts_max: int = setting(3, "Times a unit of a load is tried, each time on another worker.", 1, 100)
    load_unit_seconds_max: float = setting(
        0.0, "Seconds after which a unit of a load is tried on a second worker, too; 0 means never.", 0, 1e6
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
    fragment_cell_order: int = setting(
        -1,
        "HEALPix order of cells beyond which no fragment reaches; -1: none. In replicated storage placement_order.",
        -1,
        10,
    )
    fragment_bytes_target: int = setting(128 * MIB, "Bytes of parts batched into one fragment of a scan.", 1, 1 << 40)
    fragments_target: int = setting(
        50_000, "Fragments of the largest scans, about: what would be more is cut into larger ones.", 1, 1 << 30
    )
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
    # -- parts on workers
    cache_bytes_max: int = setting(
        16 * GIB, "Bytes of copies a worker keeps of parts that lie elsewhere; those used longest ago go.", 0, 1 << 50
    )
    cache_uses_min: int = setting(
        2, "Uses of a part of a shared root after which a worker keeps a copy of it.", 1, 1 << 30
    )
    part_fetches_max: int = setting(4, "Parts a worker fetches or checks at once.", 1, 1024)
    scrub_bytes_per_second: int = setting(
        8 * MIB, "Bytes of its parts a worker reads again each second to find damage; 0 means none.", 0, 1 << 40
    )
    scrub_pause_seconds: float = setting(60.0, "Pause of a worker that has read all its parts again.", 0.01, 1e7)
    inventory_changes_max: int = setting(
        100_000, "Changes of its parts a worker remembers; who knows less is told all parts.", 0, 1 << 30
    )
    fragment_attempts_max: int = setting(3, "Times a failed fragment is tried.", 1, 100)
    # -- a cluster
    fragment_ended_max: int = setting(
        2, "Worker processes that may end while they run the same fragment, before its query fails.", 1, 100
    )
    fragment_losses_max: int = setting(
        10, "Times a fragment may be lost with the worker it was at, for whatever reason.", 1, 10_000
    )
    copies_max: int = setting(
        4, "Fragments of a query that are overdue and run on a second worker at once; 0 means never.", 0, 10_000
    )
    copy_factor: float = setting(
        3.0, "A fragment is overdue after so many times the median of its query, and copy_seconds_least.", 1, 1000
    )
    copy_seconds_least: float = setting(10.0, "Seconds before which no fragment is overdue.", 0, 1e6)
    placed_parts_max: int = setting(
        1_000_000, "Parts of which a coordinator remembers the worker that reads them.", 1, 1 << 30
    )
    worker_slots: int = setting(512, "Fragments a worker of a cluster holds at once; most of them wait.", 1, 1 << 16)
    worker_memory_share: float = setting(
        0.6, "Part of a container's memory that its worker uses where memory_bytes_max is not set.", 0.05, 0.95
    )
    worker_silence_seconds: float = setting(
        10.0, "Seconds after which a worker or scheduler that does not answer is given up.", 0.1, 3600
    )
    worker_ttl_seconds: float = setting(
        30.0, "Seconds without a heartbeat after which the scheduler forgets a worker.", 1, 1e5
    )
    cluster_wait_seconds: float = setting(
        60.0, "Seconds a query waits for a scheduler or for any worker to come back.", 0, 1e6
    )
    piece_bytes_inline_max: int = setting(
        MIB, "Size above which a piece is not held by a worker but spooled to its disk, and pulled.", 0, 1 << 26
    )
    pull_bytes: int = setting(4 * MIB, "Bytes of a spooled piece that are asked for at a time.", 4096, 1 << 26)
    pulls_max: int = setting(4, "Spooled pieces that one process pulls at once.", 1, 1024)
    spool_bytes_max: int = setting(16 * GIB, "Bytes of pieces a worker may have on disk.", 0, 1 << 50)
    piece_kept_seconds: float = setting(
        900.0, "Seconds after which a worker forgets a piece, or rows it was given, that nobody asked for.", 1, 1e6
    )
    stop_seconds_max: float = setting(
        10.0, "Seconds a scheduler or worker that was told to stop takes to do so in order.", 0.1, 3600
    )
    # -- clusters
    restart_seconds: float = setting(
        1.0, "Pause before a process of a cluster that has ended is started again.", 0, 3600
    )
    delivery_bytes: int = setting(8 * MIB, "Bytes of a part sent to a worker at a time by a load.", 4096, GIB)
    keeper_look_seconds: float = setting(1.0, "Seconds between two looks of the keeper at the cluster.", 0.05, 3600)
    # -- replicas
    placement_order: int = setting(
        6, "HEALPix order of the patches of sky whose parts lie together; a change moves everything.", 0, 10
    )
    replicas: int = setting(2, "Copies of each part in replicated storage.", 1, 16)
    placement_slack: float = setting(0.1, "How far a worker may be above its share of bytes, as a fraction.", 0.01, 10)
    worker_lost_seconds: float = setting(
        300.0, "Seconds of silence after which what a worker held is copied elsewhere.", 0, 1e6
    )
    keeper_quiet_seconds: float = setting(
        300.0, "Seconds for which the keeper only watches after it starts, or after many workers vanish.", 0, 1e6
    )
    keeper_vanished_share_max: float = setting(
        1 / 3, "Share of the workers whose silence at once makes the keeper wait.", 0.01, 1
    )
    keeper_moves_max: int = setting(4, "Parts one worker fetches, and gives, at once on the keeper's orders.", 1, 1000)
    keeper_bytes_in_flight_max: int = setting(
        64 * GIB, "Bytes of all parts that workers fetch at once on the keeper's orders.", 1, 1 << 60
    )
    keeper_order_seconds_max: float = setting(
        3600.0, "Seconds after which an order that nobody answered is given up.", 1, 1e6
    )
    keeper_retry_seconds: float = setting(30.0, "Seconds after which a failed order is given again.", 0.1, 1e6)
    keeper_verified_seconds_max: float = setting(
        600.0, "Seconds for which a check of a copy allows to delete another.", 1, 1e6
    )
    keeper_inventory_seconds: float = setting(
        600.0, "Seconds after which a worker is asked again what it holds.", 1, 1e6
    )
    keeper_unknown_grace_seconds: float = setting(
        86_400.0, "Seconds a part may be unknown before a worker puts it aside.", 0, 1e9
    )
    # -- serving
    serve_connections_max: int = setting(
        1000, "Connections a server answers; to more it says so, and twice as many it drops.", 1, 1 << 20
    )
    serve_requests_max: int = setting(256, "Requests a server is at work on at once.", 1, 1 << 20)
    serve_requests_per_client_max: int = setting(
        64, "Requests of one address a server is at work on at once; a proxy before it is one address.", 1, 1 << 20
    )
    serve_header_bytes_max: int = setting(64 << 10, "Longest request line and headers a server reads.", 1024, 1 << 24)
    serve_idle_seconds_max: float = setting(30.0, "Seconds a connection may be open without a whole request.", 0.1, 1e6)
    serve_silent_seconds_max: float = setting(
        60.0, "Seconds a client may take nothing of its answer before it is let go.", 0.1, 1e6
    )
    serve_stop_seconds_max: float = setting(
        10.0, "Seconds a server that is stopped goes on with answers it has begun.", 1, 1e6
    )

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
