"""Warnings to the user, through the standard logger "cgt".

Without a handler Python prints them to stderr, one line each. A program that embeds the runtime
sets its own handler on `logging.getLogger("cgt")`.
"""

from __future__ import annotations

import logging

_logger = logging.getLogger("cgt")
_logged_topics: set[str] = set()


def warn_user(text: str) -> None:
    """Log one line on something that cgt does differently from what the user may expect."""
    _logger.warning("note: %s", text)


def warn_user_once(topic: str, text: str) -> None:
    """Log one line, unless this process has logged one on the topic: the first of many images."""
    if topic not in _logged_topics:
        _logged_topics.add(topic)
        warn_user(text)
