"""Which of several formats a client wants (RFC 9110, Accept)."""

from __future__ import annotations

from collections.abc import Sequence


def choose_media_type(accept: str, media_types: Sequence[str]) -> str | None:
    """Of `kinds` ("image/png"), in the server's order of preference, the one that the header gives
    most weight; None where it takes none of them. Malformed parts of it count as absent."""
    ranges = list(filter(None, map(_parse_media_range, accept.split(",")))) or [("*/*", 1.0)]
    weights = [_quality(kind, ranges) for kind in media_types]
    highest = max(weights)
    return media_types[weights.index(highest)] if highest > 0 else None


def _parse_media_range(part: str) -> tuple[str, float] | None:
    pattern, *parameters = (piece.strip().lower() for piece in part.split(";"))
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
    """What the most specific range that fits says of it."""
    family = media_type.split("/")[0]
    for pattern in (media_type, f"{family}/*", "*/*"):
        weights = [weight for range, weight in ranges if range == pattern]
        if weights:
            return max(weights)
    return 0.0
