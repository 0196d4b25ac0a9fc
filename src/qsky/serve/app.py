"""One HTTP application of many doors: a door is a sequence of routes; what every server needs is added here.

Each door (`serve.hats`, and those that ask queries) makes its routes and knows no other door. `wire` chooses the doors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, StatelessLifespan

from qsky.config import Settings
from qsky.errors import QskyError
from qsky.serve.answers import OWN, nothing_there, refusal, sentence
from qsky.serve.doorkeeper import Doorkeeper
from qsky.serve.log import ServeLog
from qsky.serve.metrics import ServeMetrics

# Names what must hold for the server to be ready; raises QskyError, or anything else, while it does not. May block.
Check = Callable[[], object]


def http_app(
    routes: Sequence[BaseRoute],
    settings: Settings,
    *,
    checks: Mapping[str, Check] | None = None,
    log: ServeLog | None = None,
    registry: CollectorRegistry | None = None,
    lifespan: StatelessLifespan[Starlette] | None = None,
) -> ASGIApp:
    """The application: the routes of all doors, `/metrics`, `/healthz`, `/readyz`, bounds, metrics and the log.

    `registry` may hold metrics of others, which `/metrics` shows too; `lifespan` is Starlette's, for what doors start.
    """
    log = log or ServeLog("none")
    metrics = ServeMetrics(registry)

    def tell_metrics(request: Request) -> Response:
        return Response(metrics.text(), headers={"content-type": metrics.content_type})

    async def ready(request: Request) -> Response:
        return await run_in_threadpool(_ready, checks or {}, log)

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, QskyError)
        if error.code.family in OWN:
            log.event("failed", str(error))
        return refusal(error)

    app = Starlette(
        routes=[Route("/metrics", tell_metrics), Route("/healthz", _alive), Route("/readyz", ready), *routes],
        exception_handlers={QskyError: refuse, HTTPException: _http_refusal, 500: _failed},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return Doorkeeper(app, settings, log, metrics)


async def _alive(request: Request) -> Response:
    return PlainTextResponse("alive\n", headers={"cache-control": "no-store"})


def _ready(checks: Mapping[str, Check], log: ServeLog) -> Response:
    for name, check in checks.items():
        try:
            check()
        except Exception as error:
            log.event("not ready", f"{name}: {error}")
            return sentence(503, "not-ready", f"Not ready: {name}.")
    return PlainTextResponse("ready\n", headers={"cache-control": "no-store"})


async def _http_refusal(request: Request, error: Exception) -> Response:
    """What Starlette refuses by itself, in our words."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return refusal(nothing_there())
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return sentence(
            405, "usage", f"{request.method} is not done here; this address takes {allowed}.", {"allow": allowed}
        )
    return sentence(error.status_code, "usage", error.detail)


async def _failed(request: Request, error: Exception) -> Response:
    return sentence(500, "internal", "The server failed; its operator finds the reason in its log.")
