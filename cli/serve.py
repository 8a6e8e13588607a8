"""The verb `cgt serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.runtime.models.third_party import ModelFormat

from ._options import Verb, given_options, opt, options_from, opts, require_extra

_WHAT, _ACCESS, _ENGINE = "Essentials", "Access", "Engine"
_FILE_TYPE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("serve", cls=Verb)
@opt(
    "--model",
    "models",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    group=_WHAT,
    help="ONNX model, monet or vintage. Repeat it for several.  [default: monet]",
)
@opt(
    "--source",
    group=_WHAT,
    help="Camera, stream or video that the server translates for all clients.",
)
@opt(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    group=_WHAT,
    help="TCP port; 0 takes a free one.  [default: 8080]",
)
@opt(
    "--host", default="127.0.0.1", group=_ACCESS, help="Address to listen on.  [default: 127.0.0.1]"
)
@opt(
    "--token",
    envvar="CGT_TOKEN",
    group=_ACCESS,
    help="Secret that clients must send; also in the variable CGT_TOKEN.",
)
@opt(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    group=_ACCESS,
    help="Another host name under which clients reach the server. Repeat it for several.",
)
@opts(
    _ACCESS,
    ("--cert", _FILE_TYPE, "TLS certificate, PEM."),
    ("--key", _FILE_TYPE, "Private key of the certificate, PEM."),
)
@opt(
    "--engine",
    default="auto",
    group=_ENGINE,
    help="Inference engine: openvino, onnxruntime, ...  [default: auto]",
)
@opt(
    "--max-sessions",
    type=click.IntRange(1),
    default=8,
    metavar="N",
    group=_ENGINE,
    help="Maximum number of simultaneous clients.  [default: 8]",
)
@options_from(ModelFormat)
def command(
    models: tuple[Path, ...],
    engine: str,
    source: str | None,
    host: str,
    port: int,
    token: str | None,
    allowed_hosts: tuple[str, ...],
    max_sessions: int,
    cert: Path | None,
    key: Path | None,
    **params: Any,
) -> None:
    """Translate live in a browser, and over HTTP for programs."""
    require_extra("serve", "aiohttp", "aiortc", "prometheus_client", "PIL")
    from cgt.serve.server import ServeOptions, run_server

    run_server(
        ServeOptions(
            models,
            engine,
            source,
            host,
            port,
            token,
            allowed_hosts,
            max_sessions,
            cert,
            key,
            ModelFormat(**given_options(ModelFormat, params)),
        )
    )
