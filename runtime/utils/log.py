"""What the user should know although nothing failed: Python's own logging, under one name.

Without a handler the words go to stderr, one line each; a program that embeds the runtime sets its
own on `logging.getLogger("cgt")`.
"""

from __future__ import annotations

import logging

_logger = logging.getLogger("cgt")


def warn_user(text: str) -> None:
    """One line, of what was done differently from what one might expect."""
    _logger.warning("note: %s", text)
