"""Answers that are no data: one clear sentence and a code, for whoever reads them in a browser, a log or a script.

Outsiders are never told where files lie: an error of the storage becomes a sentence that says only that it is one.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import PlainTextResponse

from qsky.errors import QskyError

_STATUS_BY_FAMILY: Final = {"limit": 503, "storage": 503, "cluster": 503, "internal": 500}
OWN: Final = frozenset({"storage", "cluster", "internal"})  # of which outsiders hear only that it is so
_STATUS_BY_CODE: Final = {
    "no-such-address": 404,
    "no-such-database": 404,
    "no-such-table": 404,
    "no-such-revision": 404,
    "limit-requests": 429,
    "damaged": 500,
    "no-access": 500,
}
_RETRY_SECONDS: Final = "1"


def sentence(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> PlainTextResponse:
    """A refusal: the sentence, the code in brackets, a line end. Never cached."""
    named = {"cache-control": "no-store", **(headers or {})}
    if status in (429, 503):
        named["retry-after"] = _RETRY_SECONDS
    return PlainTextResponse(f"{message} [{code}]\n", status, named)


def refusal(error: QskyError) -> PlainTextResponse:
    """What an outsider is told of an error."""
    code = error.code
    status = _STATUS_BY_CODE.get(code.name, _STATUS_BY_FAMILY.get(code.family, 400))
    message = error.message
    if code.family in OWN:
        message = "The server cannot read what this needs; its operator finds the reason in its log."
    return sentence(status, code.name, message)


def nothing_there() -> QskyError:
    """The one answer to every address that is none, so that it tells nobody what else there is."""
    return QskyError("no-such-address", "There is nothing at this address.")
