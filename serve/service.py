"""Service object that all endpoints share: models, engines, sessions and metrics."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from cgt.runtime.models.third_party import ModelFormat
from cgt.runtime.utils.closeable import Closeable

from .metrics import ServerMetrics
from .models import ModelCatalog
from .scheduling.scheduler import Scheduler
from .scheduling.sessions import SessionManager
from .scheduling.translators import TranslatorPool


class Service(Closeable):
    """Models with their engines, the sessions of the clients, and the metrics.

    The constructor opens the engine of each model, which takes seconds.

    Args:
        model_paths: ONNX files to serve. The first one is the default.
        engine: Name of the engine, or "auto" for the fastest.
        max_sessions: Maximum number of clients at a time.
        source: URI of a source that the server shows to its clients, see `open_source`, or None.
        model_format: What the user says about models of other tools.

    Raises:
        CgtError: Any error of ModelCatalog or `open_engine`.
    """

    def __init__(
        self,
        model_paths: list[Path],
        engine: str = "auto",
        max_sessions: int = 8,
        source: str | None = None,
        model_format: ModelFormat | None = None,
    ) -> None:
        self.source = source
        self.catalog = ModelCatalog(model_paths, model_format)
        self.metrics = ServerMetrics()
        self.translators = TranslatorPool(self.catalog, engine)
        for name in self.catalog.models:
            self.translators.get_engine(self.catalog.parse_selection({"model": name}))
        self.scheduler = Scheduler(self.translators)
        self.sessions = SessionManager(
            self.catalog.default, self.scheduler, self.translators, self.metrics, max_sessions
        )

    def close(self) -> None:
        self.sessions.close()
        self.scheduler.close()
        self.translators.close()


SERVICE_KEY = web.AppKey("service", Service)


async def shutdown_sessions(app: web.Application) -> None:
    """Close all sessions and reject new ones. To be called when the application shuts down."""
    app[SERVICE_KEY].sessions.close()
