"""cgt serve"""

from __future__ import annotations

from pathlib import Path

import click

from ._options import require_extra

_FILE_TYPE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("serve")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="ONNX model, monet (the default) or vintage. May be given again.",
)
@click.option("--engine", default="auto", help="auto (the fastest), openvino, onnxruntime, ...")
@click.option("--source", help="What the server shows itself: a camera, a stream, a video.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--token", envvar="CGT_TOKEN", help="What clients must show; or set CGT_TOKEN.")
@click.option(
    "--allow-host", "allowed_hosts", multiple=True, help="Another name that it is called by."
)
@click.option("--max-sessions", type=click.IntRange(1), default=8, show_default=True)
@click.option("--cert", type=_FILE_TYPE, help="TLS certificate, PEM.")
@click.option("--key", type=_FILE_TYPE, help="Its private key, PEM.")
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
) -> None:
    """Translate in a browser, live, and for programs over HTTP."""
    require_extra("serve", "aiohttp", "aiortc", "prometheus_client", "PIL")
    from cgt.serve.server import ServeOptions, run_server

    run_server(
        ServeOptions(
            models, engine, source, host, port, token, allowed_hosts, max_sessions, cert, key
        )
    )
