"""Where the parts are put together: `connect` opens a root, a `Sky` does everything with it that Qsky can do.

The command line and Python users call this; it only connects, and holds no logic of its own. Parts are imported when
they are first needed, because a shell's `qsky tables` should not wait for a query engine.
"""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsky.catalog.layout import split_name
from qsky.config import Settings, read_settings
from qsky.errors import QskyError
from qsky.events import Listener, LoadReport, silent

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Unpack

    from qsky.catalog.model import Revision, Table
    from qsky.catalog.store import Catalog
    from qsky.engine import Engine
    from qsky.ingest.answer import Answer
    from qsky.ingest.export import ExportReport
    from qsky.ingest.request import LoadRequest
    from qsky.ingest.synth import SkyPlan
    from qsky.ingest.vacuum import VacuumReport
    from qsky.ingest.verify import VerifyReport
    from qsky.result import Result, SaveOptions
    from qsky.serve.options import ServeOptions, Where
    from qsky.site.joined import Joined


def connect(root: str | Path = "qsky-data", *, listener: Listener = silent, **settings: Any) -> Sky:
    """Open the databases in a folder, which the first load makes. `settings` are those of docs/settings.md.

    Raises bad-setting; usage for an address or an unknown setting. A folder that is no root is noticed on first use.
    """
    if "://" in str(root):
        raise QskyError("usage", f"This Qsky opens folders; {root} is an address.")
    unknown = sorted(set(settings) - set(Settings.__dataclass_fields__))
    if unknown:
        raise QskyError("usage", f"There is no setting {unknown[0]}.", hint="docs/settings.md lists them all.")
    return Sky(Path(root), read_settings().with_changes(**settings), listener)


class Sky:
    """The databases of one root. Table names are `database.table`; every method raises `QskyError`."""

    def __init__(self, root: Path, settings: Settings, listener: Listener = silent) -> None:
        self.root = root
        self.settings = settings
        self._listener = listener

    def __repr__(self) -> str:
        return f"<Sky in {self.root}>"

    def __enter__(self) -> Sky:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads that queries started; the next query starts new ones. Happens by itself at the end."""
        engine = self.__dict__.pop("_engine", None)
        if engine is not None:
            self._end_engine.detach()
            engine.close()
        joined = self.__dict__.pop("_joined", None)
        if joined is not None:
            joined.close()

    @cached_property
    def _catalog(self) -> Catalog:
        from qsky.catalog.store import Catalog

        catalog = Catalog(self.root)
        if self._joined is not None:
            catalog.replicate = self._joined.replicate
        return catalog

    @cached_property
    def _joined(self) -> Joined | None:
        """The cluster that works for this root, if one does. Raises no-cluster if it is down and parts lie there."""
        from qsky.site.model import read_site

        site = read_site(self.root)
        if site is None:
            return None
        from qsky.site.status import is_up

        if not is_up(site):
            if site.storage == "shared":
                return None
            raise QskyError(
                "no-cluster", f"The cluster of {self.root} is down.", hint="Start it again: `qsky cluster up`."
            )
        from qsky.site.joined import Joined

        return Joined(site, self.settings)

    def _made(self) -> Catalog:
        """The catalogue of a root that is made if it is not there."""
        from qsky.catalog.store import Catalog

        Catalog(self.root, create=True)
        return self._catalog

    @cached_property
    def _engine(self) -> Engine:
        from qsky.abandoned import ended_when_gone
        from qsky.engine import Engine

        if self._joined is None:
            engine = Engine(self._catalog, self.settings)
        else:
            engine = Engine(self._catalog, self._joined.settings, self._joined.transport())
        # DuckDB complains on stderr about instances that are still open when the interpreter goes.
        self._end_engine = ended_when_gone(self, engine.close)
        return engine

    # -- questions

    def sql(
        self, text: str, *, lang: str = "mysql", database: str | None = None, progress: Listener | None = None
    ) -> Result:
        """Answer one SELECT. `lang` is mysql, adql or duckdb; `database` is where bare table names are looked up.

        `progress` is called with an `events.Asked` before the first chunk is read and after each: chunks, rows and bytes
        so far, the bytes estimated, and the seconds that are left.
        """
        result = self._engine.query(text, lang=lang, database=database, listener=progress)
        result.saver = partial(self._save_result, text, lang, database)
        return result

    def save(
        self, text: str, name: str, *, lang: str = "mysql", database: str | None = None, **role: Unpack[SaveOptions]
    ) -> LoadReport:
        """Answer one SELECT into a table, `database.table`, in one revision. What it becomes is said as for a load.

        The name is looked at before the query starts. Raises what a query and a load raise; then nothing has changed.
        """
        from qsky.ingest.answer import Answer

        ask = partial(self._engine.query, text, lang, database, self._listener)
        return self._saved(Answer(text, lang, database, ask), name, role)

    def _save_result(
        self, text: str, lang: str, database: str | None, result: Result, name: str, role: SaveOptions
    ) -> LoadReport:
        """What `Result.save` does."""
        from qsky.ingest.answer import Answer

        return self._saved(Answer(text, lang, database, lambda: result), name, role)

    def _saved(self, answer: Answer, name: str, role: SaveOptions) -> LoadReport:
        from qsky.ingest.role import saving

        return self.load(saving(answer, name, role, self._standing(name)))

    def _standing(self, name: str) -> Table | None:
        """The table of that name, if there is one."""
        try:
            return self.table(name)
        except QskyError as error:
            if error.code.name in ("no-such-database", "no-such-table", "not-a-root"):
                return None
            raise

    def explain(self, text: str, *, lang: str = "mysql", database: str | None = None, analyze: bool = False) -> str:
        """How a SELECT would be answered: what is read, what runs per chunk and what after, and why.

        With `analyze` it is answered, its rows are let go, and what that took is said as well.
        """
        return self._engine.explain(text, lang=lang, database=database, analyze=analyze)

    def explained(
        self, text: str, *, lang: str = "mysql", database: str | None = None, analyze: bool = False
    ) -> dict[str, Any]:
        """The same as plain values, which JSON can hold."""
        return self._engine.explained(text, lang=lang, database=database, analyze=analyze)

    # -- what exists

    def databases(self) -> list[str]:
        """The names of the databases, sorted."""
        return self._catalog.databases()

    def revision(self, database: str, number: int | None = None) -> Revision:
        """The current revision of a database, or a kept one."""
        return self._catalog.revision(database, number)

    def table(self, name: str) -> Table:
        """What is known of a table: its columns, kind, rows."""
        database, table = split_name(name)
        return self._catalog.snapshot(database).table(table).table

    def chunks(self, name: str) -> int:
        """How many chunks of a table have rows."""
        database, table = split_name(name)
        parts = self._catalog.snapshot(database).table(table).parts
        return len(set(zip(parts.norder.tolist(), parts.npix.tolist(), strict=True)))

    def history(self, database: str) -> list[Revision]:
        """The kept revisions of a database, oldest first."""
        return self._catalog.history(database)

    # -- changes

    def synth(self, plan: SkyPlan, folder: Path) -> list[Path]:
        """Write the files of a synthetic sky into a folder; their paths."""
        from qsky.ingest.synth import write_sky

        return write_sky(plan, folder, self.settings, self._listener)

    def load(self, request: LoadRequest, *, resume: bool = False) -> LoadReport:
        """Load files into a table and publish a revision; on a cluster, its workers do most of it.

        With `resume` the last load of the table that was interrupted on the cluster goes on.
        """
        from qsky.ingest.load import load

        catalog = self._made()
        if self._joined is not None and request.answer is None:
            return self._joined.load(catalog, request, self.settings, self._listener, resume=resume)
        if resume:
            raise QskyError("usage", "Only loads on a cluster can be resumed.", hint="Load it without --resume.")
        return load(catalog, request, self.settings, self._listener)

    def attach(self, address: str, database: str, *, table: str | None = None, margin: str | None = None) -> Revision:
        """Make a HATS catalogue readable where it lies, as a table that is called as its name says, or `table`."""
        from qsky.ingest.attach import attach

        catalog = self._made()
        return attach(catalog, database, address, self.settings, self._listener, table=table, margin=margin)

    def restore(self, database: str, number: int) -> Revision:
        """Publish a kept revision again, as the newest."""
        from qsky.ingest.maintain import restore

        return restore(self._catalog, database, number, self.settings, self._listener)

    def drop(self, name: str) -> None:
        """Publish a revision without one table (`database.table`), or with none (`database`)."""
        from qsky.ingest.maintain import drop

        database, _, table = name.partition(".")
        drop(self._catalog, database, table or None, self.settings, self._listener)

    def compact(self, database: str, *, overlap_arcsec: float | None = None) -> Revision:
        """Publish a new generation with fewer, fuller parts, a fresh tiling and, if given, another overlap."""
        from qsky.ingest.compact import compact

        return compact(self._catalog, database, self.settings, self._listener, overlap_arcsec=overlap_arcsec)

    def vacuum(self, database: str) -> VacuumReport:
        """Delete what no kept revision needs."""
        from qsky.ingest.vacuum import vacuum

        return vacuum(self._catalog, database, self.settings, self._listener)

    def verify(self, database: str) -> VerifyReport:
        """Check every file of the current revision: existence, size, digest, and what is inside."""
        from qsky.ingest.verify import verify

        return verify(self._catalog, database, self.settings, self._listener)

    def export(self, name: str, folder: Path) -> ExportReport:
        """Copy a table into a new folder, as a HATS catalogue of its own."""
        from qsky.ingest.export import export

        database, table = split_name(name)
        return export(self._catalog, database, table, folder, self.settings, self._listener)

    # -- serving

    def serve(self, options: ServeOptions, *, where: Where | None = None) -> None:
        """Give the databases out over HTTP until SIGTERM or Ctrl-C; only in a process's main thread.

        `where` says at which address a part is found, by its name, or None if it lies in the root.
        Raises not-installed, not-a-root, no-port; usage for TLS files that are none.
        """
        from qsky.serve.options import assert_installed

        assert_installed()
        from qsky.serve.app import http_app
        from qsky.serve.hats import hats_routes
        from qsky.serve.log import ServeLog
        from qsky.serve.server import HttpServer

        log = ServeLog(options.log)
        checks = {"the root": self._catalog.databases}
        app = http_app(hats_routes(self._catalog, where), self.settings, checks=checks, log=log)
        HttpServer(app, options, self.settings, log).run()
