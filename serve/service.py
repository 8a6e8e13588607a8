"""Everything that the endpoints share."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from cgt.runtime.closing import Closing

from .catalog import Catalog
from .metrics import Metrics
from .scheduler import Scheduler
from .sessions import Sessions
from .translators import Translators


class Service(Closing):
    """Models, the engines that run them, who is served and what it took.

    paths: of the models; opens the engine of each, which takes seconds. source: what the server
    itself shows, see runtime.sources, or None. most: sessions at once.
    Raises the errors of Catalog and of `open_engine`.
    """

    def __init__(
        self, paths: list[Path], engine: str = "auto", most: int = 8, source: str | None = None
    ) -> None:
        self.source = source
        self.catalog = Catalog(paths)
        self.metrics = Metrics()
        self.translators = Translators(self.catalog, engine)
        for name in self.catalog.models:
            self.translators.open(self.catalog.choice({"model": name}))
        self.scheduler = Scheduler(self.translators)
        self.sessions = Sessions(
            self.catalog.default, self.scheduler, self.translators, self.metrics, most
        )

    def close(self) -> None:
        self.sessions.close()
        self.scheduler.close()
        self.translators.close()


SERVICE = web.AppKey("service", Service)


async def dismiss(app: web.Application) -> None:
    """At the end of an application: nobody is let in, and all sessions end."""
    app[SERVICE].sessions.close()
