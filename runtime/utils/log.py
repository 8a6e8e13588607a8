"""Warnings to the user, through the standard logger "cgt", and masked passwords in all messages.

Without a handler Python prints them to stderr, one line each. A program that embeds the runtime
sets its own handler on `logging.getLogger("cgt")`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

LogFn = Callable[[str], None]
"""Receives one line for the user; commands pass `click.echo`."""

_logger = logging.getLogger("cgt")
_logged_topics: set[str] = set()

# rtsp://user:password@host, also with unescaped @, /, : and spaces in the password. A number before
# the next / is a port. A Path has only one of the slashes after the scheme.
_USER_PASSWORD = re.compile(
    r"(:/{1,2}[^\s:/@?#]*:)(?!\d+[/?#\s]|\s)(?:(?:(?!://)\S)+@|(?:(?!://).)+?@)"
)
# ?token=..., &passphrase=..., X-Amz-Signature=...; user-pw=... of GStreamer
_SECRET_PARAMETER = re.compile(
    r"([?&;\s][\w.-]*(?:pass|pwd|pw|token|secret|signature|sig|key|auth|credential)[\w.-]*=)"
    r"[^&;\s]+",
    re.IGNORECASE,
)
_MASK = "***"


def mask_passwords(text: str) -> str:
    """Return a text with the passwords and secret parameters of its URLs replaced by ***."""
    if ":/" not in text:
        return text
    return _SECRET_PARAMETER.sub(rf"\1{_MASK}", _USER_PASSWORD.sub(rf"\1{_MASK}@", text))


def warn_user(text: str) -> None:
    """Log one line on something that cgt does differently from what the user may expect."""
    _logger.warning("note: %s", mask_passwords(text))


def warn_user_once(topic: str, text: str) -> None:
    """Log one line, unless this process has logged one on the topic: the first of many images."""
    if topic not in _logged_topics:
        _logged_topics.add(topic)
        warn_user(text)
