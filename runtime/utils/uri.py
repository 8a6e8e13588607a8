"""Parser of source, sink and engine URIs: `scheme://path?key=value&key=value`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from ..errors import UsageError


@dataclass(frozen=True)
class Uri:
    """A parsed URI.

    Attributes:
        text: the URI as the user wrote it, for messages.
        scheme: text before "://", in lower case; "" for a plain path.
        path: text between the scheme and the query.
        query: parameters by name.
    """

    text: str
    scheme: str
    path: str
    query: dict[str, str] = field(default_factory=dict)

    def check_parameters(self, allowed: Iterable[str]) -> None:
        """Raise UsageError for a parameter that is not in `allowed`."""
        for key in self.query:
            if key not in allowed:
                words = ", ".join(allowed) or "none"
                raise UsageError(f"{self.text} has an unknown parameter {key}; known: {words}")

    def get_size(self) -> tuple[int, int] | None:
        """Return the parameter `size=WIDTHxHEIGHT` as (height, width), or None."""
        text = self.query.get("size")
        if text is None:
            return None
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
        if not match:
            raise UsageError(f"{self.text}: size={text} is not WIDTHxHEIGHT, such as 1280x720")
        return int(match[2]), int(match[1])

    def get_frame_rate(self) -> Fraction | None:
        """Return the parameter `fps` (30, 29.97 or 30000/1001), or None."""
        text = self.query.get("fps")
        if text is None:
            return None
        try:
            rate = Fraction(text)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 1000:
            raise UsageError(f"{self.text}: fps={text} is not a rate, such as 30 or 30000/1001")
        return rate

    def get_int(self, key: str) -> int | None:
        """Return a parameter that is a whole number, or None."""
        text = self.query.get(key)
        if text is None:
            return None
        if not text.isdecimal():
            raise UsageError(f"{self.text}: {key}={text} is not a number")
        return int(text)

    def get_bool(self, key: str, default: bool) -> bool:
        """Return a parameter that is 1 or 0, or the default."""
        text = self.query.get(key)
        if text not in (None, "0", "1"):
            raise UsageError(f"{self.text}: {key}={text} is neither 0 nor 1")
        return default if text is None else text == "1"


def parse_uri(text: str) -> Uri:
    """Split a URI into its parts, without percent-decoding."""
    scheme, separator, path = text.partition("://")
    if not separator:
        scheme, path = "", text
    path, _, query = path.partition("?")
    pairs = {}
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        pairs[key] = value
    return Uri(text, scheme.lower(), path, pairs)
