"""What TensorRT says, to the builder and at run time."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def make_logger(api: ModuleType) -> Any:
    """An ILogger of `api` (tensorrt or tensorrt_rtx) that keeps the last errors and the builder's
    layer tables."""

    class Logger(api.ILogger):  # type: ignore[misc, name-defined]
        """Must outlive all that was made with it."""

        def __init__(self) -> None:
            api.ILogger.__init__(self)
            self.errors: list[str] = []
            self.tables: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity.name in ("ERROR", "INTERNAL_ERROR"):
                self.errors = [*self.errors[-9:], " ".join(msg.split())]
            elif msg.startswith("Layers:"):
                self.tables.append(msg)

        def last_error(self) -> str:
            """The last telling one: what fails without a driver is said after every error."""
            telling = [error for error in self.errors if "catchCudaError" not in error]
            return (telling or self.errors or ["it does not say why"])[-1]

    return Logger()
