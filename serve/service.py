"""Everything that the endpoints share."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from cgt.runtime.utils.closeable import Closeable

from .metrics import ServerMetrics
from .models import ModelCatalog
from .scheduling.scheduler import Scheduler
from .scheduling.sessions import SessionManager
from .scheduling.translators import TranslatorPool


class Service(Closeable):
    """Models, the engines that run them, who is served and what it took.

    paths: of the models; opens the engine of each, which takes seconds. source: what the server
    itself shows, see runtime.sources, or None. most: sessions at once.
    Raises the errors of Catalog and of `open_engine`.
    """

    def __init__(
        self,
        model_paths: list[Path],
        engine: str = "auto",
        max_sessions: int = 8,
        source: str | None = None,
    ) -> None:
        self.source = source
        self.catalog = ModelCatalog(model_paths)
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
    """At the end of an application: nobody is let in, and all sessions end."""
    app[SERVICE_KEY].sessions.close()
