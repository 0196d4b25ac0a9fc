"""The HATS view: every database under `/hats/`, as folders of HATS catalogues over HTTP, at any kept revision.

`/hats/<database>/` is the current revision, `/hats/<database>@<n>/` revision n. A door of `serve.app`. It reads the
catalogue and knows no query; all that a client writes is compared with names of the revision, never opened.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from qsky.catalog.store import Catalog
from qsky.errors import QskyError
from qsky.serve.answers import nothing_there
from qsky.serve.doorkeeper import ROUTE
from qsky.serve.file_answer import FileAnswer, bytes_answer, range_headers, unsatisfiable
from qsky.serve.hats_tree import Entry, Listing, Node, Part, SideFile, Tree
from qsky.serve.listing import page
from qsky.serve.options import Where
from qsky.serve.ranges import wanted

_DATABASE: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,62})(?:@([1-9]\d{0,8}))?")
# Every name in a root is made of these; no escape of anything else, and none of "/", is ever right.
_RAW_PATH: Final = re.compile(r"(?:[A-Za-z0-9_.=@/-]|%3[dD]|%40)*")
_GENERATION: Final = re.compile(r"[^/]+\.hats/([^/]+)/g(\d{4,9})(?:/.*)?|([^/]+)\.table/g(\d{4,9})(?:/.*)?")
_TREES_HELD: Final = 32
_PARQUET: Final = "application/vnd.apache.parquet"
_FOR_EVER: Final = "public, max-age=31536000, immutable"  # a part's name is never used again
_ASK_AGAIN: Final = "public, no-cache"
_KINDS: Final = {Part: "/hats part", SideFile: "/hats file", Listing: "/hats listing"}


def hats_routes(catalog: Catalog, where: Where | None = None) -> Sequence[BaseRoute]:
    """The routes of the HATS view of a root. `where` says where parts are found, if not in the root."""
    door = _Door(catalog, where)
    return [Route("/hats", door.answer), Route("/hats/{path:path}", door.answer)]


@dataclass
class _Door:
    catalog: Catalog
    where: Where | None
    _trees: OrderedDict[tuple[str, int], Tree] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    async def answer(self, request: Request) -> Response:
        return await run_in_threadpool(self._answer, request)

    def _answer(self, request: Request) -> Response:
        path = _checked_path(request)
        if path == "":
            return self._databases(request)
        tree, node, path = self._found(path, request.scope["query_string"].decode("ascii", "replace"))
        request.scope[ROUTE] = _KINDS[type(node)]
        if isinstance(node, Part):
            answer = self._part(request, tree, node)
        elif isinstance(node, SideFile):
            answer = _side_file(request, path, node)
        else:
            answer = self._listing(request, tree, path, node)
        answer.headers["qsky-revision"] = str(tree.revision)
        return answer

    # -- finding

    def _found(self, path: str, query: str) -> tuple[Tree, Node, str]:
        """The tree and what of it is meant, and its path. Raises no-such-address, no-such-revision."""
        asked, _, inside = path.partition("/")
        named = _DATABASE.fullmatch(asked)
        if named is None:
            raise nothing_there()
        number = int(named[2]) if named[2] else None
        inside = inside.removesuffix("/")
        tree = self._tree(named[1], number)
        node = tree.node(inside)
        if node is None and number is None:
            tree, node = self._older(tree, inside)
        if isinstance(node, Listing) and "/" in query:
            # LSDB asks for leaves as Npix=3?columns=... and puts the names it finds there behind the query.
            inside = f"{inside}/{unquote(query.rsplit('/', 1)[1])}"
            node = tree.node(inside)
        if node is None or (path.endswith("/") and not isinstance(node, Listing)):
            raise nothing_there()
        return tree, node, inside

    def _tree(self, database: str, number: int | None) -> Tree:
        try:
            snapshot = self.catalog.snapshot(database, number)
        except QskyError as error:
            if error.code.name == "no-such-revision":
                raise QskyError("no-such-revision", f"The database {database} has no revision {number}.") from error
            if error.code.name == "no-such-database":
                raise nothing_there() from error
            raise
        if snapshot.revision.database != database:
            raise nothing_there()
        key = (database, snapshot.revision.number)
        with self._lock:
            tree = self._trees.get(key)
            if tree is None or tree.snapshot is not snapshot:
                tree = self._trees[key] = Tree(snapshot)
            self._trees.move_to_end(key)
            while len(self._trees) > _TREES_HELD:
                self._trees.popitem(last=False)
        return tree

    def _older(self, current: Tree, path: str) -> tuple[Tree, Node | None]:
        """A path of a generation that was current: who began to read it goes on, from the last revision that has it."""
        asked = _GENERATION.fullmatch(path)
        if asked is None:
            return current, None
        name, generation = asked[1] or asked[3], int(asked[2] or asked[4])
        table = current.snapshot.revision.table(name.removesuffix("_overlap"))
        if table is not None and generation >= table.generation:
            return current, None
        database = current.snapshot.revision.database
        for number in reversed(self.catalog.numbers(database)[:-1]):
            tree = self._tree(database, number)
            node = tree.node(path)
            if node is not None:
                return tree, node
        return current, None

    # -- answering

    def _databases(self, request: Request) -> Response:
        request.scope[ROUTE] = _KINDS[Listing]
        entries = tuple(Entry(f"{name}/") for name in self.catalog.databases())
        base = "" if request.scope["path"].endswith("/") else "hats/"
        return _html(request, page("Databases", entries, base=base, above=False))

    def _listing(self, request: Request, tree: Tree, path: str, node: Listing) -> Response:
        revision = tree.snapshot.revision
        note = ""
        if not path:
            kept = ", ".join(map(str, self.catalog.numbers(revision.database)))
            note = f"Revision {revision.number}, of {revision.created[:19]}. Kept: {kept}; revision n is {revision.database}@n."
        own = request.scope["path"]
        base = "" if own.endswith("/") else f"{own.rsplit('/', 1)[-1]}/"
        title = f"{revision.database}@{revision.number}/{path}"
        return _html(request, page(title, node.entries, base=base, above=True, note=note))

    def _part(self, request: Request, tree: Tree, part: Part) -> Response:
        elsewhere = self._where(part)
        if elsewhere is not None:
            return RedirectResponse(elsewhere, 307, {"cache-control": "no-store"})
        etag = f'"{part.digest}"'
        ask = wanted(request.headers, part.bytes, etag)
        if ask.status == 416:
            return unsatisfiable(part.bytes)
        headers = {
            "content-type": _PARQUET,
            "cache-control": _FOR_EVER,
            "x-content-type-options": "nosniff",
            **range_headers(ask, part.bytes, etag),
        }
        return FileAnswer(self._opened(tree, part), ask, headers)

    def _where(self, part: Part) -> str | None:
        if self.where is None:
            return None
        try:
            return self.where(part.name)
        except QskyError as error:
            raise QskyError("not-ready", f"Where {part.name} lies is not known: {error}") from error

    def _opened(self, tree: Tree, part: Part) -> int:
        """The part's file, opened. Raises no-such-revision if it was vacuumed just now; not-ready, damaged."""
        try:
            handle = os.open(tree.file(part), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            revision = tree.snapshot.revision
            self.catalog.snapshot(revision.database, revision.number)
            if self.where is not None:
                raise QskyError("not-ready", f"{part.name} is on no machine that answers.") from None
            raise QskyError("damaged", f"{part.name} is missing.") from None
        except OSError as error:
            raise QskyError("no-access", f"{part.name} cannot be read: {error.strerror}.") from error
        if os.fstat(handle).st_size != part.bytes:
            os.close(handle)
            raise QskyError("damaged", f"{part.name} has another size than its revision says.")
        return handle


def _checked_path(request: Request) -> str:
    """What follows `/hats/`; raises no-such-address for every spelling that is not plain."""
    raw = request.scope.get("raw_path", b"").partition(b"?")[0].decode("latin-1")
    path: str = request.path_params.get("path", "")
    if not _RAW_PATH.fullmatch(raw) or "//" in f"/{path}" or {".", ".."} & set(path.split("/")):
        raise nothing_there()
    return path


def _side_file(request: Request, path: str, node: SideFile) -> Response:
    etag = f'"{hashlib.sha256(node.content).hexdigest()[:16]}"'
    name = path.rsplit("/", 1)[-1]
    media = {"partition_info.csv": "text/csv; charset=utf-8", "_common_metadata": _PARQUET}
    headers = {
        "content-type": media.get(name, "text/plain; charset=utf-8"),
        "cache-control": _ASK_AGAIN,
        "x-content-type-options": "nosniff",
    }
    return bytes_answer(request.headers, node.content, etag, headers)


def _html(request: Request, text: str) -> Response:
    etag = f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'
    if wanted(request.headers, len(text), etag).status == 304:
        return Response(status_code=304, headers={"etag": etag, "cache-control": _ASK_AGAIN})
    return HTMLResponse(text, headers={"etag": etag, "cache-control": _ASK_AGAIN})
