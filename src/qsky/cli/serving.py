"""`qsky serve`: gives the databases out to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from qsky.cli.terminal import Terminal
from qsky.errors import QskyError


def serve(
    context: typer.Context,
    http: Annotated[int, typer.Option(metavar="PORT", help="The port; 0 is any free one.", min=0, max=65535)] = 8080,
    host: Annotated[
        str, typer.Option(help="The address to listen at; 0.0.0.0 and :: are all of this machine.")
    ] = "127.0.0.1",
    certificate: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Speak https with this certificate (PEM).")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key, if the same file does not hold it.")
    ] = None,
    log_format: Annotated[
        str, typer.Option(metavar="text|json", help="How requests are logged on stderr; --quiet logs none.")
    ] = "text",
) -> None:
    """Give the databases out over HTTP: HATS catalogues under /hats/, and /metrics, /healthz, /readyz."""
    from qsky.serve.options import ServeOptions

    terminal: Terminal = context.obj
    if log_format not in ("text", "json"):
        raise QskyError("usage", f"There is no log format {log_format!r}.", hint="There are text and json.")
    log = "none" if terminal.quiet else "json" if log_format == "json" else "text"
    terminal.sky().serve(ServeOptions(host, http, certificate, key, log))  # type: ignore[arg-type]


COMMANDS: Final = {"serve": serve}
