"""Import of modules in the background, while other threads wait in libraries."""

from __future__ import annotations

import contextlib
import importlib
import threading


def import_in_background(*names: str) -> None:
    """Start to import modules that will be needed soon; an error shows when they are used."""

    def import_all() -> None:
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)

    # Python waits for it at its end: an import would crash while the interpreter is torn down.
    threading.Thread(target=import_all, name="cgt-import").start()
