"""Warnings to the user, through the standard logger "cgt".

Without a handler Python prints them to stderr, one line each. A program that embeds the runtime
sets its own handler on `logging.getLogger("cgt")`.
"""

from __future__ import annotations

import logging

_logger = logging.getLogger("cgt")


def warn_user(text: str) -> None:
    """Log one line on something that cgt does differently from what the user may expect."""
    _logger.warning("note: %s", text)
