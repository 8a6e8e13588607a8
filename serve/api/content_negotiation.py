"""Content negotiation: the media type of a response by the Accept header (RFC 9110)."""

from __future__ import annotations

from collections.abc import Sequence


def choose_media_type(accept: str, media_types: Sequence[str]) -> str | None:
    """Return the media type that an Accept header prefers, or None if it accepts none of them.

    Args:
        accept: Value of the header. Malformed parts are ignored.
        media_types: Such as "image/png", in the order of preference of the server.
    """
    ranges = list(filter(None, map(_parse_media_range, accept.split(",")))) or [("*/*", 1.0)]
    weights = [_quality(media_type, ranges) for media_type in media_types]
    highest = max(weights)
    return media_types[weights.index(highest)] if highest > 0 else None


def _parse_media_range(part: str) -> tuple[str, float] | None:
    pattern, *parameters = (text.strip().lower() for text in part.split(";"))
    if pattern.count("/") != 1:
        return None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return pattern, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return None
    return pattern, 1.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality value of the most specific range that matches."""
    family = media_type.split("/")[0]
    for pattern in (media_type, f"{family}/*", "*/*"):
        weights = [weight for range, weight in ranges if range == pattern]
        if weights:
            return max(weights)
    return 0.0
