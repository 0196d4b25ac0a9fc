"""Bytes as answers: a file that is open already, or bytes in memory, whole or a range of them. Used by the doors.

The file is opened before the answer begins, so whoever deletes it meanwhile changes nothing for this client.
"""

from __future__ import annotations

import os
from typing import Final

import anyio
from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from qsky.errors import QskyError
from qsky.serve.answers import sentence
from qsky.serve.ranges import Wanted, wanted

_BLOCK_BYTES: Final = 1 << 20


def bytes_answer(headers: Headers, content: bytes, etag: str, named: dict[str, str]) -> Response:
    """Bytes in memory, by the request's headers. `named` are further headers of the answer."""
    ask = wanted(headers, len(content), etag)
    if ask.status == 416:
        return unsatisfiable(len(content))
    whole = {**named, **range_headers(ask, len(content), etag)}
    return Response(content[ask.start : ask.end], ask.status, whole)


def unsatisfiable(size: int) -> Response:
    """The answer to a range beyond the end."""
    return sentence(416, "usage", f"The file has {size} bytes.", {"content-range": f"bytes */{size}"})


def range_headers(ask: Wanted, size: int, etag: str) -> dict[str, str]:
    """The headers that say which bytes these are."""
    found = {"etag": etag, "accept-ranges": "bytes"}
    if ask.status == 206:
        found["content-range"] = f"bytes {ask.start}-{ask.end - 1}/{size}"
    return found


class FileAnswer(Response):
    """An open file, or a range of it, a block at a time; it stops reading when the client has gone. Closes the file."""

    def __init__(self, handle: int, ask: Wanted, headers: dict[str, str]) -> None:
        self._handle = handle
        self._ask = ask
        self.status_code = ask.status
        self.background = None
        length = {} if ask.status == 304 else {"content-length": str(ask.end - ask.start)}
        self.init_headers({**headers, **length})

    def init_headers(self, headers: dict[str, str] | None = None) -> None:  # type: ignore[override]
        """As they are given: there is no body yet whose length Starlette could count."""
        self.raw_headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD" or self._ask.status == 304:
                await send({"type": "http.response.body", "body": b""})
                return
            await self._streamed(receive, send)
        finally:
            os.close(self._handle)

    async def _streamed(self, receive: Receive, send: Send) -> None:
        failed: list[Exception] = []

        async def send_all() -> None:
            try:
                await self._send_blocks(send)
            except Exception as error:  # so that it leaves as itself, not in a group
                failed.append(error)
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(send_all)
            while (await receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()
        if failed:
            raise failed[0]

    async def _send_blocks(self, send: Send) -> None:
        at, end = self._ask.start, self._ask.end
        while at < end:
            block = await to_thread.run_sync(os.pread, self._handle, min(_BLOCK_BYTES, end - at), at)
            if not block:
                raise QskyError("damaged", "A file became shorter while it was sent.")
            at += len(block)
            await send({"type": "http.response.body", "body": block, "more_body": at < end})
        if self._ask.start == end:
            await send({"type": "http.response.body", "body": b""})
